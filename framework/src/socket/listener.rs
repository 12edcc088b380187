//! [`Listener`]: takes new flows.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use super::host::Orphan;
use super::{Host, MessageIo, MessageSocket, Stream, StreamIo};
use crate::addr::Endpoint;
use crate::engine::{FlowId, PortId};
use crate::lane::EngineId;
use crate::transport::Transport;

/// A port at which flows wait to be accepted. Dropping it stops listening and aborts those that wait.
pub struct Listener<T: Transport> {
    host: Host,
    engine: EngineId<T>,
    port: PortId,
}

impl<T: Transport> Listener<T> {
    pub(super) fn new(host: Host, engine: EngineId<T>, port: PortId) -> Self {
        Self { host, engine, port }
    }

    /// Names it in events.
    #[must_use]
    pub fn id(&self) -> PortId {
        self.port
    }

    /// Where it listens, the port that was chosen included.
    #[must_use]
    pub fn local(&self) -> Endpoint {
        self.host.with(self.engine, |core, _, _| core.listener(self.port)).map_or(Endpoint::default(), |l| l.local)
    }

    /// The flow that waits longest, whatever its face; the caller owns it by its id.
    #[must_use]
    pub fn accept_flow(&self) -> Option<FlowId> {
        self.host.with(self.engine, |core, _, _| core.accept(self.port))
    }

    fn poll_flow(&self, cx: &mut Context<'_>) -> Poll<FlowId> {
        self.host.with(self.engine, |core, _, _| match core.accept(self.port) {
            Some(flow) => Poll::Ready(flow),
            None => {
                core.wakers().wait_accept(self.port, cx.waker());
                Poll::Pending
            }
        })
    }

    fn wait_flow(&self, timeout: Option<Duration>) -> io::Result<FlowId> {
        self.host.block_on(timeout, || self.accept_flow().ok_or_else(|| io::ErrorKind::WouldBlock.into()))
    }
}

impl<T: Transport<Io = StreamIo>> Listener<T> {
    /// The stream that waits longest, if any.
    #[must_use]
    pub fn accept(&self) -> Option<Stream<T>> {
        self.accept_flow().map(|flow| Stream::new(self.host.clone(), self.engine, flow))
    }

    /// Waits for a stream, letting time pass by the host's pump.
    ///
    /// # Errors
    /// As [`Host::pump`].
    pub fn accept_blocking(&self) -> io::Result<Stream<T>> {
        Ok(Stream::new(self.host.clone(), self.engine, self.wait_flow(None)?))
    }

    /// Waits for a stream, but not for longer than `timeout`.
    ///
    /// # Errors
    /// `TimedOut`; as [`Host::pump`].
    pub fn accept_timeout(&self, timeout: Duration) -> io::Result<Stream<T>> {
        Ok(Stream::new(self.host.clone(), self.engine, self.wait_flow(Some(timeout))?))
    }

    /// Waits for a stream asynchronously.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Stream<T>> {
        self.poll_flow(cx).map(|flow| Stream::new(self.host.clone(), self.engine, flow))
    }
}

impl<T: Transport<Io = MessageIo>> Listener<T> {
    /// The message flow that waits longest, if any.
    #[must_use]
    pub fn accept_messages(&self) -> Option<MessageSocket<T>> {
        self.accept_flow().map(|flow| MessageSocket::new(self.host.clone(), self.engine, flow))
    }

    /// Waits for a message flow, letting time pass by the host's pump.
    ///
    /// # Errors
    /// As [`Host::pump`].
    pub fn accept_messages_blocking(&self) -> io::Result<MessageSocket<T>> {
        Ok(MessageSocket::new(self.host.clone(), self.engine, self.wait_flow(None)?))
    }

    /// Waits for a message flow, but not for longer than `timeout`.
    ///
    /// # Errors
    /// `TimedOut`; as [`Host::pump`].
    pub fn accept_messages_timeout(&self, timeout: Duration) -> io::Result<MessageSocket<T>> {
        Ok(MessageSocket::new(self.host.clone(), self.engine, self.wait_flow(Some(timeout))?))
    }

    /// Waits for a message flow asynchronously.
    pub fn poll_accept_messages(&self, cx: &mut Context<'_>) -> Poll<MessageSocket<T>> {
        self.poll_flow(cx).map(|flow| MessageSocket::new(self.host.clone(), self.engine, flow))
    }
}

impl<T: Transport> Drop for Listener<T> {
    fn drop(&mut self) {
        self.host.leave(Orphan::Listener(self.engine.index(), self.port));
    }
}
