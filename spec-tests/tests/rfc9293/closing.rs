//! 3.6: closing in every order, by halves, at once and by reset; what is left behind.

use std::io::ErrorKind;

use burstlane::transport::FlowError;
use burstlane_spec::packets::{ACK, RST};
use burstlane_spec::script::tcp::{ack, data, fin, rst, segment, syn, syn_ack, text};
use burstlane_tcp::State;

use super::{assert_state, at_both_isns, left, plain, seconds};

/// Figure 12 from the side that closes first.
// cites: MUST-13
#[test]
fn we_close_first() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.shutdown(&stream);
        s.expect(fin(1).ack(1));
        assert_state(s, &stream, State::FinWait1);
        s.peer(ack(2));
        assert_state(s, &stream, State::FinWait2);
        s.silence(seconds(30));
        s.peer(fin(1));
        s.expect(ack(2).seq(2));
        assert_eq!(stream.ended(), Some(None));
        s.close(stream);
        assert_eq!(left(s), (0, 1), "TIME-WAIT");
        s.silence(seconds(59));
        assert_eq!(left(s), (0, 1), "TIME-WAIT");
        s.silence(seconds(2));
        assert_eq!(left(s), (0, 0), "2 MSL are over");
    });
}

/// Figure 12 from the other side.
#[test]
fn the_peer_closes_first() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.peer(fin(1));
        s.expect(ack(2).seq(1));
        assert_state(s, &stream, State::CloseWait);
        assert_eq!(s.read_up_to(&stream, 10), None, "the end of the peer's text");
        s.silence(seconds(30));
        s.shutdown(&stream);
        s.expect(fin(1).ack(2));
        assert_state(s, &stream, State::LastAck);
        s.peer(ack(2));
        assert_eq!(stream.ended(), Some(None));
        s.close(stream);
        assert_eq!(left(s), (0, 0), "nothing stays on this side");
    });
}

/// A reset in LAST-ACK is the end in order (3.10.7.4, second step) if only the FIN is missing; but not of text that nobody
/// acknowledged.
#[test]
fn a_reset_in_last_ack_tells_of_text_that_is_lost() {
    for is_acknowledged in [false, true] {
        at_both_isns(&plain(), |s| {
            let (stream, _listener) = s.accepted(syn());
            s.peer(fin(1));
            s.expect(ack(2).seq(1));
            s.write(&stream, b"12345");
            s.expect(data(1, "12345").ack(2));
            s.shutdown(&stream);
            s.expect(fin(6).ack(2));
            assert_state(s, &stream, State::LastAck);
            if is_acknowledged {
                s.peer(ack(6).seq(2));
            }
            s.peer(rst(2));
            assert_eq!(stream.ended(), Some((!is_acknowledged).then_some(FlowError::Reset)));
            s.close(stream);
            assert_eq!(left(s), (0, 0));
        });
    }
}

/// A FIN beyond a gap is answered when it comes, and what comes behind it is not: two ends that wait for each other's text would
/// answer each other's answers for ever.
#[test]
fn an_early_fin_is_answered_once() {
    at_both_isns(&plain(), |s| {
        let (_stream, _listener) = s.accepted(syn());
        s.peer(fin(6));
        s.expect(ack(1));
        s.peer(ack(1).seq(7));
        s.nothing_more();
        s.peer(text(1, 5));
        s.expect(ack(7));
    });
}

/// Figure 13.
#[test]
fn both_close_at_once() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.shutdown(&stream);
        s.expect(fin(1).ack(1));
        s.peer(fin(1).ack(1));
        s.expect(ack(2).seq(2));
        assert_state(s, &stream, State::Closing);
        s.peer(ack(2));
        s.close(stream);
        assert_eq!(left(s), (0, 1), "TIME-WAIT");
        s.silence(seconds(61));
        assert_eq!(left(s), (0, 0));
    });
}

#[test]
fn the_fin_and_the_ack_of_ours_come_together() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.shutdown(&stream);
        s.expect(fin(1).ack(1));
        s.peer(fin(1).ack(2));
        s.expect(ack(2).seq(2));
        s.close(stream);
        assert_eq!(left(s), (0, 1), "TIME-WAIT, without FIN-WAIT-2");
    });
}

/// 3.6, case 1: after our FIN we still receive, after the peer's we still send.
#[test]
fn a_half_closed_connection_carries_text_the_other_way() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.shutdown(&stream);
        s.expect(fin(1));
        s.peer(ack(2));
        for at in 0..5 {
            s.peer(text(1 + at * 500, 500));
            s.expect(ack(501 + at * 500).seq(2));
            assert_eq!(s.read_up_to(&stream, 1000).unwrap().len(), 500);
            let _ = s.take();
        }
        assert_eq!(stream.write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.peer(fin(1));
        s.expect(ack(2));
        for at in 0..5 {
            s.write(&stream, &[1; 500]);
            s.expect(text(1 + at * 500, 500).ack(2));
            s.peer(ack(501 + at * 500));
        }
        assert_state(s, &stream, State::CloseWait);
    });
}

#[test]
fn a_fin_follows_all_text_and_repeats_with_it() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, &[3; 1500]);
        s.shutdown(&stream);
        s.expect(text(1, 1000).ack(1));
        s.expect(text(1001, 500).ack(1).and(0));
        let (_, rest) = s.next_within(seconds(0)).unwrap_or_else(|| s.fail("no FIN"));
        assert_eq!((rest.seq, rest.segment_len()), (Some(1501), 1));
    });
}

