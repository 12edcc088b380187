//! Scripts: tests that read as packet traces. One real host, with a lane, a transport and its sockets, is on one end of a
//! simulated link; the test is the peer on the other end, and holds the clock. The peer sends, the test says what it
//! expects, time passes, and nothing else may come:
//!
//! ```text
//! s.peer(syn().mss(1460));
//! s.expect(syn_ack().seq(0).ack(1));
//! s.peer(ack(1));
//! s.expect_after(Duration::from_secs(1), ...);
//! s.nothing_more();
//! ```
//!
//! What a packet is, [`Packet`] says: [`tcp::Segment`] is one, [`udp::Datagram`] another, and a third party may bring its
//! own. Of an expected packet only the fields that matter are given. What fails prints the whole trace up to there.
//!
//! Not here: two hosts (that is [`Hosts`](crate::Hosts)), and faults on the link.

pub mod tcp;
mod trace;
pub mod udp;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::driver::Driver;
use burstlane::frame::PoolConfig;
use burstlane::lane::{EngineId, Lane, LaneConfig};
use burstlane::net::InterfaceConfig;
use burstlane::socket::{Host, Listener};
use burstlane::time::Instant;
use burstlane::transport::Transport;
use burstlane_sim::{EndConfig, Ideal, Network, SimDriver};

use crate::decode::CheckedDriver;
use crate::face::{Channel, Face, Handle};
use crate::hosts::small_lane;
use crate::link::is_neighbour_traffic;
use crate::packets::{arp_reply, checksum, ipv4_frame};
use trace::{Trace, Who};

/// A packet that scripts write and read: what follows the IP header. Any of its fields may be left unsaid: in a packet to
/// be sent it then has its usual value, in an expected one it may be anything. One that was read has them all.
pub trait Packet: Clone + fmt::Display {
    /// What both ends count from, and their ports; kept by the script, and learned from what is read.
    type Ends;
    /// Its number in the IP header.
    const PROTOCOL: u8;
    /// Where its checksum stands.
    const CHECKSUM_FIELD: usize;

    /// The bytes of a packet from the peer to the host, its checksum zero.
    fn write(&self, ends: &mut Self::Ends) -> Vec<u8>;

    /// Reads a packet from the host to the peer, whose checksum is right. `None` if it is none of this script's.
    fn read(bytes: &[u8], ends: &mut Self::Ends) -> Option<Self>;

    /// The names of the fields that are said here and are otherwise in `came`.
    fn differences(&self, came: &Self) -> Vec<&'static str>;

    /// The host's port and the peer's.
    fn ports(ends: &Self::Ends) -> [u16; 2];
}

/// One host, its peer, and what they said.
pub struct Script<T: Transport, P: Packet> {
    /// The host.
    pub host: Host,
    /// The transport on it.
    pub engine: EngineId<T>,
    /// What the packets count from.
    pub ends: P::Ends,
    network: Network,
    wire: SimDriver,
    heard: VecDeque<(Instant, P)>,
    last_frame: Vec<u8>,
    questions: u32,
    trace: Trace,
}

impl<T: Transport, P: Packet> Script<T, P> {
    /// A host with this transport, at time zero.
    ///
    /// # Panics
    /// If the transport cannot be added to a lane.
    #[must_use]
    pub fn new(config: T::Config, ends: P::Ends) -> Self {
        Self::starting_at(Duration::ZERO, config, ends)
    }

    /// The same, with the clock at `start`: what a transport takes from it (sequence numbers, timestamps) is then elsewhere.
    ///
    /// # Panics
    /// If the transport cannot be added to a lane.
    #[must_use]
    pub fn starting_at(start: Duration, config: T::Config, ends: P::Ends) -> Self {
        let network = Network::new();
        network.advance(Instant::ZERO + start);
        let end =
            |n| EndConfig { pool: PoolConfig { slots: POOL_SLOTS, ..PoolConfig::default() }, ..EndConfig::host(n) };
        let (ours, wire) = network.link(end(1), end(2), Box::<Ideal>::default(), Box::<Ideal>::default());
        let mut lane = Lane::new(LaneConfig { seed: LaneConfig::seeded(SEED).seed, ..small_lane(SEED) });
        let addresses = vec![(Ip::v4(HOST), 24)];
        let driver = CheckedDriver::boxed(Box::new(ours));
        lane.add_interface(driver, InterfaceConfig { addresses, ..InterfaceConfig::default() });
        let engine = lane.add::<T>(config).unwrap();
        let trace = Trace::new(network.now());
        let mut script = Self {
            host: Host::new(lane),
            engine,
            ends,
            network,
            wire,
            heard: VecDeque::new(),
            last_frame: vec![],
            questions: 0,
            trace,
        };
        // Whoever speaks to a host has asked for its address, so that it knows ours.
        script.put([arp_question()]);
        script.settle();
        script
    }

