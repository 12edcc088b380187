//! Opening, idling, closing in every order, and peers that misbehave.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test, all of it

mod common;

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::observe::{Direction, FrameTap};
use burstlane::socket::Ready;
use burstlane::time::Instant;
use burstlane::transport::FlowError;
use burstlane_rudp::RudpConfig;
use burstlane_sim::{LinkConfig, StandardLink};
use common::{PAYLOAD, Pair, SERVER, Shared, is_udp, messages, readdress};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

const SECOND: Duration = Duration::from_secs(1);

fn link(loss: f64) -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(10), loss, ..LinkConfig::default() }
}

fn let_go(talkers: &[Shared]) {
    for talker in talkers {
        let mut talker = talker.borrow_mut();
        (talker.socket, talker.gone) = (None, true);
    }
}

fn ended(talker: &Shared) -> Option<Option<FlowError>> {
    talker.borrow().socket.as_ref().and_then(|socket| socket.ended())
}

/// A pair that has exchanged a message each way and goes on.
fn open_pair(seed: u64, loss: f64) -> (Pair, [Shared; 2]) {
    let pair = Pair::new(seed, &link(loss));
    let talkers = pair.talk([vec![b"hello".to_vec()], vec![b"welcome".to_vec()]]);
    for talker in &talkers {
        talker.borrow_mut().finishes = false;
    }
    pair.world.run_until(SECOND * 300, || talkers.iter().all(|t| t.borrow().heard.len() == 1)).unwrap();
    (pair, talkers)
}

