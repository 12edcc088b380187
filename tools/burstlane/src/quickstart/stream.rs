//! A stream by TCP: so many bytes from client to server, compared by digest.

use std::io;
use std::path::Path;

use burstlane::socket::Stream;
use burstlane_tcp::Tcp;
use sha2::{Digest, Sha256};

use crate::problem::Problem;
use crate::service::http::bytes::{fill, hex};

use super::TRANSFER_BYTES;
use super::pair::Pair;
use super::progress::Progress;
use super::report::Outcome;

/// Runs it.
///
/// # Errors
/// The transfer failed, or a file could not be written.
pub(super) fn run(seed: u64, dir: &Path) -> Result<Outcome, Problem> {
    let capture = dir.join("tcp.pcapng");
    let mut pair = Pair::<Tcp>::new(&burstlane_tcp::Config::default(), seed, &capture)?;
    let failed = |e: &dyn std::fmt::Display| Problem::new("the TCP transfer failed").cause(e);
    let (client, server) = (pair.client.clone(), pair.server.clone());
    let listener = server.host.listen(server.engine, Pair::<Tcp>::server_endpoint(), 1).map_err(|e| failed(&e))?;
    let stream = client.host.connect(client.engine, Pair::<Tcp>::server_endpoint()).map_err(|e| failed(&e))?;
    let mut sender = Sender { stream, position: 0, digest: Sha256::new(), is_shut: false };
    let mut receiver = Receiver { stream: None, received: 0, digest: Sha256::new(), is_done: false };
    let mut progress = Progress::new("TCP", TRANSFER_BYTES);
    pair.run(|now| {
        progress.show(receiver.received, now);
        sender.turn().map_err(|e| failed(&e))?;
        if receiver.stream.is_none() {
            receiver.stream = listener.accept();
        }
        receiver.turn().map_err(|e| failed(&e))?;
        Ok(receiver.is_done)
    })?;
    let real = progress.end();
    let is_intact =
        receiver.received == TRANSFER_BYTES && receiver.digest.finalize() == sender.digest.clone().finalize();
    if !is_intact {
        return Err(Problem::new("TCP delivered other bytes than were sent; this is a bug of ours"));
    }
    let delivered =
        format!("one stream, SHA-256 {}… at both ends", hex(&sender.digest.finalize()).get(..12).unwrap_or_default());
    drop((sender.stream, receiver.stream, listener, client, server));
    Outcome::new("tcp", "TCP", delivered, burstlane_tcp::COLD_BYTES, real, pair, &capture)
}

struct Sender {
    stream: Stream<Tcp>,
    position: u64,
    digest: Sha256,
    is_shut: bool,
}

impl Sender {
    /// Writes what there is room for.
    fn turn(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4096];
        while self.position < TRANSFER_BYTES {
            let count = (TRANSFER_BYTES - self.position).min(chunk.len() as u64) as usize;
            let piece = chunk.get_mut(..count).unwrap_or_default();
            fill(self.position, piece);
            match self.stream.write(piece) {
                Ok(taken) => {
                    self.digest.update(piece.get(..taken).unwrap_or_default());
                    self.position += taken as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        if !self.is_shut {
            self.is_shut = true;
            self.stream.shutdown();
        }
        Ok(())
    }
}

struct Receiver {
    stream: Option<Stream<Tcp>>,
    received: u64,
    digest: Sha256,
    is_done: bool,
}

impl Receiver {
    /// Reads what is there.
    fn turn(&mut self) -> io::Result<()> {
        let Some(stream) = &self.stream else { return Ok(()) };
        let mut chunk = [0; 16 * 1024];
        loop {
            match stream.read(&mut chunk) {
                Ok(0) => {
                    self.is_done = true;
                    return Ok(());
                }
                Ok(count) => {
                    self.digest.update(chunk.get(..count).unwrap_or_default());
                    self.received += count as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }
}
