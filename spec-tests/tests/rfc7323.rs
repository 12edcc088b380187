//! RFC 7323: timestamps, protection against wrapped sequence numbers (PAWS), and scaled windows, as packet traces.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::time::Duration;

use burstlane::socket::{Listener, Stream};
use burstlane::transport::FlowError;
use burstlane_spec::packets::{ACK, RST};
use burstlane_spec::script::tcp::{Ends, ISNS, Segment, TcpScript, ack, data, fin, rst, segment, syn, syn_ack, text};
use burstlane_tcp::{Config, State, Tcp};

type Script = TcpScript<Tcp>;

/// Timestamps and nothing else.
fn stamped() -> Config {
    let mut config = Config::default();
    (config.timestamps, config.sack, config.window_scaling) = (true, false, false);
    (config.nagle, config.delayed_ack_timeout) = (false, Duration::ZERO);
    config
}

/// A connection whose peer's clock stands at 1,000, and our clock at its start.
fn open(s: &mut Script) -> (Stream<Tcp>, Listener<Tcp>, u32) {
    let listener = s.listen(8);
    s.peer(syn().mss(1000).timestamps(1000, 0));
    let answer = s.expect(syn_ack().ack(1));
    let (clock, echo) = answer.timestamps.unwrap();
    assert_eq!(echo, 1000);
    s.peer(ack(1).timestamps(1000, clock));
    s.nothing_more();
    (s.accept(&listener).unwrap(), listener, clock)
}

fn at_both_isns(config: &Config, run: impl Fn(&mut Script)) {
    for isn in ISNS {
        run(&mut Script::at_isn(isn, config.clone()));
    }
}

/// The echo on what the host answers to `segment`.
#[track_caller]
fn echo(s: &mut Script, segment: Segment) -> u32 {
    s.peer(segment);
    let Some((_, answer)) = s.next_within(Duration::ZERO) else { s.fail("no answer") };
    answer.timestamps.unwrap().1
}

/// 3.2: only if both SYNs had them, then on every segment, resets included.
#[test]
fn timestamps_are_on_all_segments_or_on_none() {
    at_both_isns(&stamped(), |s| {
        let (stream, _listener, _) = open(s);
        s.write(&stream, b"abc");
        assert!(s.expect(data(1, b"abc")).timestamps.is_some());
        assert_eq!(echo(s, data(1, b"x").ack(4).timestamps(1001, 1)), 1001);
        s.shutdown(&stream);
        assert!(s.expect(fin(4)).timestamps.is_some());
    });
    at_both_isns(&stamped(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, b"abc");
        assert_eq!(s.expect(data(1, b"abc")).timestamps, None);
    });
    let mut off = stamped();
    off.timestamps = false;
    at_both_isns(&off, |s| {
        let _listener = s.listen(1);
        s.peer(syn().timestamps(1000, 0));
        assert_eq!(s.expect(syn_ack()).timestamps, None);
    });
}

/// 3.2: what comes without is dropped silently; but a reset is believed.
#[test]
fn a_segment_without_timestamps_is_dropped() {
    at_both_isns(&stamped(), |s| {
        let (stream, _listener, clock) = open(s);
        s.peer(data(1, b"unstamped").ack(1));
        s.nothing_more();
        s.peer(data(1, b"right").ack(1).timestamps(1000, clock));
        s.expect(ack(6));
        s.peer(rst(6));
        assert_eq!(stream.ended(), Some(Some(FlowError::Reset)));
    });
}

/// 5.4: our clock ticks between once a second and once a millisecond, and does not go back.
#[test]
fn our_clock_ticks_about_once_a_millisecond() {
    at_both_isns(&stamped(), |s| {
        let (stream, _listener, clock) = open(s);
        for second in 1..5 {
            s.after(Duration::from_secs(1));
            s.write(&stream, b"x");
            let (value, _) = s.expect(data(second, b"x")).timestamps.unwrap();
            let ticks = value.wrapping_sub(clock);
            assert!((900..=1000).contains(&(ticks / second as u32)), "{ticks} in {second} s");
            s.peer(ack(second + 1).timestamps(1000, value));
        }
    });
}

