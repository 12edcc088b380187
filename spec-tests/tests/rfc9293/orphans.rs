//! 3.6 and 3.9.1.5: what becomes of a connection whose application let go: lingering, and too many of them.

use burstlane_spec::packets::{ACK, RST};
use burstlane_spec::script::tcp::{ack, fin, segment, syn, text};
use burstlane_tcp::TcpSocket;

use super::{at_both_isns, left, plain, seconds};

/// What was written arrives, or the peer learns in time that it does not.
#[test]
fn lingering_ends_with_a_reset() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        stream.set_linger(Some(seconds(10)));
        assert_eq!(stream.settings().unwrap().linger, Some(seconds(10)));
        s.write(&stream, &[1; 100]);
        s.expect(text(1, 100));
        s.close(stream);
        s.expect(fin(101));
        s.after(seconds(9));
        assert_eq!(left(s), (1, 0));
        let _ = s.take();
        s.after(seconds(1) + super::ms(5));
        let last = s.take().pop().unwrap().1;
        assert_eq!((last.flags, last.seq), (Some(RST | ACK), Some(102)), "{}", s.trace());
        assert_eq!(left(s), (0, 0));
        s.silence(seconds(100));
    });
}

/// What arrived in time needs no reset.
#[test]
fn lingering_is_over_when_all_arrived() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        stream.set_linger(Some(seconds(10)));
        s.write(&stream, &[1; 100]);
        s.expect(text(1, 100));
        s.close(stream);
        s.expect(fin(101));
        s.peer(fin(1).ack(102));
        s.expect(ack(2));
        assert_eq!(left(s), (0, 1), "TIME-WAIT");
        s.silence(seconds(100));
    });
}

/// 3.10.5: with no time at all it is an abort.
#[test]
fn lingering_for_no_time_resets() {
    let mut config = plain();
    config.linger = Some(seconds(0));
    at_both_isns(&config, |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, &[1; 100]);
        s.expect(text(1, 100));
        s.close(stream);
        s.expect(segment(RST | ACK).seq(101).ack(1));
        assert_eq!(left(s), (0, 0));
        s.silence(seconds(100));
    });
}

/// Peers that never finish hold no more connections than the configuration says: the oldest is reset.
#[test]
fn too_many_orphans_end_the_oldest() {
    let mut config = plain();
    config.orphans_max = 3;
    at_both_isns(&config, |s| {
        let listener = s.listen(8);
        for port in 0..10 {
            s.ends.ports[1] = 5000 + port;
            s.peer(syn());
            let _ = s.take();
            s.peer(ack(1));
            let stream = s.accept(&listener).unwrap();
            s.close(stream);
            s.expect(fin(1));
            assert_eq!(left(s).0, usize::from(port + 1).min(3));
        }
        s.after(seconds(2000));
        assert_eq!(left(s), (0, 0));
    });
}

/// Those that end by themselves make room.
#[test]
fn orphans_that_end_are_not_counted() {
    let mut config = plain();
    config.orphans_max = 2;
    at_both_isns(&config, |s| {
        let listener = s.listen(8);
        for port in 0..300 {
            s.ends.ports[1] = 5000 + port;
            s.peer(syn());
            let _ = s.take();
            s.peer(ack(1));
            let stream = s.accept(&listener).unwrap();
            s.close(stream);
            s.expect(fin(1));
            s.peer(fin(1).ack(2));
            s.expect(ack(2));
            s.nothing_more();
        }
        assert_eq!(left(s).0, 0);
    });
}
