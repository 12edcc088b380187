//! Loss: what the peer's SACKs and duplicate acknowledgements say (RFC 2018, RFC 2883, RFC 8985; RFC 5681 and RFC
//! 6582 without SACK), and out-of-order and repeated arrivals on our side of it. The scoreboard itself is the framework's
//! [`SentLedger`](burstlane::toolkit::SentLedger).

use std::ops::Range;

use burstlane::frame::Frame;
use burstlane::net::DropReason;
use burstlane::observe::Event;
use burstlane::socket::StreamIo;
use burstlane::time::Instant;
use burstlane::toolkit::{ReassemblyLimits, Recovery, SeqNum};
use burstlane::transport::Context;

use crate::Tcp;
use crate::conn::{Conn, Flag, Timer};
use crate::established::Totals;
use crate::options::SackBlocks;

impl Tcp {
    /// The SACK option of an acceptable segment, whose ACK was taken already.
    pub(crate) fn take_sack(&self, conn: &mut Conn, blocks: &SackBlocks, now: Instant, totals: &mut Totals) {
        let (una, nxt) = (conn.snd_una(), conn.snd_nxt());
        for (at, (left, right)) in blocks.iter().enumerate() {
            let (left, right) = (left.near(una), right.near(una));
            if at == 0 && left < right && (right <= una || is_within_second(blocks)) {
                // RFC 2883 4: the first block, below the ACK or within the second, tells of a duplicate.
                conn.ledger.on_duplicate_sack();
                totals.duplicate_reported = true;
                continue;
            }
            if left >= right || left < una || right > nxt {
                continue;
            }
            let sacked = conn.ledger.on_sack(left..right, now);
            totals.sacked_bytes += sacked.bytes;
            totals.delivered_bytes += sacked.bytes;
            totals.scoreboard_changed |= sacked.bytes > 0;
            if totals.rtt.is_none() {
                totals.rtt = sacked.rtt_sample;
            }
            if sacked.bytes > 0 {
                totals.acks += 1;
            }
        }
    }

    /// A duplicate acknowledgement of a peer without SACK.
    pub(crate) fn duplicate_ack(&self, conn: &mut Conn, totals: &mut Totals) {
        let segment = conn.segment_bytes();
        let loss = conn.ledger.on_duplicate_ack(segment);
        totals.lost_bytes += loss.bytes;
        totals.new_episode |= loss.new_episode;
        if loss.bytes > 0 {
            conn.set(Flag::RetransmitNow);
        }
        totals.scoreboard_changed = true;
        // Each lets a new segment go (RFC 3042, RFC 5681 3.2 step 4).
        totals.sacked_bytes += u64::from(segment);
    }

    /// Looks for losses after the acknowledgements of a run, and when the reordering timer fires.
    #[inline]
    pub(crate) fn detect_loss(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, totals: &mut Totals) {
        // Without a SACK or a loss, everything acknowledged was sent before everything that is not: nothing was overtaken.
        let disorder =
            conn.ledger.sacked_bytes() > 0 || conn.ledger.recovery() != Recovery::Open || conn.timer == Timer::Reorder;
        if conn.has(Flag::Sack) && disorder {
            let segment = conn.segment_bytes();
            let loss = conn.ledger.detect_loss(cx.now, &conn.rtt, segment);
            totals.lost_bytes += loss.bytes;
            totals.new_episode |=
                loss.new_episode || planted!(self.config, ReducesForEveryDuplicate) && totals.sacked_bytes > 0;
            if loss.bytes > 0 && loss.new_episode {
                conn.set(Flag::RetransmitNow);
            }
            match loss.recheck_at {
                Some(at) => conn.arm(Timer::Reorder, at),
                None if conn.timer == Timer::Reorder => conn.arm_retransmit(cx.now),
                None => {}
            }
        }
        if totals.lost_bytes > 0 {
            self.tell_of_loss(cx, conn, totals.lost_bytes);
        }
    }

    fn tell_of_loss(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, bytes: u64) {
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.lost_bytes += bytes;
            let offset = conn.snd_una().saturating_sub(cold.iss + 1);
            cx.observe_flow(|flow| Event::Lost { flow, offset, bytes: bytes as usize });
        }
    }

    /// Keeps what came beyond a gap. It is acknowledged at once, as a duplicate (RFC 5681 4.2).
    pub(crate) fn keep_out_of_order(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        range: Range<u64>,
        frame: Frame,
    ) {
        let limits = ReassemblyLimits {
            cost_bytes_max: (2 * self.config.receive_buffer_bytes as usize).max(COST_BYTES_MIN),
            pieces_max: (self.config.receive_buffer_bytes / PIECE_BYTES).max(PIECES_MIN) as usize,
        };
        let start = range.start + u64::from(planted!(self.config, MisplacesWhatIsBehindGap));
        let outcome = conn.reassembly.insert(cx.mem, start, frame, &limits);
        if outcome.dropped_bytes > 0 {
            cx.count(NO_REASSEMBLY);
        }
        let mut rest = range;
        while cx.is_observed()
            && let Some(held) = conn.reassembly.first_held(cx.mem, &rest)
        {
            rest.start = held.end;
            self.tell_received(cx, conn, held);
        }
        if !conn.has(Flag::Sack) {
            // A sender without SACK counts duplicates.
            conn.duplicates_owed = conn.duplicates_owed.saturating_add(1).min(DUPLICATES_MAX);
        }
        conn.ack_now(cx);
    }

    /// Moves what now is in order to the application's buffer. Returns how many bytes.
    pub(crate) fn drain_reassembly(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo) -> u64 {
        let bytes = conn.reassembly.drain_into(cx.mem, conn.rcv_nxt, &mut io.rx) as u64;
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
        let repeated = if in_order.is_empty() { conn.reassembly.first_held(cx.mem, &range) } else { Some(in_order) };
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
        conn.has(Flag::Sack) && (!conn.reassembly.is_empty() || conn.has(Flag::DuplicateOwed))
    }

    /// The SACK blocks to report: a duplicate, then what is held, the most recent first, as many as the header has room for
    /// (RFC 2018 4, RFC 2883 4).
    #[cold]
    #[inline(never)]
    pub(crate) fn sack_blocks(&self, cx: &Context<'_, Self>, conn: &Conn) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        // With timestamps there is room for three.
        let room = if conn.has(Flag::Timestamps) { 3 } else { 4 };
        let mut held = conn.reassembly.recent_ranges::<4>(cx.mem);
        let duplicate =
            self.cold.get_at(conn.cold).filter(|_| conn.has(Flag::DuplicateOwed)).map(|cold| &cold.duplicate);
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

/// Whether the first block lies within the second.
fn is_within_second(blocks: &SackBlocks) -> bool {
    let mut blocks = blocks.iter();
    let (Some(first), Some(second)) = (blocks.next(), blocks.next()) else { return false };
    first.0.at_or_after(second.0) && first.1.at_or_before(second.1)
}

const NO_REASSEMBLY: DropReason = DropReason("tcp: no room beyond the gap");
/// Bytes that a piece beyond a gap is taken to have on average; bounds their number.
const PIECE_BYTES: u32 = 512;
const PIECES_MIN: u32 = 64;
/// A few of the dearest pieces fit in any case (a chunk, or the slot of a large frame), however small the buffer.
const COST_BYTES_MIN: usize = 64 * 1024;
/// Duplicate acknowledgements owed at most in one turn.
const DUPLICATES_MAX: u8 = 64;
