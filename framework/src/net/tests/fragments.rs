//! Reassembly against a model that knows every byte.

use super::*;
use crate::net::cut;
use crate::net::header::{HeaderTemplate, IpFields};
use proptest::prelude::*;

fn template(v6: bool) -> HeaderTemplate {
    let (src, dst) = if v6 { (ip("fd77::1"), ip("fd77::2")) } else { (ip("10.0.0.1"), ip("10.0.0.2")) };
    let mut template = HeaderTemplate::new(mac(1), None, src, dst);
    template.set_destination(mac(2));
    template
}

/// Datagrams of this protocol reach the engine without a checksum.
const PLAIN: u8 = 254;

fn receiver() -> Host {
    let mut b = Host::new(2);
    b.net.register(ENGINE, Claim::Ip { protocol: PLAIN, checksum: None }).unwrap();
    b
}

/// One fragment, or a whole packet if it says so.
fn fragment(v6: bool, ident: u32, offset: usize, more: bool, bytes: &[u8]) -> Vec<u8> {
    let template = template(v6);
    let mut out = vec![0; template.bytes()];
    let offset_more = offset as u16 | u16::from(more);
    if v6 {
        let [i3, i2, i1, i0] = ident.to_be_bytes();
        let [o1, o0] = offset_more.to_be_bytes();
        out.extend_from_slice(&[PLAIN, 0, o1, o0, i3, i2, i1, i0]);
    }
    let payload = out.len() - template.bytes() + bytes.len();
    let fragment = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
    let fields = IpFields {
        protocol: if v6 { 44 } else { PLAIN },
        hop_limit: 9,
        ident: ident as u16,
        fragment,
        ..IpFields::default()
    };
    let front = template.bytes();
    template.write(&mut out[..front], &fields, payload);
    out.extend_from_slice(bytes);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// In any order, with any of them twice, the datagram arrives once, as it was.
    #[test]
    fn any_order_and_duplicates_give_the_datagram_once(
        len in 1usize..20_000, mtu in 1280usize..1500, v6: bool, order in any::<proptest::sample::Index>(), seed: u64,
    ) {
        let mut b = receiver();
        let payload: Vec<u8> = (0..len).map(|n| (n / 7) as u8).collect();
        let fields = IpFields { protocol: PLAIN, hop_limit: 9, ..IpFields::default() };
        let mut frames = vec![];
        assert!(cut::cut(&template(v6), &fields, 77, mtu, &payload, &b.pool, &mut frames));
        prop_assert_eq!(frames.len(), cut::pieces(&template(v6), mtu, len));
        let mut wire: Vec<Vec<u8>> = frames.iter().map(|f| f.bytes().to_vec()).collect();
        frames.clear();
        // A duplicate, and a shuffle by multiplication.
        let twice = wire[order.index(wire.len())].clone();
        if wire.len() > 1 {
            wire.insert(0, twice);
        }
        let mut keyed: Vec<_> = wire.into_iter().enumerate().map(|(n, w)| ((n as u64 + 1).wrapping_mul(seed | 1).rotate_left(17), w)).collect();
        keyed.sort();
        for (_, bytes) in keyed {
            let input = b.receive(at(0), &bytes);
            b.inputs.push(input);
        }
        let packets = b.packets();
        prop_assert_eq!(packets.len(), 1);
        prop_assert_eq!(packets[0].frame.bytes(), &payload[..]);
        drop(packets);
        b.net.on_timers(at(61_000));
        b.assert_no_leak();
        prop_assert_eq!(b.net.reassembly.in_use(), 0);
    }

    /// Whatever is sent under one identification, overlapping or beyond the end, the receiver does as the model says:
    /// whole and unambiguous, or not at all.
    #[test]
    fn overlaps_discard_the_datagram(
        pieces in proptest::collection::vec((0usize..6, 1usize..4, any::<bool>(), 0u8..2), 1..12), v6: bool,
    ) {
        let mut b = receiver();
        let mut ranges: Vec<(usize, usize, u8)> = vec![];
        let (mut total, mut refused, mut expected) = (None, false, vec![]);
        for (offset, len, last, fill) in pieces {
            // A whole packet is no fragment.
            let last = last && offset != 0;
            let (offset, len) = (offset * 8, len * 8);
            let bytes = vec![fill; len];
            let input = b.receive(at(0), &fragment(v6, 5, offset, !last, &bytes));
            b.inputs.push(input);
            if refused {
                continue;
            }
            let end = offset + len;
            let overlap = ranges.iter().any(|r| offset < r.0 + r.1 && r.0 < end);
            if overlap {
                refused = !ranges.contains(&(offset, len, fill));
                continue;
            }
            let reach = ranges.iter().map(|r| r.0 + r.1).max().unwrap_or(0).max(end);
            let new_total = if last { Some(end) } else { total };
            refused = new_total.is_some_and(|t| t < reach) || (total.is_some() && total != new_total);
            if refused {
                continue;
            }
            total = new_total;
            ranges.push((offset, len, fill));
            if total == Some(ranges.iter().map(|r| r.1).sum()) {
                ranges.sort();
                expected.push(ranges.iter().flat_map(|r| vec![r.2; r.1]).collect::<Vec<u8>>());
                (ranges, total) = (vec![], None);
            }
        }
        let arrived: Vec<Vec<u8>> = b.packets().iter().map(|p| p.frame.bytes().to_vec()).collect();
        prop_assert_eq!(arrived, expected);
        b.net.on_timers(at(61_000));
        b.assert_no_leak();
    }
}