#[test]
fn nobody_listens() {
    let pair = Pair::new(1, &link(0.0));
    let socket = pair.hosts[0].connect_messages(pair.engines[0], SERVER).unwrap();
    pair.hosts.iter().for_each(|host| pair.world.add_host(host));
    let error = socket.recv_blocking(&mut [0; 9]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(pair.world.now() < Instant::ZERO + SECOND);
    drop(socket);
    pair.check_clean("refused");
}

#[test]
fn nobody_is_there() {
    let pair = Pair::new(1, &link(0.0));
    let nobody = Endpoint::new(Ip::v4([10, 0, 0, 77]), 1);
    let socket = pair.hosts[0].connect_messages(pair.engines[0], nobody).unwrap();
    pair.hosts.iter().for_each(|host| pair.world.add_host(host));
    assert_eq!(socket.recv_blocking(&mut [0; 9]).unwrap_err().kind(), ErrorKind::HostUnreachable);
    drop(socket);
    pair.check_clean("unreachable");
}

#[test]
fn an_idle_connection_stays_and_holds_no_memory() {
    let (pair, talkers) = open_pair(3, 0.0);
    pair.world.run_for(SECOND * 600).unwrap();
    for (side, talker) in talkers.iter().enumerate() {
        assert_eq!(ended(talker), None);
        assert_eq!(pair.hosts[side].lane().buffer_bytes(), 0);
        assert_eq!(pair.ends[side].frames_out(), 0);
        assert!(pair.ends[side].sent().sent < 120, "{} frames in ten minutes of silence", pair.ends[side].sent().sent);
    }
    talkers[0].borrow_mut().to_say.push(b"still there".to_vec());
    pair.hosts[0].with(pair.engines[0], |_, _, _| ());
    pair.world.network().alarm(pair.world.now() + Duration::from_millis(1));
    pair.world.run_for(SECOND).unwrap();
    assert_eq!(talkers[1].borrow().heard.last().unwrap(), b"still there");
    let_go(&talkers);
    pair.check_clean("idle");
}

#[test]
fn a_peer_that_falls_silent_is_an_error_on_both_sides() {
    let (pair, talkers) = open_pair(4, 0.0);
    for end in &pair.ends {
        end.set_model(StandardLink::boxed(link(1.0), 1).unwrap());
    }
    talkers[0].borrow_mut().to_say.push(vec![1; 100_000]);
    pair.world.run_for(SECOND * 70).unwrap();
    for talker in &talkers {
        assert_eq!(talker.borrow().error, Some(ErrorKind::TimedOut));
    }
    assert!(pair.ends[0].sent().sent < 60, "{} frames to nobody", pair.ends[0].sent().sent);
    let_go(&talkers);
    pair.check_clean("silent");
}

#[test]
fn an_abort_reaches_the_peer() {
    let (pair, talkers) = open_pair(5, 0.0);
    talkers[0].borrow().socket.as_ref().unwrap().abort();
    pair.world.run_for(SECOND).unwrap();
    assert_eq!(talkers[1].borrow().error, Some(ErrorKind::ConnectionReset));
    assert_eq!(talkers[0].borrow().error, Some(ErrorKind::ConnectionAborted));
    let_go(&talkers);
    pair.check_clean("abort");
}

#[test]
fn an_abort_that_was_lost_is_repeated_when_the_peer_goes_on() {
    let (pair, talkers) = open_pair(6, 0.0);
    pair.ends[0].set_model(StandardLink::boxed(link(1.0), 1).unwrap());
    talkers[0].borrow().socket.as_ref().unwrap().abort();
    pair.world.run_for(Duration::from_millis(50)).unwrap();
    pair.ends[0].set_model(StandardLink::boxed(link(0.0), 1).unwrap());
    talkers[1].borrow_mut().to_say.push(b"are you there?".to_vec());
    pair.world.network().alarm(pair.world.now() + Duration::from_millis(1));
    pair.world.run_for(Duration::from_millis(100)).unwrap();
    assert_eq!(talkers[1].borrow().error, Some(ErrorKind::ConnectionReset));
    let_go(&talkers);
    pair.check_clean("abort");
}

#[test]
fn late_duplicates_of_the_first_datagrams_open_nothing() {
    for aborts in [false, true] {
        let early = Rc::new(RefCell::new(vec![]));
        let (keep, mut replayed) = (early.clone(), false);
        // All that the client sends in the first 100 ms comes again three seconds later.
        let hand = move |now: Instant, side, frame: Vec<u8>, out: &mut Vec<(usize, Vec<u8>)>| {
            if side == 0 && is_udp(&frame) && now < Instant::ZERO + Duration::from_millis(100) {
                keep.borrow_mut().push(frame.clone());
            }
            if now > Instant::ZERO + SECOND * 3 && !replayed {
                replayed = true;
                out.extend(keep.borrow().iter().map(|frame| (1, frame.clone())));
            }
            out.push((1 - side, frame));
        };
        let pair = Pair::through(12, &RudpConfig::default(), &link(0.0), hand);
        let [client, server] = pair.talk([messages(1, 3_000), messages(2, 3_000)]);
        server.borrow_mut().finishes = !aborts;
        pair.world.run_for(SECOND).unwrap();
        assert!(server.borrow().heard == client.borrow().to_say);
        if aborts {
            client.borrow().socket.as_ref().unwrap().abort();
            pair.world.run_for(SECOND).unwrap();
        }
        server.borrow_mut().socket = None;
        let heard = server.borrow().heard.len();
        // Any packet will do to let the time come.
        let other = pair.hosts[0].connect_messages(pair.engines[0], Endpoint::new(SERVER.ip, 9)).unwrap();
        pair.world.run_for(SECOND * 2).unwrap();
        let last = pair.hosts[0].connect_messages(pair.engines[0], Endpoint::new(SERVER.ip, 9)).unwrap();
        pair.world.run_for(SECOND).unwrap();
        assert!(early.borrow().len() > 2);
        assert!(server.borrow().socket.is_none() && server.borrow().heard.len() == heard, "opened again");
        drop((other, last));
        let_go(&[client, server]);
        pair.check_clean("late");
    }
}

#[test]
fn whoever_repeats_a_question_for_ever_does_not_keep_what_is_left_for_ever() {
    let asked = Rc::new(Cell::new(0));
    let (count, mut keep, mut asks_at) = (asked.clone(), None, Instant::ZERO);
    // Data of the client's first connection comes again every second, as long as any packet passes.
    let hand = move |now: Instant, side, frame: Vec<u8>, out: &mut Vec<(usize, Vec<u8>)>| {
        if side == 0 && is_udp(&frame) && frame.len() > PAYLOAD + 500 {
            keep.get_or_insert(frame.clone());
        }
        if let Some(frame) = keep.as_ref().filter(|_| now >= asks_at) {
            asks_at = now + SECOND;
            count.set(count.get() + 1);
            out.push((1, frame.clone()));
        }
        out.push((1 - side, frame));
    };
    let pair = Pair::through(13, &RudpConfig::default(), &link(0.0), hand);
    let talkers = pair.talk([vec![vec![1; 1000]], vec![]]);
    pair.world.run_for(SECOND * 2).unwrap();
    assert!(talkers.iter().all(|talker| ended(talker) == Some(None)));
    let_go(&talkers);
    let left_after = |seconds| {
        for _ in 0..seconds {
            // Something that makes packets pass.
            let _ = pair.hosts[0].connect_messages(pair.engines[0], Endpoint::new(SERVER.ip, 9)).unwrap();
            pair.world.run_for(SECOND).unwrap();
        }
        pair.hosts[1].lane().remnants()
    };
    assert_eq!((left_after(50), left_after(20)), (1, 0), "kept while asked, but for a minute");
    assert!(asked.get() > 65, "asked {} times", asked.get());
    pair.check_clean("asked for ever");
}

#[test]
fn connections_close_in_every_order() {
    // What each side does, and how many milliseconds after the first.
    for seed in 0..160 {
        let (pair, talkers) = open_pair(seed, (seed % 3) as f64 * 0.1);
        let order = [seed as usize % 2, 1 - seed as usize % 2];
        for talker in &talkers {
            talker.borrow_mut().to_say.push(vec![7; 3000]);
        }
        for (nth, &side) in order.iter().enumerate() {
            match seed / 2 % 4 {
                0 => talkers[side].borrow_mut().finishes = true,
                1 if nth == 0 => talkers[side].borrow_mut().finishes = true,
                2 if nth == 1 => talkers[side].borrow_mut().finishes = true,
                _ => let_go(&talkers[side..=side]),
            }
            pair.world.network().alarm(pair.world.now() + Duration::from_millis(1));
            pair.world.run_for(Duration::from_millis([0, 5, 25, 300, 3000][seed as usize / 8 % 5])).unwrap();
        }
        pair.world.run_for(SECOND * 100).unwrap();
        for (side, talker) in talkers.iter().enumerate() {
            let (talker, other) = (talker.borrow(), talkers[1 - side].borrow());
            if !talker.gone {
                assert_eq!(talker.socket.as_ref().unwrap().ended(), Some(None), "seed {seed}, side {side}");
                assert!(talker.heard.len() == 2 || other.gone, "seed {seed}, side {side}: lost what was sent in order");
            }
        }
        let_go(&talkers);
        pair.check_clean(&format!("seed {seed}"));
    }
}

#[test]
fn a_peer_that_never_ends_is_left_after_a_while() {
    let (pair, talkers) = open_pair(14, 0.0);
    let_go(&talkers[..1]);
    pair.world.network().alarm(pair.world.now() + Duration::from_millis(1));
    pair.world.run_for(SECOND * 10).unwrap();
    assert_eq!((ended(&talkers[1]), talkers[1].borrow().peer_ended), (None, true), "it may still say something");
    pair.world.run_for(SECOND * 10).unwrap();
    assert_eq!(ended(&talkers[1]), Some(Some(FlowError::Reset)));
    let_go(&talkers);
    pair.check_clean("left");
}

#[test]
fn what_waits_to_leave_takes_little_more_memory_than_it_is_long() {
    for length in [300, 1000, 4096, 40_000] {
        let pair = Pair::new(15, &link(0.0));
        let socket = pair.hosts[0].connect_messages(pair.engines[0], SERVER).unwrap();
        let sent = std::iter::from_fn(|| socket.send(&vec![7; length]).ok()).count() * length;
        let held = pair.hosts[0].lane().buffer_bytes();
        assert!(sent > 2 << 20 && held < sent * 3 / 2, "{held} bytes held for {sent} in messages of {length}");
        drop(socket);
        pair.hosts.iter().for_each(|host| pair.world.add_host(host));
        pair.check_clean("written in vain");
    }
}

#[test]
fn a_slow_reader_stops_the_sender_and_not_for_ever() {
    for seed in 0..10 {
        let pair = Pair::new(seed, &link((seed % 3) as f64 * 0.01));
        let [client, server] = pair.talk([messages(seed, 8_000_000), vec![]]);
        server.borrow().deaf.set(true);
        pair.world.run_for(SECOND * 20).unwrap();
        let held = pair.hosts[1].lane().buffer_bytes();
        assert!((1 << 20..5 << 20).contains(&held), "{held} bytes held");
        let before = pair.ends[0].sent().sent;
        pair.world.run_for(SECOND * 20).unwrap();
        assert!(pair.ends[0].sent().sent - before < 30, "seed {seed}: the sender asks too often");
        let deaf: Rc<Cell<bool>> = server.borrow().deaf.clone();
        deaf.set(false);
        pair.world.network().alarm(pair.world.now() + Duration::from_millis(1));
        pair.world.run_until(SECOND * 600, || server.borrow().peer_ended).unwrap();
        assert!(server.borrow().heard == client.borrow().to_say, "seed {seed}");
        let_go(&[client, server]);
        pair.check_clean("slow reader");
    }
}

#[test]
fn the_longest_message_arrives_and_a_longer_one_is_refused() {
    let pair = Pair::new(7, &link(0.05));
    let [client, server] = pair.talk([vec![vec![9; 1 << 20], vec![], vec![8; 1 << 20]], vec![]]);
    pair.world.run_until(SECOND * 100, || server.borrow().heard.len() == 3).unwrap();
    assert!(server.borrow().heard == client.borrow().to_say);
    let socket = pair.hosts[0].connect_messages(pair.engines[0], SERVER).unwrap();
    assert_eq!(socket.send(&vec![0; (1 << 20) + 1]).unwrap_err().kind(), ErrorKind::InvalidInput);
    drop(socket);
    let_go(&[client, server]);
    pair.check_clean("long");
}

#[test]
fn questions_leave_no_trace_before_the_answer_came_back() {
    let sent = Rc::new(RefCell::new((0, 0)));
    let count = sent.clone();
    // Each question is asked again by 1,000 others, who are not there.
    let flood = move |_: Instant, side, frame: Vec<u8>, out: &mut Vec<(usize, Vec<u8>)>| {
        if side == 1 && is_udp(&frame) && frame[30..34] != [10, 0, 0, 1] {
            count.borrow_mut().1 += frame.len() - PAYLOAD;
            return;
        }
        if side == 0 && is_udp(&frame) && frame[PAYLOAD + 2..PAYLOAD + 10] == [0; 8] {
            for n in 0..1000u16 {
                let mut forged = frame.clone();
                readdress(&mut forged, 0, Some([10, 0, 0, 11]), Some(n + 1000));
                count.borrow_mut().0 += forged.len() - PAYLOAD;
                out.push((1, forged));
            }
        }
        out.push((1 - side, frame));
    };
    let pair = Pair::through(8, &RudpConfig::default(), &link(0.0), flood);
    let talkers = pair.talk([messages(1, 10_000), vec![]]);
    pair.world.run_until(SECOND * 60, || talkers[1].borrow().peer_ended).unwrap();
    let (asked, answered) = *sent.borrow();
    assert!(asked >= 35_000 && answered <= asked, "{answered} bytes for {asked}");
    assert_eq!(pair.hosts[1].lane().flows(), 1);
    let_go(&talkers);
    pair.check_clean("flood");
}

#[test]
fn datagrams_with_a_wrong_id_are_dropped_by_name() {
    let guess = |_: Instant, side, frame: Vec<u8>, out: &mut Vec<(usize, Vec<u8>)>| {
        if is_udp(&frame) && frame[PAYLOAD + 2..PAYLOAD + 10] != [0; 8] {
            let mut forged = frame.clone();
            forged[PAYLOAD + 9] ^= 1;
            readdress(&mut forged, 0, None, None);
            out.push((1 - side, forged));
        }
        out.push((1 - side, frame));
    };
    let pair = Pair::through(9, &RudpConfig::default(), &link(0.0), guess);
    let talkers = pair.talk([messages(1, 100_000), messages(2, 100_000)]);
    pair.world.run_until(SECOND * 60, || talkers.iter().all(|t| t.borrow().peer_ended)).unwrap();
    assert!(talkers[0].borrow().heard == talkers[1].borrow().to_say);
    let drops = pair.hosts[1].lane().drops().clone();
    assert!(drops.get("rudp: unknown connection") > 0 && drops.get("handshake: forged or outdated connection id") > 0);
    let_go(&talkers);
    pair.check_clean("guesses");
}

#[test]
fn damage_that_no_checksum_finds_breaks_connections_and_nothing_else() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let damage = move |_: Instant, side, mut frame: Vec<u8>, out: &mut Vec<(usize, Vec<u8>)>| {
            if is_udp(&frame) && rng.next_u32() % 4 == 0 {
                // Headers are where it hurts.
                let at = PAYLOAD + rng.next_u32() as usize % (frame.len() - PAYLOAD).min(60);
                frame[at] = rng.next_u32() as u8;
                if rng.next_u32() % 8 == 0 {
                    frame.truncate(frame.len().max(PAYLOAD + 20) - 2);
                }
                readdress(&mut frame, 0, None, None);
            }
            out.push((1 - side, frame));
        };
        let pair = Pair::through(seed, &RudpConfig::default(), &link(0.0), damage);
        let talkers = pair.talk([messages(seed, 50_000), messages(seed + 1, 50_000)]);
        pair.world.run_for(SECOND * 200).unwrap();
        let_go(&talkers);
        pair.check_clean(&format!("seed {seed}"));
    }
}

