//! How often a host speaks while nobody answers (RFC 6298 5.5, RFC 8961 4): repetitions to a silent peer come less and
//! less often.

use burstlane::time::{Duration, Instant};

/// One host's monologue: what it sent since it was last spoken to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Silence {
    /// When it began, with the first packet that nobody answered.
    since: Option<Instant>,
    /// Packets since, but those of the first second.
    sent: u32,
    /// What its applications sent since.
    said: u32,
}

impl Silence {
    pub(super) fn on_heard(&mut self) {
        *self = Self::default();
    }

    /// An application had something to say, which is a reason to send.
    pub(super) fn on_said(&mut self) {
        self.said += 1;
    }

    /// A packet leaves. If it is one too many: how many left, how many are plenty, in what time.
    pub(super) fn on_sent(&mut self, now: Instant, flows: u32, patience_max: Duration) -> Option<(u32, u32, Duration)> {
        let since = *self.since.get_or_insert(now);
        let quiet = now.since(since);
        if quiet <= BURST {
            return None;
        }
        self.sent += 1;
        let seconds = quiet.as_secs() as u32 + 1;
        let steady = 2 * quiet.as_secs() / patience_max.as_secs().max(1);
        let each = REPETITIONS + 2 * (32 - seconds.leading_zeros()) + steady as u32;
        let allowed = each * flows.max(1) + 2 * self.said;
        (self.sent > allowed).then_some((self.sent, allowed, quiet))
    }
}

/// A flight of data and its first repetitions fit in here.
const BURST: Duration = Duration::from_secs(1);
/// Packets of a flow beside those that doubling explains: an opening, a probe, an end.
const REPETITIONS: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn first_excess(at_ms: impl Iterator<Item = u64>) -> Option<u32> {
        let mut silence = Silence::default();
        let sent = |at: u64| silence.on_sent(Instant::ZERO + Duration::from_millis(at), 1, Duration::from_secs(120));
        at_ms.map(sent).find_map(|excess| excess.map(|(sent, ..)| sent))
    }

    #[test]
    fn doubling_passes_and_a_steady_beat_does_not() {
        assert_eq!(first_excess((0..12).map(|n| 200 << n)), None);
        assert!(first_excess((0..100).map(|n| 200 * n)).is_some());
        assert!(first_excess((0..100).map(|n| 1000 * n)).is_some());
    }
}
