//! A packet in one line for a person: flags, sequence numbers relative to the first of their direction, lengths, windows as
//! they count. A [`Labeller`] sees the packets in the order of their sending, because that is what the numbers are
//! relative to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use super::decode::{Body, Tcp, decode};

/// What a packet is, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// What kind of packet: `SYN ACK`, `UDP`, `HELLO`.
    pub name: String,
    /// Its numbers: `0:1000 (1000) ack 1 win 64240`.
    pub detail: String,
    /// What it is good for.
    pub role: Role,
    /// What it carries of its direction's stream, from zero: bytes, or messages. What was carried before makes it a
    /// repetition. Empty if nothing.
    pub carries: Range<u64>,
}

/// What a packet is good for: pictures give each its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opens or ends a flow.
    Control,
    /// Carries data.
    Data,
    /// Carries what was sent before.
    Again,
    /// Confirms, or asks for more.
    Ack,
    /// Breaks a flow off, or reports an error.
    Reset,
    /// Anything else.
    Other,
}

/// Names the packets of a protocol of one's own: the IP protocol number, and what stands behind the IP header, or behind
/// UDP's if it is 17. `None` leaves the packet to the labeller, and so does whether it was sent before.
pub type NamePacket = fn(protocol: u8, packet: &[u8]) -> Option<Label>;

/// Labels packets in the order of their sending.
#[derive(Clone, Debug, Default)]
pub struct Labeller {
    name_packet: Option<NamePacket>,
    directions: BTreeMap<Direction, Sent>,
    /// How far the streams of protocols that name their packets came.
    carried: BTreeMap<Direction, u64>,
}

/// Who sends to whom.
type Direction = [(IpAddr, u16); 2];

/// What one direction of a TCP connection sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// The number that counts as zero.
    isn: u32,
    /// End of what was sent, relative.
    end: u32,
    window_scale: Option<u8>,
}

/// What a labeller remembers of a packet.
enum News {
    Sent(Direction, Sent),
    Carried(Direction, u64),
}

impl Label {
    /// A label.
    #[must_use]
    pub fn new(role: Role, name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), detail: detail.into(), role, carries: 0..0 }
    }

    /// The same of a packet that carries this part of its direction's stream.
    #[must_use]
    pub fn carrying(self, carries: Range<u64>) -> Self {
        Self { carries, ..self }
    }
}

impl Labeller {
    /// One that asks `name_packet` first.
    #[must_use]
    pub const fn new(name_packet: Option<NamePacket>) -> Self {
        Self { name_packet, directions: BTreeMap::new(), carried: BTreeMap::new() }
    }

    /// The label of the packet that is sent next.
    pub fn label(&mut self, frame: &[u8]) -> Label {
        let (label, news) = self.read(frame);
        match news {
            Some(News::Sent(direction, sent)) => drop(self.directions.insert(direction, sent)),
            Some(News::Carried(direction, end)) => drop(self.carried.insert(direction, end)),
            None => {}
        }
        label
    }

    /// The label of a packet that somebody else slipped in: what is sent later is not counted from its numbers.
    #[must_use]
    pub fn label_of_stranger(&self, frame: &[u8]) -> Label {
        self.read(frame).0
    }

    /// The label, and what is to be remembered.
    fn read(&self, frame: &[u8]) -> (Label, Option<News>) {
        let packet = decode(frame);
        let [source, destination] = packet.addresses.map_or([IpAddr::from([0; 4]); 2], |(a, b)| [a, b]);
        let direction = |ports: [u16; 2]| [(source, ports[0]), (destination, ports[1])];
        if let Some(mut label) = self.own_name(&packet.body) {
            let ports = if let Body::Udp { ports, .. } = packet.body { ports } else { [0; 2] };
            let before = self.carried.get(&direction(ports)).copied().unwrap_or(0);
            if !label.carries.is_empty() && label.carries.start < before {
                label.role = Role::Again;
            }
            let end = before.max(label.carries.end);
            return (label, Some(News::Carried(direction(ports), end)));
        }
        let label = match packet.body {
            Body::Tcp(tcp) => {
                let (label, sent) = self.tcp(&tcp, direction(tcp.ports));
                return (label, Some(News::Sent(direction(tcp.ports), sent)));
            }
            Body::Udp { ports, payload } => Label::new(
                Role::Data,
                "UDP",
                format!("{} > {} ({}) {}", ports[0], ports[1], payload.len(), hex(payload)),
            ),
            Body::Icmp { is_v6, kind, code } => icmp(is_v6, kind, code),
            Body::ArpQuestion { wanted } => Label::new(Role::Other, "ARP", format!("who has {wanted}?")),
            Body::ArpAnswer { who } => Label::new(Role::Other, "ARP", format!("{who} is here")),
            Body::Fragment { offset_bytes, bytes } => {
                Label::new(Role::Data, "fragment", format!("{offset_bytes}:{} ({bytes})", offset_bytes + bytes))
            }
            Body::Other { protocol, payload } => {
                Label::new(Role::Other, format!("protocol {protocol}"), format!("({}) {}", payload.len(), hex(payload)))
            }
            Body::Malformed => Label::new(Role::Other, "malformed", format!("({})", frame.len())),
        };
        (label, None)
    }

