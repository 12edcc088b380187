//! The scoreboard behind `SentLedger` once one entry is not enough: entries, their states, and the counts over them.
//! Amortised O(1) for sending and cumulative acknowledgement; binary search for SACK.

use super::rack::Rack;
use super::{Acked, DUPLICATES_THRESHOLD, ENTRIES_MAX, Loss, Recovery, Sacked, Timeout};
use crate::time::Instant;
use crate::toolkit::RttEstimator;
use std::collections::VecDeque;
use std::ops::Range;

/// One range that shares its history. It ends where the next begins, the last at `nxt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) start: u64,
    /// Of the latest transmission.
    pub(super) sent_at: Instant,
    /// The congestion episode in which that was: see [`Board::begin_episode`].
    episode: u16,
    state: State,
    resent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    Sacked,
    /// And not sent again since.
    Lost,
}

impl Entry {
    pub(super) const fn new(start: u64, sent_at: Instant, episode: u16) -> Self {
        Self { start, sent_at, episode, state: State::InFlight, resent: false }
    }

    /// Whether it was ever sent more than once.
    pub(super) const fn resent(&self) -> bool {
        self.resent
    }

    /// Whether its arrival measures a round trip: by Karn's rule not if it was sent twice. Nor if it was held for lost, for then
    /// it is likely that the acknowledgement was, and another one came for it when the timer had brought that about.
    const fn is_measurable(&self) -> bool {
        !self.resent && matches!(self.state, State::InFlight)
    }

