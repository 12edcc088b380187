//! A socket of ours as a service sees it.

use std::io;

use burstlane::socket::{Stream, StreamIo};
use burstlane::transport::Transport;

use crate::service::ByteStream;

/// A stream of any transport as a [`ByteStream`].
pub struct Socket<T: Transport<Io = StreamIo>>(pub Stream<T>);

impl<T: Transport<Io = StreamIo>> ByteStream for Socket<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.shutdown();
        Ok(())
    }
}
