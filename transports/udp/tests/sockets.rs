//! Sockets of two hosts on a link.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test, all of it

use std::io::ErrorKind;
use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::lane::{EngineId, Lane, LaneConfig};
use burstlane::net::InterfaceConfig;
use burstlane::socket::{Host, MessageSocket, Ready};
use burstlane::toolkit::MessageLimits;
use burstlane_sim::{EndConfig, EndHandle, LinkConfig, Network, StandardLink, World};
use burstlane_spec::decode::CheckedDriver;
use burstlane_udp::{Udp, UdpConfig};

struct Pair {
    world: World,
    hosts: [Host; 2],
    engines: [EngineId<Udp>; 2],
    ends: [EndHandle; 2],
}

const ANY: Ip = Ip::ANY;

fn v4(n: u8) -> Ip {
    Ip::v4([10, 0, 0, n])
}

fn v6(n: u8) -> Ip {
    Ip::v6([0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n])
}

fn pair(config: UdpConfig) -> Pair {
    let world = World::new(Network::new());
    let link = || StandardLink::boxed(LinkConfig { delay: MS, ..LinkConfig::default() }, 1).unwrap();
    let (a, b) = world.network().link(EndConfig::host(1), EndConfig::host(2), link(), link());
    let ends = [a.handle(), b.handle()];
    let host = |driver, n: u8| {
        let mut lane = Lane::new(LaneConfig::seeded(u64::from(n)));
        let addresses = vec![(v4(n), 24), (v4(n + 10), 24), (v6(n), 64)];
        let driver = CheckedDriver::boxed(Box::new(driver));
        lane.add_interface(driver, InterfaceConfig { addresses, ..InterfaceConfig::default() });
        let engine = lane.add::<Udp>(config).unwrap();
        let host = Host::new(lane);
        world.add_host(&host);
        (host, engine)
    };
    let ((left, e1), (right, e2)) = (host(a, 1), host(b, 2));
    Pair { world, hosts: [left, right], engines: [e1, e2], ends }
}

impl Pair {
    fn bind(&self, side: usize, ip: Ip, port: u16) -> MessageSocket<Udp> {
        self.hosts[side].bind(self.engines[side], Endpoint::new(ip, port)).unwrap()
    }

    fn connect(&self, ip: Ip, port: u16) -> MessageSocket<Udp> {
        self.hosts[0].connect_messages(self.engines[0], Endpoint::new(ip, port)).unwrap()
    }

    fn pass(&self, ms: u32) {
        self.world.run_for(MS * ms).unwrap();
    }

    /// Lets go of everything: nothing may be left.
    fn end(self, sockets: Vec<MessageSocket<Udp>>) {
        drop(sockets);
        self.pass(10_000);
        for host in &self.hosts {
            let lane = host.lane();
            assert_eq!((lane.flows(), lane.buffer_bytes()), (0, 0));
        }
        assert!(self.ends.iter().all(|end| end.frames_out() == 0), "frames leaked");
    }
}

/// All that came, with its sender.
fn received(socket: &MessageSocket<Udp>) -> Vec<(Vec<u8>, Endpoint)> {
    let mut buf = vec![0; 70_000];
    std::iter::from_fn(|| socket.recv(&mut buf).ok().map(|got| (buf[..got.bytes].to_vec(), got.from))).collect()
}

