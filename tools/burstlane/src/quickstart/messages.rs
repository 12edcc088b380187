//! Messages by RUDP: so many from client to server, each compared whole and in order.

use std::io;
use std::path::Path;

use burstlane::socket::MessageSocket;
use burstlane_rudp::Rudp;

use crate::problem::Problem;
use crate::service::http::bytes::fill;

use super::TRANSFER_BYTES;
use super::pair::Pair;
use super::progress::Progress;
use super::report::Outcome;

/// Runs it.
///
/// # Errors
/// The transfer failed, or a file could not be written.
pub(super) fn run(seed: u64, dir: &Path) -> Result<Outcome, Problem> {
    let capture = dir.join("rudp.pcapng");
    let mut pair = Pair::<Rudp>::new(&burstlane_rudp::RudpConfig::default(), seed, &capture)?;
    let failed = |e: &dyn std::fmt::Display| Problem::new("the RUDP transfer failed").cause(e);
    let (client, server) = (pair.client.clone(), pair.server.clone());
    let listener = server.host.listen(server.engine, Pair::<Rudp>::server_endpoint(), 1).map_err(|e| failed(&e))?;
    let socket =
        client.host.connect_messages(client.engine, Pair::<Rudp>::server_endpoint()).map_err(|e| failed(&e))?;
    let mut accepted: Option<MessageSocket<Rudp>> = None;
    let (mut sent, mut received) = (0, 0);
    let mut progress = Progress::new("RUDP", TRANSFER_BYTES);
    pair.run(|now| {
        progress.show(received * MESSAGE_BYTES as u64, now);
        send(&socket, &mut sent).map_err(|e| failed(&e))?;
        if accepted.is_none() {
            accepted = listener.accept_messages();
        }
        if let Some(socket) = &accepted {
            receive(socket, &mut received).map_err(|e| failed(&e))?;
        }
        Ok(received == MESSAGES)
    })?;
    let real = progress.end();
    let delivered = format!("{MESSAGES} messages of {} KiB, whole and in order", MESSAGE_BYTES / 1024);
    drop((socket, accepted, listener, client, server));
    Outcome::new("rudp", "RUDP", delivered, 0, real, pair, &capture)
}

/// Hands over what there is room for.
fn send(socket: &MessageSocket<Rudp>, sent: &mut u64) -> io::Result<()> {
    let mut message = [0; MESSAGE_BYTES];
    while *sent < MESSAGES {
        fill(*sent * MESSAGE_BYTES as u64, &mut message);
        match socket.send(&message) {
            Ok(()) => *sent += 1,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Takes and checks what is there.
fn receive(socket: &MessageSocket<Rudp>, received: &mut u64) -> io::Result<()> {
    let (mut message, mut expected) = ([0; MESSAGE_BYTES], [0; MESSAGE_BYTES]);
    while *received < MESSAGES {
        match socket.recv(&mut message) {
            Ok(info) => {
                fill(*received * MESSAGE_BYTES as u64, &mut expected);
                if info.message_bytes != MESSAGE_BYTES || message != expected {
                    return Err(io::Error::other(format!("message {received} is not the one that was sent")));
                }
                *received += 1;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

const MESSAGE_BYTES: usize = 4096;
const MESSAGES: u64 = TRANSFER_BYTES / MESSAGE_BYTES as u64;
