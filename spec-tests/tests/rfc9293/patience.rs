//! 3.8.3 and 3.9.1.8: how long we try, as the application wants it, and what it learns on the way.

use burstlane::engine::EngineEvent;
use burstlane::socket::Ready;
use burstlane::transport::FlowError;
use burstlane_spec::packets::{ACK, RST};
use burstlane_spec::script::tcp::{ack, data, segment, syn, text};
use burstlane_tcp::{Config, State, TcpSocket};

use super::{Script, assert_state, at_both_isns, ms, plain, seconds};

/// Whether the application was told of trouble since the last time.
fn was_told(s: &Script) -> bool {
    let mut events = vec![];
    s.host.take_events(s.engine, &mut events);
    events.iter().any(|event| matches!(event, EngineEvent::Ready(_, ready) if ready.contains(Ready::TROUBLE)))
}

/// R1: three timeouts in a row. The connection goes on, and the peer's answer ends the trouble.
// cites: MUST-20, MUST-47, SHLD-9, SHLD-10
#[test]
fn the_application_learns_that_nothing_gets_through() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, b"x");
        s.expect(data(1, b"x"));
        for _ in 0..2 {
            s.next_within(seconds(10)).unwrap();
            assert!(!was_told(s) && stream.soft_error().is_none());
        }
        s.next_within(seconds(10)).unwrap();
        assert!(was_told(s));
        assert_eq!(stream.soft_error(), Some(FlowError::TimedOut));
        assert_eq!(stream.info().unwrap().timeouts_in_a_row, 3);
        assert_state(s, &stream, State::Established);
        s.peer(ack(2));
        assert_eq!(stream.soft_error(), None);
        s.after(seconds(1000));
        assert!(!was_told(s));
    });
}

/// At R1 the next hop is in doubt, too: it is asked for once more, and only then.
// cites: MUST-20
#[test]
fn the_next_hop_is_doubted_when_nothing_gets_through() {
    let mut config = plain();
    config.rto.initial_rto = ms(100);
    at_both_isns(&config, |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, b"x");
        s.expect(data(1, b"x"));
        let before = s.questions();
        for _ in 0..2 {
            s.next_within(seconds(10)).unwrap();
            assert_eq!(s.questions(), before);
        }
        s.next_within(seconds(10)).unwrap();
        assert_eq!(s.questions(), before + 1);
        s.after(seconds(10));
        assert_eq!(s.questions(), before + 1);
    });
}

/// The same for a SYN.
// cites: MUST-22
#[test]
fn a_syn_is_given_up_by_the_same_rules() {
    let mut config = plain();
    config.user_timeout = Some(seconds(20));
    at_both_isns(&config, |s| {
        let stream = s.connect();
        s.after(seconds(8));
        assert_eq!(stream.soft_error(), Some(FlowError::TimedOut));
        s.after(seconds(11));
        assert_state(s, &stream, State::SynSent);
        s.after(seconds(2));
        assert_eq!(stream.ended(), Some(Some(FlowError::TimedOut)));
    });
}

/// Each connection has its own patience, and it ends when it says, not at the next timeout of a timer that was backed off.
// cites: MUST-21
#[test]
fn each_connection_has_its_own_patience() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        stream.set_user_timeout(Some(seconds(40)));
        assert_eq!(stream.settings().unwrap().user_timeout, Some(seconds(40)));
        s.write(&stream, b"x");
        s.after(seconds(39));
        assert_state(s, &stream, State::Established);
        s.after(seconds(1) + ms(10));
        assert_eq!(stream.ended(), Some(Some(FlowError::TimedOut)));
    });
}

/// A window that stays shut but is confirmed is no silence; one that is not confirmed is.
// cites: MUST-21, MUST-37
#[test]
fn patience_with_a_shut_window() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        stream.set_user_timeout(Some(seconds(30)));
        s.peer(ack(1).window(0));
        s.write(&stream, b"x");
        for _ in 0..5 {
            s.next_within(seconds(100)).unwrap();
            s.peer(ack(1).window(0));
        }
        assert_state(s, &stream, State::Established);
        s.after(seconds(100));
        assert_eq!(stream.ended(), Some(Some(FlowError::TimedOut)));
    });
}

/// A clock that jumps by hours, as that of a machine that slept, is one timeout: the peer gets its chance to answer.
#[test]
fn a_jump_of_the_clock_is_one_timeout() {
    let chosen = |user_timeout| {
        let mut config: Config = plain();
        config.user_timeout = user_timeout;
        config
    };
    for config in [chosen(None), chosen(Some(seconds(60)))] {
        at_both_isns(&config, |s| {
            let (stream, _listener) = s.accepted(syn().mss(1000));
            s.write(&stream, &[1; 500]);
            s.expect(text(1, 500));
            s.jump(seconds(5 * 3600));
            s.expect(text(1, 500));
            s.nothing_more();
            s.peer(ack(501));
            assert_state(s, &stream, State::Established);
            s.silence(seconds(100));
            s.peer(segment(RST).seq(1));
            assert_eq!(stream.ended(), Some(Some(FlowError::Reset)));
        });
    }
}

/// Nor does a jump end what only waits, before its time on the new clock.
#[test]
fn a_jump_of_the_clock_ends_only_what_is_due() {
    at_both_isns(&plain(), |s| {
        let (stream, listener) = s.accepted(syn());
        s.shutdown(&stream);
        s.take();
        s.peer(segment(ACK).seq(1).ack(2));
        assert_state(s, &stream, State::FinWait2);
        s.jump(seconds(5 * 3600));
        assert_state(s, &stream, State::FinWait2);
        s.peer(text(1, 10));
        s.expect(ack(11));
        assert_eq!(s.read_up_to(&stream, 100).unwrap().len(), 10);
        drop(listener);
    });
}
