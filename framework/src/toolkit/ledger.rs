//! What is in flight: which ranges were sent when, which arrived, which are lost, what to send again. For every
//! transport that numbers bytes or packets; it holds no data and no timer.
//!
//! ```text
//!        una                                      nxt
//!  ───────┼────────┬─────────┬──────┬─────────┬────┼───────  offsets (u64, never wrap)
//!   acked │ lost   │ in      │sacked│ in      │lost│ unsent
//!         │        │ flight  │      │ flight  │    │
//!         └ entries: contiguous, ordered, splittable at any offset
//! ```
//!
//! Every unit between `una` and `nxt` is in exactly one state: in flight, sacked, or lost (and not yet sent again; once
//! it is, it is in flight). So "pipe" of RFC 6675 is a subtraction. An offset counts what the transport congestion
//! controls: bytes, or packets if it numbers packets; "bytes" below means that unit.
//!
//! Covers: NewReno's duplicate acknowledgements (RFC 5681 3.2, RFC 6582, limited transmit of RFC 3042), SACK
//! scoreboard (RFC 2018), time-based loss detection (RACK, RFC 8985 6.2 and 6.3, in `rack.rs`), Karn's rule, and the
//! guard "one congestion response per round trip".
//!
//! Of RFC 6675 only the count of what is in flight is left. It needs SACK and nothing more, and so does RACK: wherever the
//! one can be, so can the other. Its NextSeg is "the lost, then the new"; a tail that is lost within a recovery, for which it
//! has a rescue retransmission, RACK sees by the arrival of what was sent again after it.

mod board;
mod rack;

#[cfg(test)]
mod tests;

use crate::time::{Duration, Instant};
use crate::toolkit::RttEstimator;
use board::{Board, Entry};
use std::ops::Range;

/// The ledger of one flow's sent and not yet acknowledged ranges.
///
/// A flow with one burst outstanding, as in request and reply, keeps it inline; the first time a second entry, a loss
/// or a SACK shows up, a board on the heap is made and kept ([`release`](Self::release) gives it back).
///
/// For one arriving packet, and likewise for the run of all packets of a burst, call in this order:
/// [`on_cumulative`](Self::on_cumulative), [`on_sack`](Self::on_sack) per block, then once
/// [`detect_loss`](Self::detect_loss) (with SACK) or, per duplicate, [`on_duplicate_ack`](Self::on_duplicate_ack)
/// (without). Before sending new data take from [`next_lost`](Self::next_lost) what goes first.
#[derive(Clone, Debug)]
pub struct SentLedger {
    /// Both also those of the board, if there is one: they are asked for all the time.
    una: u64,
    nxt: u64,
    /// Without a board: when all of `una..nxt` was sent, if anything; it was sent once and is in flight.
    sent_at: Instant,
    board: Option<Box<Board>>,
}

/// What a cumulative acknowledgement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acked {
    /// How far `una` advanced.
    pub bytes: u64,
    /// Of these, what no SACK had reported before.
    pub delivered: u64,
    /// Of `delivered`, what was held for lost and had not been sent again: the verdict was wrong.
    pub not_lost_after_all: u64,
    /// Round-trip time by Karn's rule (RFC 6298 3): since the oldest of the newly delivered was sent, and only if none
    /// of them was ever sent twice or held for lost. It includes the peer's acknowledgement delay.
    pub rtt_sample: Option<Duration>,
    /// When the newest of the newly delivered was (last) sent. What arrived sooner after it was sent again than a round trip takes
    /// is not counted: it was sent before.
    pub newest_sent_at: Option<Instant>,
    /// What became lost: without SACK, a partial acknowledgement shows the next hole (RFC 6582 3.2).
    pub lost: u64,
    /// Everything outstanding at the start of the recovery is now acknowledged.
    pub recovery_ended: bool,
}

