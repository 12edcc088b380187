//! 3.6.1, RFC 1337, RFC 6191: what ends the wait after a connection, and what does not. More of it is in `closing`.

use burstlane_spec::script::tcp::{ack, fin, rst, segment, syn, syn_ack, text};
use burstlane_tcp::{Config, State};

use super::{Script, assert_state, at_both_isns, left, plain, seconds};

fn stamped() -> Config {
    let mut config = plain();
    config.timestamps = true;
    config
}

/// A connection that we closed first, with the peer's clock at 1000.
fn into_time_wait(s: &mut Script, stamped: bool) -> burstlane::socket::Listener<burstlane_tcp::Tcp> {
    let offer = if stamped { syn().timestamps(1000, 0) } else { syn() };
    let (stream, listener) = s.accepted(offer);
    s.shutdown(&stream);
    let clock = s.expect(fin(1)).timestamps;
    let last = fin(1).ack(2);
    s.peer(clock.map_or(last.clone(), |(clock, _)| last.timestamps(1000, clock)));
    s.expect(ack(2));
    s.close(stream);
    assert_eq!(left(s), (0, 1), "TIME-WAIT");
    listener
}

/// RFC 1337 3: neither a reset nor an old segment ends the wait.
#[test]
fn nothing_old_ends_the_wait() {
    at_both_isns(&plain(), |s| {
        let _listener = into_time_wait(s, false);
        for number in [0, 1, 2, 3, 1000] {
            s.peer(rst(number));
            s.peer(segment(burstlane_spec::packets::RST | burstlane_spec::packets::ACK).seq(number).ack(2));
        }
        s.nothing_more();
        assert_eq!(left(s), (0, 1));
        s.peer(text(1, 1).ack(2));
        s.expect(ack(2).seq(2));
        s.silence(seconds(59));
        assert_eq!(left(s), (0, 1));
        s.silence(seconds(2));
        assert_eq!(left(s), (0, 0));
    });
}

/// RFC 6191 2: a later timestamp is enough, whatever the number; the same one needs a higher number; an older one is old.
// cites: MAY-2
#[test]
fn a_later_timestamp_opens_anew() {
    for (value, number, opens) in [(1001, -5000, true), (1000, 5000, true), (1000, -5000, false), (999, 5000, false)] {
        at_both_isns(&stamped(), |s| {
            let listener = into_time_wait(s, true);
            s.peer(syn().seq(number).timestamps(value, 0));
            if opens {
                let answer = s.expect(syn_ack().ack(number.wrapping_add(1)));
                let clock = answer.timestamps.unwrap().0;
                s.peer(ack(1).seq(number + 1).timestamps(value, clock));
                let stream = s.accept(&listener).unwrap();
                assert_state(s, &stream, State::Established);
            } else {
                s.expect(ack(2).seq(2));
            }
        });
    }
}

/// The SYN takes the place of the wait, so it needs no room where others wait half open.
#[test]
fn a_syn_flood_does_not_keep_the_peer_out() {
    at_both_isns(&plain(), |s| {
        let listener = into_time_wait(s, false);
        let ends = s.ends;
        for port in 0..100 {
            s.ends.ports[1] = 10_000 + port;
            s.peer(syn());
            let _ = s.take();
        }
        assert!(s.dropped("tcp: SYN answered by a cookie") > 0, "half-open ones fill their table");
        s.ends = ends;
        s.peer(syn().seq(5000));
        s.expect(syn_ack().ack(5001));
        s.peer(ack(1).seq(5001));
        let stream = s.accept(&listener).unwrap();
        assert_state(s, &stream, State::Established);
    });
}

/// Where nobody could accept it, the wait goes on.
#[test]
fn a_full_backlog_leaves_the_wait_alone() {
    at_both_isns(&plain(), |s| {
        let listener = into_time_wait(s, false);
        let ends = s.ends;
        for port in 0..8 {
            s.ends.ports[1] = 10_000 + port;
            s.peer(syn());
            let _ = s.take();
            s.peer(ack(1));
        }
        s.ends = ends;
        s.peer(syn().seq(5000));
        s.nothing_more();
        assert_eq!(left(s), (8, 1));
        assert!(s.accept(&listener).is_some());
        s.peer(syn().seq(5000));
        s.expect(syn_ack().ack(5001));
    });
}
