//! Each check, with a trace that is right up to the one thing that is wrong.

use std::time::Duration;

use burstlane::observe::{Event, FlowRef};
use burstlane::time::Instant;

use super::TcpOracle;
use crate::packets::{ACK, ipv4_frame};
use crate::script::Packet as _;
use crate::script::tcp::{Ends, Segment, ack, data, fin, segment, syn, syn_ack, text};

/// Both sides by hand. Each writes segments with numbers relative to its own ISN and its peer's.
struct Wire {
    oracle: TcpOracle,
    now: Instant,
    ends: [Ends; 2],
}

impl Wire {
    fn new() -> Self {
        // One of them wraps after a hundred bytes.
        let (zero, one) = (0xffff_ff9c, 7000);
        let left = Ends { ports: [80, 5000], peer_isn: zero, host_isn: one, peer_next: 0, host_next: 0 };
        let right = Ends { ports: [5000, 80], peer_isn: one, host_isn: zero, peer_next: 0, host_next: 0 };
        Self { oracle: TcpOracle::new(), now: Instant::ZERO, ends: [left, right] }
    }

    fn frame(&mut self, side: usize, segment: &Segment) -> Vec<u8> {
        let bytes = segment.write(&mut self.ends[side]);
        let (from, to) = if side == 0 { (1, 2) } else { (2, 1) };
        ipv4_frame(from, to, 6, bytes, Some(16))
    }

    /// It is sent and lost.
    fn sent(&mut self, side: usize, segment: &Segment) -> &mut Self {
        let frame = self.frame(side, segment);
        self.oracle.on_sent(side, self.now, &frame);
        self
    }

    /// It is sent and arrives.
    fn through(&mut self, side: usize, segment: &Segment) -> &mut Self {
        let frame = self.frame(side, segment);
        self.oracle.on_sent(side, self.now, &frame);
        self.oracle.on_delivered(1 - side, self.now, &frame);
        self
    }

    fn after(&mut self, time_ms: u64) -> &mut Self {
        self.now += Duration::from_millis(time_ms);
        self
    }

    /// A handshake, and 100 bytes from side 0 that are acknowledged.
    fn open() -> Self {
        let mut wire = Self::new();
        wire.through(0, &syn().mss(1000).window_scale(2));
        wire.through(1, &syn_ack().ack(1).mss(1000).window_scale(1).window(20_000));
        wire.through(0, &ack(1).seq(1).window(5000));
        wire.through(0, &text(1, 100).ack(1).window(5000));
        wire.through(1, &ack(101).seq(1).window(10_000));
        assert_eq!(wire.oracle.violations(), []);
        wire
    }

    /// With timestamps.
    fn stamped() -> Self {
        let mut wire = Self::new();
        wire.through(0, &syn().mss(1000).timestamps(500, 0));
        wire.through(1, &syn_ack().ack(1).mss(1000).timestamps(90, 500));
        wire.through(0, &ack(1).seq(1).timestamps(510, 90));
        assert_eq!(wire.oracle.violations(), []);
        wire
    }

    #[track_caller]
    fn finds(&mut self, side: usize, what: &str) {
        let found = self.oracle.violations();
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].side, side, "{found:?}");
        assert!(found[0].what.contains(what), "{found:?}");
        assert_eq!(found[0].at, self.now);
    }

    #[track_caller]
    fn is_right(&mut self) {
        assert_eq!(self.oracle.violations(), []);
        assert_eq!(self.oracle.abandoned(), 0);
    }
}

#[test]
fn a_right_trace_is_right() {
    let mut wire = Wire::open();
    wire.sent(0, &text(101, 900).ack(1).window(5000));
    wire.through(0, &text(1001, 500).ack(1).window(5000));
    wire.through(1, &ack(101).seq(1).window(10_000).sack(&[(1001, 1501)]));
    wire.through(0, &text(101, 900).ack(1).window(5000));
    wire.through(1, &ack(1501).seq(1).window(10_000).sack(&[(1001, 1100)]));
    wire.through(0, &fin(1501).ack(1).window(5000));
    wire.through(1, &fin(1).ack(1502).window(10_000));
    wire.through(0, &ack(2).seq(1502).window(5000));
    wire.is_right();
    assert_eq!(wire.oracle.segments(), 13);
}

#[test]
fn an_acknowledgement_that_goes_back() {
    let mut wire = Wire::open();
    wire.sent(1, &ack(100).seq(1).window(11_000)).finds(1, "acknowledges 100 after 101");
}