    /// The peer sends `packet`.
    pub fn peer(&mut self, packet: P) {
        self.peer_burst([packet]);
    }

    /// The peer sends `packet`, and a bit of its last byte is flipped on the way.
    ///
    /// # Panics
    /// If there is nothing to flip.
    pub fn peer_damaged(&mut self, packet: P) {
        self.settle();
        let bytes = packet.write(&mut self.ends);
        let mut frame = ipv4_frame(2, 1, P::PROTOCOL, bytes, Some(P::CHECKSUM_FIELD));
        *frame.last_mut().expect("a frame has a byte") ^= 1;
        self.peer_frame(&format!("{packet} (damaged)"), frame);
    }

    /// Any frame comes from the link, Ethernet header first; `remark` stands for it in the trace.
    pub fn peer_frame(&mut self, remark: &str, frame: Vec<u8>) {
        self.settle();
        self.trace.push(self.network.now(), Who::Peer, &remark);
        self.put([frame]);
        self.settle();
    }

    /// The frame of the last packet that the host sent, Ethernet header first; empty before the first.
    #[must_use]
    pub fn last_frame(&self) -> &[u8] {
        &self.last_frame
    }

    /// The peer sends these, and the host receives them in one burst.
    pub fn peer_burst(&mut self, packets: impl IntoIterator<Item = P>) {
        self.settle();
        let mut frames = vec![];
        for packet in packets {
            let bytes = packet.write(&mut self.ends);
            frames.push(ipv4_frame(2, 1, P::PROTOCOL, bytes, Some(P::CHECKSUM_FIELD)));
            self.trace.push(self.network.now(), Who::Peer, &packet);
        }
        self.put(frames);
        self.settle();
    }

    /// The next packet of the host's is `packet`, and it came without waiting. Returns it with all its fields.
    ///
    /// # Panics
    /// If something else came, or nothing.
    #[track_caller]
    pub fn expect(&mut self, packet: P) -> P {
        self.expect_after(Duration::ZERO, packet)
    }

    /// The next packet of the host's comes `time` from now, not earlier and at most [`TICKS`] later, and is `packet`.
    ///
    /// # Panics
    /// If something else comes, or at another time.
    #[track_caller]
    pub fn expect_after(&mut self, time: Duration, packet: P) -> P {
        let began = self.network.now();
        let late = if time.is_zero() { Duration::ZERO } else { TICKS };
        let Some((at, came)) = self.next_until(began + time + late) else {
            self.fail(&format!("expected after {time:?}: {packet}\n    came: nothing"));
        };
        let differences = packet.differences(&came);
        if !differences.is_empty() {
            let fields = differences.join(", ");
            self.fail(&format!("expected: {packet}\n    came: {came}\n differ: {fields}"));
        }
        // What was heard before this call came without waiting.
        let passed = at.since(began);
        if passed < time {
            self.fail(&format!("expected after {time:?}: {packet}\n    came: after {passed:?}"));
        }
        came
    }

    /// What the host sends next, if that is within `time`; and how long it took.
    pub fn next_within(&mut self, time: Duration) -> Option<(Duration, P)> {
        let began = self.network.now();
        self.next_until(began + time).map(|(at, packet)| (at.since(began), packet))
    }

    /// The host has nothing more to say now.
    ///
    /// # Panics
    /// If it has.
    #[track_caller]
    pub fn nothing_more(&mut self) {
        self.settle();
        if let Some((_, came)) = self.heard.front() {
            let came = came.to_string();
            self.fail(&format!("expected: nothing more\n    came: {came}"));
        }
    }

    /// `time` passes, and the host says nothing in it.
    ///
    /// # Panics
    /// If it does.
    #[track_caller]
    pub fn silence(&mut self, time: Duration) {
        self.after(time);
        self.nothing_more();
    }

