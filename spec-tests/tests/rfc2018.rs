//! RFC 2018: selective acknowledgements, as receiver and as sender, as packet traces.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::time::Duration;

use burstlane_spec::pattern::Dice;
use burstlane_spec::script::tcp::{ISNS, TcpScript, ack, syn, syn_ack, text};
use burstlane_tcp::{Config, Tcp};

type Script = TcpScript<Tcp>;

fn config() -> Config {
    let mut config = Config::default();
    (config.timestamps, config.sack, config.window_scaling) = (false, true, false);
    (config.nagle, config.delayed_ack_timeout) = (false, Duration::ZERO);
    config
}

fn at_both_isns(run: impl Fn(&mut Script)) {
    for isn in ISNS {
        run(&mut Script::at_isn(isn, config()));
    }
}

fn offer() -> burstlane_spec::script::tcp::Segment {
    syn().mss(1000).sack_permitted(true)
}

/// 2: only to whom permits it.
#[test]
fn sack_is_agreed_upon() {
    at_both_isns(|s| {
        let _listener = s.listen(1);
        s.peer(offer());
        s.expect(syn_ack().sack_permitted(true));
    });
    at_both_isns(|s| {
        let (_stream, _listener) = s.accepted(syn().mss(1000));
        s.peer(text(101, 100));
        s.expect(ack(1).sack(&[]));
    });
    let mut off = config();
    off.sack = false;
    let mut s = Script::at_isn(ISNS[0], off);
    let _listener = s.listen(1);
    s.peer(offer());
    s.expect(syn_ack().sack_permitted(false));
}

/// 4: the first block holds what just arrived, the others repeat the latest reports.
#[test]
fn the_latest_arrival_comes_first() {
    at_both_isns(|s| {
        let (_stream, _listener) = s.accepted(offer());
        s.peer(text(101, 100));
        s.expect(ack(1).sack(&[(101, 201)]));
        s.peer(text(301, 100));
        s.expect(ack(1).sack(&[(301, 401), (101, 201)]));
        s.peer(text(501, 100));
        s.expect(ack(1).sack(&[(501, 601), (301, 401), (101, 201)]));
        // An old block grows: it is the latest again.
        s.peer(text(201, 50));
        s.expect(ack(1).sack(&[(101, 251), (501, 601), (301, 401)]));
        // Two become one.
        s.peer(text(401, 100));
        s.expect(ack(1).sack(&[(301, 601), (101, 251)]));
        // Part of the first gap: the rest is reported as before.
        s.peer(text(1, 50));
        s.expect(ack(51).sack(&[(301, 601), (101, 251)]));
        s.peer(text(51, 50));
        s.expect(ack(251).sack(&[(301, 601)]));
        s.peer(text(251, 50));
        s.expect(ack(601).sack(&[]));
    });
}

/// 3: four blocks have room, three beside timestamps (RFC 7323 3.2).
#[test]
fn as_many_blocks_as_there_is_room_for() {
    for (timestamps, most) in [(false, 4), (true, 3)] {
        let mut config = config();
        config.timestamps = timestamps;
        let mut s = Script::at_isn(ISNS[1], config);
        let stamp = |segment: burstlane_spec::script::tcp::Segment| {
            if timestamps { segment.timestamps(9, 0) } else { segment }
        };
        let (_stream, _listener) = s.accepted(stamp(offer()));
        for block in 1..7 {
            s.peer(stamp(text(block * 200, 100)));
        }
        let last = s.take().pop().unwrap().1;
        let blocks = last.sack.unwrap();
        let expected: Vec<_> = (1..7).rev().map(|block| (block * 200, block * 200 + 100)).take(most).collect();
        assert_eq!(blocks, expected);
    }
}

