//! How fast what was sent arrives, and what was in flight meanwhile: the delivery rate estimation of
//! draft-ietf-ccwg-bbr 4.1 (before: draft-cheng-iccrg-delivery-rate-estimation). For controllers that model the path; who
//! runs no such controller makes none, and its ledger's entries know nothing of it.
//!
//! ```text
//!                      sent              acknowledged
//!  snapshot (sent_at) ──┼───────────────────┼──►        rate = delivered since the snapshot
//!            delivered ─┘  send interval    └─ delivered        ─────────────────────────────────────
//!                          ack interval                         the longer of send and ack interval
//! ```
//!
//! The draft keeps with each packet what was delivered when it was sent. All that leaves at one instant shares that, so here
//! a snapshot belongs to an instant, and is found by the time at which a range was last sent, which every ledger keeps.

use crate::congestion::AckSample;
use crate::time::{Duration, Instant, nanos};
use std::collections::VecDeque;

/// The sampler of one flow. Quantities are in units of its congestion window.
#[derive(Clone, Debug, Default)]
pub struct DeliveryRate {
    /// C.delivered: since ever.
    delivered: u64,
    /// C.delivered_time: when that last grew.
    delivered_at: Instant,
    /// C.first_send_time: when the latest to arrive was sent.
    first_sent_at: Instant,
    lost: u64,
    /// C.app_limited: what is sent until so much has arrived did not fill the path. Zero if there is no such thing.
    app_limited_until: u64,
    /// Round trips, and what is to be delivered until the next.
    round: u64,
    round_end: u64,
    /// In the order of their sending.
    sent: VecDeque<Snapshot>,
}

/// What was known when something was sent.
#[derive(Clone, Copy, Debug)]
struct Snapshot {
    sent_at: Instant,
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    lost: u64,
    /// With what was sent then.
    in_flight: u64,
    app_limited: bool,
}

impl DeliveryRate {
    /// Nothing sent.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            delivered: 0,
            delivered_at: Instant::ZERO,
            first_sent_at: Instant::ZERO,
            lost: 0,
            app_limited_until: 0,
            round: 0,
            round_end: 0,
            sent: VecDeque::new(),
        }
    }

    /// `bytes`, new or again, were sent, which made `in_flight_bytes` (4.1.2.2).
    pub fn on_sent(&mut self, now: Instant, bytes: u64, in_flight_bytes: u64) {
        if in_flight_bytes <= bytes {
            // Nothing was under way: what was idle time is no part of an interval.
            (self.first_sent_at, self.delivered_at) = (now, now);
        }
        if let Some(last) = self.sent.back_mut().filter(|last| last.sent_at == now) {
            last.in_flight = last.in_flight.max(in_flight_bytes);
            return;
        }
        if self.sent.len() >= SNAPSHOTS_MAX {
            // What leaves counts with what left before: its interval is too long, its rate too low.
            return;
        }
        self.sent.push_back(Snapshot {
            sent_at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            lost: self.lost,
            in_flight: in_flight_bytes,
            app_limited: self.app_limited_until > 0,
        });
    }

    /// The window lets more go, nothing is to be repaired, and the application has nothing (4.1.2.4): until what is in flight
    /// has arrived, what is sent says little of the path.
    pub const fn on_app_limited(&mut self, in_flight_bytes: u64) {
        let until = self.delivered.saturating_add(in_flight_bytes);
        self.app_limited_until = if until > 0 { until } else { 1 };
    }

    /// A run of acknowledgements, of which `sample` has the delivered and lost bytes, and the time; `newest_sent_at` is when
    /// the latest to be sent of what is newly delivered was (last) sent (4.1.2.3). Fills in what it knows.
    pub fn on_ack(&mut self, sample: &mut AckSample, newest_sent_at: Option<Instant>) {
        self.lost = self.lost.saturating_add(sample.lost_bytes);
        if sample.delivered_bytes > 0 {
            self.delivered = self.delivered.saturating_add(sample.delivered_bytes);
            self.delivered_at = sample.now;
        }
        if self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        if let Some(snapshot) = newest_sent_at.and_then(|sent_at| self.take(sent_at)) {
            self.fill_in(sample, &snapshot);
        }
        sample.round = self.round;
        sample.delivered_total = self.delivered;
    }

    fn fill_in(&mut self, sample: &mut AckSample, snapshot: &Snapshot) {
        if snapshot.delivered >= self.round_end {
            self.round += 1;
            self.round_end = self.delivered;
        }
        self.first_sent_at = self.first_sent_at.max(snapshot.sent_at);
        sample.in_flight_at_send = snapshot.in_flight;
        sample.lost_since_send = self.lost - snapshot.lost;
        sample.delivered_since_send = self.delivered - snapshot.delivered;
        sample.rate_app_limited = snapshot.app_limited;
        let send_interval = snapshot.sent_at.since(snapshot.first_sent_at);
        let ack_interval = self.delivered_at.since(snapshot.delivered_at);
        let interval = send_interval.max(ack_interval);
        if interval > Duration::ZERO {
            let rate = u128::from(sample.delivered_since_send) * 1_000_000_000 / u128::from(nanos(interval));
            sample.delivery_rate = Some(u64::try_from(rate).unwrap_or(u64::MAX));
        }
    }

    /// The snapshot of `sent_at`. What is older goes: who arrives later is overtaken, and tells no rate.
    fn take(&mut self, sent_at: Instant) -> Option<Snapshot> {
        let after = self.sent.partition_point(|snapshot| snapshot.sent_at <= sent_at);
        self.sent.drain(..after.saturating_sub(1));
        self.sent.front().filter(|_| after > 0).copied()
    }
}

