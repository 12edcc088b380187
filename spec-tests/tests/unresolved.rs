//! A SYN from a neighbour whose link-layer address is not known yet: the host asks for it, and its answer leaves as soon as it
//! is told, not when the peer has lost its patience. And a datagram to one that does not answer: whoever sent it is told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::driver::Driver;
use burstlane::lane::Lane;
use burstlane::net::InterfaceConfig;
use burstlane::socket::Host;
use burstlane::time::Instant;
use burstlane_sim::{EndConfig, Ideal, Network, SimDriver, World};
use burstlane_spec::decode::CheckedDriver;
use burstlane_spec::hosts::small_lane;
use burstlane_spec::packets::{ACK, SYN, Tcp4, arp_reply};
use burstlane_tcp::{Config, Tcp};
use burstlane_udp::{Udp, UdpConfig};

fn heard(peer: &mut SimDriver) -> Vec<Vec<u8>> {
    let mut frames = vec![];
    peer.rx_burst(&mut frames, 100).unwrap();
    frames.iter().map(|frame| frame.bytes().to_vec()).collect()
}

fn say(peer: &mut SimDriver, bytes: &[u8]) {
    let mut frame = peer.pool().alloc().unwrap();
    assert!(frame.extend_from_slice(bytes));
    peer.tx_burst(&mut vec![frame]).unwrap();
}

/// A lane at 10.0.0.1, and the other end of its wire.
fn lane(network: &Network) -> (Lane, SimDriver) {
    let ends = [1, 2].map(EndConfig::host);
    let (ours, peer) = network.link(ends[0].clone(), ends[1].clone(), Box::<Ideal>::default(), Box::<Ideal>::default());
    let mut lane = Lane::new(small_lane(1));
    let addresses = vec![(Ip::v4([10, 0, 0, 1]), 24)];
    let driver = CheckedDriver::boxed(Box::new(ours));
    lane.add_interface(driver, InterfaceConfig { addresses, ..InterfaceConfig::default() });
    (lane, peer)
}

#[test]
fn the_answer_to_a_stranger_waits_for_its_next_hop_and_no_longer() {
    let network = Network::new();
    let (mut lane, mut peer) = lane(&network);
    let engine = lane.add::<Tcp>(Config::default()).unwrap();
    let host = Host::new(lane);
    let _listener = host.listen(engine, Endpoint::new(Ip::ANY, 80), 8).unwrap();

    let syn = Tcp4 {
        from: 2,
        to: 1,
        source_port: 5000,
        destination_port: 80,
        seq: 7,
        ack: 0,
        flags: SYN,
        window: 1000,
        payload: vec![],
    };
    say(&mut peer, &syn.frame());
    host.receive(network.now());
    host.transmit(network.now());
    let asked = heard(&mut peer);
    let answer = asked.iter().find_map(|frame| arp_reply(frame, 2)).expect("a question for the peer");
    assert!(asked.iter().all(|frame| Tcp4::read(frame).is_none()), "nothing else can leave yet");

    network.advance(network.now() + Duration::from_millis(1));
    say(&mut peer, &answer);
    host.receive(network.now());
    host.transmit(network.now());
    let segments: Vec<Tcp4> = heard(&mut peer).iter().filter_map(|frame| Tcp4::read(frame)).collect();
    assert_eq!(segments.len(), 1, "{segments:?}");
    assert_eq!((segments[0].flags, segments[0].ack), (SYN | ACK, 8));
}

/// The second datagram is given up in the second half of a turn in which nothing leaves: the neighbour was asked for not long
/// ago, on behalf of the first.
#[test]
fn who_waits_for_events_learns_at_once_that_a_next_hop_does_not_answer() {
    let ms = Duration::from_millis;
    let world = World::new(Network::new());
    let (mut lane, _peer) = lane(world.network());
    let engine = lane.add::<Udp>(UdpConfig::default()).unwrap();
    let host = Host::new(lane);
    let socket = Rc::new(host.connect_messages(engine, Endpoint::new(Ip::v4([10, 0, 0, 2]), 7)).unwrap());
    let failures = Rc::new(RefCell::new(vec![]));
    let (heard, reader, mut events) = (Rc::clone(&failures), Rc::clone(&socket), vec![]);
    world.add_app(&host, move |host| {
        host.take_events(engine, &mut events);
        let errors = events.drain(..).filter_map(|_| reader.recv(&mut []).err());
        let errors = errors.filter(|error| error.kind() != ErrorKind::WouldBlock);
        heard.borrow_mut().extend(errors.map(|error| (error.kind(), host.now())));
        false
    });
    for written_at in [ms(0), ms(500)] {
        world.run_for(written_at).unwrap();
        socket.send(b"anybody there?").unwrap();
    }
    world.run_until(Duration::from_secs(10), || failures.borrow().len() == 2).expect("to be told of both");
    for ((kind, at), written_at) in failures.borrow().iter().zip([ms(0), ms(500)]) {
        let took = at.since(Instant::ZERO + written_at);
        assert_eq!(*kind, ErrorKind::HostUnreachable);
        assert!(took < ms(3_200), "as long as the network layer asks, and a last try, not {took:?}");
    }
    assert_eq!(world.forced_advances(), 0);
}
