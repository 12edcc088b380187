//! 3.4.1 and 3.5: initial sequence numbers, opening from one side, from both at once, and over the remains of the past.

use burstlane::transport::FlowError;
use burstlane_spec::packets::{ACK, RST};
use burstlane_spec::script::tcp::{ack, data, fin, rst, segment, syn, syn_ack, text};
use burstlane_tcp::State;

use super::{Script, assert_state, at_both_isns, left, ms, plain, seconds, state};

#[test]
fn a_passive_open_takes_three_segments() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        assert_state(s, &stream, State::Established);
        assert_eq!(left(s), (1, 0));
        s.silence(seconds(300));
    });
}

#[test]
fn an_active_open_takes_three_segments() {
    at_both_isns(&plain(), |s| {
        let stream = s.connected(syn_ack().mss(1000));
        assert_state(s, &stream, State::Established);
        s.silence(seconds(300));
    });
}

// cites: MAY-3
#[test]
fn text_may_come_with_the_third_segment() {
    at_both_isns(&plain(), |s| {
        let listener = s.listen(8);
        s.peer(syn());
        s.expect(syn_ack().seq(0).ack(1).mss(1460));
        s.peer(data(1, b"first").ack(1));
        s.expect(ack(6).seq(1));
        let stream = s.accept(&listener).unwrap();
        assert_eq!(s.read_up_to(&stream, 100).unwrap(), b"first");
    });
}

/// Figure 7, with a SYN of each that crosses the other.
// cites: MUST-10, MUST-11
#[test]
fn both_sides_may_open_at_once() {
    at_both_isns(&plain(), |s| {
        let stream = s.connect();
        s.expect(syn().seq(0));
        s.peer(syn().mss(1000));
        s.expect(syn_ack().seq(0).ack(1));
        assert_state(s, &stream, State::SynReceived);
        s.peer(syn_ack().seq(0).ack(1));
        // Its SYN is a repetition, left of the window: it is acknowledged, and its ACK is good.
        let _ = s.take();
        s.peer(ack(1).seq(1));
        assert_state(s, &stream, State::Established);
        s.peer(text(1, 10));
        s.expect(ack(11).seq(1));
    });
}

/// 3.8.1 with RFC 6298: the first wait is a second, and each is twice the one before; the answer may come to any of them.
#[test]
fn a_syn_is_sent_again_with_doubled_patience() {
    at_both_isns(&plain(), |s| {
        let stream = s.connect();
        let first = s.expect(syn().seq(0));
        for wait in [1, 2, 4, 8] {
            let again = s.expect_after(seconds(wait), syn().seq(0).len(0));
            assert_eq!(again.mss, first.mss);
        }
        s.peer(syn_ack().ack(1));
        s.expect(ack(1).seq(1));
        assert_state(s, &stream, State::Established);
    });
}

/// R2 for a SYN is 3 minutes at least (3.8.3).
// cites: MUST-22, MUST-23
#[test]
fn a_syn_is_not_given_up_before_three_minutes() {
    let mut s = Script::at_isn(0x1000, plain());
    let stream = s.connect();
    s.expect(syn());
    let started = s.now();
    s.after(seconds(180));
    if stream.ended().is_some() {
        s.fail("given up before three minutes");
    }
    s.after(seconds(600));
    assert_eq!(stream.ended(), Some(Some(FlowError::TimedOut)));
    assert!(s.now().since(started) > seconds(180));
}

#[test]
fn a_syn_ack_is_sent_again_with_doubled_patience() {
    at_both_isns(&plain(), |s| {
        let listener = s.listen(8);
        s.peer(syn());
        s.expect(syn_ack().seq(0).ack(1));
        for wait in [1, 2, 4] {
            s.expect_after(seconds(wait), syn_ack().seq(0).ack(1));
        }
        s.peer(ack(1));
        let stream = s.accept(&listener).unwrap();
        s.silence(seconds(300));
        assert_state(s, &stream, State::Established);
    });
}

/// 3.10.7.4, second step, and RFC 5961 3.2: in the window, but not at its edge. It is asked back, and completes nothing.
#[test]
fn a_reset_in_the_window_completes_no_handshake() {
    at_both_isns(&plain(), |s| {
        let listener = s.listen(1);
        s.peer(syn());
        s.expect(syn_ack());
        s.peer(rst(2).and(ACK).ack(1));
        s.expect(ack(1).seq(1));
        assert!(s.accept(&listener).is_none());
        s.peer(ack(1));
        assert!(s.accept(&listener).is_some());
    });
}

