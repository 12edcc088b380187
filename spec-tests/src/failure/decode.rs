//! A frame taken apart as far as a person wants to read it: addresses, and TCP, UDP, ICMP or ARP behind them. What is cut
//! short or contradicts itself is [`Body::Malformed`]: the views of `pnet_packet` clamp such lengths silently, so each
//! length is compared with what there is before a view of the inside is taken.

use std::net::{IpAddr, Ipv4Addr};

use pnet_packet::arp::{ArpOperations, ArpPacket};
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;
use pnet_packet::tcp::TcpPacket;
use pnet_packet::udp::UdpPacket;

use crate::hosts::PORT;
use crate::scenario::Side;

/// What is behind the Ethernet header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    /// Sender and receiver, where it is IP.
    pub(super) addresses: Option<(IpAddr, IpAddr)>,
    pub(super) body: Body<'a>,
}

/// What is behind the addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    Tcp(Tcp),
    Udp { ports: [u16; 2], payload: &'a [u8] },
    Icmp { is_v6: bool, kind: u8, code: u8 },
    ArpQuestion { wanted: Ipv4Addr },
    ArpAnswer { who: Ipv4Addr },
    Fragment { offset_bytes: usize, bytes: usize },
    Other { protocol: u8, payload: &'a [u8] },
    Malformed,
}

/// A TCP segment: RFC 9293 3.1, options of RFC 7323 and 2018.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tcp {
    pub(super) ports: [u16; 2],
    pub(super) seq: u32,
    pub(super) ack: u32,
    /// FIN, SYN, RST, PSH, ACK, URG, ECE, CWR from bit 0.
    pub(super) flags: u8,
    pub(super) window: u16,
    pub(super) payload_bytes: usize,
    pub(super) mss: Option<u16>,
    pub(super) window_scale: Option<u8>,
    pub(super) may_sack: bool,
    pub(super) has_timestamps: bool,
    pub(super) sacks: Vec<(u32, u32)>,
}

impl Tcp {
    pub(super) const FIN: u8 = 1;
    pub(super) const SYN: u8 = 2;
    pub(super) const RST: u8 = 4;
    pub(super) const ACK: u8 = 16;

    /// Whether one of these flags is set.
    pub(super) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Takes a frame apart, Ethernet header first.
pub(super) fn decode(frame: &[u8]) -> Packet<'_> {
    let body = |body| Packet { addresses: None, body };
    let Some((ethertype, packet)) = without_ethernet(frame) else { return body(Body::Malformed) };
    match ethertype {
        0x0800 => ipv4(packet).unwrap_or(body(Body::Malformed)),
        0x86dd => ipv6(packet).unwrap_or(body(Body::Malformed)),
        0x0806 => body(arp(packet).unwrap_or(Body::Malformed)),
        _ => body(Body::Other { protocol: 0, payload: packet }),
    }
}

/// The flow of a frame by its number in the scenario: the judge's right hosts answer for flow `n` at [`PORT`] + `n`.
pub(super) fn flow_of(from: Side, frame: &[u8]) -> Option<usize> {
    let (Body::Tcp(Tcp { ports, .. }) | Body::Udp { ports, .. }) = decode(frame).body else { return None };
    ports[from.other().index()].checked_sub(PORT).map(usize::from)
}

/// The type of what is inside, VLAN tags skipped.
fn without_ethernet(frame: &[u8]) -> Option<(u16, &[u8])> {
    let mut rest = frame.get(12..)?;
    loop {
        let (kind, behind) = rest.split_first_chunk::<2>()?;
        match u16::from_be_bytes(*kind) {
            0x8100 | 0x88a8 => rest = behind.get(2..)?,
            kind => return Some((kind, behind)),
        }
    }
}

fn arp(packet: &[u8]) -> Option<Body<'_>> {
    let arp = ArpPacket::new(packet)?;
    match arp.get_operation() {
        ArpOperations::Request => Some(Body::ArpQuestion { wanted: arp.get_target_proto_addr() }),
        ArpOperations::Reply => Some(Body::ArpAnswer { who: arp.get_sender_proto_addr() }),
        _ => None,
    }
}

