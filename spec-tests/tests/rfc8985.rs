//! RFC 8985: loss detection by time, and tail loss probes, as packet traces; and what they are for, on a link that loses. The
//! arithmetic is in the framework's ledger, and compared with a model there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use burstlane::observe::{Direction, FrameTap};
use burstlane::socket::Stream;
use burstlane::time::Instant;
use burstlane_sim::LinkConfig;
use burstlane_spec::script::TICKS;
use burstlane_spec::script::tcp::{ISNS, Segment, TcpScript, ack, syn, syn_ack, text};
use burstlane_spec::{Hosts, HostsConfig, Transfer, TransferConfig};
use burstlane_tcp::{Config, Tcp};

type Script = TcpScript<Tcp>;

fn config() -> Config {
    let mut config = Config::default();
    (config.timestamps, config.sack, config.window_scaling) = (false, true, false);
    (config.nagle, config.delayed_ack_timeout) = (false, Duration::ZERO);
    config
}

/// A connection that measured a round trip of `RTT`, the next number being 1.
fn with_a_round_trip(go_on: impl Fn(&mut Script, &Stream<Tcp>)) {
    for isn in ISNS {
        let mut s = Script::at_isn(isn, config());
        let stream = s.connect();
        s.expect(syn());
        s.after(RTT);
        s.peer(syn_ack().ack(1).mss(1000).sack_permitted(true));
        s.expect(ack(1));
        go_on(&mut s, &stream);
    }
}

fn sequence(s: &mut Script) -> Vec<i32> {
    s.take().iter().map(|(_, segment): &(_, Segment)| segment.seq.unwrap()).collect()
}

/// A connection of which five segments left at once, and then the last again, as a probe.
fn after_a_probe(isn: u32, go_on: impl Fn(&mut Script, &Stream<Tcp>)) {
    let mut script = Script::at_isn(isn, config());
    let (stream, _listener) = script.accepted(syn().mss(1000).sack_permitted(true));
    script.write(&stream, &[1; 5000]);
    assert_eq!(script.take().len(), 5);
    let (_, probe) = script.next_within(Duration::from_millis(100)).unwrap();
    assert_eq!((probe.seq, probe.payload_bytes()), (Some(4001), 1000));
    script.nothing_more();
    go_on(&mut script, &stream);
}

/// 7.4.2: what the probe repeated had arrived, as a D-SACK tells.
#[test]
fn a_probe_too_many_costs_nothing() {
    for isn in ISNS {
        after_a_probe(isn, |s, stream| {
            s.peer(ack(5001));
            s.peer(ack(5001).sack(&[(4001, 5001)]));
            s.write(stream, &[1; 20_000]);
            assert!(s.take().len() >= 10, "{}", s.trace());
        });
    }
}

/// 7.4.2: nothing else shows that there was a loss, and the window must answer for it.
#[test]
fn a_loss_that_only_the_probe_mended_makes_the_window_smaller() {
    for isn in ISNS {
        after_a_probe(isn, |s, stream| {
            s.peer(ack(5001));
            s.write(stream, &[1; 1000]);
            s.expect(text(5001, 1000));
            s.peer(ack(6001));
            s.write(stream, &[1; 20_000]);
            assert!((2..=8).contains(&s.take().len()), "{}", s.trace());
        });
    }
}

/// 7.2: two round trips after the last segment; for a lone one as much longer as its acknowledgement may be held back, but not
/// longer than the timeout.
#[test]
fn a_probe_waits_for_two_round_trips() {
    with_a_round_trip(|s, stream| {
        s.write(stream, &[1; 3000]);
        assert_eq!(s.take().len(), 3);
        let (waited, probe) = s.next_within(Duration::from_secs(10)).unwrap();
        assert_eq!(probe.seq, Some(2001), "{}", s.trace());
        assert!(waited >= 2 * RTT && waited <= 2 * RTT + 2 * TICKS, "{waited:?}");
        s.peer(ack(3001).sack(&[(2001, 3001)]));
        s.write(stream, &[1; 1000]);
        s.expect(text(3001, 1000));
        let info = stream.inspect(Tcp::info).unwrap();
        let (waited, probe) = s.next_within(Duration::from_secs(10)).unwrap();
        assert_eq!(probe.seq, Some(3001));
        let expected = (2 * info.srtt + PEER_ACK_DELAY_MAX).min(info.rto);
        assert!(waited >= expected - TICKS && waited <= expected + TICKS, "{waited:?} {expected:?}");
    });
}

