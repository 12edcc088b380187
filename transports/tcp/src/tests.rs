//! Behaviour of two engines over a simulated link. What a single segment does is tested with scripts elsewhere.

mod net;

use std::time::Duration;

use burstlane_sim::LinkConfig;

use crate::{Config, State, Tcp};
use net::{Pair, Transfer, pattern, state};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn delay(delay_ms: u64) -> LinkConfig {
    LinkConfig { delay: ms(delay_ms), ..LinkConfig::default() }
}

/// Opens, moves bytes both ways at once, closes; nothing is left.
fn transfer(pair: &Pair, seed: u64, bytes: [usize; 2]) {
    let (client, server, listener) = pair.open();
    {
        let mut there = Transfer::new(&client, &server, pattern(seed, bytes[0]));
        let mut back = Transfer::new(&server, &client, pattern(seed + 1, bytes[1]));
        pair.until(3600, || there.step() & back.step());
        there.check();
        back.check();
    }
    drop((client, server, listener));
    pair.assert_clean();
}

#[test]
fn a_handshake_opens_both_ends() {
    let pair = Pair::new(1, &delay(10));
    let (client, server, listener) = pair.open();
    assert_eq!((state(&client), state(&server)), (Some(State::Established), Some(State::Established)));
    let info = client.inspect(Tcp::info).unwrap();
    assert!(info.timestamps && info.sack);
    assert_eq!((info.mss, info.srtt), (1448, ms(20)), "{info:?}");
    drop((client, server, listener));
    pair.assert_clean();
}

#[test]
fn bytes_go_both_ways_over_both_families() {
    for v6 in [false, true] {
        let pair = Pair::new(2, &delay(5));
        let pair = if v6 { pair.over_v6() } else { pair };
        transfer(&pair, 2, [1_000_000, 300_000]);
    }
}

/// 0 to 20 % loss with reordering and duplication: all bytes arrive, nothing hangs, nothing is left.
#[test]
fn bytes_arrive_over_bad_links() {
    for seed in 0..seeds(60) {
        let link = LinkConfig {
            loss: (seed % 21) as f64 / 100.0,
            duplicate: (seed % 3) as f64 / 50.0,
            reorder: (seed % 4) as f64 / 20.0,
            reorder_delay: ms(seed % 30 + 1),
            jitter: ms(seed % 5),
            jitter_reorders: seed % 2 == 0,
            ..delay(seed % 40)
        };
        let plain = seed % 5 == 0;
        let config = Config { sack: !plain, timestamps: seed % 7 != 0, ..Config::default() };
        let pair = Pair::with(seed, &link, config.clone(), config);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            transfer(&pair, seed, [(seed * 7919 % 400_000) as usize, (seed * 104_729 % 200_000) as usize]);
        }))
        .unwrap_or_else(|_| panic!("seed {seed}"));
    }
}

/// More with `TCP_SEEDS`.
fn seeds(usual: u64) -> u64 {
    std::env::var("TCP_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}
