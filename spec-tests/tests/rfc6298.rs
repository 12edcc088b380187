//! RFC 6298, the retransmission timeout: recomputed here, in floating point, from the round trips that the script makes, and
//! compared with when our TCP really sends again. In virtual time, so to the tick.
//!
//! A comment `// cites:` names the requirements of RFC 9293 that a test shows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::time::Duration;

use burstlane::socket::Stream;
use burstlane_spec::pattern::Dice;
use burstlane_spec::script::TICKS;
use burstlane_spec::script::tcp::{Ends, ISNS, Segment, TcpScript, ack, data, syn, syn_ack, text};
use burstlane_tcp::{Config, Tcp};

type Script = TcpScript<Tcp>;

/// Without SACK: nothing but the timeout sends again. Without timestamps: Karn's algorithm alone decides what is measured.
fn plain() -> Config {
    let mut config = Config::default();
    (config.timestamps, config.sack, config.window_scaling) = (false, false, false);
    (config.nagle, config.delayed_ack_timeout) = (false, Duration::ZERO);
    config
}

/// Section 2, in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Estimator {
    srtt: f64,
    rttvar: f64,
}

impl Estimator {
    fn sample(&mut self, rtt: f64) {
        if self.srtt == 0.0 {
            (self.srtt, self.rttvar) = (rtt, rtt / 2.0);
        } else {
            self.rttvar = 0.75 * self.rttvar + 0.25 * (self.srtt - rtt).abs();
            self.srtt = 0.875 * self.srtt + 0.125 * rtt;
        }
    }

    /// 2.3 to 2.5, with the floor that is configured.
    fn rto(&self) -> Duration {
        let rto = self.srtt + (4.0 * self.rttvar).max(GRANULARITY);
        Duration::from_secs_f64(rto.clamp(Config::default().rto.rto_min.as_secs_f64(), 60.0))
    }
}

/// An open connection on which a round trip took `rtt` so far, and what RFC 6298 knows of it.
fn open(s: &mut Script, rtt: Duration) -> (Stream<Tcp>, Estimator) {
    let stream = s.connect();
    s.expect(syn());
    s.after(rtt);
    s.peer(syn_ack().ack(1).mss(1000));
    s.expect(ack(1));
    let mut estimator = Estimator::default();
    estimator.sample(rtt.as_secs_f64());
    (stream, estimator)
}

/// A byte goes there, and its acknowledgement comes back after `rtt`. Returns the number of the next.
fn round_trip(s: &mut Script, stream: &Stream<Tcp>, rtt: Duration, seq: i32) -> i32 {
    s.write(stream, b"x");
    s.expect(data(seq, b"x"));
    s.after(rtt);
    s.peer(ack(seq + 1));
    s.nothing_more();
    seq + 1
}

#[track_caller]
fn assert_waits(s: &Script, came: Duration, expected: Duration) {
    let early = came + ROUNDING < expected;
    if early || came > expected + TICKS {
        s.fail(&format!("expected to wait {expected:?}\n    came: {came:?}"));
    }
}

/// Whatever the round trips were, the timeout is the one that the RFC computes from them, and each one after it is the double.
// cites: MUST-18, MUST-19
#[test]
fn the_timeout_is_the_one_of_the_rfc() {
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let mut s = Script::at_isn(ISNS[(seed % 2) as usize], plain());
        // No round trip may be longer than the timeout, or Karn's algorithm would forbid to measure it.
        let (stream, mut estimator) = open(&mut s, ms(dice.range(20, 900)));
        let mut seq = 1;
        for _ in 0..dice.range(0, 12) {
            let longest = estimator.rto().as_millis() as u64 - 5;
            let rtt = ms(dice.range(10, longest));
            seq = round_trip(&mut s, &stream, rtt, seq);
            estimator.sample(rtt.as_secs_f64());
        }
        s.write(&stream, b"lost");
        s.expect(data(seq, b"lost"));
        let mut expected = estimator.rto();
        for _ in 0..5 {
            let (waited, again) = s.next_within(Duration::from_secs(100)).unwrap();
            assert_eq!(again.seq, Some(seq));
            assert_waits(&s, waited, expected);
            expected = (expected * 2).min(Duration::from_secs(60));
        }
    }
}

/// 2.1 and 5.7: one second before anything was measured; three for text if the SYN had to be sent again.
// cites: MUST-22
#[test]
fn without_a_measurement_the_timeout_is_fixed() {
    let mut s = Script::new(plain(), Ends::new(7));
    let stream = s.connect();
    s.expect(syn());
    s.expect_after(Duration::from_secs(1), syn());
    s.after(ms(50));
    s.peer(syn_ack().ack(1).mss(1000));
    s.expect(ack(1));
    s.write(&stream, b"x");
    s.expect(data(1, b"x"));
    s.expect_after(Duration::from_secs(3), data(1, b"x"));
    s.expect_after(Duration::from_secs(6), data(1, b"x"));
}

