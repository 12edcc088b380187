//! Messages of random sizes both ways over bad links, hundreds of times.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test, all of it

mod common;

use std::time::Duration;

use burstlane::congestion::{Controller, Cubic, NewReno};
use burstlane::time::Instant;
use burstlane::toolkit::ChannelConfig;
use burstlane_rudp::RudpConfig;
use burstlane_sim::{LinkConfig, StandardLink};
use common::{Pair, messages};

fn exchange(seed: u64, link: &LinkConfig, bytes: [usize; 2]) {
    let pair = Pair::new(seed, link);
    let [client, server] = pair.talk([messages(2 * seed, bytes[0]), messages(2 * seed + 1, bytes[1])]);
    pair.world
        .run_until(Duration::from_secs(3600), || client.borrow().peer_ended && server.borrow().peer_ended)
        .unwrap_or_else(|error| {
            panic!("seed {seed}: {error}, {:?} {:?}", client.borrow().error, server.borrow().error)
        });
    assert!(client.borrow().heard == server.borrow().to_say, "seed {seed}");
    assert!(server.borrow().heard == client.borrow().to_say, "seed {seed}");
    pair.world.run_for(Duration::from_secs(200)).unwrap();
    for talker in [&client, &server] {
        let mut talker = talker.borrow_mut();
        assert_eq!(talker.socket.as_ref().unwrap().ended(), Some(None), "seed {seed}: ends in order");
        (talker.socket, talker.gone) = (None, true);
    }
    pair.check_clean(&format!("seed {seed}"));
}

#[test]
fn messages_arrive_over_a_perfect_link() {
    exchange(1, &LinkConfig { delay: Duration::from_millis(5), ..LinkConfig::default() }, [1_000_000, 300_000]);
    exchange(2, &LinkConfig::default(), [0, 0]);
}

#[test]
fn every_controller_fills_the_link() {
    for controller in [
        Box::new(NewReno::new()) as Box<dyn Controller>,
        Box::new(NewReno::paced()),
        Box::new(Cubic::new()),
        Box::new(Cubic::paced()),
    ] {
        let channel = ChannelConfig { controller, ..ChannelConfig::default() };
        let config = RudpConfig { channel, ..RudpConfig::default() };
        let link = LinkConfig {
            rate_bits_per_s: Some(50_000_000),
            queue_bytes_max: Some(256 << 10),
            delay: Duration::from_millis(10),
            ..LinkConfig::default()
        };
        let model = || StandardLink::boxed(link.clone(), 1).unwrap();
        let pair = Pair::with_models(1, &config, model(), model());
        let [client, server] = pair.talk([messages(1, 4_000_000), vec![]]);
        pair.world.run_until(Duration::from_secs(600), || server.borrow().peer_ended).unwrap();
        assert!(server.borrow().heard == client.borrow().to_say);
        let bytes: usize = client.borrow().to_say.iter().map(Vec::len).sum();
        let rate = bytes as f64 * 8.0 / pair.world.now().since(Instant::ZERO).as_secs_f64() / 50e6;
        let sent = pair.ends[0].sent();
        assert!(rate > 0.7, "{:?} reaches {rate:.2} of the link's rate", config.channel.controller);
        assert!((sent.sent as usize) < bytes / 1200, "{} frames for {bytes} bytes", sent.sent);
    }
}

#[test]
fn messages_arrive_whatever_the_link_does() {
    for seed in 0..150 {
        let link = LinkConfig {
            rate_bits_per_s: [None, Some(20_000_000)][seed as usize % 2],
            delay: Duration::from_millis(10),
            jitter: Duration::from_millis(seed % 7),
            jitter_reorders: seed % 3 == 0,
            loss: (seed % 5) as f64 * 0.05,
            duplicate: 0.05,
            reorder: 0.1,
            reorder_delay: Duration::from_millis(60),
            ..LinkConfig::default()
        };
        exchange(seed, &link, [200_000, 60_000 * (seed as usize % 3)]);
    }
}