/// What a SACK block did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sacked {
    /// What was not known to have arrived before.
    pub bytes: u64,
    /// Of these, what was held for lost and had not been sent again: the verdict was wrong.
    pub not_lost_after_all: u64,
    /// Since the newest of the newly sacked was sent, over those sent only once and not held for lost.
    pub rtt_sample: Option<Duration>,
    /// When the newest of the newly sacked was (last) sent, as in [`Acked::newest_sent_at`].
    pub newest_sent_at: Option<Instant>,
}

/// What loss detection found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// What is newly held for lost; [`SentLedger::next_lost`] offers it.
    pub bytes: u64,
    /// Whether the congestion controller is to be told: something was lost that was sent after its last reduction.
    /// At most once per round trip, and again if a retransmission is lost (RFC 5681 4.3).
    pub new_episode: bool,
    /// When to call [`SentLedger::detect_loss`] again unless an acknowledgement comes first: the reordering timer of
    /// RFC 8985 6.2 step 5.
    pub recheck_at: Option<Instant>,
}

/// What a retransmission timeout did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeout {
    /// What is newly held for lost.
    pub bytes: u64,
    /// The first timeout since `una` last moved: only then may `ssthresh` be lowered (RFC 5681 3.1, equation 4).
    pub first: bool,
    /// The peer had sacked the head but never acknowledged it, so it threw it away (RFC 2018 8): all its SACKs are
    /// forgotten.
    pub reneged: bool,
}

/// Which recovery a flow is in, until everything outstanding at its start is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recovery {
    /// In none.
    #[default]
    Open,
    /// Congestion was signalled without loss (an ECN echo) within the last round trip.
    Marked,
    /// Loss was detected from acknowledgements: the window stands still.
    Fast,
    /// The retransmission timer fired: the window grows from one segment.
    Timeout,
}

impl SentLedger {
    /// Nothing sent; `first` is the offset of the first unit to be sent.
    #[must_use]
    pub const fn new(first: u64) -> Self {
        Self { una: first, nxt: first, sent_at: Instant::ZERO, board: None }
    }

    /// The oldest unacknowledged offset.
    #[inline]
    #[must_use]
    pub const fn una(&self) -> u64 {
        self.una
    }

    /// The next offset to be sent for the first time.
    #[inline]
    #[must_use]
    pub const fn nxt(&self) -> u64 {
        self.nxt
    }

