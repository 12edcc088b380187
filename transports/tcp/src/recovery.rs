//! Loss: what the peer's SACKs and duplicate acknowledgements say (RFC 2018, RFC 8985; RFC 5681 and RFC 6582 without
//! SACK), and out-of-order arrivals on our side of it. The scoreboard itself is the framework's
//! [`SentLedger`](burstlane::toolkit::SentLedger).

use std::ops::Range;

use burstlane::frame::Frame;
use burstlane::net::DropReason;
use burstlane::observe::Event;
use burstlane::socket::StreamIo;
use burstlane::time::Instant;
use burstlane::toolkit::{ReassemblyLimits, Recovery};
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
            if at == 0 && left < right && right <= una {
                // RFC 2883: the first block below the ACK tells of a duplicate.
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
    pub(crate) fn keep_out_of_order(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, start: u64, frame: Frame) {
        let limits = ReassemblyLimits {
            cost_bytes_max: (2 * self.config.receive_buffer_bytes as usize).max(COST_BYTES_MIN),
            pieces_max: (self.config.receive_buffer_bytes / PIECE_BYTES).max(PIECES_MIN) as usize,
        };
        let start = start + u64::from(planted!(self.config, MisplacesWhatIsBehindGap));
        let range = start..start + frame.len() as u64;
        let outcome = conn.reassembly.insert(cx.mem, start, frame, &limits);
        if outcome.dropped_bytes > 0 {
            cx.count(NO_REASSEMBLY);
        } else {
            self.tell_received(cx, conn, range);
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
        cx.observe_flow(|flow| {
            let first = self.cold.get_at(conn.cold).map_or(0, |cold| cold.irs + 1);
            let (offset, bytes) = (range.start.saturating_sub(first), (range.end - range.start) as usize);
            Event::SegmentReceived { flow, offset, bytes }
        });
    }

    /// The SACK blocks to report: the most recent first, as many as the header has room for (RFC 2018 4).
    pub(crate) fn sack_blocks(&self, cx: &Context<'_, Self>, conn: &Conn) -> SackBlocks {
        use burstlane::toolkit::SeqNum;
        let mut blocks = SackBlocks::default();
        // With timestamps there is room for three.
        let count = if conn.has(Flag::Timestamps) { 3 } else { 4 };
        for range in conn.reassembly.recent_ranges::<4>(cx.mem).into_iter().take(count) {
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