/// 3, Karn's algorithm: what was sent twice is not measured, and the doubled timeout stays until something else is.
// cites: MUST-18
#[test]
fn what_was_sent_twice_is_not_measured() {
    let mut s = Script::new(plain(), Ends::new(7));
    let (stream, mut estimator) = open(&mut s, ms(300));
    s.write(&stream, b"x");
    s.expect(data(1, b"x"));
    let rto = estimator.rto();
    let (waited, _) = s.next_within(Duration::from_secs(10)).unwrap();
    assert_waits(&s, waited, rto);
    // Longer than the timeout, so that it is clear neither which one it answers nor that the timeout was too short.
    let late = rto + ms(200);
    s.after(late);
    s.peer(ack(2));
    s.write(&stream, b"y");
    s.expect(data(2, b"y"));
    let (waited, _) = s.next_within(Duration::from_secs(30)).unwrap();
    assert_waits(&s, waited, rto * 2);
    s.peer(ack(3));
    // A clean measurement ends it. The last answer came at once, and so tells that the timeout was right.
    s.write(&stream, b"z");
    s.expect(data(3, b"z"));
    s.after(ms(300));
    s.peer(ack(4));
    estimator.sample(0.3);
    s.write(&stream, b"!");
    s.expect(data(4, b"!"));
    let (waited, _) = s.next_within(Duration::from_secs(30)).unwrap();
    assert_waits(&s, waited, estimator.rto());
}

/// RFC 7323 4.1: an echo tells which of two was answered, so that it is measured all the same.
// cites: MUST-18
#[test]
fn a_timestamp_lets_measure_what_was_sent_twice() {
    let mut config = plain();
    config.timestamps = true;
    let mut s = Script::new(config, Ends::new(7));
    let stamped = |segment: Segment, echo| segment.timestamps(100, echo);
    let stream = s.connect();
    let first = s.expect(syn());
    s.after(ms(300));
    s.peer(stamped(syn_ack().ack(1).mss(1000), first.timestamps.unwrap().0));
    s.expect(ack(1));
    let mut estimator = Estimator::default();
    estimator.sample(0.3);
    s.write(&stream, b"x");
    s.expect(data(1, b"x"));
    let (waited, again) = s.next_within(Duration::from_secs(10)).unwrap();
    assert_waits(&s, waited, estimator.rto());
    s.after(ms(700));
    s.peer(stamped(ack(2), again.timestamps.unwrap().0));
    estimator.sample(0.7);
    s.write(&stream, b"y");
    s.expect(data(2, b"y"));
    let (waited, _) = s.next_within(Duration::from_secs(30)).unwrap();
    assert_waits(&s, waited, estimator.rto());
}

/// But not if the echo is older than the timeout: then it may be that of an acknowledgement that was lost, and would measure
/// our own patience.
#[test]
fn an_echo_from_before_the_timeout_is_not_measured() {
    let mut config = plain();
    config.timestamps = true;
    let mut s = Script::new(config, Ends::new(7));
    let stream = s.connect();
    let first = s.expect(syn());
    s.after(ms(300));
    s.peer(syn_ack().ack(1).mss(1000).timestamps(100, first.timestamps.unwrap().0));
    s.expect(ack(1));
    let mut estimator = Estimator::default();
    estimator.sample(0.3);
    s.write(&stream, b"x");
    let first = s.expect(data(1, b"x"));
    let rto = estimator.rto();
    for times in [1, 2] {
        let (waited, _) = s.next_within(Duration::from_secs(10)).unwrap();
        assert_waits(&s, waited, rto * times);
    }
    s.after(rto * 2);
    s.peer(ack(2).timestamps(100, first.timestamps.unwrap().0));
    s.write(&stream, b"y");
    s.expect(data(2, b"y"));
    let (waited, _) = s.next_within(Duration::from_secs(30)).unwrap();
    assert_waits(&s, waited, rto * 4);
}

/// 5.1 to 5.3: one timer for all; an acknowledgement of something new starts it anew, one of all stops it.
#[test]
fn the_timer_restarts_with_each_acknowledgement_of_something_new() {
    let mut s = Script::new(plain(), Ends::new(7));
    let (stream, estimator) = open(&mut s, ms(300));
    s.write(&stream, &[1; 3000]);
    for seq in [1, 1001, 2001] {
        s.expect(text(seq, 1000));
    }
    s.after(ms(300));
    s.peer(ack(1001));
    let mut estimator = estimator;
    estimator.sample(0.3);
    s.after(ms(200));
    s.peer(ack(1001));
    let (waited, again) = s.next_within(Duration::from_secs(10)).unwrap();
    assert_eq!(again.seq, Some(1001));
    // Since the acknowledgement of something new, not since the duplicate.
    assert_waits(&s, waited + ms(200), estimator.rto());
    s.peer(ack(3001));
    s.silence(Duration::from_secs(1000));
}

/// 2.5 and 5.5: the doubling ends at the bound.
#[test]
fn the_doubling_is_bounded() {
    let mut s = Script::new(plain(), Ends::new(7));
    let (stream, estimator) = open(&mut s, ms(100));
    s.write(&stream, b"x");
    s.expect(data(1, b"x"));
    let mut expected = estimator.rto();
    for _ in 0..14 {
        let (waited, _) = s.next_within(Duration::from_secs(100)).unwrap();
        assert_waits(&s, waited, expected);
        expected = (expected * 2).min(Duration::from_secs(60));
    }
    assert_eq!(expected, Duration::from_secs(60));
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// G: what a timer resolves, seconds.
const GRANULARITY: f64 = 0.001;
/// The estimator under test counts in microseconds.
const ROUNDING: Duration = Duration::from_micros(50);