/// Figure 8: an old SYN comes first, the peer resets what it makes, and its real SYN opens.
#[test]
fn an_old_syn_is_recovered_from() {
    at_both_isns(&plain(), |s| {
        let listener = s.listen(8);
        s.peer(syn().seq(-5000));
        s.expect(syn_ack().ack(-4999));
        s.peer(rst(-4999));
        assert_eq!(left(s), (0, 0), "back to LISTEN");
        s.peer(syn());
        s.expect(syn_ack().seq(0).ack(1));
        s.peer(ack(1));
        let stream = s.accept(&listener).unwrap();
        s.nothing_more();
        assert_state(s, &stream, State::Established);
    });
}

/// Figure 9: the peer still has a connection of ours that we forgot. Its ACK is reset, and our SYN goes again.
#[test]
fn an_active_open_finds_a_half_open_peer() {
    at_both_isns(&plain(), |s| {
        let stream = s.connect();
        s.expect(syn().seq(0));
        s.peer(ack(-300).seq(900));
        s.expect(rst(-300));
        assert_state(s, &stream, State::SynSent);
        s.expect_after(seconds(1), syn().seq(0));
        s.peer(syn_ack().ack(1));
        s.expect(ack(1));
        assert_state(s, &stream, State::Established);
    });
}

/// Figure 10 and 3.5.3: what nobody knows is reset; what answers a reset would be is not.
#[test]
fn text_for_nobody_is_reset() {
    at_both_isns(&plain(), |s| {
        s.peer(text(100, 10).ack(300));
        s.expect(segment(RST).seq(300));
        s.peer(segment(0).seq(100).len(10));
        s.expect(segment(RST | ACK).seq(0).ack(110));
        s.peer(rst(100));
        s.peer(segment(RST | ACK).seq(100).ack(9));
        s.nothing_more();
    });
}

#[test]
fn a_refused_open_is_told() {
    at_both_isns(&plain(), |s| {
        let stream = s.connect();
        s.expect(syn());
        // Without an ACK of our SYN anybody could have sent it.
        s.peer(rst(0));
        assert_state(s, &stream, State::SynSent);
        s.peer(rst(0).and(ACK).ack(1));
        assert_eq!(stream.ended(), Some(Some(FlowError::Refused)));
        s.silence(seconds(300));
    });
}

/// 3.4.1: one every four microseconds.
// cites: MUST-8, SHLD-1
#[test]
fn initial_numbers_follow_the_clock() {
    let mut s = Script::at_isn(0x1000, plain());
    let _listener = s.listen(8);
    let mut isns = vec![];
    for _ in 0..3 {
        s.peer(syn());
        s.expect(syn_ack());
        isns.push(s.ends.host_isn);
        s.peer(rst(1));
        s.silence(ms(100));
    }
    assert_eq!([isns[1] - isns[0], isns[2] - isns[1]], [25_000, 25_000]);
    s.ends.ports[1] += 1;
    s.peer(syn());
    s.expect(syn_ack());
    let other = s.ends.host_isn.wrapping_sub(isns[2]) as i32;
    assert!(other.unsigned_abs() > 1_000_000, "another pair has another place: {other}");
}

// cites: MUST-41, MUST-42
#[test]
fn a_listener_does_not_disturb_a_connection_at_its_port() {
    at_both_isns(&plain(), |s| {
        let stream = s.connect();
        s.expect(syn());
        // The same port, another peer's.
        let _listener = s.listen(8);
        s.peer(syn_ack().ack(1));
        s.expect(ack(1));
        assert_state(s, &stream, State::Established);
        let ends = s.ends;
        s.ends.ports[1] = 6000;
        s.peer(syn());
        s.expect(syn_ack().ack(1));
        s.ends = ends;
        s.ends.peer_next = 1;
        s.peer(text(1, 5).ack(1));
        s.expect(ack(6));
    });
}

#[test]
fn a_close_before_the_handshake_is_done_sends_the_fin_after_it() {
    at_both_isns(&plain(), |s| {
        let stream = s.connect();
        s.expect(syn());
        s.write(&stream, b"early");
        s.shutdown(&stream);
        s.nothing_more();
        s.peer(syn_ack().ack(1));
        let came: Vec<_> = s.take().into_iter().map(|(_, segment)| segment).filter(|it| it.segment_len() > 0).collect();
        assert_eq!(came.iter().map(|segment| segment.segment_len()).sum::<i32>(), 6, "{}", s.trace());
        s.peer(ack(7));
        assert_eq!(state(&stream), Some(State::FinWait2));
        s.peer(fin(1));
        s.expect(ack(2).seq(7));
    });
}
