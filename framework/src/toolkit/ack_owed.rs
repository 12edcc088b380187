//! [`AckOwed`]: when a receiver acknowledges. Every second packet at once, a lone one after a delay in which data going
//! back may carry the acknowledgement (RFC 1122 4.2.3.2, RFC 5681 4.2, RFC 9000 13.2), and at once whatever the sender has
//! to know soon.

use crate::time::{Duration, Instant};

/// What one flow has received and not acknowledged. It holds no timer: see [`due_at`](Self::due_at).
#[derive(Clone, Copy, Debug)]
pub struct AckOwed {
    delay_max: Duration,
    /// When the oldest of it came.
    since: Instant,
    /// When the newest did.
    newest: Instant,
    packets: u32,
    urgent: bool,
}

impl AckOwed {
    /// Nothing owed. `delay_max` is the longest that an acknowledgement may wait.
    #[must_use]
    pub const fn new(delay_max: Duration) -> Self {
        Self { delay_max, since: Instant::NEVER, newest: Instant::NEVER, packets: 0, urgent: false }
    }

    /// A packet came that is to be acknowledged.
    #[inline]
    pub fn on_received(&mut self, now: Instant) {
        self.since = self.since.min(now);
        self.newest = now;
        self.packets += 1;
        self.urgent |= self.packets >= PACKETS_PER_ACK;
    }

    /// The next acknowledgement may not wait: there is a gap, a duplicate, an end, a larger window, or it is
    /// [due](Self::due_at).
    #[inline]
    pub fn hurry(&mut self) {
        self.urgent = true;
    }

    /// Whether one is owed, now or later: what is sent anyway carries it.
    #[inline]
    #[must_use]
    pub const fn is_owed(&self) -> bool {
        self.urgent || self.packets > 0
    }

    /// Whether it is to be sent now, alone if need be.
    #[inline]
    #[must_use]
    pub const fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// When to call [`hurry`](Self::hurry), if it was not sent before.
    #[inline]
    #[must_use]
    pub fn due_at(&self) -> Instant {
        if self.urgent || self.packets == 0 { Instant::NEVER } else { self.since + self.delay_max }
    }

    /// How long the newest packet has waited: what the peer subtracts from its round-trip time. Not the oldest: the peer may
    /// measure by the newest, and would take it for faster than the path is (RFC 9000 13.2.5).
    #[must_use]
    pub fn waited(&self, now: Instant) -> Duration {
        if self.packets == 0 { Duration::ZERO } else { now.since(self.newest) }
    }

    /// An acknowledgement of everything left.
    #[inline]
    pub fn on_sent(&mut self) {
        *self = Self::new(self.delay_max);
    }
}

/// RFC 5681 4.2, RFC 9000 13.2.2.
const PACKETS_PER_ACK: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(5);

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn a_lone_packet_waits_and_the_second_does_not() {
        let mut owed = AckOwed::new(DELAY);
        assert_eq!((owed.is_owed(), owed.due_at()), (false, Instant::NEVER));
        owed.on_received(at(10));
        assert_eq!((owed.is_owed(), owed.is_urgent(), owed.due_at()), (true, false, at(15)));
        owed.on_received(at(12));
        assert_eq!(
            (owed.is_urgent(), owed.due_at(), owed.waited(at(13))),
            (true, Instant::NEVER, at(13).since(at(12)))
        );
        owed.on_sent();
        assert_eq!((owed.is_owed(), owed.due_at(), owed.waited(at(20))), (false, Instant::NEVER, Duration::ZERO));
    }

    #[test]
    fn news_of_our_own_can_hurry_without_a_packet() {
        let mut owed = AckOwed::new(DELAY);
        owed.hurry();
        assert_eq!((owed.is_owed(), owed.is_urgent(), owed.waited(at(9))), (true, true, Duration::ZERO));
    }
}