#[test]
fn memory_and_time_are_bounded() {
    let mut b = receiver();
    let bytes = [1; 64];
    for ident in 0..100 {
        assert!(matches!(b.receive(at(0), &fragment(ident % 2 == 0, ident, 8, true, &bytes)), Input::Done));
    }
    assert_eq!(b.net.reassembly.in_use(), 16);
    assert_eq!(b.net.counters().get("fragment: made room for another"), 84);
    // The newest is still whole enough to be finished: it came last.
    assert_eq!(b.net.next_deadline(), Some(at(30_000)));
    b.net.on_timers(at(59_999));
    assert_eq!(b.net.reassembly.in_use(), 8);
    b.net.on_timers(at(60_000));
    assert_eq!((b.net.reassembly.in_use(), b.net.next_deadline()), (0, None));
    assert!(b.sent().is_empty(), "without the first fragment nobody is told");
    let _ = b.receive(at(60_000), &fragment(false, 7, 0, true, &bytes));
    b.net.on_timers(at(90_000));
    // The sender is unknown: the error waits for its address.
    assert_eq!(b.net.neighbours.parked(), 1);
    b.assert_no_leak();
}

#[test]
fn first_fragments_show_the_transport_header_and_atomic_ones_are_packets() {
    let mut b = receiver();
    b.net.register(EngineIndex(4), Claim::Ip { protocol: 200, checksum: Some(ChecksumSpec { field: 16 }) }).unwrap();
    let mut tiny = fragment(true, 1, 0, true, &[0; 16]);
    tiny[54] = 200;
    assert!(matches!(b.receive(at(0), &tiny), Input::Done));
    assert_eq!(b.net.counters().get("fragment: first is too short"), 1);
    assert!(
        matches!(b.receive(at(0), &fragment(true, 1, 0, false, b"whole")), Input::Packet(ENGINE, p) if p.frame.bytes() == b"whole")
    );
    let _ = b.receive(at(0), &fragment(false, 1, 8, true, &[0; 9]));
    assert_eq!(b.net.counters().get("fragment: length"), 1);
    let _ = b.receive(at(0), &fragment(false, 1, 65_528, false, &[0; 9]));
    assert_eq!(b.net.counters().get("fragment: too long"), 1);
    b.assert_no_leak();
}

#[test]
fn congestion_marks_survive_reassembly() {
    let mut b = receiver();
    let mut send = |ident, first: u8, second: u8| {
        for (ecn, offset) in [(first, 0), (second, 8)] {
            let mut bytes = fragment(true, ident, offset, offset == 0, &[0; 8]);
            bytes[15] |= ecn << 4;
            let input = b.receive(at(0), &bytes);
            b.inputs.push(input);
        }
        b.packets().first().map(|p| p.ecn)
    };
    assert_eq!([send(1, 2, 3), send(2, 2, 2), send(3, 0, 3), send(4, 0, 0)], [Some(3), Some(2), None, Some(0)]);
}
