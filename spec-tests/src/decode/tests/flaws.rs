//! One planted error a row, its checksums right: each is found, and for its own reason.

use super::corpus::{Kind, frame, repair};
use super::*;

/// Where headers begin in a frame.
const IP: usize = 14;
const TCP4: usize = 34;
const TCP6: usize = 54;

type Row = (&'static str, Kind, fn(&mut Vec<u8>), &'static str);

/// Takes the place of a TCP header's options over IPv4, which grow or shrink; lengths follow.
fn set_options(frame: &mut Vec<u8>, options: &[u8]) {
    assert!(options.len().is_multiple_of(4));
    let end = TCP4 + usize::from(frame[TCP4 + 12] >> 4) * 4;
    frame.splice(TCP4 + 20..end, options.iter().copied());
    frame[TCP4 + 12] = ((20 + options.len()) as u8 / 4) << 4;
    let total = (frame.len() - IP) as u16;
    frame[IP + 2..IP + 4].copy_from_slice(&total.to_be_bytes());
}

/// SACK blocks by their edges relative to the acknowledgement.
fn set_sack(frame: &mut Vec<u8>, blocks: &[(i32, i32)]) {
    let ack = u32::from_be_bytes([frame[TCP4 + 8], frame[TCP4 + 9], frame[TCP4 + 10], frame[TCP4 + 11]]);
    let mut options = vec![1, 1, 5, 2 + 8 * blocks.len() as u8];
    for (left, right) in blocks {
        options.extend(ack.wrapping_add_signed(*left).to_be_bytes());
        options.extend(ack.wrapping_add_signed(*right).to_be_bytes());
    }
    set_options(frame, &options);
}

const LINK: [Row; 8] = [
    ("a group as sender", Kind::Syn4, |f| f[6] |= 1, "group"),
    ("no receiver", Kind::Syn4, |f| f[..6].fill(0), "destination"),
    ("another EtherType", Kind::Syn4, |f| f[12] = 9, "EtherType"),
    ("bytes behind the packet", Kind::Data4, |f| f.push(0), "behind the packet"),
    ("padding that is not zero", Kind::Arp, |f| f.push(1), "padding"),
    ("an ARP operation of no meaning", Kind::Arp, |f| f[IP + 7] = 3, "operation"),
    ("an ARP address of another size", Kind::Arp, |f| f[IP + 4] = 5, "address lengths"),
    ("an ARP question in another's name", Kind::Arp, |f| f[IP + 8] ^= 2, "sender"),
];

const NETWORK: [Row; 13] = [
    ("version 5", Kind::Syn4, |f| f[IP] = 0x55, "version"),
    ("IHL 6", Kind::Syn4, |f| f[IP] = 0x46, "IHL"),
    ("IHL 4", Kind::Syn4, |f| f[IP] = 0x44, "IHL"),
    ("a total length beyond the frame", Kind::Syn4, |f| f[IP + 3] += 1, "total length"),
    ("a total length below a header", Kind::Syn4, |f| f[IP + 3] = 19, "total length"),
    ("the reserved flag", Kind::Syn4, |f| f[IP + 6] |= 0x80, "reserved flag"),
    ("a fragment of TCP", Kind::Data4, |f| f[IP + 6] = 0x20, "fragment of protocol 6"),
    ("a fragment that must not be divided", Kind::First4, |f| f[IP + 6] |= 0x40, "must not be divided"),
    ("TTL 0", Kind::Syn4, |f| f[IP + 8] = 0, "TTL"),
    ("a group as source", Kind::Syn4, |f| f[IP + 12] = 224, "source"),
    ("IPv6's version", Kind::Syn6, |f| f[IP] = 0x40, "version"),
    ("IPv6's payload length", Kind::Syn6, |f| f[IP + 5] += 1, "payload length"),
    ("hop limit 0", Kind::Syn6, |f| f[IP + 7] = 0, "hop limit"),
];

const FRAGMENTS: [Row; 3] = [
    (
        "a piece not of eights",
        Kind::First6,
        |f| {
            f.pop();
            f[IP + 5] -= 1;
        },
        "not the last one",
    ),
    ("reserved bits of the fragment header", Kind::First6, |f| f[TCP6 + 3] |= 2, "reserved bits"),
    ("a piece that ends beyond 64 KiB", Kind::First6, |f| f[TCP6 + 2] = 0xff, "beyond 65,535"),
];

