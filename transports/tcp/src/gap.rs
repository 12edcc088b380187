//! What arrives out of order or twice: kept behind the gap, and told to the peer (RFC 2018, RFC 2883; RFC 5681 4.2). The
//! ranges themselves are the framework's [`Reassembly`](burstlane::toolkit::Reassembly).

use std::ops::Range;

use arrayvec::ArrayVec;
use burstlane::frame::Frame;
use burstlane::net::DropReason;
use burstlane::observe::Event;
use burstlane::socket::StreamIo;
use burstlane::toolkit::{Mem, ReassemblyLimits, SeqNum};
use burstlane::transport::Context;

use crate::Tcp;
use crate::conn::{Conn, Flag};
use crate::options::SackBlocks;

impl Tcp {
    /// Keeps what came beyond a gap. It is acknowledged at once, as a duplicate (RFC 5681 4.2).
    pub(crate) fn keep_out_of_order(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        range: Range<u64>,
        frame: Frame,
    ) {
        let room_max = self.receive_buffer_bytes(conn);
        let limits = ReassemblyLimits {
            cost_bytes_max: (2 * room_max as usize).max(COST_BYTES_MIN),
            pieces_max: (room_max / PIECE_BYTES).max(PIECES_MIN) as usize,
        };
        let start = range.start + u64::from(planted!(self.config, MisplacesWhatIsBehindGap));
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return };
        let outcome = cold.reassembly.insert(cx.mem, start, frame, &limits);
        cold.out_of_order += 1;
        if !cold.reassembly.is_empty() {
            conn.set(Flag::Gap);
        }
        if !conn.has(Flag::Sack) {
            // A sender without SACK counts duplicates.
            let owed = if conn.has(Flag::DuplicatesOwed) { cold.duplicates_owed } else { 0 };
            cold.duplicates_owed = owed.saturating_add(1).min(DUPLICATES_MAX);
            conn.set(Flag::DuplicatesOwed);
        }
        if outcome.dropped_bytes > 0 {
            cx.count(NO_REASSEMBLY);
        }
        let mut rest = range;
        while cx.is_observed()
            && let Some(held) = self.first_held(cx.mem, conn, &rest)
        {
            rest.start = held.end;
            self.tell_received(cx, conn, held);
        }
        conn.ack_now(cx);
    }

    /// Of several duplicate acknowledgements that a peer without SACK is owed one has left.
    #[inline]
    pub(crate) fn owes_another_duplicate(&mut self, conn: &Conn) -> bool {
        if !conn.has(Flag::DuplicatesOwed) {
            return false;
        }
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return false };
        cold.duplicates_owed = cold.duplicates_owed.saturating_sub(1);
        cold.duplicates_owed > 0
    }

    /// What waits behind the gap is given up.
    pub(crate) fn clear_reassembly(&mut self, mem: &mut Mem, conn: &mut Conn) {
        if conn.has(Flag::Gap)
            && let Some(cold) = self.cold.get_at_mut(conn.cold)
        {
            cold.reassembly.clear(mem);
            conn.unset(Flag::Gap);
        }
    }

    /// The first part of `range` that waits behind the gap.
    fn first_held(&self, mem: &Mem, conn: &Conn, range: &Range<u64>) -> Option<Range<u64>> {
        if !conn.has(Flag::Gap) {
            return None;
        }
        self.cold.get_at(conn.cold)?.reassembly.first_held(mem, range)
    }

    /// Moves what now is in order to the application's buffer. Returns how many bytes.
    pub(crate) fn drain_reassembly(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo) -> u64 {
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return 0 };
        let bytes = cold.reassembly.drain_into(cx.mem, conn.rcv_nxt, &mut io.rx) as u64;
        if cold.reassembly.is_empty() {
            conn.unset(Flag::Gap);
        }
        conn.rcv_nxt += bytes;
        bytes
    }

    /// Bytes of the peer's stream, by number, that came into the connection.
    #[inline]
    pub(crate) fn tell_received(&self, cx: &mut Context<'_, Self>, conn: &Conn, range: Range<u64>) {
        if cx.is_observed() {
            self.tell_observers(cx, conn, range);
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_observers(&self, cx: &mut Context<'_, Self>, conn: &Conn, range: Range<u64>) {
        let first = self.cold.get_at(conn.cold).map_or(0, |cold| cold.irs + 1);
        let (offset, bytes) = (range.start.saturating_sub(first), (range.end - range.start) as usize);
        cx.observe_flow(|flow| Event::SegmentReceived { flow, offset, bytes });
    }

    /// Looks for the first part of an arrival that had come before, in order or beyond the gap.
    #[cold]
    #[inline(never)]
    pub(crate) fn find_duplicate(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, range: Range<u64>) {
        let in_order = range.start..range.end.min(conn.rcv_nxt);
        let repeated = if in_order.is_empty() { self.first_held(cx.mem, conn, &range) } else { Some(in_order) };
        if let Some(repeated) = repeated {
            self.note_duplicate(conn, repeated);
            conn.ack_now(cx);
        }
    }

    /// These bytes had come before: the next acknowledgement says so, once (RFC 2883 4). Of several duplicates in a turn the
    /// last is told, together with those that it continues.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_duplicate(&mut self, conn: &mut Conn, range: Range<u64>) {
        if range.is_empty() || !conn.has(Flag::Sack) {
            return;
        }
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return };
        // What lies before the stream is nobody's.
        let start = range.start.max(cold.irs + 1);
        if start >= range.end {
            return;
        }
        let continues = conn.has(Flag::DuplicateOwed) && cold.duplicate.end == start;
        cold.duplicate = if continues { cold.duplicate.start } else { start }..range.end;
        conn.set(Flag::DuplicateOwed);
    }

    /// Whether there is something for a SACK option to tell.
    #[inline]
    pub(crate) fn has_sack(&self, conn: &Conn) -> bool {
        conn.has(Flag::Sack) && (conn.has(Flag::Gap) || conn.has(Flag::DuplicateOwed))
    }

    /// The SACK blocks to report: a duplicate, then what is held, the most recent first, as many as the header has room for
    /// (RFC 2018 4, RFC 2883 4).
    #[cold]
    #[inline(never)]
    pub(crate) fn sack_blocks(&self, cx: &Context<'_, Self>, conn: &Conn) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        // With timestamps there is room for three.
        let room = if conn.has(Flag::Timestamps) { 3 } else { 4 };
        let Some(cold) = self.cold.get_at(conn.cold) else { return blocks };
        let mut held = if conn.has(Flag::Gap) { cold.reassembly.recent_ranges::<4>(cx.mem) } else { ArrayVec::new() };
        let duplicate = conn.has(Flag::DuplicateOwed).then_some(&cold.duplicate);
        if let Some(duplicate) = duplicate {
            // Of a duplicate above the ACK the range that holds it comes next: so it is known for one.
            if let Some(at) = held.iter().position(|held| held.start <= duplicate.start && duplicate.end <= held.end) {
                held.get_mut(..=at).unwrap_or_default().rotate_right(1);
            }
        }
        for range in duplicate.into_iter().chain(&held).take(room) {
            blocks.push(SeqNum::of_offset(range.start), SeqNum::of_offset(range.end));
        }
        blocks
    }
}

const NO_REASSEMBLY: DropReason = DropReason("tcp: no room beyond the gap");
/// Bytes that a piece beyond a gap is taken to have on average; bounds their number.
const PIECE_BYTES: u32 = 512;
const PIECES_MIN: u32 = 64;
/// A few of the dearest pieces fit in any case (a chunk, or the slot of a large frame), however small the buffer.
const COST_BYTES_MIN: usize = 64 * 1024;
/// Duplicate acknowledgements owed at most in one turn.
const DUPLICATES_MAX: u8 = 64;
