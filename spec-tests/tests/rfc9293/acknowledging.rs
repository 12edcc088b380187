//! 3.8.6.3 and 3.7.4: when acknowledgements and small segments leave, and when they wait.

use burstlane_spec::script::tcp::{ack, data, fin, syn, text};
use burstlane_tcp::Config;

use super::{at_both_isns, ms, plain, seconds, usual};

// cites: MUST-40, SHLD-18
#[test]
fn a_lone_segment_waits_for_company() {
    at_both_isns(&usual(), |s| {
        let (_stream, _listener) = s.accepted(syn().mss(1000));
        s.peer(text(1, 1000));
        s.nothing_more();
        s.expect_after(ms(40), ack(1001).len(0));
        s.silence(seconds(10));
    });
}

/// However long the configuration wants to wait, it is half a second at most.
// cites: MUST-40
#[test]
fn no_acknowledgement_waits_for_more_than_half_a_second() {
    let mut config = usual();
    config.delayed_ack_timeout = seconds(3);
    at_both_isns(&config, |s| {
        let (_stream, _listener) = s.accepted(syn().mss(1000));
        s.peer(text(1, 1000));
        let (waited, came) = s.next_within(seconds(5)).unwrap();
        assert_eq!(came.ack, Some(1001));
        assert!(waited <= ms(502), "{waited:?}");
    });
}

// cites: SHLD-19
#[test]
fn every_second_full_segment_is_acknowledged_at_once() {
    at_both_isns(&usual(), |s| {
        let (_stream, _listener) = s.accepted(syn().mss(1000));
        for pair in 0..10 {
            let at = 1 + pair * 2000;
            s.peer(text(at, 1000));
            s.nothing_more();
            s.peer(text(at + 1000, 1000));
            s.expect(ack(at + 2000).len(0));
        }
    });
}

/// A burst is worked on as a whole before anything is acknowledged.
// cites: MUST-58, MUST-59
#[test]
fn a_burst_has_one_acknowledgement() {
    at_both_isns(&usual(), |s| {
        let (_stream, _listener) = s.accepted(syn().mss(1000));
        s.peer_burst((0..20).map(|at| text(1 + at * 1000, 1000)));
        s.expect(ack(20_001).len(0));
        s.nothing_more();
        // In any order.
        s.peer_burst((0..10).rev().map(|at| text(20_001 + at * 1000, 1000)));
        let last = s.take().pop().unwrap().1;
        assert_eq!(last.ack, Some(30_001));
    });
}

#[test]
fn an_answer_carries_the_acknowledgement() {
    at_both_isns(&usual(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.peer(text(1, 300));
        s.write(&stream, b"answer");
        s.expect(data(1, b"answer").ack(301));
        s.peer(ack(7));
        s.silence(seconds(10));
    });
}

/// RFC 5681 4.2: what is out of order, fills a gap, or repeats, is acknowledged at once.
// cites: SHLD-31, MAY-13
#[test]
fn disorder_is_acknowledged_at_once() {
    at_both_isns(&usual(), |s| {
        let (_stream, _listener) = s.accepted(syn().mss(1000));
        s.peer(text(101, 100));
        s.expect(ack(1));
        s.peer(text(301, 100));
        s.expect(ack(1));
        s.peer(text(1, 100));
        s.expect(ack(201));
        s.peer(text(201, 100));
        s.expect(ack(401));
        s.peer(text(201, 100));
        s.expect(ack(401));
        s.peer(fin(401));
        s.expect(ack(402));
        s.silence(seconds(10));
    });
}

/// 3.7.4: a small segment waits while another is unacknowledged.
// cites: SHLD-7
#[test]
fn small_segments_wait_for_each_other() {
    at_both_isns(&usual(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, b"one");
        s.expect(data(1, b"one"));
        s.write(&stream, b"two");
        s.write(&stream, b"three");
        s.silence(ms(50));
        s.peer(ack(4));
        s.expect(data(4, b"twothree"));
        s.peer(ack(12));
        // A full one does not wait, and what is left behind it does.
        s.write(&stream, b"x");
        s.expect(data(12, b"x"));
        s.write(&stream, &[7; 1500]);
        s.expect(text(13, 1000));
        s.nothing_more();
        s.peer(ack(1013));
        s.expect(text(1013, 500));
    });
}

// cites: MUST-17
#[test]
fn nagle_can_be_switched_off() {
    let mut config = usual();
    config.nagle = false;
    at_both_isns(&config, |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        for (at, piece) in [b"a", b"b", b"c"].iter().enumerate() {
            s.write(&stream, *piece);
            s.expect(data(1 + at as i32, *piece));
        }
    });
}

/// 3.7.4: a small segment with the FIN is the last, and waits for nothing.
#[test]
fn the_last_small_segment_leaves_with_the_fin() {
    at_both_isns(&usual(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, b"one");
        s.expect(data(1, b"one"));
        s.write(&stream, b"two");
        s.nothing_more();
        s.shutdown(&stream);
        s.expect(fin(4).payload(b"two"));
    });
}

/// 3.9.1.2: the last of what was written is pushed.
// cites: MUST-60, MUST-61, SHLD-27, MAY-16
#[test]
fn the_end_of_what_was_written_is_pushed() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, &[1; 2500]);
        s.expect(text(1, 1000).push(false));
        s.expect(text(1001, 1000).push(false));
        s.expect(text(2001, 500).push(true));
        s.peer(ack(2501));
        s.silence(seconds(10));
    });
}

/// Nothing answers an acknowledgement, whatever it acknowledges again.
#[test]
fn acknowledgements_are_not_acknowledged() {
    at_both_isns(&Config::default(), |s| {
        let (_stream, _listener) = s.accepted(syn().mss(1000));
        for _ in 0..20 {
            s.peer(ack(1));
        }
        s.silence(seconds(10));
    });
}