/// Most instants of sending that are kept apart: in a second of flight, those of every quarter of a millisecond.
const SNAPSHOTS_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(us: u64) -> Instant {
        Instant::from_nanos(us * 1_000)
    }

    fn ack(rate: &mut DeliveryRate, us: u64, bytes: u64, sent_us: u64) -> AckSample {
        let mut sample = AckSample::new(at(us));
        sample.delivered_bytes = bytes;
        rate.on_ack(&mut sample, Some(at(sent_us)));
        sample
    }

    #[test]
    fn a_steady_flow_measures_its_rate_and_counts_its_rounds() {
        // 1,000 bytes a millisecond, 10 ms there and back.
        let mut rate = DeliveryRate::new();
        for ms in 0..100u64 {
            if ms >= 10 {
                let sample = ack(&mut rate, ms * 1_000, 1_000, (ms - 10) * 1_000);
                assert_eq!(sample.round, ms / 10, "at {ms}");
                if ms >= 20 {
                    assert_eq!(sample.delivery_rate, Some(1_000_000));
                    assert_eq!((sample.in_flight_at_send, sample.delivered_since_send), (10_000, 10_000));
                }
            }
            let in_flight = (ms + 1).min(10) * 1_000;
            rate.on_sent(at(ms * 1_000), 1_000, in_flight);
        }
        assert!(rate.sent.len() <= 11);
    }

    #[test]
    fn acknowledgements_that_come_together_do_not_speed_the_path_up() {
        let mut rate = DeliveryRate::new();
        for ms in 0..10 {
            rate.on_sent(at(ms * 1_000), 1_000, (ms + 1) * 1_000);
        }
        // All ten at once, 20 ms after the first left: the ack interval says 500 kB/s.
        assert_eq!(ack(&mut rate, 20_000, 10_000, 9_000).delivery_rate, Some(500_000));
    }

    #[test]
    fn what_the_application_did_not_fill_is_marked_until_it_has_arrived() {
        let mut rate = DeliveryRate::new();
        rate.on_sent(at(0), 1_000, 1_000);
        rate.on_app_limited(1_000);
        rate.on_sent(at(1_000), 1_000, 2_000);
        assert!(!ack(&mut rate, 10_000, 1_000, 0).rate_app_limited, "sent before");
        assert!(ack(&mut rate, 11_000, 1_000, 1_000).rate_app_limited);
        rate.on_sent(at(12_000), 1_000, 1_000);
        assert!(!ack(&mut rate, 22_000, 1_000, 12_000).rate_app_limited);
    }

    proptest! {
        #[test]
        fn no_input_overflows_and_what_is_kept_is_bounded(
            steps in prop::collection::vec((any::<bool>(), any::<u64>(), any::<u64>(), 0u64..1 << 40), 1..300),
        ) {
            let (mut rate, mut now) = (DeliveryRate::new(), 0u64);
            for (sends, bytes, other, gap) in steps {
                now += gap;
                if sends {
                    rate.on_sent(Instant::from_nanos(now), bytes, other);
                } else {
                    let mut sample = AckSample::new(Instant::from_nanos(now));
                    (sample.delivered_bytes, sample.lost_bytes) = (bytes, other);
                    rate.on_ack(&mut sample, Some(Instant::from_nanos(now.saturating_sub(other))));
                    prop_assert!(sample.delivered_since_send <= sample.delivered_total);
                    rate.on_app_limited(other);
                }
                prop_assert!(rate.sent.len() <= SNAPSHOTS_MAX);
            }
        }
    }
}
