//! 3.8.1 to 3.8.3: what is sent again, and when a connection is given up. The timeout itself is in `rfc6298.rs`.

use burstlane::transport::FlowError;
use burstlane_spec::script::tcp::{ack, data, syn, text};
use burstlane_tcp::State;

use super::{assert_state, at_both_isns, left, ms, plain, seconds};

#[test]
fn what_is_lost_is_sent_again_as_it_was() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, b"something that gets lost");
        let first = s.expect(text(1, 24));
        let (_, again) = s.next_within(seconds(2)).unwrap();
        assert_eq!((again.seq, &again.payload), (Some(1), &first.payload));
        s.peer(ack(25));
        s.silence(seconds(100));
    });
}

/// R2 is at least 100 seconds (SHLD-11), and the application learns of it; before, the peer may come back at any time.
// cites: MUST-20, SHLD-10, SHLD-11
#[test]
fn a_silent_peer_is_given_up_late() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, b"x");
        s.expect(data(1, b"x"));
        s.after(seconds(100));
        assert_state(s, &stream, State::Established);
        assert!(s.take().len() >= 3, "R1: {}", s.trace());
        s.after(seconds(3600));
        assert_eq!(stream.ended(), Some(Some(FlowError::TimedOut)));
        let again = s.take();
        assert!(again.len() <= 20, "{}", again.len());
        s.close(stream);
        assert_eq!(left(s), (0, 0));
        s.silence(seconds(1000));
    });
}

// cites: MUST-21
#[test]
fn the_application_chooses_how_late() {
    let mut config = plain();
    config.user_timeout = Some(seconds(10));
    at_both_isns(&config, |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, b"x");
        s.after(seconds(9));
        assert_state(s, &stream, State::Established);
        s.after(seconds(20));
        assert_eq!(stream.ended(), Some(Some(FlowError::TimedOut)));
    });
}

/// RFC 5681 3.2: three duplicates are a loss, two are not.
// cites: MUST-19
#[test]
fn the_third_duplicate_brings_the_lost_segment() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, &[1; 6000]);
        for at in 0..6 {
            s.expect(text(1 + at * 1000, 1000));
        }
        s.peer(ack(1));
        s.peer(ack(1));
        s.nothing_more();
        s.peer(ack(1));
        s.expect(text(1, 1000));
        s.nothing_more();
        s.peer(ack(6001));
        s.silence(seconds(100));
    });
}

/// RFC 5681 3.2: the loss that duplicates show is answered by a smaller window, once.
// cites: MUST-19
#[test]
fn the_third_duplicate_makes_the_window_smaller() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, &[1; 10_000]);
        assert_eq!(s.take().len(), 10);
        for _ in 0..3 {
            s.peer(ack(1));
        }
        s.expect(text(1, 1000));
        s.peer(ack(10_001));
        s.write(&stream, &[1; 20_000]);
        // CUBIC keeps seven tenths, and the acknowledgement that ends the recovery may add one.
        let sent = s.take().len();
        assert!((7..=8).contains(&sent), "{sent}: {}", s.trace());
    });
}

/// RFC 5681 3.2: it is none with text, another window, or nothing outstanding.
#[test]
fn what_is_no_duplicate_brings_nothing() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        for _ in 0..5 {
            s.peer(ack(1));
        }
        s.nothing_more();
        s.write(&stream, &[1; 4000]);
        let _ = s.take();
        for at in 0..5 {
            s.peer(ack(1).window(50_000 + at));
            s.peer(text(1 + i32::from(at), 1).ack(1).window(50_000 + at));
        }
        let again = s.take().into_iter().filter(|(_, segment)| segment.payload_bytes() > 0).count();
        assert_eq!(again, 0, "{}", s.trace());
    });
}

/// RFC 6582: an acknowledgement of a part shows the next hole.
#[test]
fn a_partial_acknowledgement_brings_the_next_hole() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, &[1; 8000]);
        let _ = s.take();
        for _ in 0..3 {
            s.peer(ack(1));
        }
        s.expect(text(1, 1000));
        s.peer(ack(3001));
        s.expect(text(3001, 1000));
        s.peer(ack(8001));
        s.silence(seconds(100));
    });
}

/// RFC 7661 4.3, in short: what was not tried says nothing about the path.
#[test]
fn a_window_that_is_not_used_does_not_grow() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        for at in 0..50 {
            s.write(&stream, &[1; 500]);
            s.expect(text(1 + at * 500, 500));
            s.peer(ack(1 + (at + 1) * 500));
        }
        s.write(&stream, &[1; 30_000]);
        assert_eq!(s.take().len(), 10, "{}", s.trace());
    });
}

/// RFC 5681 3.1 after a timeout: one segment, then two, and so on from what arrives.
// cites: MUST-19
#[test]
fn after_a_timeout_it_starts_slowly() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, &[1; 9000]);
        assert_eq!(s.take().len(), 9);
        let (_, first) = s.next_within(seconds(2)).unwrap();
        assert_eq!(first.seq, Some(1));
        s.nothing_more();
        s.after(ms(50));
        s.peer(ack(1001));
        let seqs: Vec<_> = s.take().iter().map(|(_, segment)| segment.seq.unwrap()).collect();
        assert_eq!(seqs, [1001, 2001]);
        s.peer(ack(3001));
        let count = s.take().len();
        assert!((2..=4).contains(&count), "{count}: {}", s.trace());
    });
}
