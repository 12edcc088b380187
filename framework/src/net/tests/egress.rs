//! The door out, seen at the frames that leave by it.

use super::*;
use crate::driver::ProtocolSet;
use proptest::prelude::*;

const HEADER: [u8; 9] = [1, 2, 0xaa, 0xaa, 0, 0, 0, 0, 9];

/// A host that knows 10.0.0.2 and fd77::2.
fn host(caps: Capabilities) -> (Host, [PathId; 2]) {
    let (mut a, mut b) = (Host::with(1, caps, None), Host::new(2));
    let paths = ["10.0.0.2", "fd77::2"].map(|remote| introduce(at(0), &mut a, &mut b, remote));
    (a, paths)
}

fn put_offset(header: &mut [u8], at: SegmentAt) {
    header[4..8].copy_from_slice(&(at.offset as u32).to_be_bytes());
}

/// The wire bytes of one call on a new host with these capabilities.
fn wire(caps: Capabilities, v6: bool, how: Encapsulation, payload: &[&[u8]], segment_bytes: usize) -> Vec<Vec<u8>> {
    let (mut a, paths) = host(caps);
    let info = TxInfo { source_port: 5, destination_port: 6, flow_label: 77, dscp: 10, ..TxInfo::default() };
    let total = payload.iter().map(|s| s.len()).sum();
    let sent =
        a.net.batch(at(0), how).segments(paths[usize::from(v6)], &info, &HEADER, payload, segment_bytes, put_offset);
    assert_eq!(sent, Ok(total));
    let sent = a.sent();
    a.assert_no_leak();
    sent
}