    fn own_name(&self, body: &Body<'_>) -> Option<Label> {
        let name = self.name_packet?;
        match body {
            Body::Udp { payload, .. } => name(17, payload),
            Body::Other { protocol, payload } => name(*protocol, payload),
            _ => None,
        }
    }

    /// The label of a segment, and what its direction has sent with it.
    fn tcp(&self, tcp: &Tcp, direction: Direction) -> (Label, Sent) {
        let [from, to] = direction;
        let is_syn = tcp.has(Tcp::SYN);
        let known = self.directions.get(&direction).copied();
        // A SYN with another number is a new connection; a first segment that is none counts from 1, as data does.
        let mut sent = match known {
            Some(sent) if !is_syn || sent.isn == tcp.seq => sent,
            _ => Sent { isn: if is_syn { tcp.seq } else { tcp.seq.wrapping_sub(1) }, end: 0, window_scale: None },
        };
        let peer = self.directions.get(&[to, from]).copied();
        let seq = tcp.seq.wrapping_sub(sent.isn);
        let units = tcp.payload_bytes as u32 + u32::from(is_syn) + u32::from(tcp.has(Tcp::FIN));
        let end = seq.wrapping_add(units);
        let is_again = units > 0 && known.is_some() && sent.end.wrapping_sub(seq) as i32 > 0;
        if is_syn {
            sent.window_scale = tcp.window_scale;
        }
        if end.wrapping_sub(sent.end) as i32 > 0 {
            sent.end = end;
        }

        let mut parts = Vec::new();
        match tcp.payload_bytes {
            0 => parts.push(seq.to_string()),
            bytes => parts.push(format!("{seq}:{} ({bytes})", seq.wrapping_add(bytes as u32))),
        }
        let base = peer.map_or(0, |peer| peer.isn);
        if tcp.has(Tcp::ACK) {
            parts.push(format!("ack {}", tcp.ack.wrapping_sub(base)));
        }
        // RFC 7323 2.2: the window of a SYN is never scaled, the others only if both sides offered to.
        let scales = peer.and_then(|peer| peer.window_scale).and(sent.window_scale).filter(|_| !is_syn);
        parts.push(format!("win {}", u64::from(tcp.window) << scales.unwrap_or(0).min(14)));
        parts.extend(tcp.mss.map(|mss| format!("mss {mss}")));
        parts.extend(tcp.window_scale.map(|scale| format!("ws {scale}")));
        parts.extend(tcp.may_sack.then(|| "sack ok".to_owned()));
        for (i, (left, right)) in tcp.sacks.iter().enumerate() {
            let word = if i == 0 { "sack " } else { "" };
            parts.push(format!("{word}{}:{}", left.wrapping_sub(base), right.wrapping_sub(base)));
        }
        (Label::new(role(tcp, is_again), flags(tcp.flags), parts.join(" ")), sent)
    }
}

fn role(tcp: &Tcp, is_again: bool) -> Role {
    if tcp.has(Tcp::RST) {
        Role::Reset
    } else if is_again {
        Role::Again
    } else if tcp.has(Tcp::SYN | Tcp::FIN) {
        Role::Control
    } else if tcp.payload_bytes > 0 {
        Role::Data
    } else {
        Role::Ack
    }
}

fn flags(flags: u8) -> String {
    const NAMES: [(u8, &str); 8] = [
        (Tcp::SYN, "SYN"),
        (Tcp::FIN, "FIN"),
        (Tcp::RST, "RST"),
        (8, "PSH"),
        (32, "URG"),
        (64, "ECE"),
        (128, "CWR"),
        (Tcp::ACK, "ACK"),
    ];
    let set: Vec<&str> = NAMES.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { "no flags".to_owned() } else { set.join(" ") }
}

/// RFC 792, 4443, 4861: those that a host sends.
fn icmp(is_v6: bool, kind: u8, code: u8) -> Label {
    let (role, what) = match (is_v6, kind, code) {
        (false, 0, _) | (true, 129, _) => (Role::Other, "echo reply"),
        (false, 8, _) | (true, 128, _) => (Role::Other, "echo"),
        (false, 3, 1) | (true, 1, 3) => (Role::Reset, "host unreachable"),
        (false, 3, 2) => (Role::Reset, "protocol unreachable"),
        (false, 3, 3) | (true, 1, 4) => (Role::Reset, "port unreachable"),
        (false, 3, 4) | (true, 2, _) => (Role::Reset, "packet too big"),
        (false, 3, _) | (true, 1, _) => (Role::Reset, "unreachable"),
        (false, 11, _) | (true, 3, _) => (Role::Reset, "time exceeded"),
        (false, 12, _) | (true, 4, _) => (Role::Reset, "parameter problem"),
        (true, 135, _) => (Role::Other, "neighbour solicitation"),
        (true, 136, _) => (Role::Other, "neighbour advertisement"),
        _ => return Label::new(Role::Other, "ICMP", format!("type {kind} code {code}")),
    };
    Label::new(role, "ICMP", what)
}