const SEGMENTS: [Row; 14] = [
    ("data offset 4", Kind::Syn4, |f| f[TCP4 + 12] = 4 << 4, "data offset"),
    ("a data offset beyond the segment", Kind::Syn4, |f| f[TCP4 + 12] = 15 << 4, "data offset"),
    ("reserved bits", Kind::Syn4, |f| f[TCP4 + 12] |= 2, "reserved bits"),
    ("SYN and FIN", Kind::Syn4, |f| f[TCP4 + 13] |= 1, "contradict"),
    ("SYN and RST", Kind::Syn6, |f| f[TCP6 + 13] |= 4, "contradict"),
    ("data without ACK", Kind::Data4, |f| f[TCP4 + 13] &= !16, "no ACK"),
    ("a FIN without ACK", Kind::Fin4, |f| f[TCP4 + 13] &= !16, "no ACK"),
    ("a number without ACK", Kind::Syn4, |f| f[TCP4 + 8] = 1, "without its bit"),
    ("an urgent pointer without URG", Kind::Data6, |f| f[TCP6 + 19] = 1, "urgent"),
    ("source port 0", Kind::Syn4, |f| f[TCP4..TCP4 + 2].fill(0), "port 0"),
    ("destination port 0", Kind::Syn4, |f| f[TCP4 + 2..TCP4 + 4].fill(0), "port 0"),
    ("MSS without SYN", Kind::Data4, |f| set_options(f, &[2, 4, 5, 0xb4]), "without SYN"),
    ("window scale without SYN", Kind::Data4, |f| set_options(f, &[1, 3, 3, 1]), "without SYN"),
    ("SACK-permitted without SYN", Kind::Data4, |f| set_options(f, &[1, 1, 4, 2]), "without SYN"),
];

const OPTIONS: [Row; 12] = [
    ("an option of length 0", Kind::Syn4, |f| set_options(f, &[2, 0, 0, 0]), "of length 0"),
    ("an option of length 1", Kind::Syn4, |f| set_options(f, &[1, 1, 3, 1]), "of length 1"),
    ("an option that is cut off", Kind::Syn4, |f| set_options(f, &[1, 1, 2, 4]), "of length 4 in 2"),
    ("a kind without a length", Kind::Syn4, |f| set_options(f, &[1, 1, 1, 2]), "of length 0 in 1"),
    ("MSS of the wrong length", Kind::Syn4, |f| set_options(f, &[2, 3, 5, 1]), "option 2 with 1 bytes"),
    ("MSS 0", Kind::SynAck4, |f| set_options(f, &[2, 4, 0, 0]), "MSS 0"),
    ("MSS twice", Kind::Syn4, |f| set_options(f, &[2, 4, 5, 1, 2, 4, 5, 1]), "twice"),
    ("window scale 15", Kind::Syn4, |f| set_options(f, &[1, 3, 3, 15]), "window scale 15"),
    ("timestamps of the wrong length", Kind::Data4, |f| set_options(f, &[1, 1, 8, 6, 0, 0, 0, 1]), "option 8"),
    ("an unknown option", Kind::Data4, |f| set_options(f, &[1, 1, 77, 2]), "option 77"),
    ("something behind the end", Kind::Data4, |f| set_options(f, &[1, 0, 0, 1]), "behind the end"),
    ("SACK on a SYN", Kind::SynAck4, |f| set_sack(f, &[(10, 20)]), "SACK on a SYN"),
];

const SACK: [Row; 7] = [
    ("a SACK block and a half", Kind::Sack4, |f| set_options(f, &[5, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0]), "length"),
    ("an empty SACK block", Kind::Sack4, |f| set_sack(f, &[(10, 10)]), "empty or reversed"),
    ("a reversed SACK block", Kind::Sack4, |f| set_sack(f, &[(20, 10)]), "empty or reversed"),
    ("a SACK block that begins at the ACK", Kind::Sack4, |f| set_sack(f, &[(0, 10)]), "neither news nor"),
    ("a second SACK block below the ACK", Kind::Sack4, |f| set_sack(f, &[(10, 20), (-9, -4)]), "at or below"),
    ("SACK blocks that touch", Kind::Sack4, |f| set_sack(f, &[(50, 60), (10, 20), (20, 30)]), "touch"),
    ("a first SACK block that half overlaps", Kind::Sack4, |f| set_sack(f, &[(15, 30), (10, 20)]), "neither news nor"),
];

const OTHERS: [Row; 11] = [
    ("a UDP length too long", Kind::Udp4, |f| f[TCP4 + 5] += 1, "UDP: length"),
    ("a UDP length too short", Kind::Udp6, |f| f[TCP6 + 5] -= 1, "UDP: length"),
    ("UDP to port 0", Kind::Udp4, |f| f[TCP4 + 2..TCP4 + 4].fill(0), "port 0"),
    ("an ICMP type of no meaning", Kind::Unreachable4, |f| f[TCP4] = 77, "type 77"),
    ("an ICMP error about nothing", Kind::Unreachable4, |f| f[TCP4 + 8] = 0x65, "quotes"),
    (
        "an ICMP error about an error",
        Kind::Unreachable4,
        |f| {
            f[TCP4 + 17] = 1;
            f[TCP4 + 28] = 3;
        },
        "about an error",
    ),
    ("an ICMPv6 type of no meaning", Kind::Unreachable6, |f| f[TCP6] = 77, "type 77"),
    (
        "an ICMPv6 error about an error",
        Kind::Unreachable6,
        |f| {
            f[TCP6 + 14] = 58;
            f[TCP6 + 48] = 1;
        },
        "about an error",
    ),
    ("a neighbour's question from afar", Kind::Neighbour, |f| f[IP + 7] = 64, "hop limit 64"),
    ("a neighbour's question with a code", Kind::Neighbour, |f| f[TCP6 + 1] = 1, "code 1"),
    ("an NDP option of length 0", Kind::Neighbour, |f| f[TCP6 + 25] = 0, "option of 0 bytes"),
];

