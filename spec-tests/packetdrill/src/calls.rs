//! The calls on sockets, as POSIX and Linux have them, each tried once: `EAGAIN` says that it would have to wait.

use std::io::ErrorKind;

use burstlane::addr::{Endpoint, Ip};
use burstlane::socket::{Ready, Stream};
use burstlane::time::Duration;
use burstlane_tcp::TcpSocket;

use crate::Answer;
use crate::address::Family;
use crate::descriptors::{Connection, File, Role, Socket, errno};
use crate::options::Options;
use crate::stack::Stack;

/// Which way data goes, for what a call waits.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    In,
    Out,
}

impl Stack {
    pub(crate) fn socket(&mut self, domain: i32, kind: i32, protocol: i32) -> Answer<i32> {
        let family = Family::of(domain)?;
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        if kind & !flags != libc::SOCK_STREAM || !matches!(protocol, 0 | libc::IPPROTO_TCP) {
            return Err(libc::EPROTONOSUPPORT);
        }
        let nonblocking = kind & libc::SOCK_NONBLOCK != 0;
        let options = Options::new(self.sysctls.keep_alive());
        self.descriptors.add(File::Socket(Box::new(Socket { nonblocking, ..Socket::new(family, options) })))
    }

    /// How long a call waits; with `MSG_DONTWAIT` not at all.
    pub(crate) fn patience(&mut self, fd: i32, way: Way, flags: i32) -> Option<Duration> {
        let Ok(socket) = self.descriptors.socket(fd) else { return Some(Duration::ZERO) };
        if socket.nonblocking || flags & libc::MSG_DONTWAIT != 0 {
            return Some(Duration::ZERO);
        }
        match way {
            Way::In => socket.options.receive_timeout,
            Way::Out => socket.options.send_timeout,
        }
    }

    pub(crate) fn bind(&mut self, fd: i32, address: &[u8]) -> Answer<()> {
        let socket = self.descriptors.socket(fd)?;
        let (end, reuse) = (socket.family.read(address)?, socket.options.reuse_address);
        if socket.local.is_some() || !matches!(socket.role, Role::Fresh) {
            return Err(libc::EINVAL);
        }
        if end.ip != Ip::ANY && !self.world.host.lane().net().is_local(end.ip) {
            return Err(libc::EADDRNOTAVAIL);
        }
        let is_taken = self.descriptors.sockets().any(|other| {
            let shares = reuse && other.options.reuse_address && !matches!(other.role, Role::Listening(_));
            let meets = |local: Endpoint| local.ip == end.ip || local.ip == Ip::ANY || end.ip == Ip::ANY;
            !shares && other.local.is_some_and(|local| end.port != 0 && local.port == end.port && meets(local))
        });
        if is_taken {
            return Err(libc::EADDRINUSE);
        }
        self.descriptors.socket(fd)?.local = Some(end);
        Ok(())
    }

    pub(crate) fn listen(&mut self, fd: i32, backlog: i32) -> Answer<()> {
        let (host, engine) = (self.world.host.clone(), self.world.engine);
        let socket = self.descriptors.socket(fd)?;
        match socket.role {
            Role::Fresh => {}
            Role::Listening(_) => return Ok(()),
            Role::Connected(_) => return Err(libc::EINVAL),
        }
        // Linux takes one more than asked for.
        let backlog = u32::try_from(backlog).unwrap_or(BACKLOG_MAX).min(BACKLOG_MAX) + 1;
        let listener = host.listen(engine, socket.local.unwrap_or_default(), backlog).map_err(errno)?;
        socket.local = Some(listener.local());
        socket.role = Role::Listening(listener);
        Ok(())
    }

    /// A new descriptor, and the bytes of the peer's address.
    pub(crate) fn accept(&mut self, fd: i32) -> Answer<(i32, Vec<u8>)> {
        let socket = self.descriptors.socket(fd)?;
        let Role::Listening(listener) = &socket.role else { return Err(libc::EINVAL) };
        let stream = listener.accept().ok_or(libc::EAGAIN)?;
        let (family, options) = (socket.family, socket.options.clone());
        // A connection that was reset meanwhile has no ends any more, and is handed out all the same.
        let (local, peer) = stream.endpoints().unwrap_or_default();
        options.apply(&stream);
        let mut child = Socket::new(family, options);
        child.local = Some(local);
        child.role = Role::Connected(Connection { is_announced: true, ..Connection::new(stream) });
        let fd = self.descriptors.add(File::Socket(Box::new(child)))?;
        Ok((fd, family.write(peer)))
    }