/// 7.3: one probe, and then the retransmission timer, which counts from the probe on.
#[test]
fn there_is_one_probe_before_the_timeout() {
    with_a_round_trip(|s, stream| {
        s.write(stream, &[1; 3000]);
        assert_eq!(s.take().len(), 3);
        let rto = stream.inspect(Tcp::info).unwrap().rto;
        let (_, probe) = s.next_within(rto).unwrap();
        assert_eq!(probe.seq, Some(2001));
        s.expect_after(rto, text(1, 1000));
        let (waited, again) = s.next_within(3 * rto).unwrap();
        assert_eq!(again.seq, Some(1));
        assert!(waited >= 2 * rto && waited <= 2 * rto + TICKS, "{waited:?} {}", s.trace());
    });
}

/// 7.3: a probe carries new data if the peer's window takes it, also if the congestion window is full; and the next one goes only
/// when it is answered.
#[test]
fn a_probe_prefers_new_data() {
    with_a_round_trip(|s, stream| {
        s.write(stream, &[1; 30_000]);
        assert_eq!(s.take().len(), 10, "the initial window");
        let (waited, probe) = s.next_within(Duration::from_secs(1)).unwrap();
        assert_eq!((probe.seq, probe.payload_bytes()), (Some(10_001), 1000), "{}", s.trace());
        assert!(waited < 2 * RTT + 2 * TICKS);
        // 7.4.2: new data, so its acknowledgement tells of no loss.
        s.peer(ack(11_001));
        assert!(sequence(s).len() >= 10, "{}", s.trace());
        assert_eq!(stream.inspect(Tcp::info).unwrap().ssthresh, u64::MAX);
    });
}

/// 7.2: not if something is sacked, for then the reordering timer sees to it.
#[test]
fn nothing_is_probed_for_when_a_hole_is_known() {
    with_a_round_trip(|s, stream| {
        s.write(stream, &[1; 3000]);
        assert_eq!(s.take().len(), 3);
        s.after(RTT);
        s.peer(ack(1).sack(&[(1001, 2001)]));
        let (waited, again) = s.next_within(Duration::from_secs(1)).unwrap();
        assert_eq!(again.seq, Some(1), "{}", s.trace());
        assert!(waited <= RTT / 4 + TICKS, "{waited:?}");
    });
}

/// 6.2: on a path that was seen to reorder, what is overtaken has a quarter of a round trip to arrive; it does, and nothing goes
/// twice.
#[test]
fn reordering_within_a_quarter_of_a_round_trip_costs_nothing() {
    with_a_round_trip(|s, stream| {
        s.write(stream, &[1; 6000]);
        assert_eq!(s.take().len(), 6);
        s.after(RTT);
        s.peer(ack(1).sack(&[(1001, 3001)]));
        s.after(RTT / 8);
        s.peer(ack(3001));
        // From here on the path is known to reorder, and three beyond a hole show nothing.
        s.peer(ack(3001).sack(&[(4001, 6001)]));
        s.after(RTT / 8);
        s.peer(ack(6001));
        s.write(stream, &[1; 8000]);
        assert_eq!(s.take().len(), 8);
        s.after(RTT);
        s.peer(ack(6001).sack(&[(7001, 14_001)]));
        s.after(RTT / 5);
        s.nothing_more();
        s.peer(ack(14_001));
        s.silence(Duration::from_secs(10));
        let info = stream.inspect(Tcp::info).unwrap();
        assert_eq!((info.retransmits, info.ssthresh), (0, u64::MAX), "{info:?}");
    });
}

