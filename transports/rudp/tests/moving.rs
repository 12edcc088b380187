//! The peer's address changes under way, or somebody pretends that it did.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test, all of it

mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::time::Instant;
use burstlane_rudp::RudpConfig;
use burstlane_sim::LinkConfig;
use common::{PAYLOAD, Pair, is_udp, messages, readdress};

fn link(loss: f64) -> LinkConfig {
    let rate_bits_per_s = Some(10_000_000);
    LinkConfig { rate_bits_per_s, delay: Duration::from_millis(10), loss, ..LinkConfig::default() }
}

/// A NAT that forgets the client every 100 ms: it gets another port, and every other time another address.
fn restless_nat() -> impl common::Hand {
    let mut client_port = 0;
    move |now: Instant, side, mut frame: Vec<u8>, out: &mut Vec<(usize, Vec<u8>)>| {
        let epoch = now.as_nanos() / 100_000_000;
        if is_udp(&frame) {
            if side == 0 {
                client_port = u16::from_be_bytes([frame[34], frame[35]]);
                let ip = [10, 0, 0, if epoch.is_multiple_of(2) { 1 } else { 11 }];
                readdress(&mut frame, 0, Some(ip), Some(20_000 + epoch as u16));
            } else {
                readdress(&mut frame, 1, Some([10, 0, 0, 1]), Some(client_port));
            }
        }
        out.push((1 - side, frame));
    }
}

