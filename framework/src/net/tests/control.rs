//! ARP, neighbour discovery and ICMP: what we answer, and what we do not fall for.

use super::*;
use crate::net::header::{HeaderTemplate, IpFields};
use crate::net::icmp as net_icmp;
use pnet_packet::arp::{ArpOperations, ArpPacket};
use pnet_packet::icmpv6::ndp::{NeighborAdvertPacket, NeighborSolicitPacket};

/// An IP packet in an Ethernet frame from host 1 to host 2.
pub(super) fn packet(src: &str, dst: &str, protocol: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut template = HeaderTemplate::new(mac(1), None, ip(src), ip(dst));
    template.set_destination(if ip(dst).is_multicast() { ethernet::group_address(ip(dst)) } else { mac(2) });
    let mut out = vec![0; template.bytes()];
    template.write(&mut out, &IpFields { protocol, hop_limit, ..IpFields::default() }, payload.len());
    out.extend_from_slice(payload);
    out
}

/// An ICMP message of either family, its checksum filled in.
pub(super) fn icmp(src: &str, dst: &str, hop_limit: u8, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let protocol = net_icmp::seal(ip(src), ip(dst), &mut message);
    packet(src, dst, protocol, hop_limit, &message)
}

fn arp(dst: Mac, operation: u8, sender: (Mac, [u8; 4]), target: [u8; 4]) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, operation];
    [&dst.0[..], &sender.0.0, &[8, 6], &head, &sender.0.0, &sender.1, &[0; 6], &target].concat()
}

/// Host 2, which knows host 1 under both addresses.
fn host() -> Host {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    introduce(at(0), &mut b, &mut a, "10.0.0.1");
    introduce(at(0), &mut b, &mut a, "fd77::1");
    b
}

/// An ICMP error that answers what came last: type, code, second word, quote.
fn error(frames: &[Vec<u8>]) -> Option<(u8, u8, u32, Vec<u8>)> {
    let message = frames.first()?.get(if frames[0][12] == 8 { 34 } else { 54 }..)?;
    Some((message[0], message[1], u32::from_be_bytes(message[4..8].try_into().unwrap()), message[8..].to_vec()))
}

#[test]
fn arp_answers_for_us_and_learns_only_what_it_should() {
    let mut b = Host::new(2);
    let ask = arp(Mac::BROADCAST, 1, (mac(1), [10, 0, 0, 1]), [10, 0, 0, 2]);
    let _ = b.receive(at(0), &ask);
    let sent = b.sent();
    let reply = ArpPacket::new(&sent[0][14..]).unwrap();
    assert_eq!((reply.get_operation(), reply.get_sender_hw_addr().octets()), (ArpOperations::Reply, mac(2).0));
    assert_eq!((sent[0][..6].to_vec(), reply.get_target_hw_addr().octets()), (mac(1).0.to_vec(), mac(1).0));
    assert_eq!(
        (Ip::from(reply.get_sender_proto_addr()), Ip::from(reply.get_target_proto_addr())),
        (ip("10.0.0.2"), ip("10.0.0.1"))
    );
    assert!(b.net.neighbours.find(1, ip("10.0.0.1")).is_some(), "who asks will be talked to");
    // A probe has no sender to learn.
    let _ = b.receive(at(0), &arp(Mac::BROADCAST, 1, (mac(7), [0; 4]), [10, 0, 0, 2]));
    assert_eq!(b.sent().len(), 1);
    // Others' talk: not answered, not learned.
    let _ = b.receive(at(0), &arp(Mac::BROADCAST, 1, (mac(3), [10, 0, 0, 3]), [10, 0, 0, 4]));
    let _ = b.receive(at(0), &arp(mac(2), 2, (mac(3), [10, 0, 0, 3]), [10, 0, 0, 2]));
    assert!(b.sent().is_empty() && b.net.neighbours.find(1, ip("10.0.0.3")).is_none());
    // A known neighbour's new address is taken.
    let _ = b.receive(at(0), &arp(Mac::BROADCAST, 1, (mac(9), [10, 0, 0, 1]), [10, 0, 0, 1]));
    let known = b.net.neighbours.find(1, ip("10.0.0.1")).unwrap();
    assert_eq!(b.net.neighbours.mac(known), Some(mac(9)));
    // Who claims our address is told so, but not at any rate.
    for _ in 0..3 {
        let _ = b.receive(at(0), &arp(Mac::BROADCAST, 2, (mac(9), [10, 0, 0, 2]), [10, 0, 0, 2]));
    }
    assert_eq!((b.sent().len(), b.net.counters().get("arp: somebody has our address")), (1, 3));
    let _ = b.receive(at(0), &arp(mac(2), 1, (mac(9), [192, 0, 2, 1]), [10, 0, 0, 2]));
    let _ = b.receive(at(0), &arp(mac(2), 1, (Mac::BROADCAST, [10, 0, 0, 3]), [10, 0, 0, 2]));
    let _ = b.receive(at(0), &ask[..30]);
    assert_eq!(b.net.counters().total(), 6);
    assert!(b.sent().is_empty());
}

