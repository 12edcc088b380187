//! One host and a peer whose every segment we write and read. Numbers are relative: the peer's first is 0 for its SYN,
//! ours likewise. What comes from the host is decoded by `pnet_packet`, not by our own parser.
#![expect(clippy::disallowed_methods, reason = "an oracle may be slow")]

use std::net::Ipv4Addr;

use burstlane::addr::{Endpoint, Ip};
use burstlane::driver::Driver;
use burstlane::lane::{EngineId, Lane, LaneConfig};
use burstlane::net::InterfaceConfig;
use burstlane::socket::{Host, Listener, Stream};
use burstlane::time::{Duration, Instant};
use burstlane::toolkit::{FourTuple, SeqNum};
use burstlane_sim::{EndConfig, Ideal, Network, SimDriver};
use pnet_packet::Packet as _;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::tcp::{TcpPacket, ipv4_checksum};

use crate::options::{SackBlocks, SynOptions};
use crate::wire::{self, HeaderBytes};
use crate::{Config, Tcp};

const HOST: [u8; 4] = [10, 0, 0, 1];
const PEER: [u8; 4] = [10, 0, 0, 2];
const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// A segment of the peer's, in relative numbers.
#[derive(Clone, Debug)]
pub(super) struct Seg {
    flags: u8,
    seq: u32,
    ack: u32,
    window: u16,
    payload: Vec<u8>,
    syn: Option<SynOptions>,
    sack: SackBlocks,
}

/// `flags` of the letters S F R P and `.` for ACK.
pub(super) fn seg(flags: &str, seq: u32, ack: u32, payload: &[u8]) -> Seg {
    let bit = |letter| match letter {
        'S' => wire::SYN,
        'F' => wire::FIN,
        'R' => wire::RST,
        'P' => wire::PSH,
        '.' => wire::ACK,
        other => panic!("no flag: {other}"),
    };
    let flags = flags.chars().map(bit).sum();
    let syn = (flags & wire::SYN != 0).then(SynOptions::default);
    Seg { flags, seq, ack, window: 60_000, payload: payload.to_vec(), syn, sack: SackBlocks::default() }
}

impl Seg {
    pub(super) fn window(mut self, window: u16) -> Self {
        self.window = window;
        self
    }

    pub(super) fn offers(mut self, mss: Option<u16>, sack: bool) -> Self {
        self.syn = Some(SynOptions { mss, window_scale: None, sack_permitted: sack });
        self
    }
}

pub(super) struct Script {
    pub(super) host: Host,
    pub(super) tcp: EngineId<Tcp>,
    network: Network,
    wire: SimDriver,
    heard: Vec<Vec<u8>>,
    /// The peer's and the host's initial numbers; the latter is learned from its SYN.
    irs: u32,
    iss: u32,
    peer_port: u16,
    host_port: u16,
}

impl Script {
    pub(super) fn new(config: Config) -> Self {
        let network = Network::new();
        let ends = (EndConfig::host(1), EndConfig::host(2));
        let (end, wire) = network.link(ends.0, ends.1, Box::<Ideal>::default(), Box::<Ideal>::default());
        let mut lane = Lane::new(LaneConfig::seeded(7));
        let addresses = vec![(Ip::v4(HOST), 24)];
        lane.add_interface(Box::new(end), InterfaceConfig { addresses, ..InterfaceConfig::default() });
        let tcp = lane.add::<Tcp>(config).unwrap();
        let host = Host::new(lane);
        let (irs, iss, peer_port, host_port) = (0x8000_0000, 0, 5000, 80);
        let mut script = Self { host, tcp, network, wire, heard: vec![], irs, iss, peer_port, host_port };
        // The peer asks for the host, which so learns of the peer.
        script.put(vec![arp(1)]);
        script.turn();
        script
    }

    /// Without timestamps, whose values rows would have to repeat.
    pub(super) fn plain() -> Self {
        Self::new(Config { timestamps: false, ..Config::default() })
    }

    pub(super) fn listen(&self, backlog: u32) -> Listener<Tcp> {
        self.host.listen(self.tcp, Endpoint::new(Ip::ANY, 80), backlog).unwrap()
    }

    /// The host opens; its SYN has left.
    pub(super) fn connect(&mut self) -> Stream<Tcp> {
        let stream = self.host.connect(self.tcp, Endpoint::new(Ip::v4(PEER), self.peer_port)).unwrap();
        self.turn();
        let frames = self.take();
        assert_eq!(frames.len(), 1);
        let ip = Ipv4Packet::new(&frames[0][14..]).unwrap();
        let syn = TcpPacket::new(ip.payload()).unwrap();
        (self.iss, self.host_port) = (syn.get_sequence(), syn.get_source());
        assert_eq!(syn.get_flags(), wire::SYN);
        stream
    }

    /// The peer opens, and the handshake is done; no options.
    pub(super) fn accept(&mut self) -> (Stream<Tcp>, Listener<Tcp>) {
        let listener = self.listen(8);
        assert_eq!(self.exchange(&[seg("S", 0, 0, b"")]), ["S. 0 1 0"]);
        assert!(self.exchange(&[seg(".", 1, 1, b"")]).is_empty());
        (listener.accept().unwrap(), listener)
    }

    /// The peer sends these, in one burst; what the host answers at once.
    pub(super) fn exchange(&mut self, segments: &[Seg]) -> Vec<String> {
        let frames = segments.iter().map(|segment| self.frame(segment)).collect();
        self.put(frames);
        self.answers()
    }

