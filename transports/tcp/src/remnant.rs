//! Connections in little: half-open ones (passive SYN-RECEIVED), and those in TIME-WAIT. Neither has a control block, so
//! a flood of SYNs or a busy server's history costs little memory.

use burstlane::time::Instant;
use burstlane::toolkit::SeqNum;

use crate::ecn::Agreed;
use crate::options::{SynOptions, Timestamps};
use crate::wire::Header;

/// What is left of a connection that is not open yet, or not open any more.
#[derive(Clone, Copy, Debug)]
pub enum Remnant {
    /// A SYN came and a SYN-ACK went.
    HalfOpen(HalfOpen),
    /// Both sides have closed, we first.
    TimeWait(TimeWait),
}

/// Passive SYN-RECEIVED (RFC 9293 3.10.7.2).
#[derive(Clone, Copy, Debug)]
pub struct HalfOpen {
    pub(crate) iss: SeqNum,
    pub(crate) irs: SeqNum,
    pub(crate) offers: SynOptions,
    /// The peer's timestamp, if both sides use them.
    pub(crate) ts_recent: Option<u32>,
    /// When the SYN came; the first SYN-ACK left with it.
    pub(crate) since: Instant,
    /// When the next one is due.
    pub(crate) until: Instant,
    /// The peer's window, never scaled on a SYN.
    pub(crate) window: u16,
    /// SYN-ACKs sent again because none was answered in time.
    pub(crate) retries: u8,
    /// Explicit congestion notification.
    pub(crate) ecn: Agreed,
}

impl HalfOpen {
    /// The SYN came again: the peer's timestamp is that of the later one (RFC 7323 4.3), so that its echo is a round trip.
    pub(crate) fn note_timestamp(&mut self, header: &Header) {
        if let (Some(recent), Some(Timestamps { value, .. })) = (&mut self.ts_recent, header.timestamps)
            && SeqNum(value).after(SeqNum(*recent))
        {
            *recent = value;
        }
    }

    /// Whether a segment keeps to what the SYNs agreed on (RFC 7323 3.2), and is not of an earlier connection (5.3 R1).
    pub(crate) fn agrees_on_timestamps(&self, header: &Header) -> bool {
        match (self.ts_recent, header.timestamps) {
            (Some(recent), Some(Timestamps { value, .. })) => SeqNum(value).at_or_after(SeqNum(recent)),
            (Some(_), None) => false,
            (None, _) => true,
        }
    }
}

/// RFC 9293 3.6.1.
#[derive(Clone, Copy, Debug)]
pub struct TimeWait {
    pub(crate) snd_nxt: SeqNum,
    pub(crate) rcv_nxt: SeqNum,
    /// The peer's last timestamp, if both sides used them.
    pub(crate) ts_recent: Option<u32>,
    /// The last window that we advertised, as on the wire.
    pub(crate) window: u16,
    /// The ACE of all that we send (RFC 9768 3.2.2).
    pub(crate) ace: u8,
    /// When it is over.
    pub(crate) until: Instant,
}

/// What becomes of a segment in TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InTimeWait {
    /// Nothing.
    Ignore,
    /// The last ACK, again.
    Acknowledge,
    /// The last ACK, again, and the wait starts anew: it was the peer's FIN.
    Restart,
    /// A new connection may begin in its place.
    Reopen,
}

impl TimeWait {
    /// RFC 9293 3.10.7.4 for TIME-WAIT, and 3.6.1.
    pub(crate) fn on_segment(&self, header: &Header) -> InTimeWait {
        use crate::wire::Control;
        match header.control {
            // RFC 1337: a stray reset must not end the wait.
            Control::Rst => InTimeWait::Ignore,
            Control::Syn if header.ack.is_none() && self.is_new(header) => InTimeWait::Reopen,
            Control::Syn => InTimeWait::Acknowledge,
            Control::Fin if header.seq + header.segment_len() == self.rcv_nxt => InTimeWait::Restart,
            Control::Fin => InTimeWait::Acknowledge,
            // What could be answered by the same in turn is not answered: no dialogue of the deaf.
            // Only a keep-alive is; an ACK from elsewhere may be a half-open connection's challenge to our last one.
            Control::None | Control::Urgent if header.payload_bytes == 0 && header.seq + 1 != self.rcv_nxt => {
                InTimeWait::Ignore
            }
            Control::None | Control::Urgent => InTimeWait::Acknowledge,
        }
    }

    /// Whether a SYN is certainly no duplicate of an old one: RFC 6191 by timestamp, RFC 9293 3.6.1 by number.
    fn is_new(&self, header: &Header) -> bool {
        match (self.ts_recent, header.timestamps) {
            (Some(recent), Some(Timestamps { value, .. })) if value != recent => SeqNum(value).after(SeqNum(recent)),
            _ => header.seq.after(self.rcv_nxt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::wire::Control;

    fn header(control: Control, seq: u32, payload_bytes: u32, ts: Option<u32>) -> Header {
        Header {
            seq: SeqNum(seq),
            ack: (control != Control::Syn).then_some(SeqNum(1)),
            payload_bytes,
            timestamps: ts.map(|value| Timestamps { value, echo: 0 }),
            options: Options::None,
            window: 100,
            control,
            push: false,
            urgent: 0,
            marks: crate::ecn::Marks::default(),
        }
    }

    #[test]
    fn segments_in_time_wait() {
        let wait = |ts_recent| TimeWait {
            snd_nxt: SeqNum(1),
            rcv_nxt: SeqNum(1000),
            ts_recent,
            window: 9,
            ace: 0,
            until: Instant::ZERO,
        };
        let rows = [
            ("a reset", None, header(Control::Rst, 1000, 0, None), InTimeWait::Ignore),
            ("the FIN again", None, header(Control::Fin, 999, 0, None), InTimeWait::Restart),
            ("a FIN from nowhere", None, header(Control::Fin, 5000, 0, None), InTimeWait::Acknowledge),
            ("an old segment", None, header(Control::None, 900, 10, None), InTimeWait::Acknowledge),
            ("a keep-alive", None, header(Control::None, 999, 0, None), InTimeWait::Acknowledge),
            ("a pure ACK", None, header(Control::None, 1000, 0, None), InTimeWait::Ignore),
            ("an ACK from nowhere", None, header(Control::None, 5000, 0, None), InTimeWait::Ignore),
            ("a SYN beyond", None, header(Control::Syn, 1001, 0, None), InTimeWait::Reopen),
            ("an old SYN", None, header(Control::Syn, 10, 0, None), InTimeWait::Acknowledge),
            ("an old number, a new timestamp", Some(5), header(Control::Syn, 10, 0, Some(6)), InTimeWait::Reopen),
            (
                "a new number, an old timestamp",
                Some(5),
                header(Control::Syn, 1001, 0, Some(4)),
                InTimeWait::Acknowledge,
            ),
            ("the same timestamp", Some(5), header(Control::Syn, 1001, 0, Some(5)), InTimeWait::Reopen),
        ];
        for (name, ts_recent, segment, expected) in rows {
            assert_eq!(wait(ts_recent).on_segment(&segment), expected, "{name}");
        }
    }
}
