//! The two hosts and the link that a scenario asks for.

use burstlane::driver::ProtocolSet;
use burstlane::frame::PoolConfig;
use burstlane_sim::{EndConfig, LateConfig};

use crate::hosts::HostsConfig;
use crate::scenario::{Device, Fault, Scenario, Side};

pub(super) fn hosts_config(scenario: &Scenario) -> HostsConfig {
    let base = HostsConfig::new(scenario.seed);
    let pool = base.ends[0].pool;
    let end = |number: u16| {
        let end = EndConfig { pool, ..EndConfig::host(number) };
        let end = if scenario.device == Device::Offloading {
            // The IP protocols whose segments a device can cut.
            EndConfig { large_pool: Some(LARGE_POOL), ..end.with_offloads(ProtocolSet::NONE.with(6).with(17)) }
        } else {
            end
        };
        end.with_mtu(scenario.link.mtu)
    };
    let late = (scenario.device == Device::Late).then(LateConfig::default);
    let ppm = |side: Side| {
        scenario.faults.iter().find_map(|fault| match fault {
            Fault::Clock { side: whose, parts_per_million } if *whose == side => Some(*parts_per_million),
            _ => None,
        })
    };
    HostsConfig {
        clock_ppm: Side::BOTH.map(|side| ppm(side).unwrap_or(0)),
        ends: [end(1), end(2)],
        late: [late, late],
        is_v6: scenario.is_v6,
        ..base.with_link(&scenario.link)
    }
}

/// Small, because worlds are made by the thousand.
const LARGE_POOL: PoolConfig = PoolConfig { slots: 32, slot_bytes: 65_536 + 256, headroom: 128 };
