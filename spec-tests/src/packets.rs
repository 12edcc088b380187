//! Packets made and read by hand: for tests that play a peer which follows no rules.

/// Flags of RFC 9293 3.1.
pub const FIN: u8 = 1;
/// See [`FIN`].
pub const SYN: u8 = 2;
/// See [`FIN`].
pub const RST: u8 = 4;
/// See [`FIN`].
pub const ACK: u8 = 16;

/// A TCP segment over IPv4, without options.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tcp4 {
    /// Sender, the last byte of 10.0.0.x.
    pub from: u8,
    /// Receiver.
    pub to: u8,
    /// Its port.
    pub source_port: u16,
    /// The receiver's.
    pub destination_port: u16,
    /// SEG.SEQ.
    pub seq: u32,
    /// SEG.ACK.
    pub ack: u32,
    /// The flags.
    pub flags: u8,
    /// SEG.WND.
    pub window: u16,
    /// Bytes behind the header.
    pub payload: Vec<u8>,
}

impl Tcp4 {
    /// As a frame from the station whose address ends in `from` to that which ends in `to`.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut segment = Vec::new();
        segment.extend(self.source_port.to_be_bytes());
        segment.extend(self.destination_port.to_be_bytes());
        segment.extend(self.seq.to_be_bytes());
        segment.extend(self.ack.to_be_bytes());
        segment.extend([5 << 4, self.flags]);
        segment.extend(self.window.to_be_bytes());
        segment.extend([0, 0, 0, 0]);
        segment.extend(&self.payload);
        ipv4_frame(self.from, self.to, 6, segment, Some(16))
    }

    /// Reads a frame; `None` if it is none. Options are skipped.
    #[must_use]
    pub fn read(frame: &[u8]) -> Option<Self> {
        if frame.get(12..14)? != [8, 0] || *frame.get(23)? != 6 {
            return None;
        }
        let total = usize::from(u16::from_be_bytes(frame.get(16..18)?.try_into().ok()?));
        let segment = frame.get(34..14 + total)?;
        let short = |at: usize| Some(u16::from_be_bytes(segment.get(at..at + 2)?.try_into().ok()?));
        let long = |at: usize| Some(u32::from_be_bytes(segment.get(at..at + 4)?.try_into().ok()?));
        Some(Self {
            from: *frame.get(29)?,
            to: *frame.get(33)?,
            source_port: short(0)?,
            destination_port: short(2)?,
            seq: long(4)?,
            ack: long(8)?,
            flags: *segment.get(13)?,
            window: short(14)?,
            payload: segment.get(usize::from(segment.get(12)? >> 4) * 4..)?.to_vec(),
        })
    }
}

/// A UDP datagram over IPv4, as a frame.
#[must_use]
pub fn udp4_frame(from: u8, to: u8, ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(ports[0].to_be_bytes());
    datagram.extend(ports[1].to_be_bytes());
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    ipv4_frame(from, to, 17, datagram, Some(6))
}

/// The Ethernet address that ends in `number`, as [`EndConfig::host`](burstlane_sim::EndConfig::host) gives it.
#[must_use]
pub const fn mac(number: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, number]
}

/// Ethernet and IPv4 (10.0.0.`from` to 10.0.0.`to`) around `transport`, whose checksum is written at `field`.
#[must_use]
pub fn ipv4_frame(from: u8, to: u8, protocol: u8, mut transport: Vec<u8>, field: Option<usize>) -> Vec<u8> {
    let (source, destination) = ([10, 0, 0, from], [10, 0, 0, to]);
    if let Some(field) = field {
        let mut pseudo = [source, destination].concat();
        pseudo.extend([0, protocol]);
        pseudo.extend((transport.len() as u16).to_be_bytes());
        pseudo.extend(&transport);
        let sum = checksum(&pseudo);
        transport[field..field + 2].copy_from_slice(&if sum == 0 { 0xffff_u16 } else { sum }.to_be_bytes());
    }
    let mut header = vec![0x45, 0];
    header.extend((20 + transport.len() as u16).to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    header.extend(source);
    header.extend(destination);
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&mac(to)[..], &mac(from), &[8, 0], &header, &transport].concat()
}

/// The answer to an ARP request for 10.0.0.`from`, if `frame` is one.
#[must_use]
pub fn arp_reply(frame: &[u8], from: u8) -> Option<Vec<u8>> {
    if frame.get(12..14)? != [8, 6] || frame.get(20..22)? != [0, 1] || frame.get(38..42)? != [10, 0, 0, from] {
        return None;
    }
    let (asker_mac, asker_ip) = (frame.get(22..28)?, frame.get(28..32)?);
    let head = [8, 6, 0, 1, 8, 0, 6, 4, 0, 2];
    Some([asker_mac, &mac(from), &head, &mac(from), &[10, 0, 0, from], asker_mac, asker_ip].concat())
}

/// The Internet checksum (RFC 1071).
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    let sum: u64 =
        bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}
