//! The application at one end of a connection, the same over both stacks: known bytes out in writes of a given size, known
//! bytes in, each checked at its place, and then one of several ends.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use burstlane::time::Instant;
use burstlane_sim::Network;
use burstlane_spec::{Channel, Pattern};
use burstlane_tcp::Tcp;
use smoltcp::socket::tcp::{RecvError, Socket, State};

use crate::allowances;

/// What one end does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Bytes that it sends, unless it aborts.
    pub(crate) bytes: u32,
    /// Bytes of each write.
    pub(crate) write_bytes: u16,
    /// Bytes of each read, and the pause behind it.
    pub(crate) read_bytes: u16,
    /// Milliseconds between two reads.
    pub(crate) pause_ms: u16,
    /// How it ends.
    pub(crate) ending: Ending,
    /// The peer may vanish: who then hears nothing for long finishes, and so learns of it, or else gives up. A reset is sent
    /// once; it may be lost, or lie at the edge of a full window and so outside of it.
    pub(crate) has_doubts: bool,
}

/// How an end ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Finishes as soon as all is written, and goes on reading.
    First,
    /// Finishes when all is written and the peer has finished.
    Second,
    /// Aborts as soon as so many of its bytes are written.
    Abort(u32),
}

/// What a stream says when it is read.
pub(crate) enum Read {
    Bytes(usize),
    Nothing,
    End,
}

/// A connection as an application sees it.
pub(crate) trait Talk {
    /// Whether it was opened, and did not fail since.
    fn is_open(&self) -> bool;
    /// It is over, and not by both sides' finishing.
    fn has_failed(&mut self) -> bool;
    fn write(&mut self, bytes: &[u8]) -> usize;
    fn read(&mut self, room: &mut [u8]) -> Read;
    fn finish(&mut self);
    fn abort(&mut self);
    /// What is not read now is lost.
    fn is_in_a_hurry(&self) -> bool {
        false
    }
}

/// What one end saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Bytes that the socket took.
    pub(crate) sent: u64,
    /// Bytes received, each the right one.
    pub(crate) received: u64,
    /// The peer's end of data was seen.
    pub(crate) saw_end: bool,
    /// It finished.
    pub(crate) has_finished: bool,
    /// How it is over, if it is.
    pub(crate) over: Option<Over>,
}

/// How a connection is over for one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// Both have finished.
    InOrder,
    /// This end aborted.
    Aborted,
    /// Something else ended it.
    Failed,
}

/// One end's application.
pub(crate) struct Party {
    part: Part,
    out: Pattern,
    expected: Pattern,
    outcome: Rc<RefCell<Outcome>>,
    network: Network,
    reads_at: Instant,
    heard_at: Instant,
}

impl Party {
    /// The first (0) or second (1) end; the other one sends what this one expects.
    pub(crate) fn new(side: u64, part: Part, network: &Network) -> (Self, Rc<RefCell<Outcome>>) {
        let outcome = Rc::default();
        let party = Self {
            part,
            out: Pattern::new(side),
            expected: Pattern::new(1 - side),
            outcome: Rc::clone(&outcome),
            network: network.clone(),
            reads_at: Instant::ZERO,
            heard_at: network.now(),
        };
        (party, outcome)
    }

    /// What it does in a turn. Returns whether it did anything.
    pub(crate) fn turn(&mut self, talk: &mut impl Talk, now: Instant) -> bool {
        if self.outcome.borrow().over.is_some() {
            return false;
        }
        let mut moved = self.read(talk, now);
        moved |= self.write(talk);
        moved |= self.end(talk, now);
        if moved {
            self.heard_at = now;
        }
        moved
    }

    fn read(&mut self, talk: &mut impl Talk, now: Instant) -> bool {
        let mut outcome = self.outcome.borrow_mut();
        let mut room = vec![0; usize::from(self.part.read_bytes)];
        let mut moved = false;
        while !outcome.saw_end && (now >= self.reads_at || talk.is_in_a_hurry()) {
            match talk.read(&mut room) {
                Read::Nothing => break,
                Read::End => outcome.saw_end = true,
                Read::Bytes(bytes) => {
                    let wrong = self.expected.mismatch(outcome.received, &room[..bytes]);
                    assert_eq!(wrong, None, "a wrong byte, of {bytes} at {}", outcome.received);
                    outcome.received += bytes as u64;
                    self.reads_at = now + Duration::from_millis(self.part.pause_ms.into());
                    self.network.alarm(self.reads_at);
                }
            }
            moved = true;
        }
        moved
    }

