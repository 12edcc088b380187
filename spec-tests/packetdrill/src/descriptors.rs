//! The table of descriptors, and what stands behind one: a socket that is [`Role::Fresh`], listens, or has a connection; or an
//! epoll instance. Numbers are far above those of the process, so that `close` and `getsockopt` of the C library can tell them.

use std::collections::BTreeMap;
use std::convert::Infallible;

use burstlane::addr::Endpoint;
use burstlane::engine::EngineEvent;
use burstlane::socket::{Listener, Stream};
use burstlane::transport::FlowError;
use burstlane_tcp::Tcp;

use crate::Answer;
use crate::address::Family;
use crate::epoll::Epoll;
use crate::options::Options;

/// Descriptors in use.
pub(crate) struct Descriptors {
    first: i32,
    files: BTreeMap<i32, File>,
}

/// What a descriptor names.
pub(crate) enum File {
    Socket(Box<Socket>),
    Epoll(Epoll),
}

pub(crate) struct Socket {
    pub(crate) family: Family,
    pub(crate) nonblocking: bool,
    /// Where it was bound.
    pub(crate) local: Option<Endpoint>,
    pub(crate) options: Options,
    pub(crate) role: Role,
    /// Counts what happened to it: an edge for epoll.
    pub(crate) edges: u64,
}

pub(crate) enum Role {
    /// Neither listens nor is connected.
    Fresh,
    Listening(Listener<Tcp>),
    Connected(Connection),
}

pub(crate) struct Connection {
    pub(crate) stream: Stream<Tcp>,
    /// `connect` has said that it is open.
    pub(crate) is_announced: bool,
    /// The application knows of its error: each is told once.
    pub(crate) is_error_told: bool,
    /// The application receives no more.
    pub(crate) is_read_shut: bool,
}

impl Descriptors {
    pub(crate) fn new(first: i32) -> Self {
        Self { first, files: BTreeMap::new() }
    }

    /// The least number that is free.
    pub(crate) fn add(&mut self, file: File) -> Answer<i32> {
        let free = (self.first..self.first + FILES_MAX).find(|fd| !self.files.contains_key(fd)).ok_or(libc::EMFILE)?;
        self.files.insert(free, file);
        Ok(free)
    }

    pub(crate) fn remove(&mut self, fd: i32) -> Answer<()> {
        self.files.remove(&fd).map(drop).ok_or(libc::EBADF)
    }

    pub(crate) fn socket(&mut self, fd: i32) -> Answer<&mut Socket> {
        match self.files.get_mut(&fd) {
            Some(File::Socket(socket)) => Ok(socket),
            Some(File::Epoll(_)) => Err(libc::ENOTSOCK),
            None => Err(libc::EBADF),
        }
    }

    pub(crate) fn epoll(&mut self, fd: i32) -> Answer<&mut Epoll> {
        match self.files.get_mut(&fd) {
            Some(File::Epoll(epoll)) => Ok(epoll),
            Some(File::Socket(_)) => Err(libc::EINVAL),
            None => Err(libc::EBADF),
        }
    }

    /// All sockets.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.files.values().filter_map(|file| match file {
            File::Socket(socket) => Some(&**socket),
            File::Epoll(_) => None,
        })
    }

    /// Counts what happened.
    pub(crate) fn note(&mut self, events: &[EngineEvent<Infallible>]) {
        for file in self.files.values_mut() {
            let File::Socket(socket) = file else { continue };
            let happened = events.iter().any(|event| match (event, &socket.role) {
                (EngineEvent::Acceptable(port), Role::Listening(listener)) => *port == listener.id(),
                (EngineEvent::Ready(flow, _), Role::Connected(connection)) => *flow == connection.stream.id(),
                _ => false,
            });
            socket.edges += u64::from(happened);
        }
    }
}

impl Socket {
    pub(crate) fn new(family: Family, options: Options) -> Self {
        Self { family, nonblocking: false, local: None, options, role: Role::Fresh, edges: 0 }
    }

    pub(crate) fn connection(&mut self) -> Answer<&mut Connection> {
        match &mut self.role {
            Role::Connected(connection) => Ok(connection),
            Role::Fresh | Role::Listening(_) => Err(libc::ENOTCONN),
        }
    }

    pub(crate) fn stream(&self) -> Option<&Stream<Tcp>> {
        match &self.role {
            Role::Connected(connection) => Some(&connection.stream),
            Role::Fresh | Role::Listening(_) => None,
        }
    }

    /// The error that `SO_ERROR` asks for; it is then forgotten.
    pub(crate) fn take_error(&mut self) -> Option<i32> {
        self.connection().ok().and_then(Connection::take_error)
    }
}

impl Connection {
    pub(crate) fn new(stream: Stream<Tcp>) -> Self {
        Self { stream, is_announced: false, is_error_told: false, is_read_shut: false }
    }

    /// Why it ended badly, if the application does not know yet.
    pub(crate) fn error(&self) -> Option<i32> {
        let error = self.stream.ended().flatten().filter(|_| !self.is_error_told)?;
        // Who writes to a peer that has finished, and so learns that it is gone, wrote into a broken pipe.
        let finished = self.stream.readiness().contains(burstlane::socket::Ready::PEER_FINISHED);
        Some(if error == FlowError::Reset && finished { libc::EPIPE } else { errno(error) })
    }

    /// The same; from now on it does.
    pub(crate) fn take_error(&mut self) -> Option<i32> {
        let error = self.error()?;
        self.is_error_told = true;
        Some(error)
    }
}

/// The number that Linux has for a failure.
pub(crate) fn errno(error: FlowError) -> i32 {
    match error {
        FlowError::Refused => libc::ECONNREFUSED,
        FlowError::Reset => libc::ECONNRESET,
        FlowError::TimedOut => libc::ETIMEDOUT,
        FlowError::Unreachable => libc::EHOSTUNREACH,
        FlowError::Aborted => libc::ECONNABORTED,
        FlowError::Protocol => libc::EPROTO,
        FlowError::Unsupported => libc::EOPNOTSUPP,
        FlowError::NoPort => libc::EADDRNOTAVAIL,
        FlowError::InUse => libc::EADDRINUSE,
        FlowError::NoMemory => libc::ENOBUFS,
        FlowError::TooLarge => libc::EMSGSIZE,
        FlowError::Shutdown => libc::EPIPE,
        FlowError::Closed => libc::ENOTCONN,
        _ => libc::EIO,
    }
}

/// Descriptors of a stack at once.
pub(crate) const FILES_MAX: i32 = 10_000;
