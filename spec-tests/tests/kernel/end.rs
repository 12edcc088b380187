//! One end of a connection: an application that does what its life's steps say to a socket of either stack, checks each byte
//! it takes, and keeps the record that the model judges.

use std::io::{self, ErrorKind};

use burstlane_spec::Pattern;

use crate::life::Op;
use crate::model::{Left, Record, Seen};

/// What an application can do, on either stack. No call blocks; dropping it closes.
pub(crate) trait Socket {
    /// Whether the connection stands.
    fn is_open(&self) -> bool;
    /// Whether the connection, which stood once, is over: reset, or finished by both.
    fn is_over(&self) -> bool;
    /// Bytes that have come and were not taken.
    fn unread_bytes(&self) -> usize;
    /// As [`io::Read::read`].
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;
    /// As [`io::Write::write`].
    fn write(&mut self, buf: &[u8]) -> io::Result<usize>;
    /// Sends no more.
    fn shutdown(&mut self);
    /// Makes dropping it end the connection at once.
    fn abort(&mut self);
    /// Whether it takes writes, and the end of them, before it is open.
    fn is_hasty(&self) -> bool;
    /// What the stack knows of it, for people.
    fn state(&self) -> String;
}

/// The application, and its socket while it has one.
pub(crate) struct End {
    socket: Option<Box<dyn Socket>>,
    pub(crate) record: Record,
    /// It was open once: afterwards it may be reset and look as if it never had been.
    opened: bool,
    /// A write was told of a reset. Linux reports an error once: reading then only ends.
    was_reset: bool,
    out: Pattern,
    expected: Pattern,
}

impl End {
    /// One that sends the pattern of one seed, and should receive that of the other.
    pub(crate) fn new(out: u64, expected: u64) -> Self {
        let (out, expected) = (Pattern::new(out), Pattern::new(expected));
        Self { socket: None, record: Record::default(), opened: false, was_reset: false, out, expected }
    }

    /// Gives it its socket, of a connection that is open if it was accepted.
    pub(crate) fn start(&mut self, socket: impl Socket + 'static, accepted: bool) {
        self.socket = Some(Box::new(socket));
        self.opened = accepted;
    }

    /// Whether its connection was ever open.
    pub(crate) fn has_opened(&mut self) -> bool {
        self.opened |= self.socket.as_ref().is_some_and(|socket| socket.is_open());
        self.opened
    }

    /// Does what a step says, or nothing if it let go before. Whether it is done, which `Drain` and `Await` may not be yet.
    pub(crate) fn perform(&mut self, op: Op, peer: &Record) -> bool {
        if self.record.left.is_some() {
            return true;
        }
        let early = matches!(op, Op::Write(_) | Op::Shutdown) && self.socket.as_ref().is_some_and(|s| s.is_hasty());
        if !self.has_opened() && !early {
            return false;
        }
        match op {
            Op::Write(bytes) => self.write(bytes as usize),
            Op::Read(bytes) => self.read(u64::from(bytes)),
            Op::Drain => {
                self.read(u64::MAX);
                return self.record.received == peer.sent || self.has_all_it_gets(peer);
            }
            Op::Await => {
                let unread = self.socket.as_ref().map_or(0, |socket| socket.unread_bytes());
                return unread > 0 || self.record.received == peer.sent || self.has_all_it_gets(peer);
            }
            Op::Shutdown => self.shutdown(),
            Op::Close => self.close(),
            Op::Abort => {
                if let Some(mut socket) = self.socket.take() {
                    socket.abort();
                }
                self.record.left = Some(Left::Aborted);
            }
            Op::Pause(_) => {}
        }
        true
    }

    /// What an application does at last: finishes, takes all that comes, and closes once it knows how it ended. Who saw the end
    /// of bytes that `peer` cut stays to see the reset, too.
    pub(crate) fn finish(&mut self, peer: &Record) {
        if self.record.left.is_some() || !self.has_opened() {
            return;
        }
        self.shutdown();
        self.read(u64::MAX);
        let is_over = self.socket.as_ref().is_none_or(|socket| socket.is_over());
        match self.record.seen {
            None => {}
            Some(Seen::End) if peer.cuts(&self.record) && !is_over => {}
            Some(Seen::End | Seen::Error(_)) => self.close(),
        }
    }

    /// What its stack knows, for people.
    pub(crate) fn state(&self) -> String {
        self.socket.as_ref().map_or("no socket".to_owned(), |socket| socket.state())
    }

    /// The peer's bytes ended, or may never come.
    fn has_all_it_gets(&self, peer: &Record) -> bool {
        self.record.seen.is_some() || peer.cuts(&self.record)
    }

    fn write(&mut self, bytes: usize) {
        let Some(socket) = &mut self.socket else { return };
        let mut data = vec![0; bytes];
        self.out.fill(self.record.sent, &mut data);
        let mut rest = &data[..];
        while !rest.is_empty() && self.record.refused.is_none() {
            match socket.write(rest) {
                Ok(taken) => {
                    self.record.sent += taken as u64;
                    rest = &rest[taken..];
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.was_reset |= error.kind() == ErrorKind::ConnectionReset;
                    if self.record.finished {
                        // As it must be: what is taken nevertheless is missing at the peer.
                        return;
                    }
                    self.record.refused = Some(error.kind());
                }
            }
        }
    }

    fn read(&mut self, bytes_max: u64) {
        let Some(socket) = &mut self.socket else { return };
        let mut buffer = [0; 16 * 1024];
        let mut left = bytes_max;
        while left > 0 && self.record.seen.is_none() {
            let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match socket.read(&mut buffer[..room]) {
                Ok(0) => {
                    let reset = Seen::Error(ErrorKind::ConnectionReset);
                    self.record.seen = Some(if self.was_reset { reset } else { Seen::End });
                }
                Ok(bytes) => {
                    let wrong = self.expected.mismatch(self.record.received, &buffer[..bytes]);
                    assert_eq!(wrong, None, "a wrong byte, of {bytes} at {}", self.record.received);
                    self.record.received += bytes as u64;
                    left -= bytes as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => self.record.seen = Some(Seen::Error(error.kind())),
            }
        }
    }

    fn shutdown(&mut self) {
        if let Some(socket) = &mut self.socket
            && !std::mem::replace(&mut self.record.finished, true)
        {
            socket.shutdown();
        }
    }

    fn close(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.record.finished |= socket.unread_bytes() == 0;
        }
        self.record.left = Some(Left::Closed);
    }
}