    /// `time` passes. What the host says in it is expected next.
    pub fn after(&mut self, time: Duration) {
        let end = self.network.now() + time;
        self.settle();
        while self.pass_to_deadline(end) {}
        self.network.advance(end);
        self.settle();
    }

    /// The clock jumps, as that of a machine that slept: the host gets no turn in between.
    pub fn jump(&mut self, time: Duration) {
        self.settle();
        self.network.advance(self.network.now() + time);
        self.settle();
    }

    /// What the host said and nobody expected yet, with the time since the start of the script.
    pub fn take(&mut self) -> Vec<(Duration, P)> {
        self.settle();
        let started_at = self.trace.started_at();
        self.heard.drain(..).map(|(at, packet)| (at.since(started_at), packet)).collect()
    }

    /// Times that the host asked for the peer's hardware address, and got an answer.
    #[must_use]
    pub fn questions(&self) -> u32 {
        self.questions
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.network.now()
    }

    /// Packets that the host dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: &str) -> u64 {
        self.host.lane().drops().get(reason)
    }

    /// The trace up to now.
    #[must_use]
    pub fn trace(&self) -> String {
        self.trace.to_string()
    }

    /// A remark in the trace.
    pub fn note(&mut self, remark: &str) {
        self.trace.push(self.network.now(), Who::App, &remark);
    }

    /// Fails, with the trace.
    ///
    /// # Panics
    /// Always.
    #[track_caller]
    pub fn fail(&self, reason: &str) -> ! {
        panic!("\n{}{reason}\n", self.trace);
    }

    fn next_until(&mut self, end: Instant) -> Option<(Instant, P)> {
        self.settle();
        while self.heard.is_empty() && self.pass_to_deadline(end) {}
        self.heard.pop_front()
    }

    /// Lets the host's next deadline come, if that is not behind `end`.
    fn pass_to_deadline(&mut self, end: Instant) -> bool {
        let Some(at) = self.host.next_deadline().filter(|at| *at <= end) else { return false };
        // A deadline may be due by now; the clock goes on all the same.
        let next = at.max(self.network.now() + Duration::from_nanos(1));
        if next > end {
            return false;
        }
        self.network.advance(next);
        self.settle();
        true
    }

    /// Turns until the host is silent, at the present instant.
    fn settle(&mut self) {
        let now = self.network.now();
        loop {
            let moved = self.host.receive(now) + self.host.transmit(now);
            let mut frames = vec![];
            self.wire.rx_burst(&mut frames, FRAMES_MAX).unwrap();
            for frame in &frames {
                match arp_reply(frame.bytes(), 2) {
                    Some(reply) => {
                        self.questions += 1;
                        self.put([reply]);
                    }
                    None if is_neighbour_traffic(frame.bytes()) => {}
                    None => self.hear(now, frame.bytes()),
                }
            }
            if moved == 0 && frames.is_empty() {
                return;
            }
        }
    }

    fn hear(&mut self, now: Instant, frame: &[u8]) {
        let Some(packet) = self.read(frame) else {
            let strange = format!("({} bytes that are none of this script's packets)", frame.len());
            return self.trace.push(now, Who::Host, &strange);
        };
        self.trace.push(now, Who::Host, &packet);
        self.last_frame = frame.to_vec();
        self.heard.push_back((now, packet));
    }

    /// IPv4 from the host to the peer, with every checksum right.
    fn read(&mut self, frame: &[u8]) -> Option<P> {
        let packet = frame.get(14..).filter(|_| frame[12..14] == [8, 0])?;
        let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        let (header, bytes) = packet.get(..total)?.split_at_checked(20)?;
        if header[9] != P::PROTOCOL {
            return None;
        }
        assert_eq!(checksum(header), 0, "the checksum of the host's IP header");
        let mut pseudo = [&header[12..20], &[0, P::PROTOCOL], &(bytes.len() as u16).to_be_bytes()].concat();
        pseudo.extend(bytes);
        assert_eq!(checksum(&pseudo), 0, "the checksum of the host's packet");
        P::read(bytes, &mut self.ends)
    }

    fn put(&mut self, frames: impl IntoIterator<Item = Vec<u8>>) {
        let mut burst = vec![];
        for bytes in frames {
            let mut frame = self.wire.pool().alloc().expect("the peer's pool is dry");
            assert!(frame.extend_from_slice(&bytes), "{} bytes are too many for a frame", bytes.len());
            burst.push(frame);
        }
        self.wire.tx_burst(&mut burst).unwrap();
        assert!(burst.is_empty(), "more at once than the link takes");
    }
}

