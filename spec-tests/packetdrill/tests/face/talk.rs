//! A host behind its C face, and its peer, whom the test plays packet by packet.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use burstlane_spec::packets::checksum;
use burstlane_spec::script::Packet;
use burstlane_spec::script::tcp::{Ends, Segment, ack, syn, syn_ack};

use crate::ffi::Stack;

/// The family of packets, and that of sockets: IPv4 comes to sockets of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Net {
    V4,
    V6,
    Mapped,
}

pub(crate) const NETS: [Net; 3] = [Net::V4, Net::V6, Net::Mapped];

pub(crate) struct Talk {
    pub(crate) stack: Arc<Stack>,
    pub(crate) net: Net,
    pub(crate) ends: Ends,
}

impl Talk {
    pub(crate) fn new(net: Net) -> Self {
        let stack = Stack::new("local=10.0.0.1,local=fd00::1,mtu=1500,sysctls=/nowhere");
        Self { stack: Arc::new(stack), net, ends: Ends::new(0x7000) }
    }

    pub(crate) fn domain(&self) -> i32 {
        if self.net == Net::V4 { libc::AF_INET } else { libc::AF_INET6 }
    }

    /// A socket address; of `host` only the last byte differs.
    pub(crate) fn address(&self, host: u8, port: u16) -> Vec<u8> {
        let family = (self.domain() as u16).to_ne_bytes();
        let head = [family, port.to_be_bytes()].concat();
        match self.net {
            Net::V4 => [&head[..], &[10, 0, 0, host], &[0; 8]].concat(),
            Net::V6 => [&head[..], &[0; 4], &v6(host), &[0; 4]].concat(),
            Net::Mapped => [&head[..], &[0; 14], &[0xff, 0xff, 10, 0, 0, host], &[0; 4]].concat(),
        }
    }

    pub(crate) fn peer_address(&self) -> Vec<u8> {
        self.address(2, self.ends.ports[1])
    }

    /// A socket bound to the host's port.
    pub(crate) fn bound(&self) -> i32 {
        let fd = self.stack.socket(self.domain());
        assert_eq!(self.stack.bind(fd, &self.address(1, self.ends.ports[0])), Ok(0));
        fd
    }

    /// One that listens there.
    pub(crate) fn listening(&self) -> i32 {
        let fd = self.bound();
        assert_eq!(self.stack.listen(fd, 5), Ok(0));
        fd
    }

    /// An accepted connection, and its listener.
    pub(crate) fn accepted(&mut self, offer: Segment) -> (i32, i32) {
        self.accepted_after(0, offer)
    }

    /// The same, with a round trip of so many microseconds.
    pub(crate) fn accepted_after(&mut self, micros: u32, offer: Segment) -> (i32, i32) {
        let listener = self.listening();
        self.peer(offer);
        self.expect(syn_ack().seq(0).ack(1));
        self.stack.sleep(micros);
        self.peer(ack(1));
        let (fd, peer) = self.stack.accept(listener).unwrap();
        assert_eq!(peer, self.peer_address());
        (fd, listener)
    }

