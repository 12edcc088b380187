//! One face over streams and messages, so that a transfer, and what judges it, is written once for all transports.

use std::io;

use burstlane::engine::FlowId;
use burstlane::lane::EngineId;
use burstlane::socket::{FlowIo, Host, MessageIo, MessageSocket, Ready, Stream, StreamIo};
use burstlane::transport::{FlowError, Transport};

/// An application's end of a flow, whether bytes or messages.
pub trait Channel: 'static {
    /// Whether what is sent arrives in the same pieces.
    const HAS_MESSAGES: bool;
    /// Hands bytes over: as many as there is room for, or a message.
    ///
    /// # Errors
    /// As the socket's.
    fn send(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Takes bytes or a message; `None` is the end.
    ///
    /// # Errors
    /// As the socket's.
    fn recv(&self, room: &mut [u8]) -> io::Result<Option<usize>>;
    /// Sends no more.
    fn shutdown(&self);
    /// Ends it at once.
    fn abort(&self);
    /// What is possible now.
    fn readiness(&self) -> Ready;
    /// How it ended, if it did.
    fn ended(&self) -> Option<Option<FlowError>>;
    /// Names it.
    fn id(&self) -> FlowId;
}

impl<T: Transport<Io = StreamIo>> Channel for Stream<T> {
    const HAS_MESSAGES: bool = false;

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn recv(&self, room: &mut [u8]) -> io::Result<Option<usize>> {
        self.read(room).map(|bytes| (bytes > 0).then_some(bytes))
    }

    fn shutdown(&self) {
        Stream::shutdown(self);
    }

    fn abort(&self) {
        Stream::abort(self);
    }

    fn readiness(&self) -> Ready {
        Stream::readiness(self)
    }

    fn ended(&self) -> Option<Option<FlowError>> {
        Stream::ended(self)
    }

    fn id(&self) -> FlowId {
        Stream::id(self)
    }
}

impl<T: Transport<Io = MessageIo>> Channel for MessageSocket<T> {
    const HAS_MESSAGES: bool = true;

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        MessageSocket::send(self, bytes).map(|()| bytes.len())
    }

    fn recv(&self, room: &mut [u8]) -> io::Result<Option<usize>> {
        match MessageSocket::recv(self, room) {
            Ok(received) => {
                assert_eq!(received.bytes, received.message_bytes, "a message was cut");
                Ok(Some(received.bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn shutdown(&self) {
        MessageSocket::shutdown(self);
    }

    fn abort(&self) {
        MessageSocket::abort(self);
    }

    fn readiness(&self) -> Ready {
        MessageSocket::readiness(self)
    }

    fn ended(&self) -> Option<Option<FlowError>> {
        MessageSocket::ended(self)
    }

    fn id(&self) -> FlowId {
        MessageSocket::id(self)
    }
}

/// What a transport shows to applications decides which handle they get.
pub trait Face: FlowIo + Sized {
    /// The handle.
    type Handle<T: Transport<Io = Self>>: Channel;

    /// The handle of a flow that was opened or accepted by its id.
    fn handle<T: Transport<Io = Self>>(host: &Host, engine: EngineId<T>, flow: FlowId) -> Self::Handle<T>;
}

impl Face for StreamIo {
    type Handle<T: Transport<Io = Self>> = Stream<T>;

    fn handle<T: Transport<Io = Self>>(host: &Host, engine: EngineId<T>, flow: FlowId) -> Stream<T> {
        Stream::new(host.clone(), engine, flow)
    }
}

impl Face for MessageIo {
    type Handle<T: Transport<Io = Self>> = MessageSocket<T>;

    fn handle<T: Transport<Io = Self>>(host: &Host, engine: EngineId<T>, flow: FlowId) -> MessageSocket<T> {
        MessageSocket::new(host.clone(), engine, flow)
    }
}

/// The handle that a transport's flows have.
pub type Handle<T> = <<T as Transport>::Io as Face>::Handle<T>;
