//! RFC 2883: duplicates are reported by the first block of a SACK option, once each, as packet traces.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::time::Duration;

use burstlane_spec::packets::ACK;
use burstlane_spec::script::tcp::{ISNS, Segment, TcpScript, ack, segment, syn, text};
use burstlane_tcp::{Config, Tcp};

type Script = TcpScript<Tcp>;

fn at_both_isns(run: impl Fn(&mut Script)) {
    let mut config = Config::default();
    (config.timestamps, config.sack, config.window_scaling) = (false, true, false);
    (config.nagle, config.delayed_ack_timeout) = (false, Duration::ZERO);
    for isn in ISNS {
        run(&mut Script::at_isn(isn, config.clone()));
    }
}

fn offer() -> Segment {
    syn().mss(1000).sack_permitted(true)
}

/// A connection on which 3,000 bytes came and were acknowledged, so that the next is number 3,001.
fn opened(s: &mut Script) -> impl Sized + use<> {
    let open = s.accepted(offer());
    for start in [1, 1001, 2001] {
        s.peer(text(start, 1000));
        s.expect(ack(start + 1000).sack(&[]));
    }
    open
}

/// 4.1, example 1: a segment again, whose acknowledgement was lost. What comes after it tells of it no more (4, item 2).
#[test]
fn a_duplicate_below_the_acknowledgement_is_reported_once() {
    at_both_isns(|s| {
        let _open = opened(s);
        s.peer(text(3001, 500));
        s.expect(ack(3501).sack(&[]));
        s.peer(text(3501, 500));
        s.expect(ack(4001).sack(&[]));
        s.peer(text(3001, 500));
        s.expect(ack(4001).sack(&[(3001, 3501)]));
        s.peer(text(4001, 500));
        s.expect(ack(4501).sack(&[]));
        // The same again is another duplicate.
        s.peer(text(3001, 500));
        s.expect(ack(4501).sack(&[(3001, 3501)]));
        s.nothing_more();
    });
}

/// 4.1, example 2: beside what is held beyond a gap.
#[test]
fn what_is_held_follows_the_duplicate() {
    at_both_isns(|s| {
        let _open = opened(s);
        s.peer(text(3001, 500));
        s.expect(ack(3501));
        s.peer(text(3501, 500));
        s.expect(ack(4001));
        s.peer(text(4501, 500));
        s.expect(ack(4001).sack(&[(4501, 5001)]));
        s.peer(text(3001, 500));
        s.expect(ack(4001).sack(&[(3001, 3501), (4501, 5001)]));
        s.peer(text(5501, 500));
        s.expect(ack(4001).sack(&[(5501, 6001), (4501, 5001)]));
    });
}

/// 4.1, example 3: a duplicate of what is held; the second block is the one that it lies in (4, item 4).
#[test]
fn a_duplicate_beyond_a_gap_lies_within_the_second_block() {
    at_both_isns(|s| {
        let _open = opened(s);
        s.peer(text(3501, 500));
        s.expect(ack(3001).sack(&[(3501, 4001)]));
        s.peer(text(4001, 500));
        s.expect(ack(3001).sack(&[(3501, 4501)]));
        s.peer(text(5001, 500));
        s.expect(ack(3001).sack(&[(5001, 5501), (3501, 4501)]));
        s.peer(text(4001, 500));
        s.expect(ack(3001).sack(&[(4001, 4501), (3501, 4501), (5001, 5501)]));
        s.peer(text(6001, 500));
        s.expect(ack(3001).sack(&[(6001, 6501), (3501, 4501), (5001, 5501)]));
        // The gap is filled: the duplicate was told already.
        s.peer(text(3001, 500));
        s.expect(ack(4501).sack(&[(6001, 6501), (5001, 5501)]));
    });
}

/// 4.2: of a segment that is a duplicate in part, the part.
#[test]
fn the_part_that_came_twice_is_reported() {
    at_both_isns(|s| {
        let _open = opened(s);
        // Old in front, new behind.
        s.peer(text(2501, 1000));
        s.expect(ack(3501).sack(&[(2501, 3001)]));
        // New in front, held behind, and it fills the gap.
        s.peer(text(4001, 500));
        s.expect(ack(3501).sack(&[(4001, 4501)]));
        s.peer(text(3501, 1000));
        s.expect(ack(4501).sack(&[(4001, 4501)]));
    });
}

/// 4.2: of two parts that came twice, the first.
#[test]
fn of_two_parts_the_first_is_reported() {
    at_both_isns(|s| {
        let _open = opened(s);
        s.peer(text(3501, 200));
        s.expect(ack(3001).sack(&[(3501, 3701)]));
        s.peer(text(4001, 200));
        s.expect(ack(3001).sack(&[(4001, 4201), (3501, 3701)]));
        s.peer(text(3301, 1000));
        s.expect(ack(3001).sack(&[(3501, 3701), (3301, 4301)]));
    });
}

/// Whoever does not permit SACK is told nothing (RFC 2018 2).
#[test]
fn without_sack_there_are_no_reports() {
    at_both_isns(|s| {
        let (_stream, _listener) = s.accepted(syn().mss(1000));
        s.peer(text(1, 1000));
        s.expect(ack(1001));
        s.peer(text(1, 1000));
        s.expect(ack(1001).sack(&[]));
    });
}

/// With timestamps an old copy is old by its timestamp too; it is reported all the same, and there is room for three blocks.
#[test]
fn a_late_copy_with_its_old_timestamp_is_reported() {
    let mut config = Config::default();
    (config.window_scaling, config.nagle, config.delayed_ack_timeout) = (false, false, Duration::ZERO);
    for isn in ISNS {
        let s = &mut Script::at_isn(isn, config.clone());
        let (_stream, _listener) = s.accepted(offer().timestamps(100, 0));
        let mut said = |what: Segment, value| {
            s.peer(what.timestamps(value, 0));
            s.expect(segment(ACK)).sack.unwrap()
        };
        assert_eq!(said(text(1, 500), 101), []);
        assert_eq!(said(text(1001, 500), 102), [(1001, 1501)]);
        assert_eq!(said(text(2001, 500), 103), [(2001, 2501), (1001, 1501)]);
        assert_eq!(said(text(3001, 500), 104), [(3001, 3501), (2001, 2501), (1001, 1501)]);
        assert_eq!(said(text(501, 100), 105), [(3001, 3501), (2001, 2501), (1001, 1501)]);
        assert_eq!(said(text(1, 500), 101), [(1, 501), (3001, 3501), (2001, 2501)]);
    }
}
