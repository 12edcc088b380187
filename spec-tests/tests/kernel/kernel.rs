//! An end on the kernel's stack, and what is left there when all is over.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::end::Socket;
use crate::life::Life;

/// A socket of the kernel.
pub(crate) struct Kernel(TcpStream);

impl Kernel {
    /// Opens one to our host.
    pub(crate) fn connect(life: &Life, to: SocketAddr) -> Self {
        let socket = socket(life, to.ip());
        match net::connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => Self::new(life, TcpStream::from(socket)),
            Err(error) => panic!("connecting to {to}: {error}"),
        }
    }

    /// One that is open already, or being opened.
    pub(crate) fn new(life: &Life, stream: TcpStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(life.no_delay).unwrap();
        Self(stream)
    }
}

impl Socket for Kernel {
    fn is_open(&self) -> bool {
        self.0.peer_addr().is_ok()
    }

    fn is_over(&self) -> bool {
        !self.is_open()
    }

    fn unread_bytes(&self) -> usize {
        rustix::io::ioctl_fionread(&self.0).unwrap() as usize
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn shutdown(&mut self) {
        // Of what is reset already, it says that it is not connected.
        let _ = self.0.shutdown(Shutdown::Write);
    }

    fn abort(&mut self) {
        sockopt::set_socket_linger(&self.0, Some(Duration::ZERO)).unwrap();
    }

    fn is_hasty(&self) -> bool {
        false
    }

    fn state(&self) -> String {
        format!("{} bytes unread", self.unread_bytes())
    }
}

/// Listens at `ip`, at a port that the kernel chooses.
pub(crate) fn listen(life: &Life, ip: IpAddr) -> TcpListener {
    let socket = socket(life, ip);
    net::bind(&socket, &SocketAddr::new(ip, 0)).unwrap();
    net::listen(&socket, 8).unwrap();
    TcpListener::from(socket)
}

fn socket(life: &Life, ip: IpAddr) -> OwnedFd {
    let family = if ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None);
    let socket = socket.unwrap();
    if let Some(bytes) = life.buffers {
        // Before there is a connection: the window's scale follows from it.
        sockopt::set_socket_recv_buffer_size(&socket, bytes as usize).unwrap();
        sockopt::set_socket_send_buffer_size(&socket, bytes as usize).unwrap();
    }
    socket
}

/// The kernel's sockets that still stand for something, one a line of proc_net_tcp(5): not those in TIME-WAIT.
pub(crate) fn sockets_left() -> Vec<String> {
    let mut left = Vec::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap();
        let odd = text.lines().skip(1).filter(|line| line.split_whitespace().nth(3) != Some(TIME_WAIT));
        left.extend(odd.map(str::to_owned));
    }
    left
}

/// As proc_net_tcp(5) has it, hexadecimal.
const TIME_WAIT: &str = "06";