/// 5.3 R1: older than TS.Recent is old: an ACK, and nothing of it counts.
#[test]
fn an_old_timestamp_is_no_segment_of_this_connection() {
    at_both_isns(&stamped(), |s| {
        let (stream, _listener, clock) = open(s);
        s.peer(data(1, b"new").timestamps(2000, clock));
        s.expect(ack(4).len(0));
        s.peer(data(4, b"old").timestamps(1999, clock));
        s.expect(ack(4).len(0));
        assert_eq!(s.read_up_to(&stream, 100).unwrap(), b"new");
        // A FIN that old ends nothing.
        s.peer(fin(4).timestamps(1500, clock));
        s.expect(ack(4));
        assert_eq!(stream.inspect(|_, conn| conn.state()), Some(State::Established));
        // Equal is not older.
        s.peer(data(4, b"same").timestamps(2000, clock));
        s.expect(ack(8));
        // A reset is not judged by it (5.2).
        s.peer(rst(8).timestamps(1, clock));
        assert_eq!(stream.ended(), Some(Some(FlowError::Reset)));
    });
}

/// 5.2: timestamps wrap like sequence numbers.
#[test]
fn timestamps_may_wrap() {
    at_both_isns(&stamped(), |s| {
        let listener = s.listen(8);
        s.peer(syn().timestamps(0xffff_fff0, 0));
        let (clock, _) = s.expect(syn_ack()).timestamps.unwrap();
        s.peer(ack(1).timestamps(0xffff_fff0, clock));
        let stream = s.accept(&listener).unwrap();
        s.peer(data(1, b"before").timestamps(0xffff_ffff, clock));
        s.expect(ack(7));
        s.peer(data(7, b"after").timestamps(3, clock));
        s.expect(ack(12));
        s.peer(data(12, b"old").timestamps(0xffff_fffe, clock));
        s.expect(ack(12));
        assert_eq!(s.read_up_to(&stream, 100).unwrap(), b"beforeafter");
    });
}

/// 4.3 (2): TS.Recent is of the segment at Last.ACK.sent, so that an echo tells of what was lost, too.
#[test]
fn a_segment_behind_a_gap_is_not_echoed() {
    at_both_isns(&stamped(), |s| {
        let (_stream, _listener, clock) = open(s);
        assert_eq!(echo(s, text(1, 10).timestamps(1010, clock)), 1010);
        // Lost: 11..21. What comes behind it is stored, and the last in order is echoed.
        assert_eq!(echo(s, text(21, 10).timestamps(1030, clock)), 1010);
        assert_eq!(echo(s, text(31, 10).timestamps(1040, clock)), 1010);
        // What fills the gap is newer, and echoed.
        assert_eq!(echo(s, text(11, 10).timestamps(1050, clock)), 1050);
        assert_eq!(echo(s, text(41, 10).timestamps(1060, clock)), 1060);
    });
}

/// 4.3: of several that one acknowledgement covers, the first is echoed: the peer's measurement includes our delay.
#[test]
fn a_delayed_acknowledgement_echoes_the_earliest() {
    let mut config = stamped();
    config.delayed_ack_timeout = Duration::from_millis(40);
    at_both_isns(&config, |s| {
        let (_stream, _listener, clock) = open(s);
        s.peer(text(1, 100).timestamps(1010, clock));
        s.nothing_more();
        s.after(Duration::from_millis(20));
        s.peer(text(101, 100).timestamps(1030, clock));
        let (_, answer) = s.next_within(Duration::from_millis(60)).unwrap();
        assert_eq!((answer.ack, answer.timestamps.unwrap().1), (Some(201), 1010), "{}", s.trace());
    });
}

/// A repetition of what was acknowledged, with a newer clock: TS.Recent moves (it is not behind Last.ACK.sent), or the
/// connection would call all that follows old.
#[test]
fn a_repetition_keeps_the_clock_going() {
    at_both_isns(&stamped(), |s| {
        let (_stream, _listener, clock) = open(s);
        assert_eq!(echo(s, text(1, 10).timestamps(1010, clock)), 1010);
        // 5.3 R3 is for acceptable segments: one that overlaps what is new.
        assert_eq!(echo(s, text(5, 10).timestamps(1020, clock)), 1020);
    });
}

/// 5.5: after 24 days of silence the clock may have come half around, and says nothing.
#[test]
fn after_24_days_an_old_timestamp_is_believed() {
    let mut s = Script::new(stamped(), Ends::new(7));
    let (stream, _listener, clock) = open(&mut s);
    s.peer(data(1, b"x").timestamps(1010, clock));
    s.expect(ack(2));
    s.silence(Duration::from_secs(25 * 24 * 3600));
    s.peer(data(2, b"y").timestamps(1000, clock));
    s.expect(ack(3));
    assert_eq!(s.read_up_to(&stream, 10).unwrap(), b"xy");
}

