//! Round trips for a controller that is told no sequence numbers.

use super::AckSample;

/// A round is over when what was in flight at its start has arrived or is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) left: u64,
}

impl Round {
    /// Whether a round ended with this run of acknowledgements; the next begins then.
    pub(super) const fn ends(&mut self, sample: &AckSample) -> bool {
        self.left = self.left.saturating_sub(sample.delivered_bytes).saturating_sub(sample.lost_bytes);
        let ended = self.left == 0;
        if ended {
            self.left = sample.in_flight;
        }
        ended
    }
}