/// 6.2: a retransmission that is lost, too, is seen by the arrival of what was sent after it; no timeout.
#[test]
fn a_lost_retransmission_is_sent_again_without_a_timeout() {
    with_a_round_trip(|s, stream| {
        s.write(stream, &[1; 40_000]);
        assert_eq!(s.take().len(), 10);
        s.after(RTT);
        s.peer(ack(1).sack(&[(1001, 10_001)]));
        let sent = sequence(s);
        assert_eq!(sent[0], 1);
        let newest = sent.iter().max().unwrap() + 1000;
        assert!(newest > 10_001, "new data followed: {sent:?}");
        s.after(RTT + RTT / 4);
        s.peer(ack(1).sack(&[(1001, newest)]));
        assert!(sequence(s).contains(&1), "{}", s.trace());
        assert_eq!(stream.inspect(Tcp::info).unwrap().timeouts, 0);
    });
}

/// 6.3: at a timeout what was sent within the last round trip is left alone; the head goes.
#[test]
fn a_timeout_spares_what_was_just_sent() {
    with_a_round_trip(|s, stream| {
        s.write(stream, &[1; 2000]);
        assert_eq!(sequence(s), [1, 1001]);
        let rto = stream.inspect(Tcp::info).unwrap().rto;
        let (_, probe) = s.next_within(rto).unwrap();
        assert_eq!(probe.seq, Some(1001));
        s.after(rto - RTT / 4);
        s.write(stream, &[1; 3000]);
        assert_eq!(sequence(s), [2001, 3001, 4001]);
        s.expect_after(RTT / 4, text(1, 1000));
        let info = stream.inspect(Tcp::info).unwrap();
        assert_eq!(info.in_flight, 4000, "three new ones, and the head: {info:?}");
    });
}

/// When each of the sender's frames left.
#[derive(Clone, Default)]
struct Departures(Rc<RefCell<Vec<Instant>>>);

impl FrameTap for Departures {
    fn frame(&mut self, now: Instant, _: u16, direction: Direction, _: &[u8], _: Option<&str>) {
        if direction == Direction::Out {
            self.0.borrow_mut().push(now);
        }
    }
}

/// Time until 20 kB are there and acknowledged, over a path of 2 x 10 ms that loses these of the sender's frames; and when those
/// left.
fn respond(drops: Vec<u64>) -> (Duration, Vec<Instant>) {
    let link = LinkConfig { delay: Duration::from_millis(10), ..LinkConfig::default() };
    let mut config = HostsConfig::new(8985);
    config.links = [LinkConfig { drops, ..link.clone() }, link];
    let hosts = Hosts::new(config);
    let engines = hosts.add::<Tcp>(Config::default());
    let departures = Departures::default();
    hosts.members[0].host.lane().set_tap(Some(Box::new(departures.clone())));
    let transfer = Transfer::start(&hosts, engines, TransferConfig::new(1, [20_000, 0]));
    transfer.finish(&hosts, Duration::from_secs(60));
    let left = departures.0.take();
    (hosts.world.now().since(Instant::ZERO), left)
}

/// Section 7: whichever end of a flight of a response is lost, one segment or all, it is repaired by a probe, and sooner than the
/// least timeout would have begun to.
#[test]
fn a_lost_tail_is_repaired_without_a_timeout() {
    let (undisturbed, left) = respond(vec![]);
    let mut cases = 0;
    for flight in
        left.iter().enumerate().collect::<Vec<_>>().chunk_by(|a, b| a.1 == b.1).filter(|flight| flight.len() > 2)
    {
        let (begin, end) = (flight[0].0 as u64, flight[flight.len() - 1].0 as u64 + 1);
        for first in begin..end {
            let (took, _) = respond((first..end).collect());
            let longer = took.saturating_sub(undisturbed);
            // The acknowledgement of a lone segment may be held back, so there the timeout comes first (7.2).
            let is_lone = first + 1 == end && end as usize == left.len();
            let most = if is_lone { PEER_ACK_DELAY_MAX + RTT } else { Duration::from_millis(195) };
            assert!(longer < most, "frames {first}..{end}: {longer:?}");
            cases += 1;
        }
    }
    assert!(cases >= 14, "every segment of the response: {cases}");
}

const RTT: Duration = Duration::from_millis(80);
/// 7.2: how long a peer is thought to hold back the acknowledgement of a lone segment.
const PEER_ACK_DELAY_MAX: Duration = Duration::from_millis(200);
