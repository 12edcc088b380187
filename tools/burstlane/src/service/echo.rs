//! The echo (RFC 862, port 7) and discard (RFC 863, port 9) services.

use super::{Buffer, ByteStream, Interest, Service, Status, would_block};

/// Sends back what it gets, and finishes when the peer does.
#[derive(Debug)]
pub struct Echo {
    buffer: Buffer,
    finished_reading: bool,
}

impl Echo {
    /// A new connection.
    pub fn new() -> Self {
        Self { buffer: Buffer::new(BUFFER_BYTES), finished_reading: false }
    }
}

impl Service for Echo {
    fn pump(&mut self, stream: &mut dyn ByteStream) -> Status {
        for _ in 0..ROUNDS_PER_PUMP_MAX {
            match self.buffer.drain_to(stream) {
                Ok(()) => {}
                Err(e) if would_block(&e) => {
                    return Status::Waiting(Interest { read: false, write: true });
                }
                Err(_) => return Status::Broken,
            }
            if self.finished_reading {
                return if stream.shutdown_write().is_ok() { Status::Done } else { Status::Broken };
            }
            match self.buffer.fill_from(stream) {
                Ok(count) => self.finished_reading = count == 0,
                Err(e) if would_block(&e) => return Status::Waiting(Interest { read: true, write: false }),
                Err(_) => return Status::Broken,
            }
        }
        Status::Again
    }
}

/// Takes all it gets and answers nothing.
#[derive(Debug, Default)]
pub struct Discard;

impl Service for Discard {
    fn pump(&mut self, stream: &mut dyn ByteStream) -> Status {
        let mut sink = [0; 4096];
        for _ in 0..ROUNDS_PER_PUMP_MAX {
            match stream.read(&mut sink) {
                Ok(0) => return if stream.shutdown_write().is_ok() { Status::Done } else { Status::Broken },
                Ok(_) => {}
                Err(e) if would_block(&e) => return Status::Waiting(Interest { read: true, write: false }),
                Err(_) => return Status::Broken,
            }
        }
        Status::Again
    }
}

const BUFFER_BYTES: usize = 16 * 1024;
const ROUNDS_PER_PUMP_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::pipe::{Pipe, run};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn echo_returns_every_byte_in_order(data in prop::collection::vec(any::<u8>(), 0..50_000), steps in prop::collection::vec(20usize..5000, 1..8)) {
            let mut pipe = Pipe::new(&data, &steps);
            prop_assert_eq!(run(&mut Echo::new(), &mut pipe), Status::Done);
            prop_assert_eq!(&pipe.sent, &data);
            prop_assert!(pipe.shut);
        }

        #[test]
        fn discard_takes_every_byte_and_says_nothing(data in prop::collection::vec(any::<u8>(), 0..50_000), steps in prop::collection::vec(20usize..5000, 1..8)) {
            let mut pipe = Pipe::new(&data, &steps);
            prop_assert_eq!(run(&mut Discard, &mut pipe), Status::Done);
            prop_assert!(pipe.sent.is_empty() && pipe.shut && pipe.unread() == 0);
        }
    }
}
