//! What a peer, or somebody who pretends to be one, cannot make us do: answer without end, keep what nobody waits for, move
//! our timers.

use burstlane::transport::FlowError;
use burstlane_spec::packets::{ACK, RST, SYN};
use burstlane_spec::script::tcp::{ack, data, fin, rst, segment, syn, syn_ack};

use super::{at_both_isns, left, ms, plain, seconds};

/// RFC 5961 7: challenges are limited for each connection, in time.
#[test]
fn challenges_are_limited() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        for at in 0..100 {
            s.peer(rst(2 + at));
        }
        assert_eq!(s.take().len(), 10);
        s.silence(ms(1100));
        s.peer(rst(2));
        s.expect(ack(1).seq(1));
        assert_eq!(s.dropped("tcp: reset in the window, not at its edge"), 101);
        assert_eq!(stream.ended(), None);
    });
}

/// The backlog bounds what is half-open, and each gives up by itself; the rest get cookies (RFC 4987 3.6).
#[test]
fn a_flood_of_syns_is_bounded() {
    at_both_isns(&plain(), |s| {
        let _listener = s.listen(4);
        for port in 0..2_000 {
            s.ends.ports[1] = 10_000 + port;
            s.ends.peer_isn = u32::from(port) * 99;
            s.peer(syn());
            let _ = s.take();
        }
        assert_eq!(left(s), (0, 16));
        assert_eq!(s.dropped("tcp: SYN answered by a cookie"), 1_984);
        s.after(seconds(200));
        assert_eq!(left(s), (0, 0));
    });
}

/// What comes in between does not move the times of a SYN-ACK.
#[test]
fn a_syn_ack_keeps_its_times() {
    at_both_isns(&plain(), |s| {
        let _listener = s.listen(1);
        s.peer(syn());
        for tenth in 1..=400 {
            s.after(ms(100));
            if tenth % 7 == 0 {
                s.peer(ack(1).seq(100_000));
            }
        }
        let times: Vec<u64> =
            s.take().iter().filter(|(_, segment)| segment.has(SYN)).map(|(at, _)| at.as_secs()).collect();
        assert_eq!(times, [0, 1, 3, 7, 15, 31]);
    });
}

/// Nobody is left who could end it, so a window that stays shut ends it.
#[test]
fn an_orphan_is_not_held_by_a_shut_window() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.peer(ack(1).window(0));
        s.write(&stream, b"hello");
        s.close(stream);
        let mut last = None;
        for _ in 0..100 {
            let Some((_, came)) = s.next_within(seconds(100)) else { break };
            let is_over = came.has(RST);
            last = Some(came);
            if is_over {
                break;
            }
            s.peer(ack(1).window(0));
        }
        assert_eq!(last.unwrap().flags, Some(RST | ACK), "{}", s.trace());
        assert_eq!(left(s), (0, 0));
        s.silence(seconds(1000));
    });
}

/// All of a connection in two bursts, with repetitions.
#[test]
fn a_connection_in_two_bursts() {
    at_both_isns(&plain(), |s| {
        let listener = s.listen(8);
        s.peer_burst([syn(), syn()]);
        s.expect(syn_ack().ack(1));
        s.expect(syn_ack().ack(1));
        s.peer_burst([ack(1).seq(1), data(1, b"hello").ack(1), data(1, b"hello").ack(1), fin(6).ack(1)]);
        s.expect(ack(7).seq(1).len(0));
        let stream = s.accept(&listener).unwrap();
        assert_eq!(s.read_up_to(&stream, 100).unwrap(), b"hello");
        assert_eq!(s.read_up_to(&stream, 100), None);
        s.close(stream);
        s.expect(fin(1).ack(7));
        // Our FIN is acknowledged, and a new SYN comes, in one burst: the flow ended in between.
        s.peer_burst([ack(2).seq(7), syn().seq(900_000)]);
        s.expect(syn_ack().ack(900_001));
        s.nothing_more();
    });
}

/// RFC 9293 3.10.7.2: nothing but a SYN makes anything, and resets are never answered.
#[test]
fn strangers_leave_nothing_behind() {
    at_both_isns(&plain(), |s| {
        let _listener = s.listen(1);
        for strange in [rst(5), segment(0).seq(5).len(1), fin(5).ack(78), ack(77).seq(5)] {
            s.peer(strange);
        }
        let replies = s.take();
        assert!(replies.len() == 2 && replies.iter().all(|(_, reply)| reply.flags == Some(RST)), "{}", s.trace());
        assert_eq!(left(s), (0, 0));
    });
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.peer_burst([rst(1), data(1, b"behind the reset").ack(1)]);
        s.expect(segment(RST).seq(1));
        assert_eq!(stream.ended(), Some(Some(FlowError::Reset)));
    });
}
