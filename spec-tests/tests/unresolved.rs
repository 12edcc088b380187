//! A SYN from a neighbour whose link-layer address is not known yet: the host asks for it, and its answer leaves as soon as it
//! is told, not when the peer has lost its patience.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::driver::Driver;
use burstlane::lane::Lane;
use burstlane::net::InterfaceConfig;
use burstlane::socket::Host;
use burstlane_sim::{EndConfig, Ideal, Network, SimDriver};
use burstlane_spec::hosts::small_lane;
use burstlane_spec::packets::{ACK, SYN, Tcp4, arp_reply};
use burstlane_tcp::{Config, Tcp};

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

#[test]
fn the_answer_to_a_stranger_waits_for_its_next_hop_and_no_longer() {
    let network = Network::new();
    let ends = [1, 2].map(EndConfig::host);
    let (ours, mut peer) =
        network.link(ends[0].clone(), ends[1].clone(), Box::<Ideal>::default(), Box::<Ideal>::default());
    let mut lane = Lane::new(small_lane(1));
    let addresses = vec![(Ip::v4([10, 0, 0, 1]), 24)];
    lane.add_interface(Box::new(ours), InterfaceConfig { addresses, ..InterfaceConfig::default() });
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
