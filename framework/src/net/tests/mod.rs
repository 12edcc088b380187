//! The network layer as a whole: two of them back to back, and one against bytes that others made.

mod control;
mod conversation;
mod egress;
mod fragments;
mod robust;

use super::*;
use crate::watched::Watched;

/// A protocol number that nobody uses (RFC 3692), with its checksum in the bytes 2 and 3 of its header.
pub(super) const PROTO: u8 = 253;
pub(super) const SPEC: ChecksumSpec = ChecksumSpec { field: 2 };
pub(super) const DIRECT: Encapsulation = Encapsulation::Ip { protocol: PROTO, checksum: Some(SPEC) };
pub(super) const ENGINE: EngineIndex = EngineIndex(3);
pub(super) const WIRE: NetifId = NetifId(1);

pub(super) fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

pub(super) fn ip(text: &str) -> Ip {
    text.parse::<std::net::IpAddr>().unwrap().into()
}

pub(super) fn mac(host: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, host])
}

pub(super) fn caps(host: u8) -> Capabilities {
    Capabilities { mac: mac(host), ..Capabilities::default() }
}

/// A host 10.0.0.`host`, fd77::`host` with one interface, and its packet memory.
pub(super) struct Host {
    pub(super) net: Net,
    pub(super) pool: FramePool,
    pub(super) large: FramePool,
    pub(super) inputs: Vec<Input>,
    watched: Watched,
}

impl Host {
    pub(super) fn with(host: u8, caps: Capabilities, vlan: Option<u16>) -> Self {
        let mut net = Net::new(NetConfig::default(), u64::from(host));
        let pool = FramePool::new(PoolConfig { slots: 256, ..PoolConfig::default() });
        let large = FramePool::new(PoolConfig { slots: 4, slot_bytes: 65_536 + 256, headroom: 128 });
        let addresses = vec![(Ip::v4([10, 0, 0, host]), 24), (ip(&format!("fd77::{host}")), 64)];
        let config = InterfaceConfig { addresses, vlan, mtu: None };
        let watched = Watched::new(&caps);
        assert_eq!(net.add_interface(caps, pool.clone(), Some(large.clone()), config), WIRE);
        net.set_room(WIRE, 128);
        net.register(ENGINE, Claim::Ip { protocol: PROTO, checksum: Some(SPEC) }).unwrap();
        net.register(ENGINE, Claim::Udp).unwrap();
        Self { net, pool, large, inputs: vec![], watched }
    }

    pub(super) fn new(host: u8) -> Self {
        Self::with(host, caps(host), None)
    }

    /// A frame with these bytes, in this host's memory.
    pub(super) fn frame(&self, bytes: &[u8]) -> Frame {
        let pool = if bytes.len() > self.pool.frame_bytes_max() { &self.large } else { &self.pool };
        let mut frame = pool.alloc().unwrap();
        assert!(frame.extend_from_slice(bytes));
        frame
    }

    pub(super) fn receive(&mut self, now: Instant, bytes: &[u8]) -> Input {
        let frame = self.frame(bytes);
        self.net.input(now, WIRE, frame)
    }

    /// The bytes of the frames that wait to be sent, which are then gone.
    pub(super) fn sent(&mut self) -> Vec<Vec<u8>> {
        self.take_sent().iter().map(wire_bytes).collect()
    }

    /// The same as frames, none of them flawed.
    pub(super) fn take_sent(&mut self) -> Vec<Frame> {
        let frames = std::mem::take(self.net.outbox(WIRE));
        frames.iter().for_each(|frame| self.watched.demand(frame));
        frames
    }

    pub(super) fn path(&mut self, remote: &str) -> PathId {
        self.net.path(Instant::ZERO, None, ip(remote)).unwrap()
    }

    pub(super) fn packets(&mut self) -> Vec<Packet> {
        let packet = |input| match input {
            Input::Packet(engine, packet) => {
                assert_eq!(engine, ENGINE);
                Some(packet)
            }
            Input::Trouble(..) | Input::Done => None,
        };
        self.inputs.drain(..).filter_map(packet).collect()
    }

    /// Nothing of this host's memory is in use, what waits for neighbours aside.
    pub(super) fn assert_no_leak(&mut self) {
        self.inputs.clear();
        self.take_sent();
        for netif in 0..self.net.netifs.len() {
            self.net.outbox(NetifId(netif as u16)).clear();
        }
        let parked = self.net.neighbours.parked();
        assert_eq!(self.net.reassembly.in_use(), self.net.reassembly.incomplete());
        assert_eq!(self.net.netifs[0].pool.in_use(), 0);
        assert_eq!((self.pool.in_use(), self.large.in_use()), (parked, 0), "{:?}", self.net.counters());
    }
}

/// What a device would put on the wire for a frame: an unfinished checksum completed, by the plainest code.
pub(super) fn wire_bytes(frame: &Frame) -> Vec<u8> {
    let mut bytes = frame.bytes().to_vec();
    if let Some((start, field)) = frame.partial_checksum() {
        let words = bytes[start..].chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], *w.get(1).unwrap_or(&0)])));
        let mut sum: u32 = words.sum();
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        let sum = if sum == 0xffff { 0xffff } else { !(sum as u16) };
        bytes[start + field..start + field + 2].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// Carries frames both ways until there are none; returns what crossed.
pub(super) fn exchange(now: Instant, a: &mut Host, b: &mut Host) -> Vec<Vec<u8>> {
    let mut crossed = vec![];
    loop {
        let (from_a, from_b) = (a.sent(), b.sent());
        if from_a.is_empty() && from_b.is_empty() {
            return crossed;
        }
        for (frames, to) in [(&from_a, &mut *b), (&from_b, &mut *a)] {
            for bytes in frames {
                let input = to.receive(now, bytes);
                to.inputs.push(input);
            }
        }
        crossed.extend(from_a.into_iter().chain(from_b));
    }
}

/// Lets `a` ask for `b` and be answered.
pub(super) fn introduce(now: Instant, a: &mut Host, b: &mut Host, remote: &str) -> PathId {
    let path = a.path(remote);
    assert_eq!(a.net.batch(now, DIRECT).packet(path, &TxInfo::default(), 8, |_| 8), Err(TxStop::Unresolved));
    exchange(now, a, b);
    assert!(a.net.path_info(path).unwrap().resolved);
    path
}