    fn write(&mut self, talk: &mut impl Talk) -> bool {
        let mut outcome = self.outcome.borrow_mut();
        let goal = match self.part.ending {
            Ending::Abort(bytes) => bytes.min(self.part.bytes),
            Ending::First | Ending::Second => self.part.bytes,
        };
        let mut bytes = vec![0; usize::from(self.part.write_bytes)];
        let mut moved = false;
        while outcome.sent < u64::from(goal) && talk.is_open() && !outcome.has_finished {
            let left = (u64::from(goal) - outcome.sent).min(bytes.len() as u64) as usize;
            self.out.fill(outcome.sent, &mut bytes[..left]);
            let taken = talk.write(&bytes[..left]);
            if taken == 0 {
                break;
            }
            outcome.sent += taken as u64;
            moved = true;
        }
        moved
    }

    fn end(&mut self, talk: &mut impl Talk, now: Instant) -> bool {
        let mut outcome = self.outcome.borrow_mut();
        let is_written = match self.part.ending {
            Ending::Abort(bytes) => outcome.sent >= u64::from(bytes.min(self.part.bytes)),
            Ending::First => outcome.sent >= u64::from(self.part.bytes),
            Ending::Second => outcome.sent >= u64::from(self.part.bytes) && outcome.saw_end,
        };
        if talk.has_failed() {
            outcome.over = Some(if outcome.saw_end && outcome.has_finished { Over::InOrder } else { Over::Failed });
            return true;
        }
        let is_tired = self.part.has_doubts && now >= self.heard_at + PATIENCE;
        if self.part.has_doubts {
            self.network.alarm(self.heard_at + PATIENCE);
        }
        if outcome.has_finished && outcome.saw_end {
            outcome.over = Some(Over::InOrder);
            return true;
        }
        if outcome.has_finished && is_tired {
            // It asked, and if the question arrived there was nothing to answer. RFC 9293 leaves it at that.
            talk.abort();
            outcome.over = Some(Over::Failed);
            return true;
        }
        if !talk.is_open() || outcome.has_finished || !is_written && !is_tired {
            return false;
        }
        if matches!(self.part.ending, Ending::Abort(_)) && is_written {
            talk.abort();
            outcome.over = Some(Over::Aborted);
        } else {
            talk.finish();
            outcome.has_finished = true;
        }
        true
    }
}

/// Our stream.
impl Talk for burstlane::socket::Stream<Tcp> {
    fn is_open(&self) -> bool {
        self.readiness().contains(burstlane::socket::Ready::OPEN)
    }

    fn has_failed(&mut self) -> bool {
        matches!(self.ended(), Some(Some(_)))
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        burstlane::socket::Stream::write(self, bytes).unwrap_or(0)
    }

    fn read(&mut self, room: &mut [u8]) -> Read {
        match Channel::recv(self, room) {
            Ok(Some(bytes)) => Read::Bytes(bytes),
            Ok(None) => Read::End,
            Err(_) => Read::Nothing,
        }
    }

    fn finish(&mut self) {
        self.shutdown();
    }

    fn abort(&mut self) {
        burstlane::socket::Stream::abort(self);
    }
}

/// smoltcp's socket, once it has been opened.
impl Talk for Socket<'static> {
    fn is_open(&self) -> bool {
        !matches!(self.state(), State::Closed | State::Listen | State::SynSent | State::SynReceived)
    }

    fn has_failed(&mut self) -> bool {
        // A socket that closed in order says that it received a FIN; one that was reset has nothing to say.
        self.state() == State::Closed
            && !self.can_recv()
            && !matches!(self.recv_slice(&mut []), Err(RecvError::Finished))
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        self.send_slice(bytes).unwrap_or(0)
    }

    fn read(&mut self, room: &mut [u8]) -> Read {
        match self.recv_slice(room) {
            Ok(0) | Err(RecvError::InvalidState) => Read::Nothing,
            Ok(bytes) => Read::Bytes(bytes),
            Err(RecvError::Finished) => Read::End,
        }
    }

    fn finish(&mut self) {
        self.close();
    }

    fn abort(&mut self) {
        Socket::abort(self);
    }

    fn is_in_a_hurry(&self) -> bool {
        allowances::must_read_now(self)
    }
}

/// How long an end waits without any news before it finishes.
const PATIENCE: Duration = Duration::from_secs(90);