/// What the application does; in the trace it stands between the packets.
impl<T: Transport<Io: Face>, P: Packet> Script<T, P> {
    /// Listens at the host's port.
    ///
    /// # Panics
    /// If the port is taken.
    pub fn listen(&mut self, backlog: u32) -> Listener<T> {
        self.note("listen");
        let [port, _] = P::ports(&self.ends);
        self.host.listen(self.engine, Endpoint::new(Ip::ANY, port), backlog).unwrap()
    }

    /// Opens a flow from the host's port to the peer's. What leaves for it can be expected next.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub fn connect(&mut self) -> Handle<T> {
        self.connect_with(|_| ())
    }

    /// The same; the application does something with the flow before anything leaves.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub fn connect_with(&mut self, first: impl FnOnce(&Handle<T>)) -> Handle<T> {
        self.note("connect");
        let [port, peer_port] = P::ports(&self.ends);
        let local = Endpoint::new(Ip::v4(HOST), port);
        let flow = self.host.open(self.engine, Some(local), Endpoint::new(Ip::v4(PEER), peer_port)).unwrap();
        let handle = <T::Io as Face>::handle(&self.host, self.engine, flow);
        first(&handle);
        self.settle();
        handle
    }

    /// Takes a flow from a listener, if one waits there.
    pub fn accept(&mut self, listener: &Listener<T>) -> Option<Handle<T>> {
        let flow = listener.accept_flow()?;
        self.note("accept");
        Some(<T::Io as Face>::handle(&self.host, self.engine, flow))
    }

    /// Writes all of `bytes`, or sends them as a message.
    ///
    /// # Panics
    /// If the socket does not take them at once.
    #[track_caller]
    pub fn write(&mut self, handle: &Handle<T>, bytes: &[u8]) {
        self.note(&format!("write {} bytes", bytes.len()));
        let taken = handle.send(bytes).expect("the socket takes them");
        assert_eq!(taken, bytes.len(), "the socket takes all of them");
        self.settle();
    }

    /// Reads what is there: most often one piece or message, at most `bytes_max` bytes; `None` at the end.
    ///
    /// # Panics
    /// If the flow ended badly.
    #[track_caller]
    pub fn read_up_to(&mut self, handle: &Handle<T>, bytes_max: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; bytes_max];
        let read = match handle.recv(&mut bytes) {
            Ok(Some(read)) => read,
            Ok(None) => return None,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => self.fail(&format!("read: {error}")),
        };
        bytes.truncate(read);
        self.note(&format!("read {read} bytes"));
        self.settle();
        Some(bytes)
    }

    /// Sends no more.
    pub fn shutdown(&mut self, handle: &Handle<T>) {
        self.note("shutdown");
        handle.shutdown();
        self.settle();
    }

    /// Ends the flow at once.
    pub fn abort(&mut self, handle: &Handle<T>) {
        self.note("abort");
        handle.abort();
        self.settle();
    }

    /// Lets go of the flow.
    pub fn close(&mut self, handle: Handle<T>) {
        self.note("close");
        drop(handle);
        self.settle();
    }
}

/// RFC 826: the peer asks for the host.
fn arp_question() -> Vec<u8> {
    let mac = crate::packets::mac(2);
    [&[0xff; 6][..], &mac, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &mac, &PEER, &[0; 6], &HOST].concat()
}

/// How much later than computed a timer of the host's may fire: it is rounded up to the ticks of a wheel.
pub const TICKS: Duration = Duration::from_millis(3);

/// The host's address.
pub const HOST: [u8; 4] = [10, 0, 0, 1];
/// The peer's address.
pub const PEER: [u8; 4] = [10, 0, 0, 2];
/// Of everything random in the host. A script that wants other luck takes another time.
const SEED: u64 = 7;
const POOL_SLOTS: u32 = 256;
const FRAMES_MAX: usize = 1000;
