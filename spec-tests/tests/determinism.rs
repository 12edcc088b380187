//! Same seed, same bytes: a run over a bad link, repeated, gives the same capture to the last bit, at the same instants.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use burstlane::lane::EngineId;
use burstlane::observe::Capture;
use burstlane::socket::MessageSocket;
use burstlane::transport::Transport;
use burstlane_rudp::{Rudp, RudpConfig};
use burstlane_sim::LinkConfig;
use burstlane_spec::pattern::Dice;
use burstlane_spec::{Face, Hosts, HostsConfig, Pattern, Transfer, TransferConfig};
use burstlane_tcp::Tcp;
use burstlane_udp::{Udp, UdpConfig};
use stop_and_wait::StopAndWait;

/// 5 % loss, duplication and reordering.
fn bad_link() -> LinkConfig {
    LinkConfig {
        delay: Duration::from_millis(10),
        jitter: Duration::from_millis(1),
        loss: 0.05,
        duplicate: 0.05,
        reorder: 0.05,
        // Longer than a round trip, and than the patience of a protocol that has one packet under way.
        reorder_delay: Duration::from_millis(700),
        ..LinkConfig::default()
    }
}

/// The capture of a run with several flows, as both hosts saw it.
fn capture<T: Transport>(seed: u64, config: T::Config, bytes: u64, piece_bytes_max: u64) -> Vec<u8>
where
    T::Io: Face,
{
    let hosts = Hosts::new(HostsConfig::new(seed).with_link(&bad_link()));
    let engines: [EngineId<T>; 2] = hosts.add(config);
    let capture = hosts.capture(Vec::new());
    let first = Transfer::start(
        &hosts,
        engines,
        TransferConfig { piece_bytes_max, ..TransferConfig::new(seed, [bytes, bytes / 2]) },
    );
    first.finish(&hosts, LIMIT);
    hosts.stop_apps();
    // Once more, over what the first one left behind.
    let second = Transfer::start(
        &hosts,
        engines,
        TransferConfig { piece_bytes_max, has_lazy_readers: true, ..TransferConfig::new(!seed, [bytes, bytes / 2]) },
    );
    second.finish(&hosts, LIMIT);
    let sent = hosts.members[0].end.sent();
    assert!(sent.lost > 0 && sent.duplicated > 0 && sent.reordered > 0, "the link was not bad: {sent:?}");
    hosts.assert_clean();
    bytes_of(capture)
}

fn bytes_of(capture: Rc<RefCell<Capture<Vec<u8>>>>) -> Vec<u8> {
    Rc::into_inner(capture).expect("the lanes are gone").into_inner().finish().unwrap()
}

/// The same for datagrams, which nobody repeats: one socket asks, the other answers what it hears.
fn udp_capture(seed: u64) -> Vec<u8> {
    let hosts = Hosts::new(HostsConfig::new(seed).with_link(&bad_link()));
    let engines = hosts.add::<Udp>(UdpConfig::default());
    let capture = hosts.capture(Vec::new());
    let server = hosts.members[1].host.bind(engines[1], hosts.remote()).unwrap();
    hosts.add_app(1, move |_| {
        let (mut moved, mut buf) = (false, [0; 4000]);
        while let Ok(received) = server.recv(&mut buf) {
            server.send_to(&buf[..received.bytes], received.from).unwrap();
            moved = true;
        }
        moved
    });
    let client: MessageSocket<Udp> = hosts.connect(engines);
    let (pattern, mut dice, mut at, mut answers) = (Pattern::new(seed), Dice::new(seed), 0, 0);
    for _ in 0..300 {
        // Some of them larger than a packet: they travel in fragments.
        let mut datagram = vec![0; dice.range(1, 3000) as usize];
        pattern.fill(at, &mut datagram);
        at += datagram.len() as u64;
        client.send(&datagram).unwrap();
        hosts.world.run_for(Duration::from_micros(dice.range(0, 5000))).unwrap();
        let mut buf = [0; 4000];
        while client.recv(&mut buf).is_ok() {
            answers += 1;
        }
    }
    let sent = hosts.members[0].end.sent();
    assert!(sent.lost > 0 && sent.duplicated > 0 && sent.reordered > 0, "the link was not bad: {sent:?}");
    assert!(answers > 100, "only {answers} answers");
    drop(client);
    hosts.assert_clean();
    bytes_of(capture)
}

fn check<T: Transport>(config: &T::Config, bytes: u64, piece_bytes_max: u64)
where
    T::Io: Face,
{
    check_captures(|seed| capture::<T>(seed, config.clone(), bytes, piece_bytes_max));
}

fn check_captures(capture: impl Fn(u64) -> Vec<u8>) {
    for seed in [1, 0xdead_beef] {
        let [one, two] = [(); 2].map(|()| capture(seed));
        let differs = one.iter().zip(&two).position(|(a, b)| a != b);
        assert_eq!((one.len(), differs), (two.len(), None), "seed {seed}: where the captures differ");
    }
    assert!(capture(1) != capture(2), "the seed decides over nothing");
}

#[test]
fn tcp_with_one_seed_sends_the_same_bytes_at_the_same_instants() {
    check::<Tcp>(&burstlane_tcp::Config::default(), 300_000, 9_000);
}

#[test]
fn rudp_with_one_seed_sends_the_same_bytes_at_the_same_instants() {
    check::<Rudp>(&RudpConfig::default(), 300_000, 9_000);
}

#[test]
fn stop_and_wait_with_one_seed_sends_the_same_bytes_at_the_same_instants() {
    check::<StopAndWait>(&stop_and_wait::Config::default(), 60_000, 1_000);
}

#[test]
fn udp_with_one_seed_sends_the_same_bytes_at_the_same_instants() {
    check_captures(udp_capture);
}

const LIMIT: Duration = Duration::from_secs(3600);