    /// Begins to connect. `EAGAIN` is not among the answers.
    pub(crate) fn connect(&mut self, fd: i32, address: &[u8]) -> Answer<()> {
        let (host, engine) = (self.world.host.clone(), self.world.engine);
        let socket = self.descriptors.socket(fd)?;
        let peer = socket.family.read(address)?;
        match &socket.role {
            Role::Fresh => {}
            Role::Listening(_) => return Err(libc::EISCONN),
            Role::Connected(connection) if connection.is_announced => return Err(libc::EISCONN),
            Role::Connected(connection) if is_opening(&connection.stream) => return Err(libc::EALREADY),
            Role::Connected(_) => return Ok(()),
        }
        let flow = host.open(engine, socket.local, peer).map_err(errno)?;
        let stream = Stream::new(host, engine, flow);
        socket.options.apply(&stream);
        socket.role = Role::Connected(Connection::new(stream));
        Ok(())
    }

    /// What became of `connect`.
    pub(crate) fn connected(&mut self, fd: i32) -> Answer<()> {
        let socket = self.descriptors.socket(fd)?;
        let connection = socket.connection()?;
        if is_opening(&connection.stream) {
            return Err(libc::EAGAIN);
        }
        match connection.take_error() {
            None => {
                connection.is_announced = true;
                Ok(())
            }
            Some(error) => {
                // It can be tried again.
                socket.role = Role::Fresh;
                Err(error)
            }
        }
    }

