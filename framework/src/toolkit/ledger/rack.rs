//! RACK's state: the newest delivery, and how much reordering the path is granted (RFC 8985 6.2, steps 1 to 4). Which
//! entries are lost by it is decided in `board.rs`. Tail loss probes (section 7) are timers and belong to transports.

use super::board::Entry;
use crate::time::{Duration, Instant};
use crate::toolkit::RttEstimator;

/// The variables of RFC 8985 5.3, per flow.
#[derive(Clone, Debug, Default)]
pub(super) struct Rack {
    /// RACK.xmit_ts: when the most recently sent of all delivered ranges was sent.
    xmit_at: Instant,
    /// RACK.end_seq: where that range ends; breaks ties among ranges sent at once.
    end: u64,
    /// The same two of what was sent only once, to go back to if nothing should have been sent again.
    once: (Instant, u64),
    /// RACK.rtt: of the latest delivery.
    rtt: Duration,
    /// RACK.min_RTT, as the last `begin` heard it.
    min_rtt: Duration,
    /// RACK.fack: the highest delivered offset as of the last detection. Deliveries below it were overtaken.
    fack: u64,
    /// What `fack` becomes at the next detection. Not at once: the blocks of one SACK come in any order.
    fack_next: u64,
    reordering_seen: bool,
    /// RACK.reo_wnd_mult - 1.
    extra_quarters: u8,
    /// RACK.reo_wnd_persist.
    persist: u8,
    /// RACK.dsack_round.
    duplicates_round: Option<u64>,
}

impl Rack {
    pub(super) fn new(una: u64) -> Self {
        Self { fack: una, fack_next: una, ..Self::default() }
    }

    /// Steps 2 and 3: `entry`, up to `end`, was delivered and had not been before. Whether it is the latest transmission that
    /// was.
    pub(super) fn on_delivered(&mut self, entry: Entry, end: u64, now: Instant) -> bool {
        if end > self.fack {
            self.fack_next = self.fack_next.max(end);
        } else if end < self.fack && !entry.resent() {
            self.reordering_seen = true;
        }
        let rtt = now.since(entry.sent_at);
        if entry.resent() && rtt < self.min_rtt {
            // Too soon: this acknowledges an earlier transmission.
            return false;
        }
        self.rtt = rtt;
        let delivered = (entry.sent_at, end);
        if delivered > (self.xmit_at, self.end) {
            (self.xmit_at, self.end) = delivered;
        }
        if !entry.resent() {
            self.once = self.once.max(delivered);
        }
        true
    }

    /// Whether what was sent at `sent_at` and ends at `end` was sent before the newest delivered (RACK_sent_after).
    pub(super) fn overtook(&self, sent_at: Instant, end: u64) -> bool {
        (self.xmit_at, self.end) > (sent_at, end)
    }

    /// When a range sent at `sent_at`, and overtaken, is to be held for lost.
    pub(super) fn lost_at(&self, sent_at: Instant, window: Duration) -> Instant {
        sent_at + self.rtt + window
    }

    /// Section 6.3: what was sent by then, and has not arrived by `now`, is held for lost when the timer fires.
    /// Before the first delivery that was looked at, the estimator's round trip stands for RACK's.
    pub(super) fn timeout_deadline(&mut self, now: Instant, rtt: &RttEstimator) -> Instant {
        self.min_rtt = rtt.min();
        let latest = if self.rtt == Duration::ZERO { rtt.latest() } else { self.rtt };
        now - (latest + self.reordering_window(false, rtt.smoothed()))
    }

    /// What was sent again was not needed, so what was taken for its arrival was that of the originals, which overtook less.
    pub(super) fn on_undo(&mut self) {
        (self.xmit_at, self.end) = self.once;
    }

    /// Step 1, and the end of the run's deliveries.
    pub(super) fn begin(&mut self, min_rtt: Duration) {
        self.min_rtt = min_rtt;
        self.fack = self.fack_next;
    }

    /// Step 4. `impatient`: in recovery, or three segments are sacked.
    pub(super) fn reordering_window(&self, impatient: bool, srtt: Duration) -> Duration {
        if impatient && !self.reordering_seen {
            return Duration::ZERO;
        }
        (self.min_rtt / 4 * (u32::from(self.extra_quarters) + 1)).min(srtt)
    }

    /// Step 4: one wider per round trip that sees a duplicate reported.
    pub(super) fn on_duplicate_sack(&mut self, una: u64, nxt: u64) {
        if self.duplicates_round.is_some_and(|round| una < round) {
            return;
        }
        self.duplicates_round = Some(nxt);
        self.extra_quarters = self.extra_quarters.saturating_add(1);
        self.persist = PERSIST_RECOVERIES;
    }

    /// Step 4: back to one quarter after 16 recoveries without duplicates.
    pub(super) fn on_recovery_ended(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.extra_quarters = 0;
        }
    }
}

const PERSIST_RECOVERIES: u8 = 16;
