//! Loss: what the peer's SACKs and duplicate acknowledgements say (RFC 2018, RFC 2883, RFC 8985; RFC 5681, RFC 3042 and RFC
//! 6582 without SACK). The scoreboard itself is the framework's [`SentLedger`](burstlane::toolkit::SentLedger).

use burstlane::observe::Event;
use burstlane::time::Instant;
use burstlane::toolkit::Recovery;
use burstlane::transport::Context;

use crate::Tcp;
use crate::conn::{Conn, Flag, Timer};
use crate::established::Totals;
use crate::options::SackBlocks;

impl Tcp {
    /// The SACK option of an acceptable segment, whose ACK was taken already.
    pub(crate) fn take_sack(&mut self, conn: &mut Conn, blocks: &SackBlocks, now: Instant, totals: &mut Totals) {
        let (una, nxt) = (conn.snd_una(), conn.snd_nxt());
        for (at, (left, right)) in blocks.iter().enumerate() {
            let (left, right) = (left.near(una), right.near(una));
            if at == 0 && left < right && (right <= una || is_within_second(blocks)) {
                // RFC 2883 4: the first block, below the ACK or within the second, tells of a duplicate.
                if let Some(cold) = self.cold.get_at_mut(conn.cold) {
                    cold.duplicates_told = cold.duplicates_told.saturating_add(1);
                }
                self.take_duplicate_sack(conn, left, right, totals);
                continue;
            }
            if left >= right || left < una || right > nxt {
                continue;
            }
            let sacked = conn.ledger.on_sack(left..right, now);
            totals.sacked_bytes += sacked.bytes;
            totals.delivered_bytes += sacked.bytes;
            totals.originals_bytes += sacked.not_lost_after_all;
            totals.newest_sent_at = totals.newest_sent_at.max(sacked.newest_sent_at);
            totals.scoreboard_changed |= sacked.bytes > 0;
            if totals.rtt.is_none() {
                totals.rtt = sacked.rtt_sample;
            }
            if sacked.bytes > 0 {
                totals.acks += 1;
            }
        }
    }

    /// The peer has `left..right` twice. That a probe was one too many says nothing of the path (RFC 8985 7.4.2); any other
    /// retransmission that was not needed does.
    #[cold]
    fn take_duplicate_sack(&mut self, conn: &mut Conn, left: u64, right: u64, totals: &mut Totals) {
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return };
        // The FIN, if the probe carried one, is in no block.
        let is_its_end = right == cold.probe_end || conn.has(Flag::FinSent) && right + 1 == cold.probe_end;
        if conn.has(Flag::ProbeSent) && !cold.probe_is_new && is_its_end {
            totals.probe_reported = true;
            return;
        }
        conn.ledger.on_duplicate_sack();
        cold.reduction.on_duplicate(left, right);
        totals.duplicate_reported = true;
    }

    /// A duplicate acknowledgement of a peer without SACK.
    pub(crate) fn duplicate_ack(&mut self, conn: &mut Conn, totals: &mut Totals) {
        let segment = conn.segment_bytes();
        let loss = conn.ledger.on_duplicate_ack(segment);
        totals.lost_bytes += loss.bytes;
        totals.new_episode |= loss.new_episode;
        if loss.bytes > 0 {
            conn.set(Flag::RetransmitNow);
            if let Some(cold) = self.cold.get_at_mut(conn.cold) {
                cold.partial_acked = false;
            }
        }
        totals.scoreboard_changed = true;
        // Each lets a new segment go (RFC 3042, RFC 5681 3.2 step 4).
        totals.sacked_bytes += u64::from(segment);
    }

    /// Without SACK: whether an acknowledgement of something new is a partial one, and not the first of this recovery, which mends
    /// one loss in a round trip. The timer, which only the first restarts, ends it when there are too many (RFC 6582 3.2 and 4,
    /// "impatient").
    #[cold]
    pub(crate) fn is_later_partial(&mut self, conn: &Conn) -> bool {
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return false };
        conn.ledger.recovery() == Recovery::Fast && std::mem::replace(&mut cold.partial_acked, true)
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
}

/// Whether the first block lies within the second.
fn is_within_second(blocks: &SackBlocks) -> bool {
    let mut blocks = blocks.iter();
    let (Some(first), Some(second)) = (blocks.next(), blocks.next()) else { return false };
    first.0.at_or_after(second.0) && first.1.at_or_before(second.1)
}
