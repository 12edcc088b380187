//! A stream in memory for tests: input known beforehand, both directions moving in given steps with a refusal after
//! each, so that every split point can be tried.

use std::io;

use super::{ByteStream, Service, Status};

/// One side of a conversation whose other side said all it will say.
#[derive(Debug)]
pub struct Pipe {
    input: Vec<u8>,
    taken: usize,
    steps: Vec<usize>,
    calls: usize,
    /// What the service wrote.
    pub sent: Vec<u8>,
    /// Whether it finished its direction.
    pub shut: bool,
    /// Whether the peer has finished sending once the input is taken.
    pub ends: bool,
}

impl Pipe {
    /// `steps` are the sizes of successive reads and writes, used in turn.
    pub fn new(input: &[u8], steps: &[usize]) -> Self {
        let (input, steps) = (input.to_vec(), steps.to_vec());
        Self { input, taken: 0, steps, calls: 0, sent: Vec::new(), shut: false, ends: true }
    }

    /// Input that the service left.
    pub fn unread(&self) -> usize {
        self.input.len() - self.taken
    }

    /// Bytes for this call; every other call is refused.
    fn step(&mut self) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(2) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(self.steps[self.calls / 2 % self.steps.len()])
    }
}

impl ByteStream for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        assert!(!buf.is_empty(), "a read into nothing cannot be told from the end");
        if self.unread() == 0 {
            return if self.ends { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let count = self.step()?.min(buf.len()).min(self.unread());
        buf[..count].copy_from_slice(&self.input[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        assert!(!self.shut, "written after the end");
        let count = self.step()?.min(buf.len());
        self.sent.extend_from_slice(&buf[..count]);
        Ok(count)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.shut = true;
        Ok(())
    }
}

/// Pumps until the end, or until the service waits twice without having moved anything.
pub fn run(service: &mut dyn Service, pipe: &mut Pipe) -> Status {
    let mut idle = 0;
    loop {
        let before = (pipe.taken, pipe.sent.len(), pipe.shut);
        let status = service.pump(pipe);
        match status {
            Status::Done | Status::Broken => return status,
            Status::Again => idle = 0,
            Status::Waiting(_) if before == (pipe.taken, pipe.sent.len(), pipe.shut) => idle += 1,
            Status::Waiting(_) => idle = 0,
        }
        if idle > 2 {
            return status;
        }
    }
}