/// But not earlier; and after it, what is older than the clock that is believed since is old again.
#[test]
fn an_old_timestamp_is_old_for_23_days() {
    at_both_isns(&stamped(), |s| {
        let (stream, _listener, clock) = open(s);
        s.peer(data(1, b"x").timestamps(2000, clock));
        s.expect(ack(2));
        s.silence(Duration::from_secs(23 * 24 * 3600));
        s.peer(data(2, b"y").timestamps(1999, clock));
        s.expect(ack(2));
        s.silence(Duration::from_secs(2 * 24 * 3600));
        s.peer(data(2, b"y").timestamps(1500, clock));
        s.expect(ack(3));
        s.peer(data(3, b"z").timestamps(1499, clock));
        s.expect(ack(3));
        assert_eq!(s.read_up_to(&stream, 10).unwrap(), b"xy");
    });
}

/// 3.2: a reset that ends such a connection has them.
#[test]
fn our_reset_has_timestamps() {
    at_both_isns(&stamped(), |s| {
        let (stream, _listener, _) = open(s);
        s.abort(&stream);
        let reset = s.expect(segment(RST | ACK).seq(1).ack(1));
        assert_eq!(reset.timestamps.unwrap().1, 1000);
    });
}

/// 2.2: only if both SYNs had it; the window of a SYN itself is not shifted.
#[test]
fn windows_are_scaled_by_both_or_by_none() {
    let mut config = stamped().with_buffers(1 << 20, 1 << 20);
    (config.timestamps, config.window_scaling) = (false, true);
    at_both_isns(&config, |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000).window_scale(3).window(500));
        s.peer(ack(1).window(500));
        s.write(&stream, &[1; 10_000]);
        let sent: usize = s.take().iter().map(|(_, segment)| segment.payload_bytes()).sum();
        assert_eq!(sent, 4000, "500 << 3 bytes, in whole segments");
        s.peer(text(1, 1000).ack(1).window(500));
        let answer = s.expect(ack(1001));
        assert!(u64::from(answer.window.unwrap()) << 5 >= 1_000_000 - 32_000, "{answer}");
    });
    at_both_isns(&config, |s| {
        let listener = s.listen(8);
        s.peer(syn().mss(1000).window(500));
        let answer = s.expect(syn_ack().window(65_535));
        assert_eq!(answer.window_scale, None);
        s.peer(ack(1).window(500));
        let stream = s.accept(&listener).unwrap();
        s.write(&stream, &[1; 10_000]);
        let sent: usize = s.take().iter().map(|(_, segment)| segment.payload_bytes()).sum();
        assert_eq!(sent, 500);
    });
}

/// 2.3: a shift above 14 is taken as 14.
#[test]
fn a_shift_above_fourteen_is_fourteen() {
    let mut config = stamped().with_buffers(1 << 20, 1 << 20);
    (config.timestamps, config.window_scaling) = (false, true);
    at_both_isns(&config, |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000).window_scale(200).window(1));
        s.peer(ack(1).window(1));
        s.write(&stream, &[1; 40_000]);
        let sent: usize = s.take().iter().map(|(_, segment)| segment.payload_bytes()).sum();
        assert!(sent <= 1 << 14, "{sent} bytes into a window of 1 << 14");
        assert!(sent >= 10_000, "{sent}");
    });
}

/// Without scaling the window is never more than 64 KiB: what is read beneath that tells the peer nothing new.
#[test]
fn a_window_at_its_bound_is_not_announced_again() {
    at_both_isns(&stamped(), |s| {
        let (stream, _listener, clock) = open(s);
        for at in 0..10 {
            s.peer(text(1 + at * 100, 100).timestamps(1010, clock));
            s.expect(ack(101 + at * 100));
            assert_eq!(s.read_up_to(&stream, 1000).unwrap().len(), 100);
            s.nothing_more();
        }
    });
}

/// RFC 7323 3.2 and RFC 9293 3.10.7.4: the reset that ends a connection whose segments are stamped may be without.
#[test]
fn an_abort_is_a_reset_at_the_right_place() {
    at_both_isns(&stamped(), |s| {
        let (stream, _listener, _) = open(s);
        s.abort(&stream);
        s.expect(segment(RST | ACK).seq(1).ack(1));
    });
}

/// RFC 6191: a newer timestamp lets a SYN reopen from TIME-WAIT, whatever its number; an older one does not.
// cites: SHLD-4, MAY-2
#[test]
fn a_newer_timestamp_reopens_from_time_wait() {
    at_both_isns(&stamped(), |s| {
        let (stream, _listener, clock) = open(s);
        s.shutdown(&stream);
        s.expect(fin(1));
        s.peer(fin(1).ack(2).timestamps(1010, clock));
        s.expect(ack(2));
        s.close(stream);
        s.peer(syn().seq(5000).timestamps(1009, 0));
        s.expect(ack(2).len(0));
        s.peer(syn().seq(-5000).timestamps(1011, 0));
        s.expect(syn_ack().ack(-4999));
    });
}
