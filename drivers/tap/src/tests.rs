//! Against the kernel, in a network namespace of their own: `unshare -rn` before the test binary, `--ignored` behind it.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use burstlane::addr::{Ip, Mac};
use burstlane::driver::{Driver, DriverError};
use burstlane::frame::{Checksum, Frame};
use burstlane::lane::{Lane, LaneConfig};
use burstlane::net::InterfaceConfig;
use burstlane::runtime::RealTime;
use burstlane::socket::Host;
use burstlane_spec::decode::CheckedDriver;

use super::*;

const OURS: Mac = Mac([2, 0, 0, 0, 0, 7]);

fn ip(arguments: &str) {
    assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success(), "ip {arguments}");
}

fn open(name: &str, subnet: u8) -> Tap {
    let tap = Tap::open(&TapConfig { mac: Some(OURS), ..TapConfig::new(name) }).unwrap();
    ip(&format!("addr add 10.99.{subnet}.1/24 dev {name}"));
    ip(&format!("link set {name} up"));
    tap
}

/// Receives until a frame is as wanted; the kernel speaks of its own accord too (IPv6 router solicitations).
fn receive(tap: &mut Tap, wanted: impl Fn(&Frame) -> bool) -> Frame {
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut frames = vec![];
    while Instant::now() < deadline {
        tap.wait(Some(Duration::from_millis(100))).unwrap();
        tap.rx_burst(&mut frames, 8).unwrap();
        if let Some(at) = frames.iter().position(&wanted) {
            return frames.swap_remove(at);
        }
        frames.clear();
    }
    panic!("nothing of the kind came");
}

/// RFC 826, from 10.99.x.2, about 10.99.x.1.
fn arp_request(subnet: u8) -> Vec<u8> {
    let mut bytes = vec![0xff; 6];
    bytes.extend(OURS.0);
    bytes.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    bytes.extend(OURS.0);
    bytes.extend([10, 99, subnet, 2, 0, 0, 0, 0, 0, 0, 10, 99, subnet, 1]);
    bytes
}

fn exchange_arp(tap: &mut Tap, subnet: u8) -> Mac {
    let mut frame = tap.pool().alloc().unwrap();
    assert!(frame.extend_from_slice(&arp_request(subnet)));
    let mut burst = vec![frame];
    tap.tx_burst(&mut burst).unwrap();
    assert!(burst.is_empty());
    let answer = receive(tap, |f| f.bytes()[12..14] == [8, 6] && f.bytes()[20..22] == [0, 2]);
    assert_eq!(answer.bytes()[..6], OURS.0);
    Mac(answer.bytes()[22..28].try_into().unwrap())
}

fn add(mut sum: u32, bytes: &[u8]) -> u32 {
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    (sum & 0xffff) + (sum >> 16)
}

#[test]
#[ignore = "needs a network namespace: run by .ci/run"]
fn the_kernel_answers_arp_and_finishes_what_we_leave_undone() {
    let mut tap = open("bl-arp", 1);
    let kernel = exchange_arp(&mut tap, 1);
    let capabilities = tap.capabilities();
    assert!(capabilities.tx_checksum && capabilities.segments.contains(6));

    // Three datagrams in one frame, cut and summed by the kernel, where it can.
    let socket = UdpSocket::bind("10.99.1.1:5000").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut datagram = [0; 4096];
    let payload: Vec<u8> = (0..2500_u32).map(|i| i as u8).collect();
    if capabilities.segments.contains(17) {
        let mut frame = tap.large_pool().unwrap().alloc().unwrap();
        assert!(frame.extend_from_slice(&udp(kernel, &payload)));
        frame.set_partial_checksum(34, 6);
        (frame.meta.segment_protocol, frame.meta.segment_bytes, frame.meta.header_bytes) = (17, 1000, 42);
        tap.tx_burst(&mut vec![frame]).unwrap();
        for part in payload.chunks(1000) {
            let (n, from) = socket.recv_from(&mut datagram).unwrap();
            assert_eq!((&datagram[..n], from.port()), (part, 4000));
        }
    }

    // And what the kernel leaves undone, it says.
    socket.send_to(b"answer", "10.99.1.2:4000").unwrap();
    let got = receive(&mut tap, |f| f.bytes().ends_with(b"answer"));
    assert_eq!((got.meta.checksum, got.partial_checksum()), (Checksum::Partial, Some((34, 6))));
    drop(got);
    assert_eq!((tap.pool().in_use(), tap.large_pool().unwrap().in_use()), (0, 0));
}

/// What does not fit a small slot comes whole in a large one, or is counted; the frames behind it come in any case.
#[test]
#[ignore = "needs a network namespace: run by .ci/run"]
fn frames_larger_than_a_slot_arrive_whole() {
    let mut tap = open("bl-large", 5);
    exchange_arp(&mut tap, 5);
    // Behind the driver's back, so that its small slots are too small.
    ip("link set bl-large mtu 9000");
    let socket = UdpSocket::bind("10.99.5.1:5000").unwrap();
    let to = "10.99.5.2:4000";
    let capacity = tap.pool().frame_bytes_max();
    for bytes in [8000, capacity - 42, capacity - 41, 100] {
        let payload: Vec<u8> = (0..bytes).map(|i| (i * 7 + bytes) as u8).collect();
        socket.send_to(&payload, to).unwrap();
        let got = receive(&mut tap, |f| f.len() == 42 + bytes);
        assert_eq!(got.bytes()[42..], payload);
        let is_large = got.pool().is_same(tap.large_pool().unwrap());
        assert_eq!(is_large, 42 + bytes > capacity, "{bytes}");
    }

    let large = tap.large_pool().unwrap().clone();
    let held: Vec<Frame> = std::iter::from_fn(|| large.alloc()).collect();
    socket.send_to(&[1; 8000], to).unwrap();
    socket.send_to(&[2; 50], to).unwrap();
    let got = receive(&mut tap, |f| f.len() == 92);
    assert!(got.bytes().ends_with(&[2; 50]));
    assert_eq!(tap.counters().rx_no_room.get(), 1);
    drop((got, held));
    assert_eq!((tap.pool().in_use(), large.in_use()), (0, 0));
}