fn solicitation(src: &str, dst: &str, hops: u8, options: &[u8]) -> Vec<u8> {
    icmp(src, dst, hops, &[&[135, 0, 0, 0, 0, 0, 0, 0][..], &ip("fd77::2").octets(), options].concat())
}

#[test]
fn solicitations_are_answered_by_the_rules() {
    let mut b = host();
    let source = [1, 1, 2, 0, 0, 0, 0, 1];
    for dst in ["ff02::1:ff00:2", "fd77::2"] {
        let _ = b.receive(at(0), &solicitation("fd77::1", dst, 255, &source));
        let sent = b.sent();
        let advert = NeighborAdvertPacket::new(&sent[0][54..]).unwrap();
        assert_eq!(
            (advert.get_target_addr(), advert.get_flags(), sent[0][21]),
            ("fd77::2".parse().unwrap(), 0x60, 255)
        );
        assert_eq!(sent[0][78..], [2, 1, 2, 0, 0, 0, 0, 2]);
    }
    let _ = b.receive(at(0), &solicitation("::", "ff02::1:ff00:2", 255, &[]));
    let sent = b.sent();
    assert_eq!(
        (&sent[0][38..54], sent[0][58]),
        (&ip("ff02::1").octets()[..], 0x20),
        "a newcomer's question is answered to all"
    );
    for (wrong, why) in [
        (solicitation("fd77::1", "fd77::2", 254, &source), "ndp: hop limit"),
        (solicitation("fd77::1", "fd77::2", 255, &[1, 0, 2, 0, 0, 0, 0, 1]), "ndp: option length"),
        (solicitation("fd77::1", "fd77::2", 255, &[1, 2, 2, 0, 0, 0, 0, 1]), "ndp: option length"),
        (solicitation("fd77::1", "fd77::2", 255, &[1, 1, 3, 0, 0, 0, 0, 1]), "ndp: link address is a group's"),
        (solicitation("::", "ff02::1:ff00:2", 255, &source), "ndp: solicitation from nowhere"),
        (icmp("fe80::1", "ff02::1", 255, &[134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "ndp: ignored type"),
    ] {
        let _ = b.receive(at(0), &wrong);
        assert_eq!((b.net.counters().get(why) > 0, b.sent().len()), (true, 0), "{why}");
    }
}

#[test]
fn advertisements_change_only_known_neighbours() {
    let mut b = host();
    let advert = |target: &str, flags: u8, host: u8| {
        let option = [2, 1, 2, 0, 0, 0, 0, host];
        icmp("fd77::1", "fd77::2", 255, &[&[136, 0, 0, 0, flags, 0, 0, 0][..], &ip(target).octets(), &option].concat())
    };
    let known = b.net.neighbours.find(1, ip("fd77::1")).unwrap();
    let _ = b.receive(at(1), &advert("fd77::1", 0, 9));
    assert_eq!(b.net.neighbours.mac(known), Some(mac(1)), "no override, no change");
    let _ = b.receive(at(1), &advert("fd77::1", 0x20, 9));
    assert_eq!(b.net.neighbours.mac(known), Some(mac(9)));
    let _ = b.receive(at(1), &advert("fd77::5", 0x60, 9));
    assert!(b.net.neighbours.find(1, ip("fd77::5")).is_none());
    // What was learned unasked is asked about, by unicast, when it is used next.
    let path = b.path("fd77::1");
    assert_eq!(b.net.batch(at(2), DIRECT).packet(path, &TxInfo::default(), 8, |_| 8), Ok(()));
    let sent = b.sent();
    assert_eq!((&sent[0][..6], sent[0][54]), (&mac(9).0[..], 135));
    assert_eq!(
        NeighborSolicitPacket::new(&sent[0][54..]).unwrap().get_target_addr(),
        "fd77::1".parse::<std::net::Ipv6Addr>().unwrap()
    );
}

#[test]
fn echo_comes_back_also_in_fragments() {
    for (src, dst, request, reply) in [("10.0.0.1", "10.0.0.2", 8, 0), ("fd77::1", "fd77::2", 128, 129)] {
        let (mut a, mut b) = (Host::new(1), Host::new(2));
        let mut message = vec![request, 0, 0, 0, 1, 2, 3, 4];
        message.resize(5000, 0x5a);
        let protocol = net_icmp::seal(ip(src), ip(dst), &mut message);
        let way = a.net.way(None, ip(dst)).unwrap();
        a.net.send_ip(at(0), &way, protocol, 64, &message);
        let crossed = exchange(at(0), &mut a, &mut b);
        // A question and its answer (the request's source was learned from it), then four fragments each way.
        assert_eq!(crossed.len(), 2 + 8 + 2, "b asks by unicast whether what it learned is true");
        assert_eq!(a.net.counters().get("icmp: ignored type"), 1);
        let mut received = Host::new(3);
        received.net.locals.add(LocalAddress { ip: ip(src), netif: 1, prefix_bits: 24, broadcast: false });
        message[0] = reply;
        let ignored = net_icmp::seal(ip(dst), ip(src), &mut message[..]);
        assert_eq!(ignored, protocol);
        a.assert_no_leak();
        b.assert_no_leak();
    }
    let mut b = host();
    let _ = b.receive(at(0), &icmp("10.0.0.1", "10.0.0.2", 64, b"\x08\0\0\0\x01\x02\x03\x04hello"));
    let sent = b.sent();
    assert_eq!((sent[0][34], &sent[0][38..]), (0, &b"\x01\x02\x03\x04hello"[..]));
    assert!(checksum::verifies(0, &sent[0][34..]));
    let _ = b.receive(at(0), &icmp("10.0.0.1", "224.0.0.1", 64, b"\x08\0\0\0\x01\x02\x03\x04hello"));
    assert!(b.sent().is_empty());
    let _ = b.receive(at(0), &icmp("fd77::1", "ff02::1", 64, b"\x80\0\0\0\x01\x02\x03\x04hello"));
    assert_eq!(b.sent()[0][22..38], ip("fd77::2").octets(), "from an address of ours, not from the group");
}

#[test]
fn what_nobody_takes_is_answered_with_an_error_at_a_limited_rate() {
    let mut b = host();
    let unclaimed = packet("10.0.0.1", "10.0.0.2", 200, 64, b"12345678");
    let _ = b.receive(at(0), &unclaimed);
    let (kind, code, _, quote) = error(&b.sent()).unwrap();
    assert_eq!((kind, code, &quote[..]), (3, 2, &unclaimed[14..]));
    let unclaimed = packet("fd77::1", "fd77::2", 200, 64, b"12345678");
    let _ = b.receive(at(0), &unclaimed);
    let (kind, code, word, quote) = error(&b.sent()).unwrap();
    assert_eq!((kind, code, word, &quote[..]), (4, 1, 6, &unclaimed[14..]));
    // Checksum left out, as IPv4 allows.
    let udp = [0, 9, 0, 9, 0, 8, 0, 0];
    let _ = b.receive(at(0), &packet("10.0.0.1", "10.0.0.2", UDP, 64, &udp));
    assert_eq!(error(&b.sent()).map(|e| (e.0, e.1)), Some((3, 3)));
    for silent in [
        packet("10.0.0.1", "224.0.0.1", UDP, 64, &udp),
        packet("10.0.0.1", "10.0.0.255", 200, 64, &udp),
        packet("fd77::1", "fd77::2", 59, 64, &[]),
        packet("fd77::1", "fd77::2", UDP, 64, &udp),
        icmp("10.0.0.1", "10.0.0.2", 64, &[3, 3, 0, 0, 0, 0, 0, 0, 1, 2, 3]),
    ] {
        let _ = b.receive(at(0), &silent);
        assert!(b.sent().is_empty());
    }
    for _ in 0..200 {
        let _ = b.receive(at(0), &packet("10.0.0.1", "10.0.0.2", 200, 64, b"12345678"));
        b.sent();
    }
    assert_eq!(b.net.counters().get("icmp: too many errors to send"), 200 - 97);
    // A wrong header of IPv6, once time has passed.
    let _ = b.receive(at(100), &packet("fd77::1", "fd77::2", 43, 64, &[99, 0, 0, 1, 0, 0, 0, 0]));
    assert_eq!(error(&b.sent()).map(|e| (e.0, e.1, e.2)), Some((4, 0, 42)));
    b.assert_no_leak();
}

#[test]
fn an_engine_can_reject_what_it_got() {
    let mut b = host();
    b.net.udp_ports().claim(9, ENGINE).unwrap();
    let original = packet("10.0.0.1", "10.0.0.2", UDP, 64, &[0, 9, 0, 9, 0, 10, 0, 0, b'h', b'i']);
    let Input::Packet(ENGINE, p) = b.receive(at(0), &original) else { panic!("claimed") };
    assert_eq!((p.frame.bytes(), p.ip_header_bytes), (&b"hi"[..], 28));
    b.net.reject(at(0), p, Unreachable::Port);
    let (kind, code, _, quote) = error(&b.sent()).unwrap();
    assert_eq!((kind, code, &quote[..]), (3, 3, &original[14..]));
    b.assert_no_leak();
}

#[test]
fn errors_about_our_packets_reach_the_engine_that_sent_them() {
    let mut b = host();
    b.net.udp_ports().claim(5000, EngineIndex(8)).unwrap();
    let direct = packet("10.0.0.2", "10.0.0.1", PROTO, 64, b"ABCDEFGHI");
    let udp = packet("10.0.0.2", "10.0.0.1", UDP, 64, &[0x13, 0x88, 0, 7, 0, 12, 0, 0, b'i', b'd', b'!', b'!']);
    let mut about = |kind: u8, code: u8, word: u32, quoted: &[u8]| {
        let message = [&[kind, code, 0, 0][..], &word.to_be_bytes(), &quoted[14..]].concat();
        b.receive(at(0), &icmp("10.0.0.1", "10.0.0.2", 64, &message))
    };
    let Input::Trouble(ENGINE, quote, Trouble::TooBig { mtu: 1400 }) = about(3, 4, 1400, &direct) else { panic!() };
    assert_eq!((quote.src, quote.dst, &quote.bytes[..]), (ip("10.0.0.2"), ip("10.0.0.1"), &b"ABCDEFGHI"[..]));
    let Input::Trouble(EngineIndex(8), quote, Trouble::Unreachable(Unreachable::Port)) = about(3, 3, 0, &udp) else {
        panic!()
    };
    assert_eq!((quote.src_port, quote.dst_port, &quote.bytes[..]), (5000, 7, &b"id!!"[..]));
    let mut long = direct.clone();
    long[16..18].copy_from_slice(&1500u16.to_be_bytes());
    assert!(
        matches!(about(3, 4, 0, &long), Input::Trouble(_, _, Trouble::TooBig { mtu: 1492 })),
        "a router that says no MTU"
    );
    assert!(matches!(about(3, 4, 3, &direct), Input::Trouble(_, _, Trouble::TooBig { mtu: 68 })));
    assert!(matches!(about(11, 0, 0, &direct), Input::Trouble(_, _, Trouble::TimeExceeded)));
    assert!(matches!(about(12, 0, 0, &direct), Input::Trouble(_, _, Trouble::ParameterProblem)));
    for foreign in [
        packet("10.0.0.3", "10.0.0.1", PROTO, 64, b"ABCDEFGH"),
        packet("10.0.0.2", "10.0.0.1", 200, 64, b"ABCDEFGH"),
        direct[..41].to_vec(),
    ] {
        assert!(matches!(about(3, 1, 0, &foreign), Input::Done));
    }
    let six = packet("fd77::2", "fd77::1", PROTO, 64, b"ABCDEFGH");
    let mut about6 = |kind: u8, code: u8, word: u32| {
        let message = [&[kind, code, 0, 0][..], &word.to_be_bytes(), &six[14..]].concat();
        b.receive(at(0), &icmp("fd77::1", "fd77::2", 64, &message))
    };
    assert!(matches!(about6(2, 0, 1300), Input::Trouble(ENGINE, _, Trouble::TooBig { mtu: 1300 })));
    assert!(matches!(about6(2, 0, 600), Input::Trouble(ENGINE, _, Trouble::TooBig { mtu: 1280 })));
    assert!(matches!(about6(1, 4, 0), Input::Trouble(ENGINE, _, Trouble::Unreachable(Unreachable::Port))));
    assert!(matches!(about6(4, 1, 6), Input::Trouble(ENGINE, _, Trouble::Unreachable(Unreachable::Protocol))));
}

#[test]
fn martians_are_named_and_dropped() {
    let mut b = host();
    for (src, dst, why) in [
        ("224.0.0.5", "10.0.0.2", "ip: source is a multicast address"),
        ("127.0.0.1", "10.0.0.2", "ip: source is a loopback address"),
        ("0.0.0.0", "10.0.0.2", "ip: source is unspecified"),
        ("255.255.255.255", "10.0.0.2", "ip: source is a broadcast address"),
        ("10.0.0.255", "10.0.0.2", "ip: source is a broadcast address"),
        ("10.0.0.2", "10.0.0.2", "ip: source is our own address"),
        ("10.0.0.1", "127.0.0.1", "ip: loopback address on a wire"),
        ("10.0.0.1", "127.9.9.9", "ip: loopback address on a wire"),
        ("10.0.0.1", "10.0.0.9", "ip: not for us"),
        ("10.0.0.1", "10.0.0.255", "ip: transport packet to a group"),
        ("10.0.0.1", "255.255.255.255", "ip: transport packet to a group"),
        ("fd77::1", "ff02::1", "ip: transport packet to a group"),
        ("ff02::1", "fd77::2", "ip: source is a multicast address"),
        ("::1", "fd77::2", "ip: source is a loopback address"),
        ("::", "fd77::2", "ip: source is unspecified"),
        ("fd77::2", "fd77::2", "ip: source is our own address"),
        ("fd77::1", "::1", "ip: loopback address on a wire"),
        ("fd77::1", "fd77::9", "ip: not for us"),
    ] {
        let before = b.net.counters().get(why);
        assert!(matches!(b.receive(at(0), &packet(src, dst, PROTO, 64, &[0; 8])), Input::Done));
        assert_eq!(b.net.counters().get(why), before + 1, "{src} > {dst}: {:?}", b.net.counters());
    }
    let mut to_all = packet("10.0.0.1", "10.0.0.2", PROTO, 64, &[0; 8]);
    to_all[..6].fill(0xff);
    let _ = b.receive(at(0), &to_all);
    assert_eq!(b.net.counters().get("ip: to us alone in a frame to a group"), 1);
    assert!(b.sent().is_empty());
}

#[test]
fn a_host_talks_to_itself_over_its_own_loopback() {
    for own in ["10.0.0.2", "fd77::2", "127.0.0.1", "127.8.8.8", "::1"] {
        let mut b = Host::new(2);
        let path = b.path(own);
        let info = b.net.path_info(path).unwrap();
        assert!((info.resolved, info.loopback, info.local, info.mtu) == (true, true, ip(own), 16_384));
        let payload = vec![9; 30_000];
        let taken =
            b.net.batch(at(0), DIRECT).segments(path, &TxInfo::default(), &[0; 8], &[&payload], 10_000, |_, _| ());
        assert_eq!(taken, Ok(30_000));
        let mut frames = vec![];
        b.net.loopback(&mut frames);
        for frame in frames {
            let Input::Packet(ENGINE, p) = b.net.input(at(0), NetifId::LOOPBACK, frame) else {
                panic!("{:?}", b.net.counters())
            };
            assert_eq!((p.src.ip, p.dst.ip, p.frame.len()), (ip(own), ip(own), 10_008));
        }
        // An error to oneself comes back as well.
        b.net
            .batch(at(0), Encapsulation::Ip { protocol: 200, checksum: None })
            .packet(path, &TxInfo::default(), 8, |_| 8)
            .unwrap();
        let mut outcome = vec![];
        while b.net.has_loopback() {
            let mut frames = vec![];
            b.net.loopback(&mut frames);
            outcome.extend(frames.into_iter().map(|frame| b.net.input(at(0), NetifId::LOOPBACK, frame)));
        }
        assert_eq!(outcome.len(), 2);
        assert_eq!(b.net.counters().get("icmp: quote of what nobody sent"), 1);
        b.assert_no_leak();
    }
}

#[test]
fn udp_reaches_the_port_also_by_broadcast() {
    let mut b = host();
    b.net.udp_ports().claim(9, ENGINE).unwrap();
    for dst in ["10.0.0.2", "10.0.0.255", "255.255.255.255", "224.0.0.251"] {
        let input = b.receive(at(0), &packet("10.0.0.1", dst, UDP, 64, &[0, 5, 0, 9, 0, 9, 0, 0, 7, 0, 0]));
        let Input::Packet(ENGINE, p) = input else { panic!("{dst}") };
        assert_eq!((p.frame.bytes(), p.src.port, p.dst.port, p.dst.ip), (&[7][..], 5, 9, ip(dst)));
    }
    for (udp, why) in [
        (&[0, 5, 0, 9, 0, 7, 0, 0][..], "udp: length"),
        (&[0, 5, 0, 9, 0, 9, 0, 0], "udp: length"),
        (&[0, 5, 0, 9, 0, 8, 0, 1], "udp: checksum"),
        (&[0, 5, 0, 9, 0, 8, 0], "udp: truncated"),
    ] {
        let before = b.net.counters().get(why);
        let _ = b.receive(at(0), &packet("10.0.0.1", "10.0.0.2", UDP, 64, udp));
        assert_eq!(b.net.counters().get(why), before + 1);
    }
}
