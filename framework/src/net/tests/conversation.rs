//! Two hosts talk: what one sends, the other receives, whatever cut it.

use super::*;
use crate::addr::Endpoint;
use proptest::prelude::*;

fn header() -> [u8; 8] {
    [1, 2, 0xaa, 0xaa, 0, 0, 0, 0]
}

/// Puts the offset of the piece into the header.
fn patch(header: &mut [u8], at: SegmentAt) {
    header[4..8].copy_from_slice(&(at.offset as u32).to_be_bytes());
    header[1] = u8::from(at.last);
}

/// Sends `payload` in segments, both hosts new, and returns what arrived, by offset.
fn send(remote: &str, caps: Capabilities, vlan: Option<u16>, payload: &[&[u8]], segment_bytes: usize) -> Vec<u8> {
    let (mut a, mut b) = (Host::with(1, caps, vlan), Host::with(2, super::caps(2), vlan));
    let path = introduce(at(0), &mut a, &mut b, remote);
    let info = TxInfo { ecn: 2, hop_limit: Some(9), dont_fragment: true, ..TxInfo::default() };
    let total: usize = payload.iter().map(|s| s.len()).sum();
    let taken = a.net.batch(at(0), DIRECT).segments(path, &info, &header(), payload, segment_bytes, patch);
    assert_eq!(taken, Ok(total));
    exchange(at(0), &mut a, &mut b);
    let mut arrived = vec![];
    for packet in b.packets() {
        assert_eq!(
            (packet.src, packet.dst),
            (Endpoint::new(a.net.paths.get(path).unwrap().local, 0), Endpoint::new(ip(remote), 0))
        );
        assert_eq!((packet.ecn, packet.hop_limit, packet.netif), (2, 9, 1));
        let bytes = packet.frame.bytes();
        assert_eq!(u32::from_be_bytes(bytes[4..8].try_into().unwrap()) as usize, arrived.len());
        assert_eq!(bytes[1] == 1, arrived.len() + bytes.len() - 8 == total);
        arrived.extend_from_slice(&bytes[8..]);
    }
    assert_eq!(b.net.counters().total(), 0, "{:?}", b.net.counters());
    a.assert_no_leak();
    b.assert_no_leak();
    arrived
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn segments_arrive_as_they_were_offered(
        slices in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..5),
        segment_bytes in 1usize..1400, v6: bool, offload: bool, tagged: bool,
    ) {
        let total: usize = slices.iter().map(Vec::len).sum();
        let segment_bytes = segment_bytes.max(total / 100);
        let caps = Capabilities { tx_checksum: offload, ..super::caps(1) };
        let slices: Vec<&[u8]> = slices.iter().map(Vec::as_slice).collect();
        let remote = if v6 { "fd77::2" } else { "10.0.0.2" };
        prop_assert_eq!(send(remote, caps, tagged.then_some(5), &slices, segment_bytes), slices.concat());
    }
}

/// Datagrams larger than the MTU, in and out of UDP, arrive whole.
#[test]
fn large_packets_are_fragmented_and_reassembled() {
    for remote in ["10.0.0.2", "fd77::2"] {
        let (mut a, mut b) = (Host::new(1), Host::new(2));
        let path = introduce(at(0), &mut a, &mut b, remote);
        b.net.udp_ports().claim(7, ENGINE).unwrap();
        let info = TxInfo { source_port: 9, destination_port: 7, ..TxInfo::default() };
        let body: Vec<u8> = (0..9001u32).map(|n| (n * 7 + n / 251) as u8).collect();
        let fill = |room: &mut [u8]| {
            room[..body.len()].copy_from_slice(&body);
            body.len()
        };
        assert_eq!(a.net.batch(at(0), Encapsulation::Udp).packet(path, &info, 20_000, fill), Ok(()));
        assert_eq!(exchange(at(0), &mut a, &mut b).len(), 7);
        let packets = b.packets();
        assert_eq!((packets.len(), packets[0].frame.bytes()), (1, &body[..]));
        assert_eq!((packets[0].src.port, packets[0].dst.port), (9, 7));
        drop(packets);
        assert_eq!(
            a.net.batch(at(0), DIRECT).packet(path, &TxInfo { dont_fragment: true, ..info }, 1481, |_| 8),
            Err(TxStop::TooBig { mtu: 1500 })
        );
        a.assert_no_leak();
        b.assert_no_leak();
    }
}

/// RFC 9293 3.9.2.
// cites: MUST-49
#[test]
fn packets_live_as_long_as_the_configuration_says() {
    for remote in ["10.0.0.2", "fd77::2"] {
        let (mut a, mut b) = (Host::with(1, super::caps(1), None), Host::with(2, super::caps(2), None));
        a.net.config.hop_limit = 7;
        let path = introduce(at(0), &mut a, &mut b, remote);
        let taken = a.net.batch(at(0), DIRECT).segments(path, &TxInfo::default(), &header(), &[b"x"], 100, patch);
        assert_eq!(taken, Ok(1));
        exchange(at(0), &mut a, &mut b);
        assert_eq!(b.packets().iter().map(|packet| packet.hop_limit).collect::<Vec<_>>(), [7]);
    }
}
