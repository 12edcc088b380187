//! [`Stream`]: bytes both ways, over any transport that carries streams. Three faces over one core: calls that never
//! block, [`Blocking`] for `std::io`, and `poll_*` for asynchronous tasks.

use std::io::{self, Read, Write};
use std::task::{Context, Poll};
use std::time::Duration;

use super::host::Orphan;
use super::{AppOp, Host, Ready, StreamIo};
use crate::addr::Endpoint;
use crate::engine::{Core, FlowId};
use crate::lane::EngineId;
use crate::toolkit::Mem;
use crate::transport::{FlowError, Transport};

/// One end of a stream. It stays on its thread; dropping it closes in good order behind the application's back.
pub struct Stream<T: Transport<Io = StreamIo>> {
    host: Host,
    engine: EngineId<T>,
    flow: FlowId,
}

impl<T: Transport<Io = StreamIo>> Stream<T> {
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

    /// Our end: address and port. `None` once the flow is over.
    #[must_use]
    pub fn local(&self) -> Option<Endpoint> {
        self.endpoints().map(|(local, _)| local)
    }

    /// The peer's end: address and port. `None` once the flow is over.
    #[must_use]
    pub fn peer(&self) -> Option<Endpoint> {
        self.endpoints().map(|(_, peer)| peer)
    }

    /// Both ends, ours first; `None` once the flow is over.
    #[must_use]
    pub fn endpoints(&self) -> Option<(Endpoint, Endpoint)> {
        self.host.with(self.engine, |core, _, _| core.endpoints(self.flow))
    }

    /// Takes received bytes. 0 is the end of the peer's data (or an empty `buf`).
    ///
    /// # Errors
    /// `WouldBlock` when there are none now; how the flow ended, when it ended badly.
    pub fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.host.with(self.engine, |core, lane, net| {
            let taken = core.io(self.flow).map_or(0, |io| io.rx.read(&mut lane.mem, buf));
            if taken == 0 {
                return if buf.is_empty() { Ok(0) } else { end_of_data(core, self.flow) };
            }
            core.app(lane, net, self.flow, AppOp::Consumed(taken));
            Ok(taken)
        })
    }

    /// Reads in place: `look` gets the longest piece at the front and returns how much of it is done with. It must not
    /// use the host or its handles.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_with(&self, look: impl FnOnce(&[u8]) -> usize) -> io::Result<usize> {
        self.host.with(self.engine, |core, lane, net| {
            let Some(stream) = core.io(self.flow).filter(|stream| !stream.rx.is_empty()) else {
                return end_of_data(core, self.flow);
            };
            let piece = stream.rx.fill(&lane.mem);
            let taken = look(piece).min(piece.len());
            stream.rx.consume(&mut lane.mem, taken);
            core.app(lane, net, self.flow, AppOp::Consumed(taken));
            Ok(taken)
        })
    }

    /// Hands bytes over to be sent, as far as there is room. What is accepted arrives, or the flow ends with an error.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room now; `BrokenPipe` after `shutdown`; how the flow ended.
    pub fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.host.with(self.engine, |core, lane, net| {
            check_writable(core, self.flow)?;
            let Some(stream) = core.io(self.flow) else { return Err(FlowError::Closed.into()) };
            let taken = stream.tx.write(&mut lane.mem, buf, stream.tx_max as usize);
            if taken == 0 && !buf.is_empty() {
                if stream.tx_room() > 0 {
                    core.starve(self.flow, Mem::CHUNK_BYTES_MIN);
                }
                return Err(io::ErrorKind::WouldBlock.into());
            }
            core.app(lane, net, self.flow, AppOp::Written);
            Ok(taken)
        })
    }

    /// Sends no more; what was accepted still arrives, and the peer's data can still be read.
    pub fn shutdown(&self) {
        self.host.with(self.engine, |core, lane, net| {
            if let Some(stream) = core.io(self.flow)
                && !std::mem::replace(&mut stream.tx_finished, true)
            {
                core.app(lane, net, self.flow, AppOp::Shutdown);
            }
        });
    }

    /// Ends it at once, and lets the peer know where the transport can.
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
            let Some(stream) = core.io(self.flow) else { return Ready::CLOSED };
            let mut ready = Ready::NONE;
            if !stream.rx.is_empty() || stream.rx_finished || ended {
                ready = ready | Ready::READABLE;
            }
            if stream.open && stream.tx_room() > 0 || ended {
                ready = ready | Ready::WRITABLE;
            }
            if stream.open {
                ready = ready | Ready::OPEN;
            }
            if stream.rx_finished {
                ready = ready | Ready::PEER_FINISHED;
            }
            if ended { ready | Ready::CLOSED } else { ready }
        })
    }

    /// Reads the protocol's state of this flow; `None` when it is over.
    pub fn inspect<R>(&self, look: impl FnOnce(&T, &T::Conn) -> R) -> Option<R> {
        self.host.with(self.engine, |core, _, _| core.inspect(self.flow, look))
    }

    /// The same, together with what the application sees of it.
    pub fn inspect_io<R>(&self, look: impl FnOnce(&T, &T::Conn, &StreamIo) -> R) -> Option<R> {
        self.host.with(self.engine, |core, _, _| core.inspect_io(self.flow, look))
    }

    /// How it ended: `None` while it lives, `Some(None)` in good order.
    #[must_use]
    pub fn ended(&self) -> Option<Option<FlowError>> {
        self.host.with(self.engine, |core, _, _| core.ended(self.flow))
    }

    /// The blocking face, without a timeout.
    #[must_use]
    pub fn blocking(self) -> Blocking<T> {
        Blocking { stream: self, timeout: None }
    }

    /// Waits for the flow to be open.
    ///
    /// # Errors
    /// How it ended, if it never was or is no more.
    pub fn poll_open(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.opened() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.host.with(self.engine, |core, _, _| core.wakers().wait_write(self.flow, cx.waker()));
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }

    fn opened(&self) -> io::Result<()> {
        self.host.with(self.engine, |core, _, _| match core.ended(self.flow) {
            Some(error) => Err(error.unwrap_or(FlowError::Closed).into()),
            None if core.io(self.flow).is_some_and(|stream| stream.open) => Ok(()),
            None => Err(io::ErrorKind::WouldBlock.into()),
        })
    }

    /// [`read`](Self::read) for a task: it is woken when there is something.
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.read(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.host.with(self.engine, |core, _, _| core.wakers().wait_read(self.flow, cx.waker()));
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }

    /// [`write`](Self::write) for a task: it is woken when there is room.
    pub fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.write(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.host.with(self.engine, |core, _, _| core.wakers().wait_write(self.flow, cx.waker()));
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }
}