    /// A connection that the host opened.
    pub(crate) fn connected(&mut self) -> i32 {
        let fd = self.bound();
        self.stack.fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK).unwrap();
        assert_eq!(self.stack.connect(fd, &self.peer_address()), Err(libc::EINPROGRESS));
        self.expect(syn().seq(0));
        self.peer(syn_ack().ack(1).mss(1000));
        self.expect(ack(1).seq(1));
        assert_eq!(self.stack.connect(fd, &self.peer_address()), Ok(0));
        fd
    }

    pub(crate) fn peer(&mut self, segment: Segment) {
        let bytes = segment.write(&mut self.ends);
        let packet = self.packet(bytes);
        self.stack.packet_in(&packet);
    }

    /// The next packet is this one, and came without waiting. Returns it with all its fields.
    #[track_caller]
    pub(crate) fn expect(&mut self, segment: Segment) -> Segment {
        self.expect_after(Duration::ZERO, segment)
    }

    /// The next packet is this one, `time` from now, give or take two milliseconds.
    #[track_caller]
    pub(crate) fn expect_after(&mut self, time: Duration, segment: Segment) -> Segment {
        let began = self.stack.now();
        let (packet, micros) = self.stack.packet_out().unwrap_or_else(|| panic!("expected {segment}, came nothing"));
        let came = self.read(&packet);
        let differences = segment.differences(&came);
        assert!(differences.is_empty(), "expected {segment}\n    came {came}\n  differ {differences:?}");
        // What left before this call came without waiting.
        let passed = (micros - began).max(0);
        let late = passed - time.as_micros() as i64;
        assert!(late.abs() <= 2000, "expected {segment} after {time:?}, came after {passed} us");
        came
    }

    /// `call` on a thread of its own, which now waits in it; with the answer comes the time at which it was there.
    pub(crate) fn blocked<R: Send + 'static>(
        &self,
        call: impl FnOnce(&Stack) -> R + Send + 'static,
    ) -> JoinHandle<(R, i64)> {
        let stack = Arc::clone(&self.stack);
        let (begins, has_begun) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            begins.send(thread_id()).unwrap();
            let answer = call(&stack);
            let now = stack.now();
            // Its time on the processor is not the test's: asleep or gone, as packetdrill tells it.
            (answer, now)
        });
        await_sleep(has_begun.recv().unwrap(), &thread);
        thread
    }

    fn packet(&self, mut segment: Vec<u8>) -> Vec<u8> {
        let len = segment.len() as u16;
        let mut header = match self.net {
            Net::V6 => [&[0x60, 0, 0, 0], &len.to_be_bytes()[..], &[6, 64], &v6(2), &v6(1)].concat(),
            Net::V4 | Net::Mapped => {
                let total = (len + 20).to_be_bytes();
                [&[0x45, 0], &total[..], &[0, 0, 0x40, 0, 64, 6, 0, 0], &[10, 0, 0, 2], &[10, 0, 0, 1]].concat()
            }
        };
        let sum = checksum(&[pseudo(&header, len), segment.clone()].concat()).to_be_bytes();
        segment[16..18].copy_from_slice(&sum);
        if self.net != Net::V6 {
            let sum = checksum(&header).to_be_bytes();
            header[10..12].copy_from_slice(&sum);
        }
        [header, segment].concat()
    }

    fn read(&mut self, packet: &[u8]) -> Segment {
        let header_bytes = if self.net == Net::V6 { 40 } else { 20 };
        let (header, segment) = packet.split_at(header_bytes);
        let pseudo = pseudo(header, segment.len() as u16);
        assert_eq!(checksum(&[&pseudo[..], segment].concat()), 0, "the checksum of a packet of the host's");
        Segment::read(segment, &mut self.ends).expect("a segment of this connection")
    }
}

fn pseudo(header: &[u8], len: u16) -> Vec<u8> {
    let addresses = if header[0] >> 4 == 6 { &header[8..40] } else { &header[12..20] };
    [addresses, &[0, 6], &len.to_be_bytes()].concat()
}

fn v6(host: u8) -> [u8; 16] {
    [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]
}

fn thread_id() -> i32 {
    std::fs::read_link("/proc/thread-self").unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// Waits until the kernel says that a thread sleeps, which is how packetdrill tells that its call blocks.
fn await_sleep<R>(id: i32, thread: &JoinHandle<R>) {
    // A moment's wait for a lock of the process is not it.
    let mut times = 0;
    while !thread.is_finished() {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{id}/stat")).unwrap_or_default();
        let sleeps = stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('S'));
        times = if sleeps { times + 1 } else { 0 };
        if times == SLEEPS {
            return;
        }
        thread::yield_now();
    }
}

/// How often in a row a thread is seen asleep.
const SLEEPS: u32 = 50;