#[test]
fn every_planted_error_is_found_for_its_own_reason() {
    let rows = [&LINK[..], &NETWORK, &FRAGMENTS, &SEGMENTS, &OPTIONS, &SACK, &OTHERS].concat();
    for (name, kind, plant, reason) in rows {
        let mut bytes = frame(kind).to_vec();
        plant(&mut bytes);
        repair(&mut bytes);
        let flaw = decode(&bytes, &Rules { fragments_of: &[UDP], ..Rules::default() });
        assert!(flaw.as_ref().is_err_and(|flaw| flaw.0.contains(reason)), "{name}: {flaw:?}");
    }
}

#[test]
fn checksums_that_are_wrong_or_missing_are_found() {
    let rows: [Row; 7] = [
        ("IPv4's", Kind::Syn4, |f| f[IP + 10] ^= 1, "header checksum"),
        ("TCP's", Kind::Data4, |f| f[TCP4 + 16] ^= 1, "TCP: checksum"),
        ("TCP's over IPv6", Kind::Data6, |f| f[TCP6 + 16] ^= 1, "TCP: checksum"),
        ("UDP's", Kind::Udp4, |f| f[TCP4 + 6] ^= 1, "UDP: checksum"),
        ("UDP's, left out", Kind::Udp6, |f| f[TCP6 + 6..TCP6 + 8].fill(0), "no checksum"),
        ("ICMP's", Kind::Unreachable4, |f| f[TCP4 + 2] ^= 1, "ICMP: checksum"),
        ("ICMPv6's", Kind::Neighbour, |f| f[TCP6 + 2] ^= 1, "ICMPv6: checksum"),
    ];
    for (name, kind, plant, reason) in rows {
        let mut bytes = frame(kind).to_vec();
        plant(&mut bytes);
        let flaw = decode(&bytes, &Rules::default());
        assert!(flaw.as_ref().is_err_and(|flaw| flaw.0.contains(reason)), "{name}: {flaw:?}");
    }
}

#[test]
fn duplicates_reported_by_sack_are_no_flaw() {
    for blocks in [&[(-20, -10)][..], &[(12, 14), (10, 20)], &[(-20, -10), (10, 20)], &[(30, 40), (10, 20)]] {
        let mut bytes = frame(Kind::Sack4).to_vec();
        set_sack(&mut bytes, blocks);
        repair(&mut bytes);
        let decoded = decode(&bytes, &Rules::default());
        assert!(decoded.is_ok(), "{blocks:?}: {decoded:?}");
    }
}

#[test]
fn the_rules_of_a_sender_are_held() {
    let bytes = frame(Kind::Data4);
    let larger = decode(bytes, &Rules { mtu: bytes.len() - IP - 1, ..Rules::default() });
    assert!(larger.is_err_and(|flaw| flaw.0.contains("MTU")));
    let stranger = decode(bytes, &Rules { mac: Some([2; 6]), ..Rules::default() });
    assert!(stranger.is_err_and(|flaw| flaw.0.contains("interface's")));
    let asked = decode(frame(Kind::First4), &Rules::default());
    assert!(asked.is_err_and(|flaw| flaw.0.contains("fragment of protocol 17")));
}

#[test]
fn pieces_are_judged_as_a_whole() {
    let udp = frame(Kind::Udp4);
    let Ok(Decoded::Ip(header, _)) = decode(udp, &Rules::default()) else { panic!("no datagram") };
    let body = &udp[TCP4..];
    let piece = |offset: usize, end: usize, more| Fragment { ident: 1, offset, more, bytes: &body[offset..end] };
    let mut fragments = Fragments::default();
    for _ in 0..2 {
        assert_eq!(fragments.take(&header, &piece(0, 16, true)), Ok(()));
        assert_eq!(fragments.take(&header, &piece(16, 24, true)), Ok(()));
        assert_eq!(fragments.take(&header, &piece(24, body.len(), false)), Ok(()));
    }
    assert!(fragments.take(&header, &piece(8, 16, true)).is_err(), "not begun");
    assert_eq!(fragments.take(&header, &piece(0, 16, true)), Ok(()));
    assert!(fragments.take(&header, &piece(24, body.len(), false)).is_err(), "a gap");
    assert!(fragments.take(&header, &Fragment { ident: 2, ..piece(16, 24, true) }).is_err(), "another packet");
    assert!(fragments.take(&header, &piece(0, 16, true)).is_err(), "begun anew before its end");
    let cut_short = fragments.take(&header, &piece(16, 24, false));
    assert!(cut_short.is_err_and(|flaw| flaw.0.contains("UDP: length")), "the whole is wrong");
}