/// A hash of all frames and their times.
#[derive(Clone, Default)]
struct Digest(Rc<Cell<u64>>);

impl FrameTap for Digest {
    fn frame(&mut self, now: Instant, _: u16, direction: Direction, bytes: &[u8], _: Option<&str>) {
        let mut hash = self.0.get() ^ now.as_nanos() ^ u64::from(direction == Direction::In);
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.0.set(hash);
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| {
        let digest = Digest::default();
        let reorder_delay = Duration::from_millis(30);
        let faults = LinkConfig { duplicate: 0.05, reorder: 0.05, reorder_delay, ..link(0.05) };
        let pair = Pair::new(seed, &faults);
        pair.hosts[0].lane().set_tap(Some(Box::new(digest.clone())));
        let talkers = pair.talk([messages(seed, 100_000), messages(seed, 100_000)]);
        pair.world.run_until(SECOND * 100, || talkers.iter().all(|t| t.borrow().peer_ended)).unwrap();
        digest.0.get()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn many_connections_share_a_port() {
    let pair = Pair::new(11, &link(0.02));
    let [left, right] = &pair.hosts;
    let listener = right.listen(pair.engines[1], SERVER, 64).unwrap();
    let clients: Vec<_> = (0..50).map(|_| left.connect_messages(pair.engines[0], SERVER).unwrap()).collect();
    for (n, client) in clients.iter().enumerate() {
        client.send(format!("I am {n}").as_bytes()).unwrap();
    }
    pair.world.add_host(left);
    pair.world.add_host(right);
    pair.world.run_for(SECOND * 60).unwrap();
    let servers: Vec<_> = std::iter::from_fn(|| listener.accept_messages()).collect();
    assert_eq!(servers.len(), 50);
    let mut heard: Vec<String> = servers
        .iter()
        .map(|server| {
            let mut buf = [0; 100];
            let got = server.recv(&mut buf).unwrap();
            server.send(&buf[..got.bytes]).unwrap();
            String::from_utf8(buf[..got.bytes].to_vec()).unwrap()
        })
        .collect();
    heard.sort_by_key(|text| text[5..].parse::<u32>().unwrap());
    assert!(heard.iter().enumerate().all(|(n, text)| *text == format!("I am {n}")));
    // The listener goes; its connections stay.
    drop(listener);
    pair.world.run_for(SECOND * 60).unwrap();
    for (n, client) in clients.iter().enumerate() {
        assert!(client.readiness().contains(Ready::READABLE), "{n}");
    }
    drop((clients, servers));
    pair.check_clean("many");
}