    /// Whether everything sent is acknowledged.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outstanding() == 0
    }

    /// Sent and not cumulatively acknowledged: FlightSize of RFC 5681. What is sacked or lost counts.
    #[inline]
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        self.nxt - self.una
    }

    /// What is thought to be in the network: sent, not acknowledged in any way, not lost; retransmissions count once
    /// (pipe of RFC 6675). To compare with the congestion window.
    #[inline]
    #[must_use]
    pub fn in_flight_bytes(&self) -> u64 {
        self.board.as_ref().map_or(self.outstanding(), |board| board.in_flight())
    }

    /// Held for lost and not yet sent again.
    #[inline]
    #[must_use]
    pub fn lost_bytes(&self) -> u64 {
        self.board.as_ref().map_or(0, |board| board.lost)
    }

    /// Reported by SACK beyond `una`.
    #[inline]
    #[must_use]
    pub fn sacked_bytes(&self) -> u64 {
        self.board.as_ref().map_or(0, |board| board.sacked)
    }

    /// When the unit at `una` was last sent: what a retransmission timer counts from.
    #[inline]
    #[must_use]
    pub fn first_unacked_sent_at(&self) -> Option<Instant> {
        match &self.board {
            None => (self.una != self.nxt).then_some(self.sent_at),
            Some(board) => board.entries.front().map(|e| e.sent_at),
        }
    }

    /// Which recovery the flow is in.
    #[inline]
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.board.as_ref().map_or(Recovery::Open, |board| board.recovery)
    }

    /// Where that recovery ends: it is over when `una` reaches this offset.
    #[must_use]
    pub fn recovery_end(&self) -> Option<u64> {
        self.board.as_ref().filter(|b| b.recovery != Recovery::Open).map(|b| b.recovery_end)
    }

    /// New data was sent: all from [`nxt`](Self::nxt) up to `end`. What is sent at one `now` is one entry.
    #[inline]
    pub fn on_sent(&mut self, end: u64, now: Instant) {
        debug_assert!(end >= self.nxt, "new data begins where the old ended");
        if self.board.is_none() && (self.una == self.nxt || self.sent_at == now) {
            self.sent_at = now;
        } else {
            self.board().on_sent(end, now);
        }
        self.nxt = end.max(self.nxt);
    }

    /// Something was sent again: an answer to [`next_lost`](Self::next_lost), or a [`tail`](Self::tail) as a probe.
    /// Whatever of it is sacked or acknowledged by now is left as it is.
    pub fn on_retransmitted(&mut self, range: Range<u64>, now: Instant) {
        self.board().on_retransmitted(range, now);
    }

    /// Everything below `upto` has arrived. The caller has checked that `upto` is at most `nxt`; at or below `una` it
    /// does nothing (an old acknowledgement).
    #[inline]
    pub fn on_cumulative(&mut self, upto: u64, now: Instant) -> Acked {
        debug_assert!(upto <= self.nxt, "the caller refuses acknowledgements of what was not sent");
        let bytes = upto.min(self.nxt).saturating_sub(self.una);
        if bytes == 0 {
            return Acked::default();
        }
        self.una += bytes;
        match &mut self.board {
            None => {
                let rtt_sample = Some(now.since(self.sent_at));
                Acked { bytes, delivered: bytes, rtt_sample, newest_sent_at: Some(self.sent_at), ..Acked::default() }
            }
            Some(board) => board.on_cumulative(upto, now),
        }
    }

    /// `range` has arrived, by selective acknowledgement. The caller has checked that it lies within `una..nxt`; what
    /// does not is ignored. A peer that splits our ranges into more than [`ENTRIES_MAX`] is not followed further: the
    /// parts that fill no entry of ours are ignored, and sent again in the end.
    pub fn on_sack(&mut self, range: Range<u64>, now: Instant) -> Sacked {
        if range.start.max(self.una) >= range.end.min(self.nxt) {
            return Sacked::default();
        }
        self.board().on_sack(range, now)
    }

    /// The peer reported a duplicate (D-SACK, RFC 2883): a retransmission was spurious, so reordering is tolerated
    /// for longer (RFC 8985 6.2 step 4). Call before [`detect_loss`](Self::detect_loss).
    pub fn on_duplicate_sack(&mut self) {
        let board = self.board();
        board.rack.on_duplicate_sack(board.una, board.nxt);
    }

    /// RACK (RFC 8985 6.2): holds for lost what was sent before something that arrived, by more than the reordering
    /// window. Call after the acknowledgements of a run are in, and at `recheck_at`. `segment` is the size of a full
    /// segment (1 for packet numbers): three of them sacked end the patience with reordering.
    pub fn detect_loss(&mut self, now: Instant, rtt: &RttEstimator, segment: u32) -> Loss {
        match &mut self.board {
            // Nothing was sent before something that arrived: what remains was sent with or after it.
            None => Loss::default(),
            Some(board) => board.detect_loss(now, rtt, segment),
        }
    }

    /// For peers without SACK: an acknowledgement repeated `una` (RFC 5681 section 2 says which count). Each one
    /// takes a segment out of flight, which lets new data go (RFC 3042); the third marks the head lost unless `una`
    /// is still within the last recovery (RFC 6582 3.2).
    pub fn on_duplicate_ack(&mut self, segment: u32) -> Loss {
        if self.is_empty() {
            return Loss::default();
        }
        self.board().on_duplicate_ack(u64::from(segment.max(1)))
    }

    /// The peer echoed a congestion mark. True if the controller is to be told: none of the last round trip's marks
    /// and losses counted yet (RFC 3168 6.1.2).
    pub fn on_congestion_echo(&mut self) -> bool {
        self.board().on_congestion_echo()
    }

    /// The retransmission timer fired: holds everything in flight for lost, except what the peer sacked.
    pub fn mark_all_lost(&mut self) -> Timeout {
        self.on_timeout(Instant::NEVER)
    }

    /// The retransmission timer fired, with a peer that sends SACKs: holds for lost what was outstanding for longer than a round
    /// trip and the reordering window, and the head in any case (RFC 8985 6.3). What was sent since then may still arrive.
    pub fn mark_overdue_lost(&mut self, now: Instant, rtt: &RttEstimator) -> Timeout {
        let board = self.board();
        let deadline = board.rack.timeout_deadline(now, rtt);
        self.on_timeout(deadline)
    }

    fn on_timeout(&mut self, deadline: Instant) -> Timeout {
        if self.is_empty() {
            return Timeout::default();
        }
        self.board().on_timeout(deadline)
    }

    /// The losses of this recovery turned out not to be (F-RTO, D-SACK; RFC 5682, RFC 3708): whatever is held for lost is in
    /// flight again and the recovery is over. What was taken for the arrival of a retransmission was that of its original, and
    /// overtook less. The caller tells the controller.
    pub fn undo(&mut self) {
        if let Some(board) = &mut self.board {
            board.undo();
        }
    }

    /// The first range held for lost, at most `bytes_max` of it. It stays lost until
    /// [`on_retransmitted`](Self::on_retransmitted) says otherwise, so a failed send costs nothing.
    #[inline]
    pub fn next_lost(&mut self, bytes_max: u64) -> Option<Range<u64>> {
        self.board.as_mut()?.next_lost(bytes_max)
    }

    /// The end of what has not arrived, at most `bytes_max` of it: what a tail loss probe sends again (RFC 8985 7.3).
    #[must_use]
    pub fn tail(&self, bytes_max: u64) -> Option<Range<u64>> {
        match &self.board {
            None => {
                let start = self.nxt.saturating_sub(bytes_max).max(self.una);
                (start < self.nxt).then_some(start..self.nxt)
            }
            Some(board) => board.tail(bytes_max),
        }
    }

    /// Forgets everything and starts again at `first`. What was allocated stays.
    pub fn clear(&mut self, first: u64) {
        let mut board = self.board.take();
        if let Some(board) = &mut board {
            board.clear(first);
        }
        *self = Self { board, ..Self::new(first) };
    }

    /// Gives back the heap memory if nothing is outstanding; what was learned of the path's reordering goes with it.
    pub fn release(&mut self) {
        if self.is_empty() {
            *self = Self::new(self.nxt);
        }
    }

    /// For tests: asserts what must always hold.
    ///
    /// # Panics
    /// If it does not hold.
    pub fn check_invariants(&self) {
        assert!(self.una <= self.nxt);
        if let Some(board) = &self.board {
            assert_eq!((board.una, board.nxt), (self.una, self.nxt), "the board's ends");
            board.check_invariants();
        }
    }

    /// The board, made now if there was none.
    fn board(&mut self) -> &mut Board {
        let Self { una, nxt, sent_at, board } = self;
        board.get_or_insert_with(|| {
            let mut board = Board::new(*una);
            if una != nxt {
                board.entries.push_back(Entry::new(*una, *sent_at, 0));
                board.nxt = *nxt;
            }
            Box::new(board)
        })
    }
}

/// Most entries that SACK blocks may split the outstanding data into: 96 KiB of ledger. A path that loses a twentieth
/// of 40,000 outstanding segments stays below.
pub const ENTRIES_MAX: usize = 4_096;
/// DupThresh of RFC 5681 and RFC 8985.
const DUPLICATES_THRESHOLD: u8 = 3;
