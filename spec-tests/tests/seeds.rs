//! Loss, reordering and duplication, a thousand times over: whatever the wire does, the right bytes arrive, and the flow
//! ends. One seed decides over everything in its run; a failure names it.
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
use burstlane_spec::pattern::Dice;
use burstlane_spec::{Face, Hosts, HostsConfig, Transfer, TransferConfig};
use burstlane_tcp::Tcp;
use stop_and_wait::StopAndWait;

/// 0 to 20 % loss, up to 5 % duplication, up to 20 % reordering, 1 to 20 ms of delay.
fn bad_link(dice: &mut Dice) -> LinkConfig {
    let percent = |dice: &mut Dice, most: u64| dice.range(0, most * 100) as f64 / 10_000.0;
    LinkConfig {
        delay: Duration::from_micros(dice.range(1_000, 20_000)),
        jitter: Duration::from_micros(dice.range(0, 2_000)),
        jitter_reorders: dice.chance(0.5),
        loss: percent(dice, 20),
        duplicate: percent(dice, 5),
        reorder: percent(dice, 20),
        reorder_delay: Duration::from_micros(dice.range(100, 30_000)),
        ..LinkConfig::default()
    }
}

/// One seed's run of a transport.
fn run<T: Transport>(seed: u64, config: T::Config, bytes_max: u64, piece_bytes_max: u64)
where
    T::Io: Face,
{
    let mut dice = Dice::new(seed);
    let links = [bad_link(&mut dice), bad_link(&mut dice)];
    let hosts = Hosts::new(HostsConfig { links, is_v6: dice.chance(0.3), ..HostsConfig::new(seed) });
    let engines: [EngineId<T>; 2] = hosts.add(config);
    let transfer = TransferConfig {
        piece_bytes_max,
        has_lazy_readers: dice.chance(0.2),
        ..TransferConfig::new(seed, [dice.range(0, bytes_max), dice.range(0, bytes_max)])
    };
    Transfer::start(&hosts, engines, transfer).finish(&hosts, LIMIT);
    hosts.assert_clean();
}

/// Runs all of `seeds`, and says which one failed.
fn run_all(seeds: std::ops::Range<u64>, run: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for seed in seeds {
        let result = std::panic::catch_unwind(|| run(seed));
        assert!(result.is_ok(), "seed {seed} failed");
    }
}

fn stop_and_wait(seed: u64) {
    run::<StopAndWait>(seed, stop_and_wait::Config::default(), 12_000, 1_200);
}

fn rudp(seed: u64) {
    run::<Rudp>(seed, RudpConfig::default(), 40_000, 6_000);
}

fn tcp(seed: u64) {
    run::<Tcp>(seed, burstlane_tcp::Config::default(), 40_000, 6_000);
}

#[test]
fn tcp_seeds_000_to_499_end_with_the_right_bytes() {
    run_all(0..500, tcp);
}

#[test]
fn tcp_seeds_500_to_999_end_with_the_right_bytes() {
    run_all(500..1000, tcp);
}

#[test]
fn rudp_seeds_000_to_499_end_with_the_right_messages() {
    run_all(0..500, rudp);
}

#[test]
fn rudp_seeds_500_to_999_end_with_the_right_messages() {
    run_all(500..1000, rudp);
}

#[test]
fn stop_and_wait_seeds_000_to_999_end_with_the_right_messages() {
    run_all(0..1000, stop_and_wait);
}

/// Virtual time that no transfer may need. At 20 % loss each way a round trip fails in 36 % of all cases, and each
/// failure in a row doubles the patience: this is far beyond the worst of a thousand.
const LIMIT: Duration = Duration::from_secs(3600);
