//! Behaviour of two engines over a simulated link. What a single segment does is tested with scripts elsewhere.

mod adversary;
mod cookies;
mod ecn;
mod flood;
mod fuzz;
mod net;
mod path;
mod raw;

use std::time::Duration;

use burstlane::driver::ProtocolSet;
use burstlane::time::Instant;
use burstlane::transport::FlowError;
use burstlane_sim::{EndConfig, Fate, LinkConfig, Passing};

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
    let only = std::env::var("TCP_SEED").ok().and_then(|n| n.parse().ok());
    for seed in 0..seeds(60) {
        if only.is_some_and(|only: u64| only != seed) {
            continue;
        }
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

/// More with `TCP_SEEDS`; with `TCP_SEED` only one of them.
fn seeds(usual: u64) -> u64 {
    std::env::var("TCP_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// Both ends connect to each other's port at once (RFC 9293 3.5, figure 7): one connection, not two.
#[test]
fn a_simultaneous_open_makes_one_connection() {
    for loss in [vec![], vec![2], vec![3]] {
        let pair = Pair::new(3, &LinkConfig { drops: loss, ..delay(10) });
        let (a, b) = pair.connect_both();
        pair.until(60, || state(&a) == Some(State::Established) && state(&b) == Some(State::Established));
        {
            let mut there = Transfer::new(&a, &b, pattern(3, 100_000));
            let mut back = Transfer::new(&b, &a, pattern(4, 50_000));
            pair.until(60, || there.step() & back.step());
            there.check();
            back.check();
        }
        drop((a, b));
        pair.assert_clean();
    }
}

#[test]
fn both_close_at_once() {
    let pair = Pair::new(5, &delay(10));
    let (client, server, listener) = pair.open();
    client.shutdown();
    server.shutdown();
    let mut seen = vec![];
    pair.until(10, || {
        seen.extend(state(&client));
        client.ended().is_some() && server.ended().is_some()
    });
    assert!(seen.contains(&State::FinWait1) && seen.contains(&State::Closing), "{seen:?}");
    assert_eq!((client.ended(), server.ended()), (Some(None), Some(None)));
    assert_eq!((pair.client.lane().remnants(), pair.server.lane().remnants()), (1, 1), "both wait");
    drop((client, server, listener));
    pair.assert_clean();
}

#[test]
fn half_closed_the_other_half_goes_on() {
    let pair = Pair::new(6, &delay(10));
    let (client, server, listener) = pair.open();
    client.shutdown();
    pair.until(10, || state(&client) == Some(State::FinWait2));
    assert_eq!(server.read(&mut [0; 10]).unwrap(), 0);
    assert_eq!(state(&server), Some(State::CloseWait));
    {
        let mut back = Transfer::new(&server, &client, pattern(6, 500_000));
        pair.until(60, || back.step());
        back.check();
    }
    pair.until(10, || client.ended() == Some(None) && server.ended() == Some(None));
    assert_eq!((pair.client.lane().remnants(), pair.server.lane().remnants()), (1, 0), "who closed first waits");
    drop((client, server, listener));
    pair.assert_clean();
}

#[test]
fn dropped_handles_close_in_good_order_whoever_is_first() {
    for first in [0, 1] {
        let pair = Pair::new(7, &delay(10));
        let (client, server, listener) = pair.open();
        client.write(b"last words").unwrap();
        let mut both = [Some(client), Some(server)];
        both[first].take();
        pair.pass(ms(100));
        if let Some(server) = &both[1] {
            let mut buf = [0; 20];
            assert_eq!(server.read(&mut buf).unwrap(), 10);
            assert_eq!(server.read(&mut buf).unwrap(), 0);
        } else {
            // The server let go before the words came: they are for nobody.
            let client = both[0].as_ref().unwrap();
            assert_eq!(client.ended(), Some(Some(FlowError::Reset)));
        }
        drop((both, listener));
        pair.assert_clean();
    }
}

#[test]
fn closing_with_unread_data_resets() {
    let pair = Pair::new(8, &delay(10));
    let (client, server, listener) = pair.open();
    client.write(b"unread").unwrap();
    pair.pass(ms(50));
    drop(server);
    pair.pass(ms(50));
    assert_eq!(client.ended(), Some(Some(FlowError::Reset)));
    drop((client, listener));
    pair.assert_clean();
}

#[test]
fn an_abort_is_a_reset() {
    let pair = Pair::new(9, &delay(10));
    let (client, server, listener) = pair.open();
    client.abort();
    assert_eq!(client.ended(), Some(Some(FlowError::Aborted)));
    pair.pass(ms(50));
    assert_eq!(server.ended(), Some(Some(FlowError::Reset)));
    assert_eq!(server.read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    drop((client, server, listener));
    pair.assert_clean();
}

#[test]
fn nobody_listens() {
    let pair = Pair::new(10, &delay(10));
    let client = pair.connect();
    pair.pass(ms(100));
    assert_eq!(client.ended(), Some(Some(FlowError::Refused)));
    drop(client);
    pair.assert_clean();
}

#[test]
fn nobody_answers() {
    let pair = Pair::new(11, &delay(10));
    // All but ARP is lost.
    let deaf = |_: Instant, frame: &Passing<'_>| match frame.bytes[12..14] {
        [8, 6] => Fate::after(ms(10)),
        _ => Fate::Lost,
    };
    pair.ends[0].set_model(Box::new(deaf));
    let listener = pair.listen(1);
    let client = pair.connect();
    pair.until(300, || client.ended().is_some());
    assert_eq!(client.ended(), Some(Some(FlowError::TimedOut)));
    // 1 + 2 + 4 + 8 + 16 + 32 + 60 + 60 s.
    assert_eq!(pair.world.now().as_nanos() / 1_000_000_000, 183);
    drop((client, listener));
    pair.assert_clean();
}

/// The backlog bounds what waits; who finds it full is served once there is room.
#[test]
fn a_full_backlog_delays_and_loses_nothing() {
    let pair = Pair::new(12, &delay(10));
    let listener = pair.listen(2);
    let clients: Vec<_> = (0..5).map(|_| pair.connect()).collect();
    for (n, client) in clients.iter().enumerate() {
        let _ = client.write(&[n as u8]);
    }
    pair.pass(ms(500));
    let mut accepted = vec![];
    pair.until(60, || {
        accepted.extend(listener.accept());
        accepted.len() == 5
    });
    let mut seen: Vec<u8> = accepted
        .iter()
        .map(|server| {
            let mut byte = [99];
            pair.until(60, || server.read(&mut byte).is_ok());
            byte[0]
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
    drop((clients, accepted, listener));
    pair.assert_clean();
}

/// A reader that pauses for minutes: the window shuts, is probed, and opens again; nothing is lost.
#[test]
fn a_shut_window_is_probed_for_as_long_as_it_takes() {
    for loss in [0.0, 0.3] {
        let pair = Pair::new(13, &LinkConfig { loss, ..delay(10) });
        let (client, server, listener) = pair.open();
        let data = pattern(13, 700_000);
        let mut sent = 0;
        for _ in 0..60 {
            while let Ok(n) = client.write(&data[sent..]) {
                sent += n;
                if sent == data.len() {
                    break;
                }
            }
            pair.pass(Duration::from_secs(30));
        }
        assert!(sent < data.len());
        assert_eq!((client.ended(), server.ended()), (None, None), "loss {loss}");
        let mut received = vec![];
        let mut buf = [0; 5000];
        pair.until(600, || {
            while sent < data.len()
                && let Ok(n) = client.write(&data[sent..])
            {
                sent += n;
            }
            while let Ok(n) = server.read(&mut buf) {
                received.extend_from_slice(&buf[..n]);
            }
            received.len() == data.len()
        });
        assert!(received == data);
        drop((client, server, listener));
        pair.assert_clean();
    }
}

#[test]
fn a_dead_peer_is_given_up() {
    let pair = Pair::new(14, &delay(10));
    let (client, server, listener) = pair.open();
    pair.ends[1].set_up(false);
    client.write(b"anybody?").unwrap();
    pair.until(3600, || client.ended().is_some());
    assert_eq!(client.ended(), Some(Some(FlowError::TimedOut)));
    assert!(pair.world.now().as_nanos() > 500_000_000_000, "R2 is minutes: {}", pair.world.now());
    pair.ends[1].set_up(true);
    server.abort();
    drop((client, server, listener));
    pair.assert_clean();
}

/// The same ports again while the old connection is in TIME-WAIT (RFC 9293 3.6.1, RFC 6191).
#[test]
fn a_new_connection_takes_the_place_of_one_in_time_wait() {
    let pair = Pair::new(15, &delay(10));
    let listener = pair.listen(4);
    for round in 0..5 {
        let client = pair.connect_from(4000);
        let mut server = None;
        pair.until(5, || {
            server = server.take().or_else(|| listener.accept());
            server.is_some() && state(&client) == Some(State::Established)
        });
        let server = server.unwrap();
        // The server closes first, so that TIME-WAIT is on its side.
        drop(server);
        pair.pass(ms(100));
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "round {round}");
        drop(client);
        pair.pass(ms(100));
        assert_eq!((pair.client.lane().remnants(), pair.server.lane().remnants()), (0, 1));
    }
    drop(listener);
    pair.assert_clean();
}

/// With offloads, frames of up to 64 KiB go both ways; acknowledgements count the packets in them.
#[test]
fn large_frames_go_both_ways() {
    let end = |n| EndConfig::host(n).with_offloads(ProtocolSet::NONE.with(crate::PROTOCOL));
    let pair = Pair::with_ends(16, &delay(2), Config::default(), Config::default(), (end(1), end(2)));
    transfer(&pair, 16, [2_000_000, 1_000_000]);
    assert!(pair.ends[0].sent().sent < 600, "{:?}", pair.ends[0].sent());
}

/// A path with a smaller MTU than the link's, and nobody says so by ICMP... the peer's MSS does.
#[test]
fn ends_with_different_mtus_agree() {
    let ends = (EndConfig::host(1), EndConfig::host(2).with_mtu(600));
    let link = LinkConfig { mtu: 600, ..delay(2) };
    let pair = Pair::with_ends(17, &link, Config::default(), Config::default(), ends);
    transfer(&pair, 17, [200_000, 200_000]);
}

/// The same seed gives the same frames.
#[test]
fn runs_repeat_exactly() {
    let run = || {
        let link = LinkConfig { loss: 0.05, duplicate: 0.02, reorder: 0.05, reorder_delay: ms(3), ..delay(9) };
        let pair = Pair::new(18, &link);
        transfer(&pair, 18, [300_000, 300_000]);
        (pair.ends[0].sent(), pair.ends[1].sent(), pair.world.turns())
    };
    assert_eq!(run(), run());
}

/// Recovery without timeouts: a fair share of what the link carries at 1 % loss.
#[test]
fn loss_is_repaired_without_timeouts() {
    let link = LinkConfig { loss: 0.01, rate_bits_per_s: Some(50_000_000), ..delay(10) };
    let config = Config::default().with_buffers(1 << 20, 1 << 20);
    let pair = Pair::with(19, &link, config.clone(), config);
    let (client, server, listener) = pair.open();
    let started = pair.world.now();
    let mut there = Transfer::new(&client, &server, pattern(19, 5_000_000));
    let mut info = None;
    pair.until(600, || {
        info = client.inspect(Tcp::info).or(info.take());
        there.step()
    });
    there.check();
    let (info, took) = (info.unwrap(), pair.world.now().since(started));
    assert!(info.retransmits > 10 && info.timeouts <= 2, "{info:?}");
    assert!(took < Duration::from_secs(12), "{took:?} {info:?}");
    drop((client, server, listener));
    pair.assert_clean();
}

/// The last segments of a flight are lost, so no later ones tell of it: a probe does, within a few round trips, long
/// before the retransmission timer (RFC 8985 7).
#[test]
fn a_lost_tail_is_probed_for() {
    for lost in 1..=3_u64 {
        let pair = Pair::new(20, &delay(10));
        let (client, server, listener) = pair.open();
        let mut full_sized = 0;
        // Of the ten full segments to come, the last ones never arrive.
        let drop_tail = move |_: Instant, passing: &Passing<'_>| {
            full_sized += u64::from(passing.bytes.len() > 1000);
            let is_lost = passing.bytes.len() > 1000 && (10 - lost + 1..=10).contains(&full_sized);
            if is_lost { Fate::Lost } else { Fate::after(ms(10)) }
        };
        pair.ends[0].set_model(Box::new(drop_tail));
        let started = pair.world.now();
        let mut there = Transfer::new(&client, &server, pattern(lost, 10 * 1448));
        let mut info = None;
        pair.until(10, || {
            info = client.inspect(Tcp::info).or(info.take());
            there.step()
        });
        there.check();
        let (info, took) = (info.unwrap(), pair.world.now().since(started));
        assert!(took < ms(150), "{lost} lost: {took:?}, where a timeout alone is 200 ms");
        assert!(info.timeouts == 0 && info.retransmits >= lost, "{lost} lost: {info:?}");
        drop((client, server, listener));
        pair.assert_clean();
    }
}
