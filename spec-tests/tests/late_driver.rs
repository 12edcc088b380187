//! Devices with foreign memory whose transmissions complete late, as AF_XDP and DPDK have them: the bytes are right,
//! nothing leaks, nothing is written while the device still reads it, and a tiny memory makes it slow, not wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::time::Duration;

use burstlane::frame::PoolConfig;
use burstlane::lane::EngineId;
use burstlane::transport::Transport;
use burstlane_rudp::{Rudp, RudpConfig};
use burstlane_sim::{LateConfig, LinkConfig};
use burstlane_spec::{Face, Hosts, HostsConfig, Transfer, TransferConfig};
use burstlane_tcp::Tcp;
use stop_and_wait::StopAndWait;

struct Device {
    slots: u32,
    rx_slots: usize,
    tx_slots: usize,
    completion_delay: Duration,
}

fn check<T: Transport>(config: &T::Config, device: &Device, loss: f64, bytes: u64, piece_bytes_max: u64)
where
    T::Io: Face,
{
    let late = LateConfig {
        pool: PoolConfig { slots: device.slots, ..PoolConfig::default() },
        rx_slots: device.rx_slots,
        tx_slots: device.tx_slots,
        completion_delay: device.completion_delay,
        ..LateConfig::default()
    };
    let link = LinkConfig { delay: Duration::from_micros(200), loss, ..LinkConfig::default() };
    for seed in 0..4 {
        let hosts = Hosts::new(HostsConfig {
            late: [Some(late), if seed % 2 == 0 { Some(late) } else { None }],
            ..HostsConfig::new(seed).with_link(&link)
        });
        let engines: [EngineId<T>; 2] = hosts.add(config.clone());
        let transfer = TransferConfig {
            piece_bytes_max,
            has_lazy_readers: seed >= 2,
            ..TransferConfig::new(seed, [bytes, bytes])
        };
        Transfer::start(&hosts, engines, transfer).finish(&hosts, LIMIT);
        let (_, counters) = hosts.members[0].late.as_ref().unwrap();
        assert!(counters.taken.get() > 20 && counters.batches.get() > 0, "the device had nothing to do: {counters:?}");
        // Compares what was taken with what completed, and looks for slots that were overwritten.
        hosts.assert_clean();
    }
}

const ROOMY: Device = Device { slots: 1024, rx_slots: 64, tx_slots: 256, completion_delay: Duration::from_micros(50) };
/// Completion takes longer than a round trip, so every retransmission meets its predecessor still in the device.
const SLOW: Device = Device { slots: 512, rx_slots: 64, tx_slots: 64, completion_delay: Duration::from_millis(700) };
const TINY: Device = Device { slots: 12, rx_slots: 6, tx_slots: 4, completion_delay: Duration::from_micros(300) };

#[test]
fn tcp_over_foreign_memory_is_right_and_leaks_nothing() {
    check::<Tcp>(&burstlane_tcp::Config::default(), &ROOMY, 0.0, 500_000, 20_000);
}

#[test]
fn tcp_repeats_what_the_device_has_not_read_yet_without_touching_it() {
    check::<Tcp>(&burstlane_tcp::Config::default(), &SLOW, 0.02, 60_000, 5_000);
}

#[test]
fn tcp_with_a_dozen_slots_is_slow_and_right() {
    check::<Tcp>(&burstlane_tcp::Config::default(), &TINY, 0.0, 60_000, 5_000);
}

#[test]
fn rudp_over_foreign_memory_is_right_and_leaks_nothing() {
    check::<Rudp>(&RudpConfig::default(), &ROOMY, 0.0, 500_000, 20_000);
    check::<Rudp>(&RudpConfig::default(), &SLOW, 0.02, 60_000, 5_000);
    check::<Rudp>(&RudpConfig::default(), &TINY, 0.0, 60_000, 5_000);
}

#[test]
fn stop_and_wait_over_foreign_memory_is_right_and_leaks_nothing() {
    check::<StopAndWait>(&stop_and_wait::Config::default(), &ROOMY, 0.0, 30_000, 1_000);
    check::<StopAndWait>(&stop_and_wait::Config::default(), &SLOW, 0.05, 15_000, 1_000);
    check::<StopAndWait>(&stop_and_wait::Config::default(), &TINY, 0.0, 30_000, 1_000);
}

const LIMIT: Duration = Duration::from_secs(3600);