fn texts(socket: &MessageSocket<Udp>) -> Vec<String> {
    received(socket).into_iter().map(|(bytes, _)| String::from_utf8(bytes).unwrap()).collect()
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn datagrams_go_to_the_most_specific_socket() {
    let pair = pair(UdpConfig::default());
    let (any, bound) = (pair.bind(1, ANY, 7), pair.bind(1, v4(2), 7));
    let client = pair.bind(0, v4(1), 1000);
    let connected = pair.hosts[1]
        .with(pair.engines[1], |core, lane, net| {
            core.connect(lane, net, Some(Endpoint::new(v4(2), 7)), Endpoint::new(v4(1), 1000))
        })
        .map(|flow| MessageSocket::new(pair.hosts[1].clone(), pair.engines[1], flow))
        .unwrap();
    let other = pair.bind(0, ANY, 1001);
    client.send_to(b"to the connected", Endpoint::new(v4(2), 7)).unwrap();
    other.send_to(b"to the bound", Endpoint::new(v4(2), 7)).unwrap();
    other.send_to(b"to any", Endpoint::new(v4(12), 7)).unwrap();
    pair.pass(100);
    assert_eq!(texts(&connected), ["to the connected"]);
    assert_eq!(received(&bound), [(b"to the bound".to_vec(), Endpoint::new(v4(1), 1001))]);
    assert_eq!(texts(&any), ["to any"]);
    connected.send(b"back").unwrap();
    connected.send_to(b"back whatever the address", Endpoint::new(v4(1), 1001)).unwrap();
    pair.pass(100);
    assert_eq!(texts(&client), ["back", "back whatever the address"]);
    pair.end(vec![any, bound, client, connected, other]);
}

#[test]
fn datagrams_of_every_size_arrive_over_both_families() {
    for (ip, max) in [(v4(2), 65_507), (v6(2), 65_400)] {
        let pair = pair(UdpConfig::default());
        let (server, client) = (pair.bind(1, ANY, 9), pair.connect(ip, 9));
        let sizes = [0, 1, 511, 1452, 1453, 1472, 1473, 2961, 30_000, max];
        for size in sizes {
            let datagram: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            client.send(&datagram).unwrap();
            pair.pass(50);
            let got = received(&server);
            assert_eq!(got.len(), 1, "{size} bytes over {ip}");
            assert!(got[0].0 == datagram, "{size} bytes over {ip}");
        }
        assert_eq!(client.send(&[0; 65_508]).unwrap_err().kind(), ErrorKind::InvalidInput);
        pair.end(vec![server, client]);
    }
}

#[test]
fn a_refused_datagram_is_an_error_once_and_the_socket_goes_on() {
    let pair = pair(UdpConfig::default());
    let client = pair.connect(v4(2), 99);
    client.send(b"anybody?").unwrap();
    pair.pass(100);
    assert!(client.readiness().contains(Ready::READABLE));
    assert_eq!(client.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(client.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let server = pair.bind(1, ANY, 99);
    client.send(b"and now?").unwrap();
    pair.pass(100);
    assert_eq!(texts(&server), ["and now?"]);
    pair.end(vec![client, server]);
}

#[test]
fn what_overflows_the_receive_queue_is_dropped_and_counted() {
    let rx_limits = MessageLimits { messages_max: 3, bytes_max: 100 };
    let pair = pair(UdpConfig { rx_limits, ..UdpConfig::default() });
    let (server, client) = (pair.bind(1, ANY, 9), pair.connect(v4(2), 9));
    for text in ["1", "2", "3", "4", "5"] {
        client.send(text.as_bytes()).unwrap();
    }
    pair.pass(100);
    assert_eq!(texts(&server), ["1", "2", "3"]);
    assert_eq!(pair.hosts[1].lane().drops().get("udp: receive queue is full"), 2);
    pair.end(vec![client, server]);
}

#[test]
fn a_full_send_queue_pushes_back_and_then_has_room() {
    let tx_limits = MessageLimits { messages_max: 2, bytes_max: 70_000 };
    let pair = pair(UdpConfig { tx_limits, ..UdpConfig::default() });
    let (server, client) = (pair.bind(1, ANY, 9), pair.connect(v4(2), 9));
    assert!(client.send(b"a").is_ok() && client.send(b"b").is_ok());
    assert_eq!(client.send(b"c").unwrap_err().kind(), ErrorKind::WouldBlock);
    pair.pass(100);
    assert!(client.readiness().contains(Ready::WRITABLE));
    client.send(b"c").unwrap();
    pair.pass(100);
    assert_eq!(texts(&server), ["a", "b", "c"]);
    pair.end(vec![client, server]);
}

#[test]
fn a_neighbour_that_does_not_answer_holds_up_nobody_else() {
    let pair = pair(UdpConfig::default());
    let (server, client) = (pair.bind(1, ANY, 9), pair.bind(0, ANY, 1000));
    for _ in 0..20 {
        client.send_to(b"lost", Endpoint::new(v4(77), 9)).unwrap();
    }
    client.send_to(b"first", Endpoint::new(v4(2), 9)).unwrap();
    client.send_to(b"first6", Endpoint::new(v6(2), 9)).unwrap();
    pair.pass(8); // a round trip for the neighbour, a half for the datagram, and the pause between tries
    client.send_to(b"lost, too", Endpoint::new(v4(78), 9)).unwrap();
    client.send_to(b"second", Endpoint::new(v4(2), 9)).unwrap();
    assert_eq!(texts(&server), ["first", "first6"]);
    pair.pass(2);
    assert_eq!(texts(&server), ["second"]);
    pair.pass(5_000);
    assert_eq!(pair.hosts[0].lane().drops().get("udp: next hop does not answer"), 21);
    assert_eq!(client.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::HostUnreachable);
    pair.end(vec![client, server]);
}

#[test]
fn closing_right_after_writing_loses_nothing() {
    let pair = pair(UdpConfig::default());
    let (server, client) = (pair.bind(1, ANY, 9), pair.connect(v4(2), 9));
    client.send(b"goodbye").unwrap();
    drop(client);
    pair.pass(100);
    assert_eq!(texts(&server), ["goodbye"]);
    pair.end(vec![server]);
}

#[test]
fn ports_are_taken_once_and_come_back() {
    let pair = pair(UdpConfig::default());
    let first = pair.bind(1, ANY, 9);
    assert!(pair.hosts[1].bind(pair.engines[1], Endpoint::new(ANY, 9)).is_err());
    drop(first);
    pair.pass(1);
    let again = pair.bind(1, ANY, 9);
    let unconnected = pair.bind(1, ANY, 0);
    unconnected.send(b"to nobody").unwrap();
    pair.pass(1);
    assert_eq!(unconnected.send(b"").unwrap_err().kind(), ErrorKind::HostUnreachable);
    pair.end(vec![again, unconnected]);
}

/// Every frame and its time.
#[derive(Clone, Default)]
struct Log(std::rc::Rc<std::cell::RefCell<Frames>>);

type Frames = Vec<(u64, Vec<u8>)>;

impl burstlane::observe::FrameTap for Log {
    fn frame(
        &mut self,
        now: burstlane::time::Instant,
        _: u16,
        _: burstlane::observe::Direction,
        bytes: &[u8],
        _: Option<&str>,
    ) {
        self.0.borrow_mut().push((now.as_nanos(), bytes.to_vec()));
    }
}

#[test]
fn the_same_calls_give_the_same_bytes() {
    let run = || {
        let pair = pair(UdpConfig::default());
        let log = Log::default();
        pair.hosts[0].lane().set_tap(Some(Box::new(log.clone())));
        let (server, client) = (pair.bind(1, ANY, 9), pair.bind(0, ANY, 1000));
        for n in 0..50u8 {
            let to = Endpoint::new(v4(2 + n % 3 * 30), 9);
            client.send_to(&vec![n; usize::from(n) * 100], to).unwrap();
        }
        pair.pass(5_000);
        assert!(!received(&server).is_empty());
        pair.end(vec![server, client]);
        log.0.take()
    };
    let first = run();
    assert!(first.len() > 17, "{} frames", first.len());
    assert!(first == run());
}