/// A UDP packet from 10.99.1.2:4000 to 10.99.1.1:5000 whose checksum field holds the pseudo-header's sum.
fn udp(to: Mac, payload: &[u8]) -> Vec<u8> {
    let udp_bytes = (8 + payload.len() as u16).to_be_bytes();
    let mut header = vec![0x45, 0];
    header.extend((28 + payload.len() as u16).to_be_bytes());
    header.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 99, 1, 2, 10, 99, 1, 1]);
    let sum = !(add(0, &header) as u16);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let pseudo = add(add(17, &header[12..20]), &udp_bytes) as u16;
    let mut bytes = to.0.to_vec();
    bytes.extend(OURS.0);
    bytes.extend([8, 0]);
    bytes.extend(header);
    bytes.extend([0x0f, 0xa0, 0x13, 0x88]);
    bytes.extend(udp_bytes);
    bytes.extend(pseudo.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The whole way up and down: the kernel finds our host by ARP, sends to a port where nobody is, and is told so by ICMP.
#[test]
#[ignore = "needs a network namespace: run by .ci/run"]
fn a_lane_on_a_tap_is_a_host_to_the_kernel() {
    let tap = open("bl-lane", 6);
    let counters = tap.counters();
    let mut lane = Lane::new(LaneConfig::seeded(1));
    let addresses = vec![(Ip::v4([10, 99, 6, 2]), 24)];
    lane.add_interface(
        CheckedDriver::boxed(Box::new(tap)),
        InterfaceConfig { addresses, ..InterfaceConfig::default() },
    );
    let host = RealTime::new(Host::new(lane), Duration::from_millis(10));

    let socket = UdpSocket::bind("10.99.6.1:0").unwrap();
    socket.connect("10.99.6.2:9").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.send(b"is anybody there?").unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let refused = || socket.recv(&mut [0; 10]).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused);
    while !refused() {
        assert!(Instant::now() < deadline, "{counters:?}");
        host.turn(|| false).unwrap();
    }
    assert_eq!((counters.rx_bad_description.get(), counters.tx_bad_description.get()), (0, 0));
}

#[test]
#[ignore = "needs a network namespace: run by .ci/run"]
fn down_is_not_gone() {
    let mut tap = open("bl-down", 2);
    let mut burst = vec![tap.pool().alloc().unwrap()];
    assert!(burst[0].extend_from_slice(&arp_request(2)));
    ip("link set bl-down down");
    assert!(matches!(tap.tx_burst(&mut burst), Err(DriverError::Down(_))));
    assert_eq!((burst.len(), tap.is_up()), (1, false), "the frame waits");
    ip("link set bl-down up");
    assert!(tap.is_up());
    tap.tx_burst(&mut burst).unwrap();
    assert!(burst.is_empty());
    ip("link del bl-down");
    assert!(matches!(tap.rx_burst(&mut burst, 1), Err(DriverError::Gone(_))));
    assert!(!tap.is_up());
}

#[test]
#[ignore = "needs a network namespace: run by .ci/run"]
fn what_stands_in_the_way_is_named() {
    let _tap = open("bl-busy", 3);
    let error = |name: &str| Tap::open(&TapConfig::new(name)).err().unwrap();
    assert!(matches!(error("bl-busy"), OpenError::Busy { .. }), "{:?}", error("bl-busy"));
    assert!(matches!(error("lo"), OpenError::OtherKind { .. }), "{:?}", error("lo"));
}

#[test]
#[ignore = "needs a network namespace: run by .ci/run"]
fn queues_offloads_and_the_mtu_are_as_asked_for() {
    let config = TapConfig { mtu: Some(9000), ..TapConfig::new("bl-q%d") };
    let queues = open_queues(&config, 3).unwrap();
    assert!(queues.iter().all(|queue| queue.name() == "bl-q0"));
    let taps: Vec<Tap> = queues.into_iter().map(TapQueue::into_driver).collect();
    assert!(taps.iter().all(|tap| tap.capabilities().mac == taps[0].capabilities().mac));
    assert_eq!(taps[2].capabilities().mtu, 9000);
    assert!(taps[2].pool().frame_bytes_max() >= 9018);

    let plain = TapConfig { offloads: false, ..TapConfig::new("bl-plain") };
    let mut tap = Tap::open(&TapConfig { mac: Some(OURS), ..plain }).unwrap();
    assert!(!tap.capabilities().tx_checksum && tap.large_pool().is_none());
    ip("addr add 10.99.4.1/24 dev bl-plain");
    ip("link set bl-plain up");
    exchange_arp(&mut tap, 4);
    let socket = UdpSocket::bind("10.99.4.1:5000").unwrap();
    socket.send_to(b"answer", "10.99.4.2:4000").unwrap();
    let got = receive(&mut tap, |f| f.bytes().ends_with(b"answer"));
    assert_eq!(got.meta.checksum, Checksum::Unverified);
}
