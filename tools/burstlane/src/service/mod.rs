//! What an application does with a byte stream, as a state machine: no socket, no clock, bounded memory a connection.
//!
//! A service is pumped when its stream may have become readable or writable and goes as far as it can. The same code
//! runs over a socket of ours and, in tests, over a pipe in memory.

pub mod echo;
pub mod http;
#[cfg(test)]
pub mod pipe;

use std::io;

/// A connection as a service sees it. All calls return at once.
pub trait ByteStream {
    /// Takes received bytes. `Ok(0)` for a non-empty `buf` means that the peer has finished sending.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is nothing now; all else ends the connection.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Accepts bytes for sending, as many as there is room for.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is no room now; all else ends the connection.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize>;

    /// Finishes our direction once all that was written is sent. The other direction stays open.
    ///
    /// # Errors
    /// The connection is gone.
    fn shutdown_write(&mut self) -> io::Result<()>;
}

/// How far a [`Service::pump`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing to do until the stream is ready as it says.
    Waiting(Interest),
    /// There is more to do at once; it yields so that others get their turn.
    Again,
    /// Both directions are finished: close.
    Done,
    /// The connection broke, or the peer spoke nonsense: close without ceremony.
    Broken,
}

/// Which readiness would help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// More received bytes would.
    pub read: bool,
    /// Room for sending would.
    pub write: bool,
}

/// One connection's application.
pub trait Service {
    /// Does what can be done now. Spurious calls are harmless.
    fn pump(&mut self, stream: &mut dyn ByteStream) -> Status;
}

/// A byte queue of fixed capacity: filled from a stream or a producer, drained into a stream or a consumer.
#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// An empty one for `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity].into_boxed_slice(), start: 0, end: 0 }
    }

    /// What is in it, oldest first.
    pub fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        self.bytes.len() - self.len()
    }

    /// All free space in one piece; report what was written there with [`filled_by`](Self::filled_by).
    pub fn free(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// The first `count` bytes of [`free`](Self::free) now hold data.
    pub fn filled_by(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Drops the oldest `count` bytes.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Appends what fits of `data` and says how much that was.
    pub fn push(&mut self, data: &[u8]) -> usize {
        let free = self.free();
        let count = free.len().min(data.len());
        if let (Some(to), Some(from)) = (free.get_mut(..count), data.get(..count)) {
            to.copy_from_slice(from);
        }
        self.filled_by(count);
        count
    }

    /// Reads once from `stream` into the free space.
    ///
    /// # Errors
    /// As [`ByteStream::read`]. Not to be called when there is no room.
    pub fn fill_from(&mut self, stream: &mut dyn ByteStream) -> io::Result<usize> {
        let count = stream.read(self.free())?;
        self.filled_by(count);
        Ok(count)
    }

    /// Writes to `stream` until empty or refused.
    ///
    /// # Errors
    /// As [`ByteStream::write`]; what was written is gone from here.
    pub fn drain_to(&mut self, stream: &mut dyn ByteStream) -> io::Result<()> {
        while !self.is_empty() {
            let count = stream.write(self.filled())?;
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.consume(count);
        }
        Ok(())
    }
}

/// Whether an error only means "not now".
pub fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
