//! What each end must have seen, given what both applications did: the judge.
//!
//! An end that let go without having taken all that the peer's socket took *cut* the connection: it aborted, closed with
//! bytes unread, or closed before they came (RFC 1122 4.2.2.13, RFC 2525 2.17). From that all follows:
//!
//! - What an end took is a prefix of what the peer's socket took; the ends compare the bytes themselves.
//! - No cut by the peer: the end sees all bytes and then their end, and none of its writes fails.
//! - A cut: it sees a reset, at once or, if the peer had finished before, after all bytes and their end.
//!
//! What is allowed beyond, and why:
//!
//! - A reset may overtake data, on either stack: what the peer sent last is lost with its send buffer (RFC 9293 3.10.5).
//! - After a cut a write fails with a reset or a broken pipe: once the peer has finished, Linux says `EPIPE`, as there is
//!   no reader any more; ours says how the connection ended.
//! - Linux sends no reset when it aborts with its FIN and all data sent and the peer's FIN received (CLOSING, LAST-ACK);
//!   ours does (RFC 9293 3.10.5 asks for neither). The peer has seen the end by then, or under loss sees nothing.
//! - A reset is sent once. Where segments are lost, an end that only waits may never hear of the cut.

use std::io::ErrorKind;

/// How an end stopped seeing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The end of the peer's bytes.
    End,
    /// An error in their place.
    Error(ErrorKind),
}

/// How an application let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Closed,
    Aborted,
    /// It was never there: the peer aborted what it had opened before this end accepted it.
    NeverCame,
}

/// What one end did and saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// Bytes that its socket took.
    pub(crate) sent: u64,
    /// Bytes that it took from its socket, each the right one.
    pub(crate) received: u64,
    /// It promised that there is no more: shut down, or closed with nothing unread.
    pub(crate) finished: bool,
    /// How reading ended, if it was still there.
    pub(crate) seen: Option<Seen>,
    /// The first error of a write before it finished.
    pub(crate) refused: Option<ErrorKind>,
    pub(crate) left: Option<Left>,
}

impl Record {
    /// Whether the end broke off what `peer` sends.
    pub(crate) fn cuts(&self, peer: &Record) -> bool {
        match self.left {
            None | Some(Left::NeverCame) => false,
            Some(Left::Closed) => self.received < peer.sent,
            Some(Left::Aborted) => true,
        }
    }

    /// Judges what this end saw of `peer`.
    ///
    /// # Errors
    /// What it should not have seen.
    pub(crate) fn judge(&self, peer: &Record, lossy: bool) -> Result<(), &'static str> {
        let cut = peer.cuts(self);
        let complete = self.received == peer.sent;
        match self.seen {
            _ if self.received > peer.sent => return Err("took more than was sent"),
            Some(Seen::End) if !peer.finished => return Err("saw an end, but the peer did not finish"),
            Some(Seen::End) if !complete => return Err("saw the end before all bytes"),
            // It stayed to see the reset of what the peer cut.
            Some(Seen::End) if self.left.is_none() && !lossy => return Err("saw no reset after the end"),
            Some(Seen::Error(ErrorKind::ConnectionReset)) if cut => {}
            Some(Seen::Error(_)) => return Err("saw an error without a cause"),
            // It let go before it saw either, or could not hear.
            None if self.left.is_none() && !(lossy && cut) => return Err("saw neither end nor reset"),
            Some(Seen::End) | None => {}
        }
        match self.refused {
            None => Ok(()),
            Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) if cut => Ok(()),
            Some(_) => Err("a write failed without a cause"),
        }
    }
}

#[test]
fn each_rule_catches_what_it_is_for() {
    use Seen::{End, Error};
    let reset = Error(ErrorKind::ConnectionReset);
    let record = Record { sent: 10, received: 10, finished: true, ..Record::default() };
    let whole = Record { seen: Some(End), left: Some(Left::Closed), ..record };
    let saw = |seen, received| Record { seen, received, ..whole };
    let aborted = Record { received: 3, finished: false, left: Some(Left::Aborted), ..record };
    let deaf = Record { received: 3, ..whole };
    let waits = Record { seen: None, left: None, ..record };
    let unheard = Record { left: None, ..whole };
    let refused = |kind| Record { refused: Some(kind), ..whole };
    for (name, end, peer, in_order, under_loss) in [
        ("all in order", whole, whole, true, true),
        ("a byte too many", saw(Some(End), 11), whole, false, false),
        ("an end before all bytes", saw(Some(End), 9), whole, false, false),
        ("a reset without a cause", saw(Some(reset), 10), whole, false, false),
        ("neither", waits, whole, false, false),
        ("let go before the end", saw(None, 4), whole, true, true),
        ("an abort", saw(Some(reset), 10), aborted, true, true),
        ("an abort that overtakes", saw(Some(reset), 2), aborted, true, true),
        ("an abort that looks like an end", saw(Some(End), 10), aborted, false, false),
        ("an abort after the FIN", saw(Some(End), 10), Record { finished: true, ..aborted }, true, true),
        ("an abort after the FIN unheard", unheard, Record { finished: true, ..aborted }, false, true),
        ("an abort unheard", waits, aborted, false, true),
        ("bytes that nobody took", saw(Some(reset), 10), deaf, true, true),
        ("another error", saw(Some(Error(ErrorKind::TimedOut)), 10), aborted, false, false),
        ("a write that fails", refused(ErrorKind::BrokenPipe), whole, false, false),
        ("a write after a cut", refused(ErrorKind::BrokenPipe), deaf, true, true),
        ("a write that times out", refused(ErrorKind::TimedOut), deaf, false, false),
    ] {
        let verdicts = [false, true].map(|lossy| end.judge(&peer, lossy).is_ok());
        assert_eq!(verdicts, [in_order, under_loss], "{name}: {:?}", end.judge(&peer, false));
    }
}