    /// Whether `self` and a later neighbour can be one entry.
    fn joins(&self, next: &Self) -> bool {
        match (self.state, next.state) {
            // Of what has arrived, only that matters.
            (State::Sacked, State::Sacked) => true,
            (State::InFlight, State::InFlight) => {
                (self.sent_at, self.episode, self.resent) == (next.sent_at, next.episode, next.resent)
            }
            (State::Lost | State::InFlight | State::Sacked, _) => false,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Board {
    pub(super) una: u64,
    pub(super) nxt: u64,
    /// Contiguous from `una` to `nxt`; none is empty.
    pub(super) entries: VecDeque<Entry>,
    pub(super) sacked: u64,
    pub(super) lost: u64,
    /// Segments that duplicate acknowledgements, without SACK, say have arrived; nobody knows which.
    emulated: u64,
    /// Nothing below is lost.
    lost_from: u64,
    /// Nothing at or above was ever sent twice: from here on, entries are in the order of their sending.
    resent_high: u64,
    pub(super) recovery: Recovery,
    /// Of this recovery, or of the last one.
    pub(super) recovery_end: u64,
    recovered_before: bool,
    /// Counts congestion responses; wraps, and only equality counts.
    episode: u16,
    duplicate_acks: u8,
    /// The segment size, if this recovery runs on duplicate acknowledgements (RFC 6582).
    newreno: Option<u64>,
    /// `una` at the last retransmission timeout.
    timeout_una: Option<u64>,
    pub(super) rack: Rack,
}

impl Board {
    pub(super) fn new(first: u64) -> Self {
        Self {
            una: first,
            nxt: first,
            entries: VecDeque::new(),
            sacked: 0,
            lost: 0,
            emulated: 0,
            lost_from: first,
            resent_high: first,
            recovery: Recovery::Open,
            recovery_end: first,
            recovered_before: false,
            episode: 0,
            duplicate_acks: 0,
            newreno: None,
            timeout_una: None,
            rack: Rack::new(first),
        }
    }

    pub(super) fn clear(&mut self, first: u64) {
        let mut entries = std::mem::take(&mut self.entries);
        entries.clear();
        *self = Self { entries, ..Self::new(first) };
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.nxt - self.una - self.sacked - self.lost - self.emulated
    }

    pub(super) fn on_sent(&mut self, end: u64, now: Instant) {
        if end <= self.nxt {
            return;
        }
        let entry = Entry::new(self.nxt, now, self.episode);
        if !self.entries.back().is_some_and(|last| last.joins(&entry)) {
            self.entries.push_back(entry);
        }
        self.nxt = end;
    }

    pub(super) fn on_retransmitted(&mut self, range: Range<u64>, now: Instant) {
        let (start, end) = (range.start.max(self.una), range.end.min(self.nxt));
        if start >= end {
            return;
        }
        let first = self.split_at(start);
        let mut at = first;
        while let Some(entry) = self.entries.get(at).copied().filter(|e| e.start < end) {
            if entry.state != State::Sacked {
                self.split_at(end.min(self.end_of(at)));
                if entry.state == State::Lost {
                    self.lost -= self.end_of(at) - entry.start;
                }
                let (state, resent, episode) = (State::InFlight, true, self.episode);
                self.set(at, Entry { sent_at: now, state, resent, episode, ..entry });
            }
            at += 1;
        }
        self.resent_high = self.resent_high.max(end);
        self.join(first.saturating_sub(1), at);
    }

    pub(super) fn on_cumulative(&mut self, upto: u64, now: Instant) -> Acked {
        let upto = upto.min(self.nxt);
        if upto <= self.una {
            return Acked::default();
        }
        let mut acked = Acked { bytes: upto - self.una, ..Acked::default() };
        let mut oldest = Instant::NEVER;
        let mut ambiguous = false;
        while let Some(head) = self.entries.front().copied().filter(|e| e.start < upto) {
            let full_end = self.end_of(0);
            let end = full_end.min(upto);
            let bytes = end - head.start;
            match head.state {
                State::Sacked => self.sacked -= bytes,
                State::InFlight => {}
                State::Lost => {
                    self.lost -= bytes;
                    acked.not_lost_after_all += bytes;
                }
            }
            if head.state != State::Sacked {
                acked.delivered += bytes;
                oldest = oldest.min(head.sent_at);
                ambiguous |= !head.is_measurable();
                if self.rack.on_delivered(head, end, now) {
                    acked.newest_sent_at = acked.newest_sent_at.max(Some(head.sent_at));
                }
            }
            if end == full_end {
                self.entries.pop_front();
            } else {
                self.set(0, Entry { start: end, ..head });
            }
        }
        if acked.delivered > 0 && !ambiguous {
            acked.rtt_sample = Some(now.since(oldest));
        }
        self.una = upto;
        self.lost_from = self.lost_from.max(upto);
        self.after_advance(&mut acked);
        acked
    }

    /// The end of a recovery, or a step within one that has no SACK to go by.
    fn after_advance(&mut self, acked: &mut Acked) {
        self.duplicate_acks = 0;
        let over = self.recovery != Recovery::Open && self.una >= self.recovery_end;
        if over {
            if self.recovery != Recovery::Marked {
                self.rack.on_recovery_ended();
            }
            self.recovery = Recovery::Open;
            self.newreno = None;
            acked.recovery_ended = true;
        }
        match self.newreno {
            None => self.emulated = 0,
            Some(segment) => {
                // RFC 6582 3.2 step 3, partial: what was acknowledged leaves the count of duplicates, less the one
                // segment that the retransmission was; the next hole starts at `una`.
                self.emulated = self.emulated.saturating_sub(acked.bytes.saturating_sub(segment));
                acked.lost = self.mark_head_lost(segment);
            }
        }
        self.bound_emulated();
    }

    pub(super) fn on_sack(&mut self, range: Range<u64>, now: Instant) -> Sacked {
        let (start, end) = (range.start.max(self.una), range.end.min(self.nxt));
        let mut sacked = Sacked::default();
        let mut newest = None;
        let first = self.index_of(start);
        let mut at = first;
        while let Some(entry) = self.entries.get(at).copied().filter(|e| e.start < end) {
            let entry_end = self.end_of(at);
            let inside = entry.start.max(start)..entry_end.min(end);
            let whole = inside == (entry.start..entry_end);
            if entry.state == State::Sacked || (!whole && self.entries.len() >= ENTRIES_MAX) {
                at += 1;
                continue;
            }
            self.split_at(inside.end);
            at = self.split_at(inside.start);
            let bytes = inside.end - inside.start;
            if entry.state == State::Lost {
                self.lost -= bytes;
                sacked.not_lost_after_all += bytes;
            }
            self.sacked += bytes;
            sacked.bytes += bytes;
            self.set(at, Entry { state: State::Sacked, start: inside.start, ..entry });
            if self.rack.on_delivered(entry, inside.end, now) {
                sacked.newest_sent_at = sacked.newest_sent_at.max(Some(entry.sent_at));
            }
            if entry.is_measurable() {
                newest = newest.max(Some(entry.sent_at));
            }
            at += 1;
        }
        if sacked.bytes > 0 {
            self.join(first.saturating_sub(1), at);
            self.bound_emulated();
        }
        sacked.rtt_sample = newest.map(|sent_at| now.since(sent_at));
        sacked
    }

    pub(super) fn detect_loss(&mut self, now: Instant, rtt: &RttEstimator, segment: u32) -> Loss {
        self.rack.begin(rtt.min());
        let impatient = matches!(self.recovery, Recovery::Fast | Recovery::Timeout)
            || self.sacked >= u64::from(segment) * u64::from(DUPLICATES_THRESHOLD);
        let window = self.rack.reordering_window(impatient, rtt.smoothed());
        let mut loss = Loss::default();
        for at in 0..self.entries.len() {
            let Some(entry) = self.entries.get(at).copied() else { break };
            if entry.state != State::InFlight {
                continue;
            }
            if !self.rack.overtook(entry.sent_at, self.end_of(at)) {
                if entry.start >= self.resent_high {
                    // All that follows was sent later still.
                    break;
                }
                continue;
            }
            let lost_at = self.rack.lost_at(entry.sent_at, window);
            if lost_at <= now {
                loss.bytes += self.mark_lost(at);
                // Sent since the last response, so that response did not answer for it.
                loss.new_episode |= entry.episode == self.episode;
            } else {
                // One timer for all that is overtaken: the last to become due (RFC 8985 6.2 step 5).
                loss.recheck_at = loss.recheck_at.max(Some(lost_at));
            }
        }
        self.after_loss(&loss);
        loss
    }

    pub(super) fn on_duplicate_ack(&mut self, segment: u64) -> Loss {
        let mut loss = Loss::default();
        if self.recovery == Recovery::Timeout {
            // Echoes of what the timeout sent again in vain; they say nothing about new losses.
            return loss;
        }
        self.duplicate_acks = self.duplicate_acks.saturating_add(1);
        self.emulated += segment;
        let outside = self.is_beyond_last_recovery();
        if self.recovery != Recovery::Fast && self.duplicate_acks == DUPLICATES_THRESHOLD && outside {
            loss.new_episode = self.entries.front().is_some_and(|e| e.episode == self.episode);
            loss.bytes = self.mark_head_lost(segment);
            self.newreno = Some(segment);
            self.after_loss(&loss);
        }
        self.bound_emulated();
        loss
    }

    pub(super) fn on_congestion_echo(&mut self) -> bool {
        // An acknowledgement that ends the round trip still speaks of what was sent before the last reduction.
        if self.recovery != Recovery::Open || !self.is_beyond_last_recovery() {
            return false;
        }
        self.begin_episode();
        self.recovery = Recovery::Marked;
        true
    }

    /// What was sent after `deadline` is left in flight, except the head.
    pub(super) fn on_timeout(&mut self, deadline: Instant) -> Timeout {
        let first = self.timeout_una != Some(self.una);
        self.timeout_una = Some(self.una);
        // Had the head arrived, it would have been acknowledged cumulatively.
        let reneged = self.entries.front().is_some_and(|head| head.state == State::Sacked);
        let mut bytes = 0;
        for at in 0..self.entries.len() {
            let Some(entry) = self.entries.get(at).copied() else { break };
            match entry.state {
                State::Sacked if reneged => {
                    self.sacked -= self.end_of(at) - entry.start;
                    // Joined entries forgot who was sent how often: by Karn's rule then, more than once.
                    self.set(at, Entry { resent: true, ..entry });
                    self.resent_high = self.nxt;
                    bytes += self.mark_lost(at);
                }
                State::InFlight if at == 0 || entry.sent_at <= deadline || reneged => bytes += self.mark_lost(at),
                State::InFlight | State::Sacked | State::Lost => {}
            }
        }
        self.emulated = 0;
        self.duplicate_acks = 0;
        self.newreno = None;
        self.begin_episode();
        self.recovery = Recovery::Timeout;
        Timeout { bytes, first, reneged }
    }

    pub(super) fn undo(&mut self) {
        for entry in &mut self.entries {
            if entry.state == State::Lost {
                entry.state = State::InFlight;
            }
            // Nothing answered for the loss of what was sent before the response that is taken back.
            entry.episode = self.episode;
        }
        self.lost = 0;
        self.recovery = Recovery::Open;
        self.newreno = None;
        self.rack.on_undo();
        self.bound_emulated();
    }

    pub(super) fn next_lost(&mut self, bytes_max: u64) -> Option<Range<u64>> {
        if self.lost == 0 || bytes_max == 0 {
            return None;
        }
        let mut at = self.index_of(self.lost_from);
        while self.entries.get(at)?.state != State::Lost {
            at += 1;
        }
        let start = self.entries.get(at)?.start;
        self.lost_from = start;
        // Neighbours that were lost separately go out as one.
        let mut end = self.end_of(at);
        while end - start < bytes_max && self.entries.get(at + 1).is_some_and(|e| e.state == State::Lost) {
            at += 1;
            end = self.end_of(at);
        }
        Some(start..end.min(start.saturating_add(bytes_max)))
    }

    pub(super) fn tail(&self, bytes_max: u64) -> Option<Range<u64>> {
        let at = self.entries.iter().rposition(|e| e.state != State::Sacked)?;
        let start = self.entries.get(at)?.start;
        let end = self.end_of(at);
        Some(end.saturating_sub(bytes_max).max(start)..end).filter(|r| !r.is_empty())
    }

    /// Losses were found: enter recovery, and a new episode if they call for a congestion response.
    fn after_loss(&mut self, loss: &Loss) {
        if loss.bytes == 0 {
            return;
        }
        if loss.new_episode {
            self.begin_episode();
        }
        match self.recovery {
            // After a timeout the window must go on growing, or a large hole takes forever to fill.
            Recovery::Fast | Recovery::Timeout => {}
            Recovery::Open | Recovery::Marked => {
                self.recovery = Recovery::Fast;
                self.recovery_end = self.nxt;
                self.recovered_before = true;
            }
        }
    }

    /// The controller is being told. What is sent from now on carries the new number; the loss of anything older was
    /// answered for by this response.
    fn begin_episode(&mut self) {
        self.episode = self.episode.wrapping_add(1);
        self.recovery_end = self.nxt;
        self.recovered_before = true;
    }

    /// Something is acknowledged that was sent after the last reduction.
    fn is_beyond_last_recovery(&self) -> bool {
        !self.recovered_before || self.una > self.recovery_end
    }

    /// The first segment of what is unacknowledged becomes lost, unless it is so already or was sent since the episode
    /// began. How much that was.
    fn mark_head_lost(&mut self, segment: u64) -> u64 {
        let Some(head) = self.entries.front().copied() else { return 0 };
        let sent_since = head.resent && head.episode == self.episode && self.recovery == Recovery::Fast;
        if head.state != State::InFlight || sent_since {
            return 0;
        }
        self.split_at(self.end_of(0).min(self.una + segment));
        self.mark_lost(0)
    }

    fn mark_lost(&mut self, at: usize) -> u64 {
        let end = self.end_of(at);
        let Some(entry) = self.entries.get_mut(at) else { return 0 };
        entry.state = State::Lost;
        self.lost_from = self.lost_from.min(entry.start);
        self.lost += end - entry.start;
        end - entry.start
    }

    /// Duplicates cannot stand for more than is out there.
    fn bound_emulated(&mut self) {
        self.emulated = self.emulated.min(self.nxt - self.una - self.sacked - self.lost);
    }

    /// Which entry holds `offset`, which lies in `una..nxt`.
    fn index_of(&self, offset: u64) -> usize {
        self.entries.partition_point(|e| e.start <= offset).saturating_sub(1)
    }

    fn end_of(&self, at: usize) -> u64 {
        self.entries.get(at + 1).map_or(self.nxt, |next| next.start)
    }

    fn set(&mut self, at: usize, entry: Entry) {
        if let Some(slot) = self.entries.get_mut(at) {
            *slot = entry;
        }
    }

    /// Makes an entry begin at `offset` and says which; at `nxt`, the one past the last.
    fn split_at(&mut self, offset: u64) -> usize {
        if offset >= self.nxt {
            return self.entries.len();
        }
        let at = self.index_of(offset);
        match self.entries.get(at).copied() {
            Some(entry) if entry.start < offset => {
                self.entries.insert(at + 1, Entry { start: offset, ..entry });
                at + 1
            }
            Some(_) | None => at,
        }
    }

    /// Joins neighbours with one history among `from..=to`.
    fn join(&mut self, from: usize, to: usize) {
        let to = to.min(self.entries.len().saturating_sub(1));
        let mut kept = from;
        for at in from + 1..=to {
            let (Some(last), Some(entry)) = (self.entries.get(kept).copied(), self.entries.get(at).copied()) else {
                return;
            };
            if !last.joins(&entry) {
                kept += 1;
                self.set(kept, entry);
            }
        }
        if kept < to {
            self.entries.drain(kept + 1..=to);
        }
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.una <= self.nxt);
        assert_eq!(self.entries.is_empty(), self.una == self.nxt);
        assert!(self.entries.front().is_none_or(|head| head.start == self.una));
        let total = |state| -> u64 {
            let of_state = self.entries.iter().enumerate().filter(|(_, e)| e.state == state);
            of_state.map(|(at, e)| self.end_of(at).checked_sub(e.start).filter(|n| *n > 0).unwrap_or(u64::MAX)).sum()
        };
        assert_eq!(total(State::Sacked), self.sacked);
        assert_eq!(total(State::Lost), self.lost);
        let in_flight = total(State::InFlight);
        assert!(self.emulated <= in_flight);
        assert_eq!(self.in_flight(), in_flight - self.emulated);
        let resent = self.entries.iter().rposition(|e| e.resent && e.state != State::Sacked);
        assert!(resent.is_none_or(|at| self.end_of(at) <= self.resent_high));
        assert!(self.entries.iter().all(|e| e.state != State::Lost || e.start >= self.lost_from));
    }
}