impl<T: Transport<Io = StreamIo>> Drop for Stream<T> {
    fn drop(&mut self) {
        self.host.leave(Orphan::Flow(self.engine.index(), self.flow));
    }
}

/// A stream whose calls wait, letting time pass by the host's pump.
pub struct Blocking<T: Transport<Io = StreamIo>> {
    stream: Stream<T>,
    timeout: Option<Duration>,
}

impl<T: Transport<Io = StreamIo>> Blocking<T> {
    /// The stream itself.
    #[must_use]
    pub fn stream(&self) -> &Stream<T> {
        &self.stream
    }

    /// The stream, to go on without waiting.
    #[must_use]
    pub fn into_stream(self) -> Stream<T> {
        self.stream
    }

    /// Lets each call wait no longer than `timeout`; it then fails with [`io::ErrorKind::TimedOut`], and nothing was read
    /// or written. `None`, as it is at first, waits without end.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Waits for the flow to be open.
    ///
    /// # Errors
    /// How it ended, if it never was or is no more; `TimedOut`; as [`Host::pump`].
    pub fn wait_open(&self) -> io::Result<()> {
        self.stream.host.block_on(self.timeout, || self.stream.opened())
    }
}

impl<T: Transport<Io = StreamIo>> Read for Blocking<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.host.block_on(self.timeout, || self.stream.read(buf))
    }
}

impl<T: Transport<Io = StreamIo>> Write for Blocking<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.host.block_on(self.timeout, || self.stream.write(buf))
    }

    /// Nothing is held back here: accepted bytes are on their way.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why there is nothing to read: the end, an error, or not yet.
fn end_of_data<T: Transport<Io = StreamIo>>(core: &mut Core<T>, flow: FlowId) -> io::Result<usize> {
    if core.io(flow).is_some_and(|stream| stream.rx_finished) {
        return Ok(0);
    }
    match core.ended(flow) {
        None => Err(io::ErrorKind::WouldBlock.into()),
        Some(None) => Ok(0),
        Some(Some(error)) => Err(error.into()),
    }
}

fn check_writable<T: Transport<Io = StreamIo>>(core: &mut Core<T>, flow: FlowId) -> io::Result<()> {
    if let Some(error) = core.ended(flow) {
        return Err(error.unwrap_or(FlowError::Closed).into());
    }
    match core.io(flow) {
        Some(stream) if stream.tx_finished => Err(FlowError::Shutdown.into()),
        _ => Ok(()),
    }
}