#[test]
fn a_transfer_survives_changes_of_address() {
    for seed in 0..30 {
        let loss = (seed % 4) as f64 * 0.05;
        let pair = Pair::through(seed, &RudpConfig::default(), &link(loss), restless_nat());
        let [client, server] = pair.talk([messages(seed, 300_000), messages(seed + 1, 300_000)]);
        pair.world
            .run_until(Duration::from_secs(600), || client.borrow().peer_ended && server.borrow().peer_ended)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
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
}

/// What the victim of a forged address got, against what was sent in its name.
#[derive(Default)]
struct Ledger {
    forged_bytes: usize,
    victim_bytes: usize,
    victim_bytes_at_most: usize,
}

/// Somebody on the path forges datagrams of the client's from 10.0.0.11, which hears all and says nothing: each is a copy
/// of a datagram with a number far ahead. The client has 10.0.0.11, but the way there ends here.
fn forger(ledger: Rc<RefCell<Ledger>>, forge_at: &'static [u64]) -> impl common::Hand {
    let mut seen = 0;
    move |_: Instant, side, frame: Vec<u8>, out: &mut Vec<(usize, Vec<u8>)>| {
        let mut ledger = ledger.borrow_mut();
        if side == 1 && is_udp(&frame) && frame[30..34] == [10, 0, 0, 11] {
            ledger.victim_bytes += frame.len() - PAYLOAD;
            assert!(ledger.victim_bytes <= 3 * ledger.forged_bytes, "amplified");
            ledger.victim_bytes_at_most = ledger.victim_bytes_at_most.max(ledger.victim_bytes);
            return;
        }
        if side == 0 && is_udp(&frame) {
            seen += 1;
            if forge_at.contains(&seen) {
                let mut forged = frame.clone();
                let number = u64::from_be_bytes(forged[PAYLOAD + 10..PAYLOAD + 18].try_into().unwrap()) + 30;
                forged[PAYLOAD + 10..PAYLOAD + 18].copy_from_slice(&number.to_be_bytes());
                readdress(&mut forged, 0, Some([10, 0, 0, 11]), None);
                ledger.forged_bytes += forged.len() - PAYLOAD;
                out.push((1, forged));
            }
        }
        out.push((1 - side, frame));
    }
}

#[test]
fn a_forged_address_gets_at_most_three_times_what_it_sent_and_stops_nothing() {
    for seed in 0..20 {
        let ledger = Rc::<RefCell<Ledger>>::default();
        let pair =
            Pair::through(seed, &RudpConfig::default(), &link(0.0), forger(ledger.clone(), &[5, 20, 21, 60, 90]));
        let [client, server] = pair.talk([messages(seed, 20_000), messages(seed + 1, 600_000)]);
        let start = pair.world.now();
        pair.world
            .run_until(Duration::from_secs(100), || client.borrow().peer_ended && server.borrow().peer_ended)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(client.borrow().heard == server.borrow().to_say, "seed {seed}");
        assert!(ledger.borrow().victim_bytes_at_most > 0, "seed {seed}: nothing was forged");
        assert!(pair.world.now().since(start) < Duration::from_secs(30), "seed {seed}");
        for talker in [&client, &server] {
            (talker.borrow_mut().socket, talker.borrow_mut().gone) = (None, true);
        }
        pair.check_clean(&format!("seed {seed}"));
    }
}

#[test]
fn a_short_forged_datagram_leaves_nothing_to_send_and_nobody_spins() {
    for seed in 0..5 {
        let mut seen = 0;
        // From 10.0.0.11, which says nothing, comes a datagram that is a header alone, and newer than all that follow.
        let hand = move |_: Instant, side, frame: Vec<u8>, out: &mut Vec<(usize, Vec<u8>)>| {
            seen += u32::from(side == 0 && is_udp(&frame));
            if side == 0 && is_udp(&frame) && seen == 20 {
                let mut forged = frame[..PAYLOAD + 19].to_vec();
                forged[16..18].copy_from_slice(&(20 + 8 + 19_u16).to_be_bytes());
                forged[38..40].copy_from_slice(&(8 + 19_u16).to_be_bytes());
                forged[PAYLOAD + 10..PAYLOAD + 18].copy_from_slice(&(1_u64 << 40).to_be_bytes());
                forged[PAYLOAD + 18] = 0x80; // PING
                readdress(&mut forged, 0, Some([10, 0, 0, 11]), None);
                out.push((1, forged));
            }
            if side == 0 || !is_udp(&frame) || frame[30..34] != [10, 0, 0, 11] {
                out.push((1 - side, frame));
            }
        };
        let pair = Pair::through(seed, &RudpConfig::default(), &link(0.0), hand);
        let [client, server] = pair.talk([messages(seed, 300_000), messages(seed + 1, 300_000)]);
        pair.world
            .run_until(Duration::from_secs(100), || client.borrow().peer_ended && server.borrow().peer_ended)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(
            pair.world.now() > Instant::ZERO + Duration::from_secs(4),
            "seed {seed}: the forged address was not tried"
        );
        assert!(pair.world.turns() < 3_000, "seed {seed}: {} turns", pair.world.turns());
        for talker in [&client, &server] {
            (talker.borrow_mut().socket, talker.borrow_mut().gone) = (None, true);
        }
        pair.check_clean(&format!("seed {seed}"));
    }
}

#[test]
fn the_application_sees_where_the_peer_went() {
    let pair = Pair::through(1, &RudpConfig::default(), &link(0.0), restless_nat());
    let [client, server] = pair.talk([vec![], vec![]]);
    (client.borrow_mut().finishes, server.borrow_mut().finishes) = (false, false);
    let mut seen = vec![];
    for _ in 0..4 {
        pair.world.run_for(Duration::from_millis(100)).unwrap();
        client.borrow().socket.as_ref().unwrap().send(b"here").unwrap();
        pair.world.run_for(Duration::from_millis(90)).unwrap();
        let look = |server: &common::Talker| {
            server
                .socket
                .as_ref()
                .unwrap()
                .inspect(|_, conn| (conn.path.ends().remote(), conn.path.is_proven()))
                .unwrap()
        };
        seen.push(look(&server.borrow()));
        pair.world.run_for(Duration::from_millis(10)).unwrap();
    }
    let at = |n, port| Endpoint::new(Ip::v4([10, 0, 0, n]), port);
    let moves = [(at(11, 20_001), true), (at(11, 20_003), true), (at(11, 20_005), true), (at(11, 20_007), true)];
    assert_eq!(seen, moves);
    assert_eq!(server.borrow().heard.len(), 4);
}
