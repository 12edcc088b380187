//! A peer without a stack: a test writes its segments by hand and reads what comes back.

use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::driver::Driver;
use burstlane::lane::{EngineId, Lane, LaneConfig};
use burstlane::net::InterfaceConfig;
use burstlane::socket::{Host, Listener, Stream};
use burstlane_sim::{EndConfig, EndHandle, Ideal, Network, SimDriver, World};
use burstlane_spec::decode::CheckedDriver;

use crate::options::{SynOptions, Timestamps};
use crate::wire::{ACK, Header, SYN, URG};
use crate::{Config, Tcp};

/// One host of ours, and the end of a link that the test itself holds.
pub(super) struct Raw {
    pub(super) world: World,
    pub(super) host: Host,
    pub(super) tcp: EngineId<Tcp>,
    pub(super) end: EndHandle,
    peer: SimDriver,
    /// Whether questions for the peer's Ethernet address are answered.
    pub(super) answers_arp: bool,
    /// Where the peer says that it is: there, or wherever it likes.
    pub(super) from: [u8; 4],
    /// The ECN bits of its IP headers.
    pub(super) codepoint: u8,
}

/// A segment as the peer writes it.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) port: u16,
    pub(super) to: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u16,
    pub(super) window: u16,
    pub(super) options: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

/// What the host sent: header, payload, ports.
pub(super) type Sent = (Header, Vec<u8>, u16);

/// An open connection, from the peer's side: its next number, and the host's.
pub(super) struct Opened {
    pub(super) stream: Stream<Tcp>,
    pub(super) seq: u32,
    pub(super) ack: u32,
}

pub(super) const LISTEN: u16 = 80;
pub(super) const PEER_PORT: u16 = 4000;

impl Segment {
    pub(super) fn new(flags: u16, seq: u32, ack: u32) -> Self {
        Self { port: PEER_PORT, to: LISTEN, seq, ack, flags, window: 0xffff, options: vec![], payload: vec![] }
    }