#[test]
fn an_acknowledgement_of_what_did_not_arrive() {
    let mut wire = Wire::open();
    wire.sent(0, &text(101, 10).ack(1).window(5000));
    wire.through(0, &text(111, 10).ack(1).window(5000));
    wire.sent(1, &ack(121).seq(1).window(10_000)).finds(1, "acknowledges 121, and only 101 arrived");
}

#[test]
fn what_arrived_damaged_did_not_arrive() {
    let mut wire = Wire::open();
    let mut frame = wire.frame(0, &text(101, 10).ack(1).window(5000));
    wire.oracle.on_sent(0, wire.now, &frame);
    frame[60] ^= 1;
    wire.oracle.on_delivered(1, wire.now, &frame);
    wire.sent(1, &ack(111).seq(1).window(10_000)).finds(1, "only 101 arrived");
}

#[test]
fn a_sack_of_what_did_not_arrive() {
    let mut wire = Wire::open();
    wire.sent(0, &text(101, 100).ack(1).window(5000));
    wire.through(0, &text(201, 100).ack(1).window(5000));
    wire.sent(1, &ack(101).seq(1).window(10_000).sack(&[(200, 301)])).finds(1, "not all of it arrived");
}

#[test]
fn a_sack_that_says_nothing() {
    let mut wire = Wire::open();
    wire.sent(1, &ack(101).seq(1).window(10_000).sack(&[(300, 300)])).finds(1, "no range");
}

#[test]
fn a_sack_at_the_acknowledgement() {
    let mut wire = Wire::open();
    wire.through(0, &text(101, 100).ack(1).window(5000));
    wire.sent(1, &ack(101).seq(1).window(10_000).sack(&[(101, 201)])).finds(1, "not above the acknowledgement");
}

#[test]
fn a_window_that_shrinks() {
    let mut wire = Wire::open();
    // By the shift of 1, 2 bytes are a unit: one unit less is wrong.
    wire.sent(1, &ack(101).seq(1).window(9999)).finds(1, "right edge goes back from 20101 to 20099");
}

#[test]
fn a_gap_in_the_sequence() {
    let mut wire = Wire::open();
    wire.sent(0, &text(102, 10).ack(1).window(5000)).finds(0, "leaves a gap");
}

#[test]
fn text_behind_a_fin() {
    let mut wire = Wire::open();
    wire.sent(0, &fin(101).ack(1).window(5000));
    wire.sent(0, &text(102, 1).ack(1).window(5000)).finds(0, "behind its FIN");
}

#[test]
fn a_fin_in_the_middle() {
    let mut wire = Wire::open();
    wire.sent(0, &text(101, 10).ack(1).window(5000));
    wire.sent(0, &fin(105).ack(1).window(5000)).finds(0, "a FIN at 105");
}

#[test]
fn other_bytes_the_second_time() {
    let mut wire = Wire::open();
    wire.sent(0, &data(101, b"abcdef").ack(1).window(5000));
    wire.sent(0, &data(103, b"cdXf").ack(1).window(5000)).finds(0, "byte 105 is not");
}

#[test]
fn text_beyond_the_window() {
    let mut wire = Wire::open();
    for seq in (101..20_101).step_by(1000) {
        wire.sent(0, &text(seq, 1000).ack(1).window(5000));
    }
    wire.is_right();
    // A byte may probe it, two may not.
    wire.sent(0, &text(20_101, 1).ack(1).window(5000)).is_right();
    let mut wire = Wire::open();
    for seq in (101..20_101).step_by(1000) {
        wire.sent(0, &text(seq, 1000).ack(1).window(5000));
    }
    wire.sent(0, &text(20_101, 2).ack(1).window(5000)).finds(0, "beyond the window's edge at 20101");
}

#[test]
fn a_segment_larger_than_the_mss() {
    let mut wire = Wire::open();
    wire.sent(0, &text(101, 1001).ack(1).window(5000)).finds(0, "more than the peer's MSS of 1000");
    let mut wire = Wire::stamped();
    wire.sent(0, &text(1, 989).ack(1).timestamps(510, 90)).finds(0, "989 bytes and 12 of options");
}

#[test]
fn an_initial_window_of_eleven() {
    let mut wire = Wire::new();
    wire.through(0, &syn().mss(1000)).through(1, &syn_ack().ack(1).mss(1000)).through(0, &ack(1).seq(1));
    for seq in (1..10_001).step_by(1000) {
        wire.sent(0, &text(seq, 1000).ack(1));
    }
    wire.is_right();
    wire.sent(0, &text(10_001, 1).ack(1)).finds(0, "more than 10000");
}