fn ipv4(packet: &[u8]) -> Option<Packet<'_>> {
    let ip = Ipv4Packet::new(packet)?;
    let header_bytes = usize::from(ip.get_header_length()) * 4;
    let inside = packet.get(header_bytes..usize::from(ip.get_total_length()))?;
    if header_bytes < Ipv4Packet::minimum_packet_size() {
        return None;
    }
    let offset_bytes = usize::from(ip.get_fragment_offset()) * 8;
    let is_fragment = offset_bytes > 0 || ip.get_flags() & MORE_FRAGMENTS != 0;
    let body = if is_fragment {
        Body::Fragment { offset_bytes, bytes: inside.len() }
    } else {
        transport(ip.get_next_level_protocol().0, inside)
    };
    Some(Packet { addresses: Some((ip.get_source().into(), ip.get_destination().into())), body })
}

fn ipv6(packet: &[u8]) -> Option<Packet<'_>> {
    let ip = Ipv6Packet::new(packet)?;
    let start = Ipv6Packet::minimum_packet_size();
    let mut inside = packet.get(start..start + usize::from(ip.get_payload_length()))?;
    let mut protocol = ip.get_next_header().0;
    // RFC 8200 4: hop-by-hop options, routing and destination options say their length in the same place.
    while matches!(protocol, 0 | 43 | 60) {
        let (next, length) = (*inside.first()?, *inside.get(1)?);
        inside = inside.get((usize::from(length) + 1) * 8..)?;
        protocol = next;
    }
    let body = match (protocol, inside.get(..8)) {
        (44, Some(&[_, _, high, low, ..])) => {
            Body::Fragment { offset_bytes: usize::from(u16::from_be_bytes([high, low]) & !7), bytes: inside.len() - 8 }
        }
        (44, _) => return None,
        _ => transport(protocol, inside),
    };
    Some(Packet { addresses: Some((ip.get_source().into(), ip.get_destination().into())), body })
}

fn transport(protocol: u8, packet: &[u8]) -> Body<'_> {
    match protocol {
        6 => tcp(packet).map_or(Body::Malformed, Body::Tcp),
        17 => udp(packet).unwrap_or(Body::Malformed),
        1 | 58 => match packet {
            [kind, code, ..] => Body::Icmp { is_v6: protocol == 58, kind: *kind, code: *code },
            _ => Body::Malformed,
        },
        _ => Body::Other { protocol, payload: packet },
    }
}

fn udp(packet: &[u8]) -> Option<Body<'_>> {
    let udp = UdpPacket::new(packet)?;
    // A datagram that a device is to cut says 0, or the length of all of it.
    let length = match usize::from(udp.get_length()) {
        0 => packet.len(),
        length => length,
    };
    let payload = packet.get(UdpPacket::minimum_packet_size()..length)?;
    Some(Body::Udp { ports: [udp.get_source(), udp.get_destination()], payload })
}

fn tcp(packet: &[u8]) -> Option<Tcp> {
    let tcp = TcpPacket::new(packet)?;
    let header_bytes = usize::from(tcp.get_data_offset()) * 4;
    let options = packet.get(TcpPacket::minimum_packet_size()..header_bytes)?;
    let mut segment = Tcp {
        ports: [tcp.get_source(), tcp.get_destination()],
        seq: tcp.get_sequence(),
        ack: tcp.get_acknowledgement(),
        flags: tcp.get_flags(),
        window: tcp.get_window(),
        payload_bytes: packet.len() - header_bytes,
        ..Tcp::default()
    };
    read_options(options, &mut segment);
    Some(segment)
}

