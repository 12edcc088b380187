//! Nothing that comes off a wire panics, leaks, or is passed on unless it is what it claims to be.

use super::*;
use crate::frame::Checksum;
use proptest::prelude::*;

/// Frames of every kind that host 2 may receive from host 1.
fn specimens() -> &'static [Vec<u8>] {
    static ALL: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
    ALL.get_or_init(make_specimens)
}

fn make_specimens() -> Vec<Vec<u8>> {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let mut all = vec![];
    for remote in ["10.0.0.2", "fd77::2"] {
        let path = a.path(remote);
        let _ = a.net.batch(at(0), DIRECT).packet(path, &TxInfo::default(), 8, |_| 8);
        all.extend(exchange(at(0), &mut a, &mut b));
        let info = TxInfo { source_port: 7, destination_port: 7, ..TxInfo::default() };
        for how in [DIRECT, Encapsulation::Udp] {
            let mut batch = a.net.batch(at(0), how);
            batch.packet(path, &info, 40, |_| 40).unwrap();
            batch.packet(path, &info, 4000, |_| 4000).unwrap();
        }
        all.extend(exchange(at(0), &mut a, &mut b));
    }
    let echo6 = [128, 0, 0, 0, 0, 1, 0, 1, 9, 9];
    for (src, dst, message) in
        [("10.0.0.1", "10.0.0.2", &[8, 0, 0, 0, 0, 1, 0, 1, 9][..]), ("fd77::1", "fd77::2", &echo6)]
    {
        all.push(control::icmp(src, dst, 64, message));
        for original in all.clone() {
            let kind = if src.contains(':') { [2, 0, 0, 0, 0, 0, 5, 0] } else { [3, 4, 0, 0, 0, 0, 5, 0] };
            all.push(control::icmp(src, dst, 64, &[&kind, &original[14..original.len().min(300)]].concat()));
        }
    }
    all.retain(|bytes| bytes.len() <= 1514);
    all
}

/// Sets right what a mutation made wrong, so that the code behind the IPv4 header's checksum is reached.
fn mend(bytes: &mut [u8]) {
    let Some(ip) = bytes.get_mut(14..) else { return };
    let header = usize::from(ip.first().copied().unwrap_or(0) & 0xf) * 4;
    if let Some(header) = ip.get_mut(..header).filter(|h| h.len() >= 20) {
        header[10..12].fill(0);
        let sum = checksum::finish(crate::simd::sum(header));
        header[10..12].copy_from_slice(&sum);
    }
}

fn check(b: &Host, input: &Input) {
    if let Input::Packet(engine, packet) = input {
        assert_eq!(*engine, ENGINE);
        assert!(!packet.src.ip.is_multicast() && !packet.src.ip.is_unspecified() && !b.net.is_local(packet.src.ip));
        assert!(b.net.is_local(packet.dst.ip) || packet.dst.port != 0);
        assert!(packet.frame.headroom() >= usize::from(packet.ip_header_bytes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_dropped_or_delivered_and_come_back(
        frames in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..200), 0usize..4), 1..20),
    ) {
        let mut b = Host::new(2);
        b.net.udp_ports().claim(7, ENGINE).unwrap();
        for (mut bytes, kind) in frames {
            // Half-way plausible: for us, and of a known type.
            if let Some(front) = bytes.first_chunk_mut::<14>() {
                front[..6].copy_from_slice(&mac(2).0);
                front[6] &= 0xfe;
                front[12..].copy_from_slice(&[[8, 0], [8, 6], [0x86, 0xdd], [0x81, 0]][kind]);
            }
            let input = b.receive(at(0), &bytes);
            check(&b, &input);
        }
        b.net.on_timers(at(100_000));
        b.assert_no_leak();
    }

    #[test]
    fn damaged_packets_are_dropped_or_delivered_and_come_back(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<proptest::sample::Index>(), any::<u8>(), 0u8..5), 1..60),
    ) {
        let all = specimens();
        let mut b = Host::new(2);
        b.net.udp_ports().claim(7, ENGINE).unwrap();
        for (n, (which, place, value, how)) in changes.into_iter().enumerate() {
            let mut bytes = which.get(all).clone();
            match how {
                0 => bytes.truncate(place.index(bytes.len())),
                1 => bytes.extend(std::iter::repeat_n(value, place.index(100))),
                2 => {
                    let at = place.index(bytes.len());
                    bytes.drain(at..(at + usize::from(value)).min(bytes.len()));
                }
                _ => *place.get_mut(&mut bytes) = value,
            }
            if how != 4 {
                mend(&mut bytes);
            }
            let mut frame = b.frame(&bytes);
            if value % 2 == 0 {
                frame.meta.checksum = Checksum::Good;
            }
            let input = b.net.input(at(n as u64 * 500), WIRE, frame);
            check(&b, &input);
            if let Input::Packet(_, packet) = input {
                b.net.reject(at(n as u64 * 500), packet, Unreachable::Port);
            }
            b.net.on_timers(at(n as u64 * 500));
            assert!(b.take_sent().len() <= 128 + 64);
        }
        b.net.on_timers(at(200_000));
        b.assert_no_leak();
    }
}

#[test]
fn damaged_payload_never_reaches_an_engine() {
    let mut b = Host::new(2);
    b.net.udp_ports().claim(7, ENGINE).unwrap();
    for bytes in specimens() {
        if !matches!(b.receive(at(0), bytes), Input::Packet(_, p) if p.frame.len() == 40) {
            continue;
        }
        for place in 34..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            let source_or_checksum_off = damaged[12] == 8 && damaged[23] == UDP && damaged[40..42] == [0, 0];
            assert!(source_or_checksum_off || !matches!(b.receive(at(0), &damaged), Input::Packet(..)), "byte {place}");
        }
    }
}
