//! [`MessageSocket`]: whole messages both ways, over any transport that carries messages. A message is read whole or cut
//! knowingly, never mistaken for a piece of a stream.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use super::host::Orphan;
use super::{AppOp, Host, MessageIo, Ready};
use crate::addr::Endpoint;
use crate::engine::{Core, FlowId};
use crate::lane::EngineId;
use crate::toolkit::{MessageError, MessageQueue};
use crate::transport::{FlowError, Transport};

/// One end of a message flow, or a bound datagram socket. It stays on its thread; dropping it closes in good order.
pub struct MessageSocket<T: Transport<Io = MessageIo>> {
    host: Host,
    engine: EngineId<T>,
    flow: FlowId,
}

/// A received message, as `recv` reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes written to the buffer.
    pub bytes: usize,
    /// Length of the message; larger than `bytes` if the buffer was too small, and the rest is gone.
    pub message_bytes: usize,
    /// The sender, where messages have senders.
    pub from: Endpoint,
}

impl<T: Transport<Io = MessageIo>> MessageSocket<T> {
    /// The handle of a flow that was opened or accepted by its id.
    #[must_use]
    pub fn new(host: Host, engine: EngineId<T>, flow: FlowId) -> Self {
        Self { host, engine, flow }
    }

    /// Names it in events.
    #[must_use]
    pub fn id(&self) -> FlowId {
        self.flow
    }

    /// Both ends, ours first; `None` once the flow is over.
    #[must_use]
    pub fn endpoints(&self) -> Option<(Endpoint, Endpoint)> {
        self.host.with(self.engine, |core, _, _| core.endpoints(self.flow))
    }

