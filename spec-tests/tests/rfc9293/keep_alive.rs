//! 3.8.4: whether a silent peer is still there.

use std::time::Duration;

use burstlane::transport::FlowError;
use burstlane_spec::packets::{ACK, RST};
use burstlane_spec::script::tcp::{ack, data, fin, segment, syn, text};
use burstlane_tcp::{Config, KeepAlive, State, TcpSocket};

use super::{Script, assert_state, at_both_isns, plain, seconds};

/// A minute of silence, then three questions, ten seconds apart.
const SOON: KeepAlive = KeepAlive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), probes: 3 };

fn asking() -> Config {
    let mut config = plain();
    config.keep_alive = Some(SOON);
    config
}

/// A question: an old number, so that it must be answered, and no text.
#[track_caller]
fn expect_question(s: &mut Script, after: u64, seq: i32) {
    s.expect_after(seconds(after), segment(ACK).seq(seq).ack(1).len(0));
}

// cites: MUST-25
#[test]
fn nobody_is_asked_unless_the_application_wants_it() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.silence(seconds(30 * 24 * 3600));
        assert_state(s, &stream, State::Established);
    });
}

// cites: MUST-27, MUST-28
#[test]
fn by_default_silence_is_two_hours() {
    assert!(KeepAlive::default().idle >= seconds(7200));
    let mut config = plain();
    config.keep_alive = Some(KeepAlive::default());
    at_both_isns(&config, |s| {
        let (_stream, _listener) = s.accepted(syn());
        s.silence(seconds(7199));
        expect_question(s, 1, 0);
    });
}

// cites: MUST-26, MUST-27, MUST-29, MAY-5, SHLD-12
#[test]
fn a_silent_peer_is_asked_several_times_and_given_up() {
    at_both_isns(&asking(), |s| {
        let (stream, _listener) = s.accepted(syn());
        expect_question(s, 60, 0);
        for _ in 1..SOON.probes {
            expect_question(s, 10, 0);
            assert_state(s, &stream, State::Established);
        }
        s.expect_after(seconds(10), segment(RST | ACK).seq(1).ack(1));
        assert_eq!(stream.ended(), Some(Some(FlowError::TimedOut)));
        s.silence(seconds(1000));
    });
}

/// One lost answer ends nothing, and each answer begins a new silence.
// cites: MUST-29
#[test]
fn an_answer_is_a_sign_of_life() {
    at_both_isns(&asking(), |s| {
        let (stream, _listener) = s.accepted(syn());
        for _ in 0..10 {
            expect_question(s, 60, 0);
            expect_question(s, 10, 0);
            s.peer(ack(1));
            assert_eq!(stream.info().unwrap().keep_alive_probes, 0);
        }
        assert_state(s, &stream, State::Established);
    });
}

/// Whatever the peer sends is a sign of life, and what is outstanding is asked for by other means.
// cites: MUST-26
#[test]
fn a_peer_that_speaks_is_not_asked() {
    at_both_isns(&asking(), |s| {
        let (stream, _listener) = s.accepted(syn());
        for at in 0..5 {
            s.silence(seconds(50));
            s.peer(text(1 + at, 1));
            s.expect(ack(2 + at));
        }
        s.silence(seconds(59));
        s.write(&stream, b"x");
        s.expect(data(1, b"x"));
        s.after(seconds(20));
        assert!(s.take().iter().all(|(_, sent)| sent.payload_bytes() == 1), "{}", s.trace());
    });
}

// cites: MUST-24
#[test]
fn it_is_switched_on_and_off_for_each_connection() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        stream.set_keep_alive(Some(SOON));
        assert_eq!(stream.settings().unwrap().keep_alive, Some(SOON));
        expect_question(s, 60, 0);
        s.peer(ack(1));
        stream.set_keep_alive(None);
        s.silence(seconds(7200));
        assert_state(s, &stream, State::Established);
    });
    at_both_isns(&asking(), |s| {
        let (stream, _listener) = s.accepted(syn());
        stream.set_keep_alive(None);
        s.silence(seconds(7200));
        assert_eq!(stream.settings().unwrap().keep_alive, None);
    });
}

/// Half closed, the number before SND.NXT is the FIN's.
#[test]
fn a_peer_that_does_not_finish_is_asked_too() {
    at_both_isns(&asking(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.shutdown(&stream);
        s.expect(fin(1).ack(1));
        s.peer(ack(2));
        expect_question(s, 60, 1);
        s.peer(ack(2));
        assert_state(s, &stream, State::FinWait2);
        for after in [60, 10, 10] {
            expect_question(s, after, 1);
        }
        s.expect_after(seconds(10), segment(RST | ACK).seq(2));
        assert_eq!(stream.ended(), Some(Some(FlowError::TimedOut)));
    });
}

/// A clock that jumps (a machine that slept) is one silence, not as many as fit into it.
#[test]
fn a_jump_of_the_clock_is_one_silence() {
    at_both_isns(&asking(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.jump(seconds(24 * 3600));
        s.expect(segment(ACK).seq(0).len(0));
        s.nothing_more();
        s.jump(seconds(24 * 3600));
        s.expect(segment(ACK).seq(0).len(0));
        s.peer(ack(1));
        assert_state(s, &stream, State::Established);
    });
}