    pub(super) fn with(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    pub(super) fn window(self, window: u16) -> Self {
        Self { window, ..self }
    }

    pub(super) fn options(self, options: Vec<u8>) -> Self {
        assert!(options.len().is_multiple_of(4) && options.len() <= 40);
        Self { options, ..self }
    }

    pub(super) fn stamped(self, value: u32, echo: u32) -> Self {
        let mut options = vec![1, 1, 8, 10];
        options.extend(value.to_be_bytes());
        options.extend(echo.to_be_bytes());
        self.options(options)
    }

    fn bytes(&self, from: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![];
        bytes.extend(self.port.to_be_bytes());
        bytes.extend(self.to.to_be_bytes());
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        let offset = ((20 + self.options.len()) * 4) as u8;
        bytes.extend([offset | (self.flags >> 8) as u8, self.flags as u8]);
        bytes.extend(self.window.to_be_bytes());
        // An urgent pointer, of any value, where there is to be one.
        let urgent = if self.flags & URG != 0 { self.seq as u16 } else { 0 };
        bytes.extend([0; 2]);
        bytes.extend(urgent.to_be_bytes());
        bytes.extend(&self.options);
        bytes.extend(&self.payload);
        let mut pseudo = [from, US].concat();
        pseudo.extend([0, crate::PROTOCOL]);
        pseudo.extend((bytes.len() as u16).to_be_bytes());
        pseudo.extend(&bytes);
        let sum = checksum(&pseudo);
        bytes[16..18].copy_from_slice(&sum);
        bytes
    }
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

impl Raw {
    pub(super) fn new(config: Config) -> Self {
        Self::with_lane(config, LaneConfig::seeded(7))
    }

    pub(super) fn with_lane(config: Config, lane: LaneConfig) -> Self {
        let world = World::new(Network::new());
        let (end, peer) = world.network().link(
            EndConfig::host(2),
            EndConfig::host(1),
            Box::<Ideal>::default(),
            Box::<Ideal>::default(),
        );
        let handle = end.handle();
        let mut lane = Lane::new(lane);
        let addresses = vec![(Ip::v4(US), 24)];
        let driver = CheckedDriver::boxed(Box::new(end));
        lane.add_interface(driver, InterfaceConfig { addresses, ..InterfaceConfig::default() });
        let tcp = lane.add::<Tcp>(config).unwrap();
        let host = Host::new(lane);
        world.add_host(&host);
        let mut raw = Self { world, host, tcp, end: handle, peer, answers_arp: true, from: THEM, codepoint: 0 };
        // Who speaks to a host has asked for its address, so that it knows ours.
        raw.put_arp(1, &[&[0; 6][..], &US].concat());
        raw.heard(Duration::ZERO);
        raw
    }

    fn put_arp(&mut self, operation: u8, target: &[u8]) {
        let mut arp = vec![0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, 1];
        arp.extend(THEM);
        arp.extend(target);
        self.put_frame(0x0806, &arp);
    }

    pub(super) fn listen(&self, backlog: u32) -> Listener<Tcp> {
        self.host.listen(self.tcp, Endpoint::new(Ip::ANY, LISTEN), backlog).unwrap()
    }

    pub(super) fn connect(&self) -> Stream<Tcp> {
        self.host.connect(self.tcp, Endpoint::new(Ip::v4(THEM), PEER_PORT)).unwrap()
    }

    /// Puts an IP packet on the wire to the host.
    pub(super) fn put_ip(&mut self, protocol: u8, payload: &[u8]) {
        let mut ip = vec![0x45, self.codepoint];
        ip.extend(((20 + payload.len()) as u16).to_be_bytes());
        ip.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
        ip.extend(self.from);
        ip.extend(US);
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum);
        ip.extend(payload);
        self.put_frame(0x0800, &ip);
    }

    fn put_frame(&mut self, ethertype: u16, payload: &[u8]) {
        let mut frame = self.peer.pool().alloc().unwrap();
        assert!(frame.extend_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]));
        assert!(frame.extend_from_slice(&ethertype.to_be_bytes()));
        assert!(frame.extend_from_slice(payload));
        self.peer.tx_burst(&mut vec![frame]).unwrap();
    }

    /// Segments that arrive in one burst. Returns what the host says to them at once.
    pub(super) fn burst(&mut self, segments: &[Segment]) -> Vec<Sent> {
        for segment in segments {
            self.put_segment(segment);
        }
        self.heard(Duration::ZERO)
    }

    pub(super) fn put_segment(&mut self, segment: &Segment) {
        self.put_ip(crate::PROTOCOL, &segment.bytes(self.from));
    }

    pub(super) fn say(&mut self, segment: &Segment) -> Vec<Sent> {
        self.burst(std::slice::from_ref(segment))
    }

    /// An ICMP error "too big" that quotes a segment of the host's with this number.
    pub(super) fn say_too_big(&mut self, mtu: u16, seq: u32, from_port: u16) {
        let mut quote = vec![0x45, 0, 0x05, 0xdc, 0, 0, 0x40, 0, 64, crate::PROTOCOL, 0, 0];
        quote.extend(US);
        quote.extend(THEM);
        quote.extend(from_port.to_be_bytes());
        quote.extend(PEER_PORT.to_be_bytes());
        quote.extend(seq.to_be_bytes());
        quote.extend([0; 12]);
        let mut icmp = vec![3, 4, 0, 0, 0, 0];
        icmp.extend(mtu.to_be_bytes());
        icmp.extend(quote);
        let sum = checksum(&icmp);
        icmp[2..4].copy_from_slice(&sum);
        self.put_ip(1, &icmp);
    }

    /// Lets time pass, and returns the segments that came meanwhile.
    pub(super) fn heard(&mut self, time: Duration) -> Vec<Sent> {
        let ends_at = self.world.now() + time;
        let mut all = vec![];
        loop {
            self.world.run_for(Duration::ZERO).unwrap();
            let before = all.len();
            if self.take_frames(&mut all) || all.len() > before {
                continue;
            }
            let left = ends_at.since(self.world.now());
            if left.is_zero() {
                return all;
            }
            self.world.run_for(left.min(Duration::from_millis(5))).unwrap();
        }
    }

    /// Sorts what came: questions for our Ethernet address are answered, segments are read.
    fn take_frames(&mut self, all: &mut Vec<Sent>) -> bool {
        let mut frames = vec![];
        self.peer.rx_burst(&mut frames, 1000).unwrap();
        let mut asked = false;
        for frame in frames {
            let bytes = frame.bytes().to_vec();
            match (&bytes[12..14], bytes.get(23)) {
                ([8, 6], _) if self.answers_arp && bytes[21] == 1 && bytes[38..42] == THEM => {
                    asked = true;
                    self.put_arp(2, &bytes[22..32]);
                }
                ([8, 0], Some(&crate::PROTOCOL)) => {
                    let ip_bytes = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
                    let segment = &bytes[34..14 + ip_bytes];
                    let (mut header, header_bytes, ports) = Header::parse(segment).unwrap();
                    header.marks = header.marks.with_codepoint(bytes[15]);
                    all.push((header, segment[header_bytes..].to_vec(), ports.destination));
                }
                _ => {}
            }
        }
        asked
    }

    /// A connection that the peer opened to a listener of the host's.
    pub(super) fn opened(&mut self, listener: &Listener<Tcp>, options: Vec<u8>, window: u16) -> Opened {
        let seq = 0xffff_f000;
        let said = self.say(&Segment::new(SYN, seq, 0).options(options).window(window));
        let (header, ..) = said.last().expect("a SYN is answered");
        let (iss, stamps) = (header.seq.0, header.timestamps);
        let mut ack = Segment::new(ACK, seq.wrapping_add(1), iss.wrapping_add(1)).window(window);
        if let Some(Timestamps { value, echo }) = stamps {
            ack = ack.stamped(echo + 1, value);
        }
        self.say(&ack);
        let stream = listener.accept().expect("it is open");
        Opened { stream, seq: seq.wrapping_add(1), ack: iss.wrapping_add(1) }
    }

    pub(super) fn flows(&self) -> usize {
        self.host.lane().flows()
    }

    pub(super) fn remnants(&self) -> usize {
        self.host.lane().remnants()
    }

    pub(super) fn buffer_bytes(&self) -> usize {
        self.host.lane().buffer_bytes()
    }

    /// Nothing is left of anything.
    #[track_caller]
    pub(super) fn assert_clean(&mut self) {
        self.heard(Duration::from_secs(1));
        let lane = self.host.lane();
        assert_eq!((lane.flows(), lane.remnants(), lane.buffer_bytes()), (0, 0, 0), "flows, remnants, bytes");
        drop(lane);
        assert_eq!(self.end.frames_out(), 0, "frames out");
    }
}

/// The options of a SYN.
pub(super) fn offers(mss: u16, window_scale: Option<u8>, sack_permitted: bool) -> Vec<u8> {
    SynOptions { mss: Some(mss), window_scale, sack_permitted }.to_bytes().to_vec()
}

/// As the host's segments show themselves: `<flags> seq ack payload`.
pub(super) fn show((header, payload, _): &Sent) -> String {
    format!("{:?} seq {} ack {:?} win {} len {}", header.control, header.seq, header.ack, header.window, payload.len())
}

const US: [u8; 4] = [10, 77, 0, 2];
pub(super) const THEM: [u8; 4] = [10, 77, 0, 1];