/// Reads as far as the options make sense; a broken one ends them.
fn read_options(mut options: &[u8], segment: &mut Tcp) {
    while let Some((&kind, rest)) = options.split_first() {
        let length = match kind {
            0 => return,
            1 => {
                options = rest;
                continue;
            }
            _ => usize::from(rest.first().copied().unwrap_or(0)),
        };
        let Some(value) = options.get(2..length) else { return };
        match (kind, value) {
            (2, &[high, low]) => segment.mss = Some(u16::from_be_bytes([high, low])),
            (3, &[scale]) => segment.window_scale = Some(scale),
            (4, []) => segment.may_sack = true,
            (5, blocks) => segment.sacks.extend(blocks.as_chunks::<8>().0.iter().map(|block| {
                let [a, b, c, d, e, f, g, h] = *block;
                (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
            })),
            (8, _) => segment.has_timestamps = true,
            _ => {}
        }
        options = &options[length..];
    }
}

/// In the flags of an IPv4 header.
const MORE_FRAGMENTS: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets::{Tcp4, udp4_frame};
    use proptest::prelude::*;

    fn segment(flags: u8, payload: Vec<u8>) -> Vec<u8> {
        let ports = (40_000, 80);
        Tcp4 {
            from: 1,
            to: 2,
            source_port: ports.0,
            destination_port: ports.1,
            seq: 7,
            ack: 9,
            flags,
            window: 500,
            payload,
        }
        .frame()
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_apart(bytes in proptest::collection::vec(any::<u8>(), 0..120), kind in 0_usize..4) {
            let _ = decode(&bytes);
            // The same behind a sensible Ethernet header.
            let mut frame = vec![0; 12];
            frame.extend([[8, 0], [0x86, 0xdd], [8, 6], [0x81, 0]][kind]);
            frame.extend(&bytes);
            let _ = decode(&frame);
        }

        #[test]
        fn a_frame_cut_short_is_malformed(cut in 1_usize..60) {
            let frame = segment(Tcp::ACK, vec![1; 20]);
            let kept = &frame[..frame.len() - cut];
            prop_assert_eq!(decode(kept).body, Body::Malformed);
        }
    }

    #[test]
    fn a_segment_is_read() {
        let frame = segment(Tcp::ACK | Tcp::FIN, vec![0; 11]);
        let packet = decode(&frame);
        let Body::Tcp(tcp) = packet.body else { panic!("{packet:?}") };
        assert_eq!((tcp.ports, tcp.seq, tcp.ack, tcp.window, tcp.payload_bytes), ([40_000, 80], 7, 9, 500, 11));
        assert!(tcp.has(Tcp::FIN) && tcp.has(Tcp::ACK) && !tcp.has(Tcp::SYN));
        assert_eq!(packet.addresses, Some(([10, 0, 0, 1].into(), [10, 0, 0, 2].into())));
    }

    #[test]
    fn options_are_read_as_far_as_they_make_sense() {
        let mut tcp = Tcp::default();
        read_options(&[2, 4, 5, 180, 1, 3, 3, 8, 4, 2, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2, 8, 10, 0, 0], &mut tcp);
        assert_eq!((tcp.mss, tcp.window_scale, tcp.may_sack, tcp.has_timestamps), (Some(1460), Some(8), true, false));
        assert_eq!(tcp.sacks, [(1, 2)]);
        for endless in [&[5, 0][..], &[5, 1], &[2]] {
            read_options(endless, &mut tcp);
        }
    }

    #[test]
    fn datagrams_and_questions_for_neighbours_are_read() {
        let frame = udp4_frame(1, 2, [5, 6], b"hello");
        assert_eq!(decode(&frame).body, Body::Udp { ports: [5, 6], payload: b"hello" });
        assert_eq!(flow_of(Side::Left, &udp4_frame(1, 2, [9, PORT + 3], b"")), Some(3));
        assert_eq!(flow_of(Side::Right, &udp4_frame(2, 1, [PORT + 3, 9999], b"")), Some(3));
        assert_eq!(flow_of(Side::Left, &frame), None);
        let mut arp = vec![0; 12];
        arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        arp.extend([0; 16]);
        arp.extend([10, 0, 0, 2]);
        assert_eq!(decode(&arp).body, Body::ArpQuestion { wanted: Ipv4Addr::new(10, 0, 0, 2) });
    }
}
