//! Buffers grow to what the path has under way, for who uses them, and no further than they may.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test: what is wrong fails it")]

use std::cell::Cell;
use std::time::Duration;

use burstlane_sim::LinkConfig;
use burstlane_spec::{Hosts, HostsConfig, Transfer, TransferConfig};
use burstlane_tcp::{Config, Tcp};
use proptest::prelude::*;

/// Sends so much over 200 Mbit/s and 2 x 25 ms, whose product is 1.25 MB. Returns the time, and the most that either host buffered.
fn send(config: Config, bytes: u64, is_lazy: bool, budget: Option<usize>) -> (Duration, [usize; 2]) {
    let link = LinkConfig {
        delay: Duration::from_millis(25),
        rate_bits_per_s: Some(200_000_000),
        queue_bytes_max: Some(1_250_000),
        ..LinkConfig::default()
    };
    let mut hosts = HostsConfig::new(3).with_link(&link);
    hosts.lane.buffer_bytes_max = budget.unwrap_or(hosts.lane.buffer_bytes_max);
    let hosts = Hosts::new(hosts);
    let engines = hosts.add::<Tcp>(config);
    let transfer =
        TransferConfig { piece_bytes_max: 60_000, has_lazy_readers: is_lazy, ..TransferConfig::new(1, [bytes, 0]) };
    let transfer = Transfer::start(&hosts, engines, transfer);
    let most = [Cell::new(0), Cell::new(0)];
    hosts.run_until(Duration::from_secs(600), || {
        for (most, member) in most.iter().zip(&hosts.members) {
            most.set(most.get().max(member.host.lane().buffer_bytes()));
        }
        transfer.is_over()
    });
    assert!(transfer.is_done(), "{:?}", transfer.outcomes());
    let took = hosts.world.now().since(burstlane::time::Instant::ZERO);
    hosts.assert_clean();
    (took, most.map(Cell::into_inner))
}

#[test]
fn a_long_path_is_filled_without_being_told_of_it() {
    let bytes = 12_000_000;
    let (fixed, _) = send(Config::default().with_buffers(256 * 1024, 256 * 1024), bytes, false, None);
    let (tuned, most) = send(Config::default(), bytes, false, None);
    assert!(2 * tuned < fixed, "{tuned:?} with growing buffers, {fixed:?} without");
    assert!(most[0] <= 5 << 20 && most[1] <= 7 << 20, "{most:?}");
}

#[test]
fn who_reads_slowly_gets_no_more() {
    let (_, most) = send(Config::default(), 1_000_000, true, None);
    // What was out of order, and what fills no chunk, costs more than its bytes.
    assert!(most[1] <= 2 * 256 * 1024, "{most:?}");
}

#[test]
fn where_memory_is_short_nobody_gets_more() {
    let (_, most) = send(Config::default(), 4_000_000, false, Some(1 << 20));
    assert!(most[0] <= 1 << 20 && most[1] <= 1 << 20, "{most:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(6) })]

    #[test]
    fn no_buffer_grows_beyond_its_bound(send_max in 262_144_u32..1_500_000, receive_max in 262_144_u32..1_500_000) {
        let mut config = Config::default();
        (config.send_buffer_max, config.receive_buffer_max) = (send_max, receive_max);
        let (_, most) = send(config, 4_000_000, false, None);
        // A chunk more than its bytes at either end.
        prop_assert!(most[0] <= send_max as usize + 64 * 1024, "{most:?}");
        prop_assert!(most[1] <= 3 * receive_max as usize + 64 * 1024, "{most:?}");
    }
}
