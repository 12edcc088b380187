//! Same seed, same bytes: a run over a bad link, repeated, gives the same capture to the last bit, at the same instants.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::time::Duration;

use burstlane::lane::EngineId;
use burstlane::transport::Transport;
use burstlane_rudp::{Rudp, RudpConfig};
use burstlane_sim::LinkConfig;
use burstlane_spec::{Face, Hosts, HostsConfig, Transfer, TransferConfig};
use burstlane_tcp::Tcp;
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
    std::rc::Rc::into_inner(capture).expect("the lanes are gone").into_inner().finish().unwrap()
}

fn check<T: Transport>(config: &T::Config, bytes: u64, piece_bytes_max: u64)
where
    T::Io: Face,
{
    for seed in [1, 0xdead_beef] {
        let [one, two] = [(); 2].map(|()| capture::<T>(seed, config.clone(), bytes, piece_bytes_max));
        let differs = one.iter().zip(&two).position(|(a, b)| a != b);
        assert_eq!((one.len(), differs), (two.len(), None), "{}, seed {seed}: where the captures differ", T::NAME);
    }
    let [one, two] = [1, 2].map(|seed| capture::<T>(seed, config.clone(), bytes, piece_bytes_max));
    assert_ne!(one, two, "{}: the seed decides over nothing", T::NAME);
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
    check::<StopAndWait>(&(), 60_000, 1_000);
}

const LIMIT: Duration = Duration::from_secs(3600);
