//! An end on our stack.

use std::io;
use std::net::IpAddr;

use burstlane::addr::{Endpoint, Ip};
use burstlane::lane::EngineId;
use burstlane::socket::{Host, Ready, Stream};
use burstlane_tcp::Tcp;

use crate::end::Socket;

/// A stream of our host.
pub(crate) struct Ours {
    host: Host,
    tcp: EngineId<Tcp>,
    stream: Stream<Tcp>,
}

impl Ours {
    /// Opens one to the kernel.
    pub(crate) fn connect(host: &Host, tcp: EngineId<Tcp>, ip: IpAddr, port: u16) -> Self {
        let stream = host.connect(tcp, Endpoint::new(Ip::from(ip), port)).unwrap();
        Self::new(host, tcp, stream)
    }

    /// One that is open already, or being opened.
    pub(crate) fn new(host: &Host, tcp: EngineId<Tcp>, stream: Stream<Tcp>) -> Self {
        Self { host: host.clone(), tcp, stream }
    }
}

impl Socket for Ours {
    fn is_open(&self) -> bool {
        self.stream.readiness().contains(Ready::OPEN)
    }

    fn is_over(&self) -> bool {
        self.stream.ended().is_some()
    }

    fn unread_bytes(&self) -> usize {
        self.host.with(self.tcp, |core, _, _| core.io(self.stream.id()).map_or(0, |io| io.rx.len()))
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buf)
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.write(buf)
    }

    fn shutdown(&mut self) {
        self.stream.shutdown();
    }

    fn abort(&mut self) {
        self.stream.abort();
    }

    fn is_hasty(&self) -> bool {
        true
    }

    fn state(&self) -> String {
        format!("{:?}; {:?}", self.stream.inspect(Tcp::info), self.stream.ended())
    }
}