#[test]
fn a_timer_that_does_not_back_off() {
    let mut wire = Wire::open();
    let again = text(101, 100).ack(1).window(5000);
    wire.sent(0, &again);
    for wait_ms in [200, 300, 605, 1212] {
        wire.after(wait_ms).sent(0, &again).is_right();
    }
    wire.after(2400).sent(0, &again).finds(0, "waited 2.4s after 1.212s");
}

#[test]
fn a_timer_is_new_once_something_was_heard() {
    let mut wire = Wire::open();
    let again = text(101, 100).ack(1).window(5000);
    wire.sent(0, &again);
    for wait_ms in [200, 400, 800] {
        wire.after(wait_ms).sent(0, &again);
    }
    wire.through(1, &ack(101).seq(1).window(10_000));
    wire.after(200).sent(0, &again).is_right();
}

#[test]
fn timestamps_that_go_back_or_are_missing_or_invented() {
    let mut wire = Wire::stamped();
    wire.sent(0, &ack(1).seq(1).timestamps(509, 90)).finds(0, "TSval 509 goes back from 510");
    let mut wire = Wire::stamped();
    wire.sent(0, &ack(1).seq(1)).finds(0, "no timestamps");
    let mut wire = Wire::stamped();
    wire.sent(0, &ack(1).seq(1).timestamps(510, 91)).finds(0, "TSecr 91 never arrived");
}

#[test]
fn a_new_connection_in_the_place_of_an_old_one_is_judged_anew() {
    let mut wire = Wire::open();
    wire.ends[0].peer_isn = 99;
    wire.ends[1].host_isn = 99;
    wire.ends[1].peer_isn = 123_456;
    wire.ends[0].host_isn = 123_456;
    wire.through(0, &syn().mss(1000));
    wire.through(1, &syn_ack().ack(1).mss(500));
    wire.through(0, &ack(1).seq(1)).is_right();
    wire.sent(0, &text(1, 501).ack(1)).finds(0, "MSS of 500");
}

#[test]
fn two_incarnations_at_once_are_left_alone() {
    let mut wire = Wire::open();
    wire.ends[1].peer_isn = 1;
    wire.sent(1, &syn_ack().seq(0).ack(1));
    wire.sent(1, &segment(ACK).seq(400).ack(-9));
    assert_eq!((wire.oracle.violations().len(), wire.oracle.abandoned()), (0, 1));
}

/// An old SYN arrives late, and is answered before the new one is.
#[test]
fn the_answer_to_an_old_syn_is_none_to_the_new_one() {
    let mut wire = Wire::new();
    wire.sent(0, &syn().mss(1000));
    wire.sent(1, &syn_ack().seq(-77_000).ack(-400_000).timestamps(5, 6));
    wire.sent(1, &ack(-400_000).seq(-76_999));
    wire.through(0, &syn().mss(1000));
    wire.through(1, &syn_ack().ack(1).mss(1000));
    wire.through(0, &text(1, 100).ack(1)).is_right();
    wire.sent(1, &ack(102).seq(1)).finds(1, "only 101 arrived");
}

#[test]
fn states_that_do_not_follow() {
    let flow = FlowRef::default();
    let change = |from, to| Event::StateChanged { flow, from, to };
    let found = |changes: &[(&'static str, &'static str)]| {
        let mut oracle = TcpOracle::new();
        changes.iter().for_each(|&(from, to)| oracle.on_event(0, Instant::ZERO, &change(from, to)));
        oracle.finish().into_iter().map(|violation| violation.what).collect::<Vec<_>>()
    };
    let opening = [("SYN-SENT", "ESTABLISHED"), ("ESTABLISHED", "FIN-WAIT-1")];
    assert!(found(&[&opening[..], &[("FIN-WAIT-1", "CLOSED")]].concat()).is_empty());
    assert_eq!(
        found(&[&opening[..], &[("FIN-WAIT-1", "LAST-ACK")]].concat()),
        ["FIN-WAIT-1 -> LAST-ACK is not in RFC 9293 figure 5"]
    );
    assert_eq!(found(&[&opening[..], &[("CLOSING", "TIME-WAIT")]].concat()), ["was FIN-WAIT-1, not CLOSING"]);
    assert_eq!(found(&[("ESTABLISHED", "CLOSE-WAIT")]), ["begins in ESTABLISHED"]);
}