/// The first bytes of a payload.
fn hex(bytes: &[u8]) -> String {
    let mut text: String = bytes.iter().take(HEX_BYTES).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > HEX_BYTES {
        text.push('…');
    }
    text
}

/// Bytes of a payload that nobody names.
const HEX_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets::{ACK, FIN, RST, SYN, Tcp4, udp4_frame};
    use proptest::prelude::*;

    /// A segment between 10.0.0.1:1000 and 10.0.0.2:80.
    fn segment(from: u8, seq: u32, ack: u32, flags: u8, payload: usize) -> Vec<u8> {
        let (source_port, destination_port) = if from == 1 { (1000, 80) } else { (80, 1000) };
        let payload = vec![0; payload];
        Tcp4 { from, to: 3 - from, source_port, destination_port, seq, ack, flags, window: 500, payload }.frame()
    }

    #[test]
    fn numbers_count_from_the_syn_across_the_wrap() {
        let isn = u32::MAX - 10;
        let mut labeller = Labeller::default();
        let mut read = |frame: &[u8]| {
            let Label { name, detail, role, .. } = labeller.label(frame);
            (format!("{name} {detail}"), role)
        };
        let after = isn.wrapping_add(1);
        for (frame, text, role) in [
            (segment(1, isn, 0, SYN, 0), "SYN 0 win 500", Role::Control),
            (segment(2, 70, after, SYN | ACK, 0), "SYN ACK 0 ack 1 win 500", Role::Control),
            (segment(1, after, 71, ACK, 100), "ACK 1:101 (100) ack 1 win 500", Role::Data),
            (segment(1, after, 71, ACK, 100), "ACK 1:101 (100) ack 1 win 500", Role::Again),
            (segment(2, 71, after.wrapping_add(100), ACK, 0), "ACK 1 ack 101 win 500", Role::Ack),
            (segment(1, after.wrapping_add(100), 71, FIN | ACK, 0), "FIN ACK 101 ack 1 win 500", Role::Control),
            (segment(2, 71, 0, RST, 0), "RST 1 win 500", Role::Reset),
            (segment(1, 5000, 0, SYN, 0), "SYN 0 win 500", Role::Control),
        ] {
            assert_eq!(read(&frame), (text.to_owned(), role));
        }
    }

    #[test]
    fn a_strangers_numbers_do_not_count() {
        let mut labeller = Labeller::default();
        labeller.label(&segment(1, 1000, 0, SYN, 0));
        assert_eq!(labeller.label_of_stranger(&segment(1, 77, 0, SYN, 0)).detail, "0 win 500");
        assert_eq!(labeller.label(&segment(1, 1001, 0, ACK, 5)).detail, "1:6 (5) ack 0 win 500");
    }

    #[test]
    fn windows_count_as_they_were_scaled() {
        let tcp = |flags: u8| Tcp { flags, window: 500, window_scale: Some(3), ..Tcp::default() };
        let (left, right) = ((IpAddr::from([10, 0, 0, 1]), 1), (IpAddr::from([10, 0, 0, 2]), 2));
        let mut labeller = Labeller::default();
        for (tcp, direction) in [(tcp(SYN), [left, right]), (tcp(SYN | ACK), [right, left])] {
            let (label, sent) = labeller.tcp(&tcp, direction);
            assert!(label.detail.contains("win 500"), "{label:?}");
            labeller.directions.insert(direction, sent);
        }
        let plain = Tcp { window_scale: None, ..tcp(ACK) };
        assert!(labeller.tcp(&plain, [left, right]).0.detail.contains("win 4000"));
    }

    #[test]
    fn a_protocol_names_its_own_packets() {
        let frame = udp4_frame(1, 2, [5, 6], b"hello world");
        assert_eq!(Labeller::default().label(&frame).detail, "5 > 6 (11) 68656c6c6f20776f…");
        let mut named = Labeller::new(Some(|protocol, packet| {
            let is_ours = protocol == 17 && packet.starts_with(b"hello");
            is_ours.then(|| Label::new(Role::Control, "HELLO", "world").carrying(0..1))
        }));
        assert_eq!(named.label(&frame), Label::new(Role::Control, "HELLO", "world").carrying(0..1));
        assert_eq!(named.label(&frame).role, Role::Again);
        assert_eq!(named.label(&udp4_frame(1, 2, [5, 6], b"bye")).name, "UDP");
    }

    proptest! {
        #[test]
        fn any_frames_have_labels_of_bounded_length(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..90), 0..8),
            flips in proptest::collection::vec((0_usize..54, any::<u8>()), 0..6),
        ) {
            let mut labeller = Labeller::default();
            let mut segment = segment(1, 1, 1, ACK, 3);
            for (at, byte) in flips {
                segment[at] ^= byte;
            }
            for frame in frames.iter().chain([&segment]) {
                let label = labeller.label(frame);
                prop_assert!(label.name.len() + label.detail.len() < 200, "{:?}", label);
            }
        }
    }
}