#[test]
fn a_lost_fin_is_sent_again() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.shutdown(&stream);
        s.expect(fin(1).ack(1));
        let (first, again) = s.next_within(seconds(5)).unwrap();
        assert_eq!((again.seq, again.segment_len()), (Some(1), 1));
        let (second, again) = s.next_within(seconds(5)).unwrap();
        assert_eq!((again.seq, again.segment_len()), (Some(1), 1));
        assert!(second >= first * 2 - super::ms(4), "{first:?}, then {second:?}");
    });
}

/// Text behind a gap, then a FIN: the connection ends only when the gap is filled.
// cites: SHLD-31
#[test]
fn a_fin_behind_a_gap_waits_for_it() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.peer(fin(21).len(10));
        s.expect(ack(1));
        assert_state(s, &stream, State::Established);
        s.peer(text(11, 10));
        s.expect(ack(1));
        s.peer(text(1, 10));
        s.expect(ack(32));
        assert_state(s, &stream, State::CloseWait);
        assert_eq!(s.read_up_to(&stream, 100).unwrap().len(), 30);
        assert_eq!(s.read_up_to(&stream, 100), None);
    });
}

/// 3.6.1: a repetition of the peer's FIN is acknowledged again, and the 2 MSL begin anew.
#[test]
fn the_peers_fin_again_restarts_time_wait() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.shutdown(&stream);
        s.expect(fin(1));
        s.peer(fin(1).ack(2));
        s.expect(ack(2));
        s.close(stream);
        for _ in 0..3 {
            s.silence(seconds(45));
            s.peer(fin(1).ack(2));
            s.expect(ack(2).seq(2));
        }
        s.silence(seconds(59));
        assert_eq!(left(s), (0, 1));
        s.silence(seconds(2));
        assert_eq!(left(s), (0, 0));
    });
}

/// 3.6.1: numbers of the new connection are beyond all of the old.
// cites: MAY-2
#[test]
fn a_new_syn_reopens_from_time_wait() {
    at_both_isns(&plain(), |s| {
        let (stream, listener) = s.accepted(syn());
        s.write(&stream, &[1; 200]);
        s.expect(text(1, 200));
        s.shutdown(&stream);
        s.expect(fin(201));
        s.peer(fin(1).ack(202));
        s.expect(ack(2));
        s.close(stream);
        let old = s.ends.host_isn;
        s.peer(syn().seq(1));
        s.expect(ack(2).seq(202));
        s.peer(syn().seq(1000));
        s.expect(syn_ack().ack(1001));
        let gap = s.ends.host_isn.wrapping_sub(old) as i32;
        assert!(gap > 202, "the new numbers begin {gap} after the old ones did");
        s.peer(ack(1).seq(1001));
        assert!(s.accept(&listener).is_some());
    });
}

// cites: MUST-12
#[test]
fn the_application_is_told_of_a_reset() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.peer(rst(1));
        assert_eq!(stream.ended(), Some(Some(FlowError::Reset)));
        assert_eq!(stream.read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(stream.write(b"x").unwrap_err().kind(), ErrorKind::ConnectionReset);
        s.silence(seconds(100));
    });
}

#[test]
fn an_abort_resets_the_peer() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.write(&stream, &[1; 100]);
        s.expect(text(1, 100));
        s.abort(&stream);
        s.expect(segment(RST | ACK).seq(101).ack(1));
        s.close(stream);
        assert_eq!(left(s), (0, 0));
        s.silence(seconds(100));
    });
}

// cites: SHLD-3, MAY-1
#[test]
fn letting_go_with_unread_text_resets() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.peer(text(1, 10));
        s.expect(ack(11));
        s.close(stream);
        s.expect(segment(RST | ACK).seq(1).ack(11));
        s.silence(seconds(100));
        assert_eq!(left(s), (0, 0));
    });
}

// cites: SHLD-3
#[test]
fn text_after_letting_go_is_reset() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.close(stream);
        s.expect(fin(1));
        s.peer(ack(2));
        s.peer(data(1, b"too late"));
        let (_, reset) = s.next_within(seconds(0)).unwrap_or_else(|| s.fail("nothing came"));
        assert!(reset.has(RST), "{}", s.trace());
        s.silence(seconds(100));
        assert_eq!(left(s), (0, 0));
    });
}

/// A peer that never finishes does not hold a connection whose application is gone.
#[test]
fn fin_wait_2_without_an_owner_ends() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.close(stream);
        s.expect(fin(1));
        s.peer(ack(2));
        s.silence(seconds(59));
        assert_eq!(left(s), (1, 0));
        s.silence(seconds(2));
        assert_eq!(left(s), (0, 0));
    });
}

/// In FIN-WAIT-1 our text is not all acknowledged yet: it is sent again, FIN included, as before.
#[test]
fn text_and_fin_are_sent_again_in_fin_wait_1() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, &[3; 100]);
        s.expect(text(1, 100));
        s.shutdown(&stream);
        s.expect(fin(101));
        let (_, again) = s.next_within(seconds(5)).unwrap();
        assert_eq!((again.seq, again.payload_bytes()), (Some(1), 100));
        let covered = again.segment_len();
        if covered == 100 {
            // The FIN may follow when the text is acknowledged.
            s.peer(ack(101));
            let (_, again) = s.next_within(seconds(5)).unwrap();
            assert_eq!((again.seq, again.segment_len()), (Some(101), 1));
        }
        s.peer(ack(102));
        assert_state(s, &stream, State::FinWait2);
        s.peer(segment(ACK).seq(1));
        s.nothing_more();
    });
}
