//! Spreads what is sent over time. A virtual clock of two words (generic cell rate algorithm): no timer, no queue.

use crate::time::{Duration, Instant, nanos};

/// When the next packet of a flow may go, for a rate that may change with every call.
///
/// A flow that was silent may send one quantum back to back, no more: credit does not pile up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Pacer {
    /// When everything sent so far would have left at exactly the rate.
    drained_at: Instant,
}

impl Pacer {
    /// Nothing sent yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { drained_at: Instant::ZERO }
    }

    /// `bytes` were sent at `now`; `rate` is in bytes per second. A rate of zero counts as one.
    #[inline]
    pub fn on_sent(&mut self, now: Instant, bytes: u64, rate: u64) {
        self.drained_at = self.drained_at.max(now) + time_for(bytes, rate);
    }

    /// The earliest time to send again, `now` or earlier if it may be at once. A call to send up to `quantum` bytes
    /// is allowed when what was sent before has drained at `rate` bytes per second but for less than a quantum.
    #[inline]
    #[must_use]
    pub fn next_send_at(&self, now: Instant, rate: u64, quantum: u64) -> Instant {
        if self.drained_at <= now {
            return now;
        }
        // As much is granted ahead of the rate as a sleeper would have been granted at once.
        let ahead = time_for(quantum, rate).min(AHEAD_MAX);
        if self.drained_at.since(now) < ahead { now } else { self.drained_at - ahead + Duration::from_nanos(1) }
    }

    /// Whether to send at `now`.
    #[inline]
    #[must_use]
    pub fn may_send(&self, now: Instant, rate: u64, quantum: u64) -> bool {
        self.next_send_at(now, rate, quantum) <= now
    }

    /// The rate dropped, or the path changed: what was reserved ahead at the old rate is let go.
    pub fn reset(&mut self, now: Instant) {
        self.drained_at = self.drained_at.min(now);
    }
}

fn time_for(bytes: u64, rate: u64) -> Duration {
    let ns = u128::from(bytes) * nanos(Duration::from_secs(1)) as u128 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

/// However slow the rate, never more than this much time is granted ahead.
const AHEAD_MAX: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_sends_a_quantum_then_keeps_the_rate() {
        let (mut pacer, mut now) = (Pacer::new(), Instant::from_nanos(5_000_000_000));
        let (rate, quantum) = (1_000_000, 3_000);
        let mut times = vec![];
        for _ in 0..6 {
            let at = pacer.next_send_at(now, rate, quantum);
            now = now.max(at);
            times.push(now.as_nanos() / 1_000 - 5_000_000);
            pacer.on_sent(now, 1_500, rate);
        }
        assert_eq!(times, [0, 0, 0, 1_500, 3_000, 4_500]);
        pacer.reset(now);
        assert!(pacer.may_send(now, rate, quantum));
    }

    proptest! {
        #[test]
        fn over_any_span_it_exceeds_the_rate_by_a_burst_at_most(
            rate in 1_000u64..10_000_000_000,
            quantum in 1_500u64..70_000,
            sends in prop::collection::vec((1u64..1_500, 0u64..3_000_000), 1..200),
        ) {
            let (mut pacer, mut now) = (Pacer::new(), Instant::ZERO);
            let mut log: Vec<(Instant, u64)> = vec![];
            for (bytes, pause) in sends {
                now += Duration::from_nanos(pause);
                let at = pacer.next_send_at(now, rate, quantum);
                if at > now {
                    prop_assert!(!pacer.may_send(at - Duration::from_nanos(1), rate, quantum), "less is not enough");
                }
                now = now.max(at);
                prop_assert!(pacer.may_send(now, rate, quantum), "waiting as told is enough");
                pacer.on_sent(now, bytes, rate);
                log.push((now, bytes));
            }
            for (i, (from, _)) in log.iter().enumerate() {
                let mut sent = 0u128;
                for (at, bytes) in &log[i..] {
                    sent += u128::from(*bytes);
                    let fair = u128::from(at.since(*from).as_nanos() as u64) * u128::from(rate) / 1_000_000_000;
                    prop_assert!(sent <= fair + u128::from(quantum) + 1_500 + 200, "{sent} {fair}");
                }
            }
        }

        #[test]
        fn no_rate_overflows(now: u64, bytes: u64, rate: u64, quantum: u64) {
            let mut pacer = Pacer::new();
            pacer.on_sent(Instant::from_nanos(now), bytes, rate);
            let at = pacer.next_send_at(Instant::from_nanos(now), rate, quantum);
            prop_assert!(at >= Instant::from_nanos(now));
        }
    }
}