/// Whatever arrives in whatever order, each block is a whole run of bytes that arrived and are not acknowledged.
#[test]
fn every_block_is_true_and_whole() {
    for seed in 0..40 {
        let mut dice = Dice::new(seed);
        let mut s = Script::at_isn(ISNS[(seed % 2) as usize], config());
        let (_stream, _listener) = s.accepted(offer());
        let mut arrived = [false; 3002];
        arrived[0] = true;
        for _ in 0..60 {
            let start = dice.range(1, 2800) as i32;
            let len = dice.range(1, 200) as usize;
            let what = start as usize..start as usize + len;
            let first = what.clone().find(|&at| arrived[at]);
            let twice = first.map(|first| {
                let behind = (first..what.end).find(|&at| !arrived[at]).unwrap_or(what.end);
                (first as i32, behind as i32)
            });
            arrived[what].fill(true);
            s.peer(text(start, len));
            let Some((_, answer)) = s.take().pop() else { continue };
            let acked = arrived.iter().position(|is| !is).unwrap() as i32;
            assert_eq!(answer.ack, Some(acked), "{}", s.trace());
            let mut blocks = answer.sack.unwrap();
            // RFC 2883 4: before them the first part that came twice.
            if let Some(twice) = twice {
                assert_eq!(blocks.remove(0), twice, "{}", s.trace());
            }
            for &(left, right) in &blocks {
                assert!(left > acked && right > left, "{}", s.trace());
                assert!(arrived[left as usize..right as usize].iter().all(|is| *is), "{left}..{right}: {}", s.trace());
                assert!(!arrived[left as usize - 1] && !arrived[right as usize], "{left}..{right}: {}", s.trace());
            }
            // 4: the first holds what just came, if that is not acknowledged.
            if start > acked {
                let (left, right) = blocks[0];
                assert!(left <= start && start < right, "{}", s.trace());
            }
        }
    }
}

/// 5 and 5.1: what was reported is not sent again, what was not is; and all of it once the timer says that reports may have
/// been taken back.
#[test]
fn only_what_is_missing_is_sent_again() {
    at_both_isns(|s| {
        let (stream, _listener) = s.accepted(offer());
        s.write(&stream, &[1; 8000]);
        assert_eq!(s.take().len(), 8);
        // Sooner than a tail loss probe, for the handshake took no time.
        s.after(Duration::from_millis(1));
        // 1 and 3001 are lost.
        s.peer(ack(1).sack(&[(1001, 3001)]));
        s.peer(ack(1).sack(&[(4001, 6001), (1001, 3001)]));
        s.peer(ack(1).sack(&[(4001, 8001), (1001, 3001)]));
        s.after(Duration::from_millis(60));
        let again: Vec<_> = s.take().iter().map(|(_, segment)| segment.seq.unwrap()).collect();
        assert_eq!(again, [1, 3001], "{}", s.trace());
        s.peer(ack(8001));
        s.silence(Duration::from_secs(100));
    });
}

/// 8: a receiver may take a report back. After a timeout nothing reported counts, and all that is not acknowledged is sent
/// again; until the acknowledgement comes nothing of it is forgotten.
#[test]
fn reports_may_be_taken_back() {
    at_both_isns(|s| {
        let (stream, _listener) = s.accepted(offer());
        let bytes: Vec<u8> = (0..4000).map(|at| (at % 251) as u8).collect();
        s.write(&stream, &bytes);
        assert_eq!(s.take().len(), 4);
        s.after(Duration::from_millis(20));
        s.peer(ack(1).sack(&[(1001, 4001)]));
        // The receiver has forgotten all of it. It acknowledges what comes, in order, and reports nothing.
        let mut next = 1;
        for _ in 0..60 {
            if next == 4001 {
                break;
            }
            let Some((_, came)) = s.next_within(Duration::from_secs(100)) else { s.fail("nothing is sent again") };
            let (seq, payload) = (came.seq.unwrap(), came.payload.clone().unwrap());
            assert_eq!(payload, bytes[seq as usize - 1..][..payload.len()], "{}", s.trace());
            if seq <= next {
                next = next.max(seq + payload.len() as i32);
                s.peer(ack(next));
            }
        }
        assert_eq!(next, 4001, "{}", s.trace());
        s.silence(Duration::from_secs(100));
    });
}

/// A report of what was never sent, or of nothing, changes nothing.
#[test]
fn false_reports_are_ignored() {
    at_both_isns(|s| {
        let (stream, _listener) = s.accepted(offer());
        s.write(&stream, &[1; 2000]);
        assert_eq!(s.take().len(), 2);
        for blocks in [[(5001, 6001)], [(2001, 2002)], [(1, 1)], [(1500, 1400)], [(-500, -100)], [(0, 1)]] {
            s.peer(ack(1).sack(&blocks));
        }
        let again = s.take();
        assert!(again.is_empty(), "{}", s.trace());
        s.peer(ack(2001));
        s.silence(Duration::from_secs(100));
    });
}