/// Checks the transport checksum of an Ethernet frame with another's code.
#[expect(clippy::disallowed_methods, reason = "another's checksum, slow or not, is what is wanted here")]
fn checksum_is_right(frame: &[u8], v6: bool) -> bool {
    use pnet_packet::{ipv4::Ipv4Packet, ipv6::Ipv6Packet, util};
    let (payload, sum) = if v6 {
        let p = Ipv6Packet::new(&frame[14..]).unwrap();
        let payload = frame[54..].to_vec();
        let sum = util::ipv6_checksum(
            &payload,
            usize::MAX / 4,
            &[],
            &p.get_source(),
            &p.get_destination(),
            p.get_next_header(),
        );
        (payload, sum)
    } else {
        let p = Ipv4Packet::new(&frame[14..]).unwrap();
        let payload = frame[34..].to_vec();
        let sum = util::ipv4_checksum(
            &payload,
            usize::MAX / 4,
            &[],
            &p.get_source(),
            &p.get_destination(),
            p.get_next_level_protocol(),
        );
        (payload, sum)
    };
    // Over everything, the field included, nothing is left.
    !payload.is_empty() && sum == 0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whether the device or we compute it, the same bytes are on the wire, and another's code finds the checksum right.
    #[test]
    fn offload_changes_nothing_on_the_wire(
        payload in proptest::collection::vec(any::<u8>(), 0..4000), split in 0usize..4000, segment_bytes in 40usize..1400, v6: bool, udp: bool,
    ) {
        let how = if udp { Encapsulation::Udp } else { DIRECT };
        let (one, two) = payload.split_at(split.min(payload.len()));
        let soft = wire(caps(1), v6, how, &[one, two], segment_bytes);
        let hard = wire(Capabilities { tx_checksum: true, ..caps(1) }, v6, how, &[one, two], segment_bytes);
        prop_assert_eq!(&soft, &hard);
        prop_assert_eq!(soft.len(), payload.len().div_ceil(segment_bytes).max(1));
        for frame in &soft {
            prop_assert!(checksum_is_right(frame, v6));
        }
    }

    /// A large frame for the device to cut carries what the slices would, and the first slice's header.
    #[test]
    fn large_and_sliced_carry_the_same_bytes(payload in proptest::collection::vec(any::<u8>(), 1..60_000), segment_bytes in 600usize..1400, v6: bool) {
        let cutting = Capabilities { tx_checksum: true, segments: ProtocolSet::NONE.with(PROTO), ..caps(1) };
        let (mut a, paths) = host(cutting);
        let sent = a.net.batch(at(0), DIRECT).segments(paths[usize::from(v6)], &TxInfo::default(), &HEADER, &[&payload], segment_bytes, put_offset);
        prop_assert_eq!(sent, Ok(payload.len()));
        let front = if v6 { 54 } else { 34 } + HEADER.len();
        let frames = a.take_sent();
        prop_assert_eq!(frames.len(), 1);
        prop_assert_eq!(&frames[0].bytes()[front..], &payload[..]);
        let meta = frames[0].meta;
        if payload.len() > segment_bytes {
            prop_assert_eq!((meta.segment_protocol, meta.segment_bytes, meta.header_bytes), (PROTO, segment_bytes as u16, front as u16));
            prop_assert_eq!(frames[0].partial_checksum(), Some((front - HEADER.len(), 2)));
        } else {
            prop_assert_eq!((meta.segment_protocol, meta.segment_bytes), (0, 0));
        }
        drop(frames);
        a.assert_no_leak();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One packet after another, first by whichever way there is and then by the short one alone if it is to take it.
    #[test]
    fn the_short_way_does_what_the_general_one_does(
        mut header in proptest::collection::vec(any::<u8>(), 4..60), payload in proptest::collection::vec(any::<u8>(), 0..1500),
        split in 0usize..1500, v6: bool, offload: bool, dscp in 0u8..64, ecn in 0u8..4, dont_fragment: bool,
        hop_limit: Option<u8>, room in 0usize..4, quantum in 0usize..4000,
    ) {
        header[2..4].fill(0);
        let (one, two) = payload.split_at(split.min(payload.len()));
        let pieces = [one, two];
        let pieces = if one.is_empty() { &pieces[1..] } else { &pieces[..] };
        let info = TxInfo { ecn, dscp, dont_fragment, hop_limit, flow_label: 5, ..TxInfo::default() };
        let run = |short: bool| {
            let (mut a, paths) = host(Capabilities { tx_checksum: offload, ..caps(1) });
            let path = paths[usize::from(v6)];
            a.net.set_room(WIRE, room);
            let mut batch = a.net.batch(at(0), DIRECT);
            batch.set_quantum(quantum);
            let mut said = vec![];
            for _ in 0..3 {
                let sent = match short {
                    true => batch.segment(path, &info, &header, pieces),
                    false => batch.segments(path, &info, &header, pieces, usize::MAX, |_, _| ()).map(|_| ()),
                };
                said.push((sent, batch.bytes_left()));
            }
            a.net.set_room(WIRE, 64);
            let fits = header.len() + payload.len() + if v6 { 40 } else { 20 } <= 1500;
            let mut batch = a.net.batch(at(0), DIRECT);
            if short {
                assert_eq!(batch.express(path, &info, &header, pieces).is_some(), fits && !offload);
            } else if fits && !offload {
                assert!(batch.segments(path, &info, &header, pieces, usize::MAX, |_, _| ()).is_ok());
            }
            let sent = a.sent();
            a.assert_no_leak();
            (said, sent)
        };
        prop_assert_eq!(run(true), run(false));
    }
}

#[test]
fn what_is_taken_ends_with_room_quantum_or_memory() {
    let payload = [7u8; 10_000];
    let (mut a, [path, _]) = host(caps(1));
    let info = TxInfo::default();
    a.net.set_room(WIRE, 3);
    let send = |batch: &mut TxBatch<'_>| batch.segments(path, &info, &HEADER, &[&payload], 1000, |_, _| ());
    let mut batch = a.net.batch(at(0), DIRECT);
    assert_eq!((batch.room(path), send(&mut batch), send(&mut batch)), (3, Ok(3000), Err(TxStop::Full)));
    a.net.set_room(WIRE, 1000);
    let mut batch = a.net.batch(at(0), DIRECT);
    batch.set_quantum(2000);
    assert_eq!((send(&mut batch), batch.bytes_left(), send(&mut batch)), (Ok(2000), 0, Err(TxStop::Full)));
    a.take_sent();
    let mut hoard: Vec<Frame> = std::iter::from_fn(|| a.pool.alloc()).collect();
    hoard.truncate(hoard.len() - 2);
    assert_eq!(send(&mut a.net.batch(at(0), DIRECT)), Ok(2000));
    assert_eq!(send(&mut a.net.batch(at(0), DIRECT)), Err(TxStop::NoMemory));
    drop(hoard);
    a.net.set_link(WIRE, false);
    assert_eq!((a.pool.in_use(), send(&mut a.net.batch(at(0), DIRECT))), (0, Err(TxStop::Full)));
    assert_eq!(a.net.counters().get("egress: link went down"), 2);
}

#[test]
fn a_large_frame_stops_at_the_quantum_and_falls_back_without_large_memory() {
    let cutting = Capabilities { tx_checksum: true, segments: ProtocolSet::NONE.with(PROTO), ..caps(1) };
    let (mut a, [path, _]) = host(cutting);
    let payload = vec![1u8; 200_000];
    let mut batch = a.net.batch(at(0), DIRECT);
    batch.set_quantum(10_500);
    assert_eq!(
        batch.segments(path, &TxInfo::default(), &HEADER, &[&payload], 1000, |_, _| ()),
        Ok(11_000),
        "a packet that begins within the quantum is whole"
    );
    // More than IP can carry in one packet goes in several, none of which ends in the middle of a segment.
    assert_eq!(
        a.net.batch(at(0), DIRECT).segments(path, &TxInfo::default(), &HEADER, &[&payload], 1000, |_, _| ()),
        Ok(200_000)
    );
    let large = a.take_sent().iter().map(|f| f.len() - 43).collect::<Vec<_>>();
    // The large memory has four slots.
    assert_eq!(large, [10_000, 1000, 65_000, 65_000, 65_000, 1000, 1000, 1000, 1000, 1000]);
    a.assert_no_leak();
}

#[test]
fn datagrams_leave_one_by_one_or_as_one_for_the_device() {
    let built: Vec<u8> = (0..2500u32).map(|n| n as u8).collect();
    let info = TxInfo { source_port: 1, destination_port: 2, ..TxInfo::default() };
    let (mut a, [path, _]) = host(caps(1));
    assert_eq!(a.net.batch(at(0), Encapsulation::Udp).datagrams(path, &info, &built, 1000), Ok(2500));
    let frames = a.sent();
    assert_eq!(frames.iter().map(|f| f.len() - 42).collect::<Vec<_>>(), [1000, 1000, 500]);
    assert!(frames.iter().all(|f| checksum_is_right(f, false)));
    let (mut a, [path, _]) = host(Capabilities { tx_checksum: true, segments: ProtocolSet::NONE.with(UDP), ..caps(1) });
    assert_eq!(a.net.batch(at(0), Encapsulation::Udp).datagrams(path, &info, &built, 1000), Ok(2500));
    let frame = a.take_sent().pop().unwrap();
    assert_eq!((frame.len(), frame.meta.segment_bytes, frame.meta.header_bytes), (2542, 1000, 42));
    drop(frame);
    // A transport's header inside UDP would not be repeated by the device: cut here.
    assert_eq!(
        a.net.batch(at(0), Encapsulation::Udp).segments(path, &info, &HEADER, &[&built], 1000, |_, _| ()),
        Ok(2500)
    );
    assert_eq!(a.take_sent().len(), 3);
    // Built by the transport itself, checksum field and all.
    let (mut a, [path, _]) = host(caps(1));
    assert_eq!(a.net.batch(at(0), DIRECT).datagrams(path, &info, &built, 1000), Ok(2500));
    assert!(a.sent().iter().all(|f| checksum_is_right(f, false)));
    // Larger than the MTU.
    assert_eq!(a.net.batch(at(0), DIRECT).datagrams(path, &info, &built, 2000), Ok(2500));
    assert_eq!(a.sent().len(), 3);
    let whole = TxInfo { dont_fragment: true, ..info };
    assert_eq!(a.net.batch(at(0), DIRECT).datagrams(path, &whole, &built, 2000), Err(TxStop::TooBig { mtu: 1500 }));
}

#[test]
fn lowered_mtus_bind_and_are_forgotten() {
    let (mut a, [v4, v6]) = host(caps(1));
    a.net.on_timers(at(2000));
    a.net.lower_mtu(v4, 10);
    a.net.lower_mtu(v6, 10);
    assert_eq!([v4, v6].map(|p| a.net.path_info(p).unwrap().mtu), [68, 1280]);
    a.net.lower_mtu(v4, 1400);
    let sent = a.net.batch(at(0), DIRECT).segments(v4, &TxInfo::default(), &HEADER, &[&[0; 40]], 40, |_, _| ());
    assert_eq!(sent, Err(TxStop::TooBig { mtu: 68 }));
    assert_eq!(a.net.next_deadline(), Some(at(602_000)));
    a.net.on_timers(at(602_000));
    assert_eq!([v4, v6].map(|p| a.net.path_info(p).unwrap().mtu), [1500, 1500]);
}

#[test]
fn one_unresolved_neighbour_does_not_hold_up_another_interface() {
    let (mut a, [path, _]) = host(caps(1));
    let pool = FramePool::new(PoolConfig { slots: 1, ..PoolConfig::default() });
    let config = InterfaceConfig { addresses: vec![(ip("10.1.0.1"), 24)], ..InterfaceConfig::default() };
    let second = a.net.add_interface(caps(7), pool.clone(), None, config);
    a.net.set_room(second, 10);
    let other = a.path("10.1.0.9");
    let mut batch = a.net.batch(at(0), DIRECT);
    let info = TxInfo::default();
    assert_eq!(batch.packet(other, &info, 8, |_| 8), Err(TxStop::Unresolved));
    assert_eq!((batch.blocked(), batch.blocked()), (Some(other), None));
    assert_eq!(batch.packet(path, &info, 8, |_| 8), Ok(()));
    let [question] = &a.net.outbox(second)[..] else { panic!("no question") };
    Watched::new(&caps(7)).demand(question);
    assert_eq!(pool.in_use(), 1, "its question has taken the only slot");
    let mut changes = vec![];
    for s in 1..=3 {
        a.net.on_timers(at(s * 1000));
    }
    a.net.neighbour_changes(&mut changes);
    let neighbour = a.net.path_info(other).unwrap().neighbour.unwrap();
    assert_eq!(changes.last(), Some(&NeighbourChange::Failed(neighbour)));
}

#[test]
fn idle_paths_are_forgotten_and_held_ones_stay() {
    let config = NetConfig { paths_max: 4, ..NetConfig::default() };
    let mut net = Net::new(config, 1);
    let pool = FramePool::new(PoolConfig { slots: 4, ..PoolConfig::default() });
    net.add_interface(
        caps(1),
        pool,
        None,
        InterfaceConfig { addresses: vec![(ip("10.0.0.1"), 24)], ..InterfaceConfig::default() },
    );
    let path = |net: &mut Net, last: u8| net.path(at(0), None, Ip::v4([10, 0, 0, last]));
    let first = path(&mut net, 2).unwrap();
    net.hold(first);
    let all: Vec<PathId> = (3..100).map(|last| path(&mut net, last).unwrap()).collect();
    assert!(net.path_info(first).is_some() && net.path_info(all[0]).is_none());
    assert_eq!(path(&mut net, 2), Ok(first));
    assert_eq!(net.batch(at(0), DIRECT).packet(all[0], &TxInfo::default(), 8, |_| 8), Err(TxStop::NoPath));
    for last in 97..100 {
        let id = path(&mut net, last).unwrap();
        net.hold(id);
    }
    assert_eq!(path(&mut net, 200), Err(RouteError::TableFull));
    net.release(first);
    assert!(path(&mut net, 200).is_ok());
}

#[test]
fn routes_lead_through_gateways_and_sources_must_be_ours() {
    let mut a = Host::new(1);
    assert_eq!(a.net.add_route(Ip::v4([0; 4]), 0, ip("192.0.2.1")), Err(RouteError::NoRoute));
    assert_eq!(a.net.path(at(0), None, ip("8.8.8.8")), Err(RouteError::NoRoute));
    a.net.add_route(Ip::v4([0; 4]), 0, ip("10.0.0.254")).unwrap();
    a.net.add_route(Ip::ANY, 0, ip("fd77::fe")).unwrap();
    for remote in ["8.8.8.8", "2001:db8::1"] {
        let path = a.path(remote);
        assert_eq!(a.net.batch(at(0), DIRECT).packet(path, &TxInfo::default(), 8, |_| 8), Err(TxStop::Unresolved));
    }
    let asked = a.sent();
    assert_eq!(asked[0][38..42], [10, 0, 0, 254], "the gateway is asked for, not the peer");
    assert_eq!(asked[1][38..54], ip("ff02::1:ff00:fe").octets());
    assert_eq!(a.net.path(at(0), Some(ip("10.0.0.9")), ip("10.0.0.2")), Err(RouteError::NotLocal));
    assert_eq!(a.net.path(at(0), Some(ip("10.0.0.1")), ip("fd77::2")), Err(RouteError::NotLocal));
    let group = a.path("224.0.0.251");
    assert_eq!(a.net.batch(at(0), DIRECT).packet(group, &TxInfo::default(), 8, |_| 8), Ok(()));
    assert_eq!(a.sent()[0][..6], [1, 0, 0x5e, 0, 0, 251]);
}

/// Who sends from port 0 expects no answer (RFC 768), and no datagram goes there, whichever way it is built.
#[test]
fn no_datagram_goes_to_port_zero() {
    let (mut a, paths) = host(caps(1));
    let info = TxInfo { source_port: 9, ..TxInfo::default() };
    for path in paths {
        let mut batch = a.net.batch(at(0), Encapsulation::Udp);
        assert_eq!(batch.segment(path, &info, &HEADER, &[&[1, 2, 3]]), Err(TxStop::NoPath));
        assert_eq!(batch.packet(path, &info, 10, |_| 10), Err(TxStop::NoPath));
        assert_eq!(batch.datagrams(path, &info, &[7; 30], 10), Err(TxStop::NoPath));
        assert_eq!(a.take_sent().len(), 0);
    }
}