    /// Received bytes; none at the end.
    pub(crate) fn read(&mut self, fd: i32, bytes_max: usize, flags: i32) -> Answer<Vec<u8>> {
        if flags & libc::MSG_OOB != 0 {
            // Urgent data stays in line (RFC 6093).
            return Err(libc::EINVAL);
        }
        let connection = self.descriptors.socket(fd)?.connection()?;
        let mut bytes = vec![0; bytes_max.min(READ_BYTES_MAX)];
        let result = if flags & libc::MSG_PEEK != 0 {
            let mut seen = 0;
            let peeked = connection.stream.read_with(|piece| {
                seen = piece.len().min(bytes.len());
                bytes.iter_mut().zip(piece).for_each(|(to, from)| *to = *from);
                0
            });
            peeked.map(|_| seen)
        } else {
            connection.stream.read(&mut bytes)
        };
        match result {
            Ok(count) => {
                bytes.truncate(count);
                Ok(bytes)
            }
            // What is there can still be read.
            Err(error) if error.kind() == ErrorKind::WouldBlock && connection.is_read_shut => Ok(vec![]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(libc::EAGAIN),
            // What ended badly says so once; then it is the end.
            Err(_) => connection.take_error().map_or(Ok(vec![]), Err),
        }
    }

    /// Bytes that were taken, at least one if there is one.
    pub(crate) fn write(&mut self, fd: i32, bytes: &[u8], flags: i32) -> Answer<usize> {
        let socket = self.descriptors.socket(fd)?;
        let Role::Connected(connection) = &mut socket.role else { return Err(libc::EPIPE) };
        if is_opening(&connection.stream) {
            return Err(libc::EAGAIN);
        }
        let urgent = flags & libc::MSG_OOB != 0;
        let stream = &connection.stream;
        let more = flags & libc::MSG_MORE != 0;
        if more && !socket.options.has_more {
            stream.set_cork(true);
        }
        let result = if urgent { stream.write_urgent(bytes) } else { stream.write(bytes) };
        // Only once: a stream that is told something has to look whether it may send.
        if !more && socket.options.has_more && result.is_ok() {
            stream.set_cork(socket.options.cork);
        }
        socket.options.has_more = more || socket.options.has_more && result.is_err();
        match result {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(libc::EAGAIN),
            Err(_) => Err(connection.take_error().unwrap_or(libc::EPIPE)),
        }
    }

    pub(crate) fn shutdown(&mut self, fd: i32, how: i32) -> Answer<()> {
        let socket = self.descriptors.socket(fd)?;
        if !matches!(how, libc::SHUT_RD | libc::SHUT_WR | libc::SHUT_RDWR) {
            return Err(libc::EINVAL);
        }
        if matches!(socket.role, Role::Listening(_)) && how != libc::SHUT_WR {
            socket.role = Role::Fresh;
            return Ok(());
        }
        let connection = socket.connection()?;
        if connection.stream.ended().is_some() {
            return Err(libc::ENOTCONN);
        }
        connection.is_read_shut |= how != libc::SHUT_WR;
        if how != libc::SHUT_RD {
            connection.stream.shutdown();
        }
        socket.edges += 1;
        Ok(())
    }

    pub(crate) fn close(&mut self, fd: i32) -> Answer<()> {
        self.descriptors.remove(fd)
    }

    pub(crate) fn fcntl(&mut self, fd: i32, command: i32, argument: i32) -> Answer<i32> {
        let socket = self.descriptors.socket(fd)?;
        match command {
            libc::F_GETFL => Ok(libc::O_RDWR | if socket.nonblocking { libc::O_NONBLOCK } else { 0 }),
            libc::F_SETFL => {
                socket.nonblocking = argument & libc::O_NONBLOCK != 0;
                Ok(0)
            }
            libc::F_GETFD | libc::F_SETFD => Ok(0),
            _ => Err(libc::EINVAL),
        }
    }

    /// The `int` that `ioctl` gives back; of `FIONBIO` it is the one that it takes.
    pub(crate) fn ioctl(&mut self, fd: i32, request: u64, argument: i32) -> Answer<i32> {
        let (host, engine) = (self.world.host.clone(), self.world.engine);
        let socket = self.descriptors.socket(fd)?;
        if request == libc::FIONBIO {
            socket.nonblocking = argument != 0;
            return Ok(argument);
        }
        let stream = socket.stream().ok_or(libc::EINVAL)?;
        let buffered = |queue: fn(&burstlane::socket::StreamIo) -> usize| {
            host.with(engine, |core, _, _| core.io(stream.id()).map_or(0, |io| queue(io))) as i32
        };
        match request {
            libc::FIONREAD => Ok(buffered(|io| io.rx.len())),
            libc::TIOCOUTQ => Ok(buffered(|io| io.tx.len())),
            SIOCOUTQNSD => Ok(stream.unsent() as i32),
            _ => Err(libc::ENOTTY),
        }
    }

    /// The bits of `poll` that hold now.
    pub(crate) fn readiness(&mut self, fd: i32) -> Answer<i16> {
        let socket = self.descriptors.socket(fd)?;
        let connection = match &socket.role {
            Role::Fresh => return Ok(libc::POLLOUT | libc::POLLHUP),
            Role::Listening(listener) => {
                let (host, engine, id) = (self.world.host.clone(), self.world.engine, listener.id());
                let waiting = host.with(engine, |core, _, _| core.listener(id)).is_some_and(|port| port.queued > 0);
                return Ok(if waiting { libc::POLLIN | libc::POLLRDNORM } else { 0 });
            }
            Role::Connected(connection) => connection,
        };
        let ready = connection.stream.readiness();
        let ended = ready.contains(Ready::CLOSED);
        let wrote_all = connection.stream.inspect_io(|_, _, io| io.tx_finished).unwrap_or(true);
        let read_all = ready.contains(Ready::PEER_FINISHED) || connection.is_read_shut || ended;
        let bits = [
            (libc::POLLIN | libc::POLLRDNORM, ready.contains(Ready::READABLE) || read_all),
            (libc::POLLRDHUP, read_all),
            (libc::POLLOUT | libc::POLLWRNORM, ready.contains(Ready::WRITABLE) || wrote_all),
            (libc::POLLPRI, connection.stream.urgent_bytes() > 0),
            (libc::POLLERR, connection.error().is_some()),
            (libc::POLLHUP, ended || read_all && wrote_all),
        ];
        Ok(bits.iter().filter(|(_, holds)| *holds).fold(0, |all, (bit, _)| all | bit))
    }
}

fn is_opening(stream: &Stream<burstlane_tcp::Tcp>) -> bool {
    !stream.readiness().intersects(Ready::OPEN | Ready::CLOSED)
}

/// What Linux has as `net.core.somaxconn`.
const BACKLOG_MAX: u32 = 4096;
/// Bytes of one call.
const READ_BYTES_MAX: usize = 16 << 20;
/// Of `linux/sockios.h`: bytes never sent.
const SIOCOUTQNSD: u64 = 0x894b;