    /// Takes the next message.
    ///
    /// # Errors
    /// `WouldBlock` when there is none now; `UnexpectedEof` after the peer's last; how the flow ended.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<Received> {
        self.host.with(self.engine, |core, lane, net| {
            let Some(messages) = core.io(self.flow) else { return Err(FlowError::Closed.into()) };
            if let Some(error) = messages.error.take() {
                return Err(error.into());
            }
            match messages.rx.pop_into(&mut lane.mem, buf) {
                Some((info, bytes)) => {
                    core.app(lane, net, self.flow, AppOp::Consumed(info.bytes));
                    Ok(Received { bytes, message_bytes: info.bytes, from: info.endpoint })
                }
                None => Err(no_message(core, self.flow)),
            }
        })
    }

    /// Hands a message over to be sent, whole or not at all.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room now; [`FlowError::TooLarge`]; `BrokenPipe` after `shutdown`; how the flow ended.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        self.send_to(message, Endpoint::default())
    }

    /// As [`send`](Self::send), to `peer`, where messages have receivers.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_to(&self, message: &[u8], peer: impl Into<Endpoint>) -> io::Result<()> {
        let peer = peer.into();
        self.host.with(self.engine, |core, lane, net| {
            if let Some(error) = core.ended(self.flow) {
                return Err(error.unwrap_or(FlowError::Closed).into());
            }
            let Some(messages) = core.io(self.flow) else { return Err(FlowError::Closed.into()) };
            if let Some(error) = messages.error.take() {
                return Err(error.into());
            }
            if messages.tx_finished {
                return Err(FlowError::Shutdown.into());
            }
            if message.len() > messages.message_bytes_max as usize {
                return Err(FlowError::TooLarge.into());
            }
            let limits = messages.tx_limits;
            match messages.tx.write_message(&mut lane.mem, peer, 0, &[message], &limits) {
                Ok(()) => {}
                Err(MessageError::TooLong) => return Err(FlowError::TooLarge.into()),
                Err(MessageError::Full) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(MessageError::NoMemory) => {
                    core.starve(self.flow, MessageQueue::cost_bytes(message.len()));
                    return Err(io::ErrorKind::WouldBlock.into());
                }
            }
            core.app(lane, net, self.flow, AppOp::Written);
            Ok(())
        })
    }

    /// Sends no more; what was accepted still arrives.
    pub fn shutdown(&self) {
        self.host.with(self.engine, |core, lane, net| {
            if let Some(messages) = core.io(self.flow)
                && !std::mem::replace(&mut messages.tx_finished, true)
            {
                core.app(lane, net, self.flow, AppOp::Shutdown);
            }
        });
    }

    /// Ends it at once.
    pub fn abort(&self) {
        self.operate(AppOp::Abort);
    }

    /// The transport's own operation.
    pub fn operate(&self, op: AppOp<T::Op>) {
        self.host.with(self.engine, |core, lane, net| core.app(lane, net, self.flow, op));
    }

    /// What is possible now.
    #[must_use]
    pub fn readiness(&self) -> Ready {
        self.host.with(self.engine, |core, _, _| {
            let ended = core.ended(self.flow).is_some();
            let Some(messages) = core.io(self.flow) else { return Ready::CLOSED };
            let news = ended || messages.error.is_some();
            let mut ready = Ready::NONE;
            if !messages.rx.is_empty() || messages.rx_finished || news {
                ready = ready | Ready::READABLE;
            }
            if messages.open && messages.has_room() || news {
                ready = ready | Ready::WRITABLE;
            }
            if messages.open {
                ready = ready | Ready::OPEN;
            }
            if messages.rx_finished {
                ready = ready | Ready::PEER_FINISHED;
            }
            if ended { ready | Ready::CLOSED } else { ready }
        })
    }

    /// Reads the protocol's state of this flow; `None` when it is over.
    pub fn inspect<R>(&self, look: impl FnOnce(&T, &T::Conn) -> R) -> Option<R> {
        self.host.with(self.engine, |core, _, _| core.inspect(self.flow, look))
    }

    /// How it ended: `None` while it lives, `Some(None)` in good order.
    #[must_use]
    pub fn ended(&self) -> Option<Option<FlowError>> {
        self.host.with(self.engine, |core, _, _| core.ended(self.flow))
    }

    /// [`recv`](Self::recv), waiting by the host's pump.
    ///
    /// # Errors
    /// As [`recv`](Self::recv) but for `WouldBlock`, and as [`Host::pump`].
    pub fn recv_blocking(&self, buf: &mut [u8]) -> io::Result<Received> {
        self.host.block_on(None, || self.recv(buf))
    }

    /// As [`recv_blocking`](Self::recv_blocking), but not for longer than `timeout`.
    ///
    /// # Errors
    /// `TimedOut`; as [`recv_blocking`](Self::recv_blocking).
    pub fn recv_timeout(&self, buf: &mut [u8], timeout: Duration) -> io::Result<Received> {
        self.host.block_on(Some(timeout), || self.recv(buf))
    }

    /// [`send`](Self::send), waiting for room by the host's pump.
    ///
    /// # Errors
    /// As [`send`](Self::send) but for `WouldBlock`, and as [`Host::pump`].
    pub fn send_blocking(&self, message: &[u8]) -> io::Result<()> {
        self.host.block_on(None, || self.send(message))
    }

    /// As [`send_blocking`](Self::send_blocking), but not for longer than `timeout`.
    ///
    /// # Errors
    /// `TimedOut`, and then nothing was sent; as [`send_blocking`](Self::send_blocking).
    pub fn send_timeout(&self, message: &[u8], timeout: Duration) -> io::Result<()> {
        self.host.block_on(Some(timeout), || self.send(message))
    }

    /// [`recv`](Self::recv) for a task: it is woken when there is a message.
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<Received>> {
        match self.recv(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.host.with(self.engine, |core, _, _| core.wakers().wait_read(self.flow, cx.waker()));
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }

    /// [`send`](Self::send) for a task: it is woken when there is room.
    pub fn poll_send(&self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<()>> {
        match self.send(message) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.host.with(self.engine, |core, _, _| core.wakers().wait_write(self.flow, cx.waker()));
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }
}

impl<T: Transport<Io = MessageIo>> Drop for MessageSocket<T> {
    fn drop(&mut self) {
        self.host.leave(Orphan::Flow(self.engine.index(), self.flow));
    }
}

fn no_message<T: Transport<Io = MessageIo>>(core: &mut Core<T>, flow: FlowId) -> io::Error {
    if core.io(flow).is_some_and(|messages| messages.rx_finished) {
        return io::ErrorKind::UnexpectedEof.into();
    }
    match core.ended(flow) {
        None => io::ErrorKind::WouldBlock.into(),
        Some(None) => io::ErrorKind::UnexpectedEof.into(),
        Some(Some(error)) => error.into(),
    }
}