    /// Time passes; what the host sends in it, each with the milliseconds since the start.
    pub(super) fn wait(&mut self, time: Duration) -> Vec<(u64, String)> {
        let (started, ends_at) = (self.network.now(), self.network.now() + time);
        let mut all = vec![];
        while let Some(next) = self.host.next_deadline().filter(|next| *next <= ends_at) {
            self.network.advance(next.max(self.network.now() + Duration::from_micros(100)));
            let at = self.network.now().since(started).as_millis() as u64;
            all.extend(self.answers().into_iter().map(|answer| (at, answer)));
        }
        self.network.advance(ends_at);
        all
    }

    /// Time passes, whatever the host says.
    pub(super) fn quietly(&mut self, time: Duration) {
        self.network.advance(self.network.now() + time);
        self.turn();
        self.take();
    }

    /// What the host has to say now.
    pub(super) fn answers(&mut self) -> Vec<String> {
        self.turn();
        let frames = self.take();
        frames.iter().map(|frame| self.describe(frame)).collect()
    }

    pub(super) fn use_ports(&mut self, peer: u16, irs: u32) {
        (self.peer_port, self.irs) = (peer, irs);
    }

    pub(super) fn dropped(&self, reason: &str) -> u64 {
        self.host.lane().drops().get(reason)
    }

    pub(super) fn now(&self) -> Instant {
        self.network.now()
    }

    /// Two turns, and answers to the host's questions for neighbours.
    fn turn(&mut self) {
        for _ in 0..4 {
            self.host.receive(self.network.now());
            self.host.transmit(self.network.now());
            let mut frames = vec![];
            self.wire.rx_burst(&mut frames, 1000).unwrap();
            for frame in frames {
                let bytes = frame.bytes().to_vec();
                match bytes[12..14] {
                    [8, 0] => self.heard.push(bytes),
                    [8, 6] if bytes[21] == 1 => self.put(vec![arp(2)]),
                    _ => {}
                }
            }
        }
    }

    fn put(&mut self, frames: Vec<Vec<u8>>) {
        let mut out = vec![];
        for bytes in frames {
            let mut frame = self.wire.pool().alloc().unwrap();
            assert!(frame.extend_from_slice(&bytes));
            out.push(frame);
        }
        self.wire.tx_burst(&mut out).unwrap();
        assert!(out.is_empty());
    }

    /// IP frames that arrived since.
    fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.heard)
    }

    fn frame(&self, segment: &Seg) -> Vec<u8> {
        let at = |ip, port| Endpoint::new(Ip::v4(ip), port);
        let tuple = FourTuple::new(at(PEER, self.peer_port), at(HOST, self.host_port));
        let (seq, ack) = (self.irs.wrapping_add(segment.seq), self.iss.wrapping_add(segment.ack));
        let mut header = HeaderBytes::new(&tuple, SeqNum(seq), SeqNum(ack), segment.flags, segment.window);
        if let Some(syn) = segment.syn {
            header = header.with_options(&syn.to_bytes());
        }
        let header = header.with_options(&segment.sack.to_bytes());
        let mut tcp = header.as_slice().to_vec();
        tcp.extend(&segment.payload);
        let sum = ipv4_checksum(&TcpPacket::new(&tcp).unwrap(), &Ipv4Addr::from(PEER), &Ipv4Addr::from(HOST));
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, crate::PROTOCOL, 0, 0];
        ip.extend(PEER);
        ip.extend(HOST);
        ip[2..4].copy_from_slice(&(20 + tcp.len() as u16).to_be_bytes());
        let sum = pnet_packet::ipv4::checksum(&Ipv4Packet::new(&ip).unwrap());
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        let mut frame = MACS.to_vec();
        frame.extend([8, 0]);
        frame.extend(ip);
        frame.extend(tcp);
        frame
    }

    /// `flags seq ack payload-bytes`, relative, and what is unusual.
    fn describe(&mut self, frame: &[u8]) -> String {
        let ip = Ipv4Packet::new(&frame[14..]).unwrap();
        assert_eq!(ip.get_checksum(), pnet_packet::ipv4::checksum(&ip));
        let tcp = TcpPacket::new(ip.payload()).unwrap();
        assert_eq!(tcp.get_checksum(), ipv4_checksum(&tcp, &ip.get_source(), &ip.get_destination()));
        assert_eq!((tcp.get_source(), tcp.get_destination()), (self.host_port, self.peer_port));
        let flags = tcp.get_flags();
        if flags & wire::SYN != 0 {
            self.iss = tcp.get_sequence();
        }
        let letters: String = [('S', wire::SYN), ('F', wire::FIN), ('R', wire::RST), ('.', wire::ACK)]
            .iter()
            .filter(|(_, bit)| flags & bit != 0)
            .map(|(letter, _)| letter)
            .collect();
        let seq = tcp.get_sequence().wrapping_sub(self.iss);
        let ack = if flags & wire::ACK != 0 { tcp.get_acknowledgement().wrapping_sub(self.irs) } else { 0 };
        format!("{letters} {seq} {ack} {}", tcp.payload().len())
    }
}

/// RFC 826: a question (1) or an answer (2) of the peer's.
fn arp(operation: u8) -> Vec<u8> {
    let mut bytes = MACS.to_vec();
    bytes.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    bytes.extend(&MACS[6..]);
    bytes.extend(PEER);
    bytes.extend(&MACS[..6]);
    bytes.extend(HOST);
    bytes
}
