//! Controllers against the formulas of their RFCs, and what must hold for any of them.

use super::*;
use crate::time::Duration;
use crate::toolkit::{Recovery, RtoConfig, RttEstimator, SentLedger};
use proptest::prelude::*;

const SEGMENT: u32 = 1_000;
/// Those that know a window and a threshold.
const BY_LOSS: [&str; 3] = ["cubic", "newreno", "dctcp"];
const RTT: Duration = Duration::from_millis(100);

fn started(name: &str) -> Box<dyn Controller> {
    let mut controller = by_name(name).unwrap();
    controller.on_congestion(Instant::ZERO, &CongestionEvent::MtuChanged { segment_bytes: SEGMENT });
    controller
}

fn ack(now: Instant, bytes: u64) -> AckSample {
    let mut sample = AckSample::new(now);
    sample.acked_bytes = bytes;
    sample.delivered_bytes = bytes;
    (sample.srtt, sample.min_rtt, sample.rtt) = (RTT, RTT, Some(RTT));
    sample
}

/// A round trip in which all of the window is delivered, acknowledged every other segment.
fn round(controller: &mut dyn Controller, now: &mut Instant) {
    let (mut left, begin) = (controller.cwnd(), *now);
    let whole = left;
    while left > 0 {
        let bytes = left.min(2 * u64::from(SEGMENT));
        left -= bytes;
        *now = begin + RTT.mul_f64((whole - left) as f64 / whole as f64);
        controller.on_ack(&ack(*now, bytes));
    }
}

fn lose(controller: &mut dyn Controller, now: Instant) {
    let outstanding_bytes = controller.cwnd();
    controller.on_congestion(now, &CongestionEvent::Loss { lost_bytes: u64::from(SEGMENT), outstanding_bytes });
}

#[test]
fn names_lead_to_controllers_and_back() {
    for name in NAMES {
        let controller = by_name(name).unwrap();
        assert_eq!(controller.name(), name);
        assert_eq!(controller.clone().cwnd(), controller.cwnd());
        assert_eq!(controller.ssthresh(), u64::MAX);
        assert!(controller.wants().contains(Interests::ACK));
        assert_eq!(controller.wants().contains(Interests::RATE), controller.name() == "bbr");
    }
    assert!(by_name("vegas").is_none());
    assert!((Interests::ACK | Interests::SENT).contains(Interests::SENT));
}

#[test]
fn the_initial_window_is_that_of_rfc_6928() {
    for (segment, window) in [(536, 5_360), (1_460, 14_600), (4_000, 14_600), (8_960, 17_920), (1, 10)] {
        assert_eq!(initial_window(segment), window);
        for name in NAMES {
            let mut controller = by_name(name).unwrap();
            controller.on_congestion(Instant::ZERO, &CongestionEvent::MtuChanged { segment_bytes: segment });
            assert_eq!(controller.cwnd(), u64::from(window));
        }
    }
}

#[test]
fn newreno_doubles_then_halves_then_adds_a_segment_a_round() {
    let (mut reno, mut now) = (started("newreno"), Instant::ZERO);
    let mut trace = vec![];
    let mut note = |reno: &dyn Controller| trace.push(reno.cwnd() / u64::from(SEGMENT));
    for _ in 0..3 {
        round(&mut *reno, &mut now);
        note(&*reno);
    }
    lose(&mut *reno, now);
    note(&*reno);
    for _ in 0..3 {
        round(&mut *reno, &mut now);
        note(&*reno);
    }
    reno.on_congestion(now, &CongestionEvent::Rto { first: true, outstanding_bytes: reno.cwnd() });
    note(&*reno);
    for _ in 0..6 {
        round(&mut *reno, &mut now);
        note(&*reno);
    }
    assert_eq!(trace, [20, 40, 80, 40, 41, 42, 43, 1, 2, 4, 8, 16, 21, 22]);
    assert_eq!(reno.ssthresh(), 21_500);
}

#[test]
fn reno_slow_start_takes_two_segments_an_acknowledgement_and_one_after_a_timeout() {
    let mut reno = started("newreno");
    let mut sample = ack(Instant::ZERO, 50_000);
    reno.on_ack(&sample);
    assert_eq!(reno.cwnd(), 12_000);
    sample.acks = 3;
    reno.on_ack(&sample);
    assert_eq!(reno.cwnd(), 18_000);
    sample.recovery = Recovery::Timeout;
    reno.on_ack(&sample);
    assert_eq!(reno.cwnd(), 21_000);
}

#[test]
fn a_spurious_reduction_is_taken_back_and_a_second_timeout_spares_the_threshold() {
    for name in BY_LOSS {
        let (mut controller, mut now) = (started(name), Instant::ZERO);
        round(&mut *controller, &mut now);
        let before = (controller.cwnd(), controller.ssthresh());
        controller.on_congestion(now, &CongestionEvent::Rto { first: true, outstanding_bytes: before.0 });
        let ssthresh = controller.ssthresh();
        controller.on_congestion(now, &CongestionEvent::Rto { first: false, outstanding_bytes: before.0 });
        assert_eq!((controller.cwnd(), controller.ssthresh()), (u64::from(SEGMENT), ssthresh));
        controller.on_congestion(now, &CongestionEvent::Spurious);
        assert_eq!((controller.cwnd(), controller.ssthresh()), before);
        controller.on_congestion(now, &CongestionEvent::Spurious);
        assert_eq!((controller.cwnd(), controller.ssthresh()), before);
    }
}

#[test]
fn what_crosses_the_threshold_counts_for_congestion_avoidance() {
    let mut reno = started("newreno");
    reno.on_congestion(Instant::ZERO, &CongestionEvent::Rto { first: true, outstanding_bytes: 10_000 });
    assert_eq!((reno.cwnd(), reno.ssthresh()), (1_000, 5_000));
    let mut sample = ack(Instant::ZERO, 8_900);
    sample.acks = 10;
    reno.on_ack(&sample);
    // 4,000 to the threshold; 4,900 are not yet a window.
    assert_eq!(reno.cwnd(), 5_000);
    reno.on_ack(&ack(Instant::ZERO, 100));
    assert_eq!(reno.cwnd(), 6_000);
}

#[test]
fn a_window_that_was_not_used_up_for_five_minutes_is_halved() {
    for name in BY_LOSS {
        let (mut controller, mut now) = (started(name), Instant::from_nanos(1));
        for _ in 0..4 {
            round(&mut *controller, &mut now);
        }
        lose(&mut *controller, now);
        let (before, ssthresh) = (controller.cwnd(), controller.ssthresh());
        let mut used = controller.clone();
        used.on_ack(&ack(now + Duration::from_secs(299), 1_000));
        assert!(used.cwnd() >= before, "{name}");
        controller.on_ack(&ack(now + Duration::from_secs(301), 1_000));
        assert_eq!(controller.cwnd(), before / 2, "{name}");
        assert_eq!(controller.ssthresh(), ssthresh.max(before / 4 * 3), "{name}");
    }
}

/// CUBIC's window after some round trips of slow start, each longer than the one before by `longer`.
fn cubic_in_slow_start(longer: Duration) -> Box<dyn Controller> {
    let (mut cubic, mut now, mut rtt) = (started("cubic"), Instant::ZERO, RTT);
    for _ in 0..10 {
        let window = cubic.cwnd() / u64::from(SEGMENT);
        for _ in 0..window {
            let mut sample = ack(now, SEGMENT.into());
            (sample.rtt, sample.in_flight) = (Some(rtt), cubic.cwnd());
            cubic.on_ack(&sample);
        }
        (now, rtt) = (now + rtt, rtt + longer);
    }
    cubic
}

#[test]
fn cubic_leaves_its_first_slow_start_when_round_trips_grow() {
    let steady = cubic_in_slow_start(Duration::ZERO);
    assert_eq!(steady.ssthresh(), u64::MAX);
    assert_eq!(steady.cwnd(), 10_000 << 10, "doubled ten times");
    let queued = cubic_in_slow_start(Duration::from_millis(20));
    assert!(queued.ssthresh() < 200_000, "{}", queued.ssthresh());
    assert!(queued.cwnd() < 250_000, "{}", queued.cwnd());
}

#[test]
fn idling_keeps_what_was_learned_as_the_threshold() {
    for name in BY_LOSS {
        let (mut controller, mut now) = (started(name), Instant::ZERO);
        let idle = CongestionEvent::Idle { idle_for: RTT * 20, rto: RTT };
        for _ in 0..3 {
            round(&mut *controller, &mut now);
        }
        let mut unreduced = controller.clone();
        unreduced.on_congestion(now, &idle);
        assert_eq!(unreduced.ssthresh(), u64::MAX, "{name}");
        lose(&mut *controller, now);
        for _ in 0..80 {
            round(&mut *controller, &mut now);
        }
        let (grown, ssthresh) = (controller.cwnd(), controller.ssthresh());
        assert!(grown / 4 * 3 > ssthresh, "{name}: {grown} {ssthresh}");
        controller.on_congestion(now, &idle);
        assert_eq!(controller.ssthresh(), grown / 4 * 3, "{name}");
    }
}

#[test]
fn after_idling_the_window_restarts_and_application_limited_flows_do_not_grow() {
    for name in BY_LOSS {
        let (mut controller, mut now) = (started(name), Instant::ZERO);
        for _ in 0..3 {
            round(&mut *controller, &mut now);
        }
        let grown = controller.cwnd();
        let mut sample = ack(now, 5_000);
        sample.app_limited = true;
        controller.on_ack(&sample);
        sample.app_limited = false;
        sample.recovery = Recovery::Fast;
        controller.on_ack(&sample);
        assert_eq!(controller.cwnd(), grown);
        let rto = Duration::from_millis(300);
        controller.on_congestion(now, &CongestionEvent::Idle { idle_for: rto, rto });
        assert_eq!(controller.cwnd(), grown);
        controller.on_congestion(now, &CongestionEvent::Idle { idle_for: rto * 2, rto });
        assert_eq!(controller.cwnd(), u64::from(initial_window(SEGMENT)));
    }
}

/// A CUBIC at `segments`, in congestion avoidance, that just lost something.
fn cubic_after_loss_at(segments: u64) -> (Box<dyn Controller>, Instant) {
    let (mut cubic, mut now) = (started("cubic"), Instant::ZERO);
    while cubic.cwnd() < segments * u64::from(SEGMENT) {
        let missing = segments * u64::from(SEGMENT) - cubic.cwnd();
        cubic.on_ack(&ack(now, missing));
    }
    now += RTT;
    lose(&mut *cubic, now);
    (cubic, now)
}

#[test]
fn cubic_follows_its_curve() {
    let (mut cubic, mut now) = cubic_after_loss_at(1_000);
    assert_eq!(cubic.cwnd(), 700_000);
    let (w_max, begin) = (1_000.0, now);
    let k = (w_max * 0.3 / 0.4f64).cbrt();
    while now.since(begin) < Duration::from_secs(25) {
        round(&mut *cubic, &mut now);
        let t = now.since(begin).as_secs_f64();
        // The window is to be on the curve of the next round trip; it is checked between this and the next.
        let curve = |t: f64| 0.4 * (t - k).powi(3) + w_max;
        let cwnd = cubic.cwnd() as f64 / f64::from(SEGMENT);
        let (low, high) = (curve(t - 0.1) - 1.0, curve(t + 0.1) + 1.0);
        assert!(low <= cwnd && cwnd <= high, "t={t}: {low} <= {cwnd} <= {high}");
    }
    assert!(cubic.cwnd() > 2_500_000, "convex by now");
}

#[test]
fn cubic_grows_like_reno_where_its_curve_is_slower() {
    let (mut cubic, mut now) = cubic_after_loss_at(20);
    assert_eq!(cubic.cwnd(), 14_000);
    // K is 2.47 s: for a while the curve lies below a line of 9/17 segments a round.
    let mut w_est = 14.0;
    for _ in 0..8 {
        round(&mut *cubic, &mut now);
        w_est += 9.0 / 17.0;
        let curve = 0.4 * (now.as_nanos() as f64 / 1e9 - 0.1 - (20.0 * 0.3 / 0.4f64).cbrt()).powi(3) + 20.0;
        let expected = curve.max(w_est);
        assert!((cubic.cwnd() as f64 / 1e3 - expected).abs() < 1.0, "{} for {expected}", cubic.cwnd());
    }
}

#[test]
fn cubic_converges_fast_when_windows_shrink_and_starts_flat_after_a_timeout() {
    let (mut cubic, mut now) = cubic_after_loss_at(1_000);
    // A second loss below the old maximum: the new one is 0.85 of the window, 595 segments. K is then 5.98 s.
    lose(&mut *cubic, now);
    assert_eq!(cubic.cwnd(), 490_000);
    let begin = now;
    while now.since(begin) < Duration::from_millis(6_400) {
        round(&mut *cubic, &mut now);
    }
    assert!((590_000..605_000).contains(&cubic.cwnd()), "{}", cubic.cwnd());
    cubic.on_congestion(now, &CongestionEvent::Rto { first: true, outstanding_bytes: cubic.cwnd() });
    while cubic.cwnd() < cubic.ssthresh() {
        round(&mut *cubic, &mut now);
    }
    let begin = cubic.cwnd();
    for _ in 0..10 {
        round(&mut *cubic, &mut now);
    }
    // One second from the flat point: 0.4 segments by the curve, 10 * 9/17 by Reno's line.
    assert!((begin + 3_000..begin + 9_000).contains(&cubic.cwnd()), "{begin} {}", cubic.cwnd());
}

#[test]
fn cubic_takes_silence_for_two_round_trips_at_most() {
    let (mut cubic, mut now) = cubic_after_loss_at(1_000);
    round(&mut *cubic, &mut now);
    let after = |silence: Duration| {
        let mut cubic = cubic.clone();
        let before = cubic.cwnd();
        cubic.on_ack(&ack(now + silence, 700_000));
        cubic.cwnd() - before
    };
    let two = after(RTT * 2);
    assert!(after(RTT) < two, "time moves the window");
    assert_eq!(after(Duration::from_secs(10)), two);
}

#[test]
fn cubic_loses_no_time_to_rounding() {
    let (cubic, now) = cubic_after_loss_at(1_000);
    let (mut often, mut once) = (cubic.clone(), cubic);
    for controller in [&mut often, &mut once] {
        controller.on_ack(&ack(now, 1));
    }
    for n in 1..=100_000 {
        often.on_ack(&ack(now + Duration::from_nanos(1_500 * n), 1));
    }
    once.on_ack(&ack(now + Duration::from_millis(150), 100_000));
    for controller in [&mut often, &mut once] {
        controller.on_ack(&ack(now + RTT * 3, 700_000));
    }
    assert!(often.cwnd().abs_diff(once.cwnd()) < u64::from(SEGMENT), "{} {}", often.cwnd(), once.cwnd());
}

#[test]
fn cubic_begins_its_curve_anew_after_each_timeout() {
    let (mut cubic, mut now) = cubic_after_loss_at(100);
    for first in [true, false] {
        cubic.on_congestion(now, &CongestionEvent::Rto { first, outstanding_bytes: cubic.cwnd() });
        while cubic.cwnd() < cubic.ssthresh() {
            round(&mut *cubic, &mut now);
        }
        let begin = cubic.cwnd();
        for _ in 0..10 {
            round(&mut *cubic, &mut now);
        }
        // One second from the flat point: by Reno's line, not the steep part of the curve before.
        assert!((begin + 3_000..begin + 9_000).contains(&cubic.cwnd()), "{first}: {begin} {}", cubic.cwnd());
        for _ in 0..50 {
            round(&mut *cubic, &mut now);
        }
    }
}

#[test]
fn the_segment_size_makes_the_initial_window_only_before_the_first_acknowledgement() {
    for name in BY_LOSS {
        let (mut controller, mut now) = (started(name), Instant::ZERO);
        round(&mut *controller, &mut now);
        let grown = controller.cwnd();
        controller.on_congestion(now, &CongestionEvent::MtuChanged { segment_bytes: SEGMENT / 2 });
        assert_eq!(controller.cwnd(), grown, "{name}");
        controller.on_congestion(now, &CongestionEvent::MtuChanged { segment_bytes: 60_000 });
        assert_eq!(controller.cwnd(), 60_000, "{name}: a segment at least");
    }
}

#[test]
fn a_paced_window_takes_half_a_round_trip_in_slow_start_and_five_sixths_later() {
    for mut controller in [Box::new(NewReno::paced()) as Box<dyn Controller>, Box::new(Cubic::paced())] {
        controller.on_congestion(Instant::ZERO, &CongestionEvent::MtuChanged { segment_bytes: SEGMENT });
        // 64 KiB before there is anything to go by.
        assert_eq!((controller.pacing_rate(), controller.send_quantum()), (None, 65_536));
        let mut now = Instant::ZERO;
        for _ in 0..7 {
            round(&mut *controller, &mut now);
        }
        let per_second = |controller: &dyn Controller| controller.cwnd() * 10;
        assert_eq!(controller.pacing_rate(), Some(per_second(&*controller) * 2));
        lose(&mut *controller, now);
        let rate = per_second(&*controller) * 6 / 5;
        assert_eq!(controller.pacing_rate(), Some(rate));
        assert!(rate / 1_000 > 2 * u64::from(SEGMENT));
        assert_eq!(controller.send_quantum(), rate / 1_000, "a millisecond's worth");
    }
    for name in BY_LOSS {
        let mut plain = started(name);
        plain.on_ack(&ack(Instant::ZERO, 1_000));
        assert_eq!(plain.pacing_rate(), None, "{name} does not pace");
    }
}

/// One flow over a link of `queue` segments and 20 ms: everything beyond is dropped. Returns each reduction's time.
fn drive(name: &str, queue: u64) -> (Vec<Instant>, u64) {
    let mut controller = started(name);
    let (mut ledger, mut rtt) = (SentLedger::new(0), RttEstimator::new(&RtoConfig::default()));
    let (mut now, mut wire) = (Instant::ZERO, std::collections::VecDeque::<(Instant, u64)>::new());
    let (mut reductions, mut received) = (vec![], crate::toolkit::RangeSet::with_limit(1_000));
    let segment = u64::from(SEGMENT);
    for _ in 0..20_000 {
        now += Duration::from_micros(500);
        while let Some((_, start)) = wire.pop_front_if(|(at, _)| *at <= now) {
            received.insert(start..start + segment);
            let before = ledger.in_flight_bytes();
            let acked =
                ledger.on_cumulative(received.first_gap(0).map_or(received.last().unwrap().end, |g| g.start), now);
            let sacked = received.range_of(start).map(|r| ledger.on_sack(r, now)).unwrap_or_default();
            if let Some(sample) = acked.rtt_sample.or(sacked.rtt_sample) {
                rtt.on_sample(now, sample);
            }
            let loss = ledger.detect_loss(now, &rtt, SEGMENT);
            if loss.new_episode {
                reductions.push(now);
                let outstanding_bytes = ledger.outstanding();
                controller.on_congestion(now, &CongestionEvent::Loss { lost_bytes: loss.bytes, outstanding_bytes });
            }
            let mut sample = ack(now, acked.delivered + sacked.bytes);
            (sample.in_flight_before, sample.in_flight) = (before, ledger.in_flight_bytes());
            (sample.srtt, sample.recovery) = (rtt.smoothed(), ledger.recovery());
            controller.on_ack(&sample);
        }
        while ledger.in_flight_bytes() + segment <= controller.cwnd() {
            let start = if let Some(range) = ledger.next_lost(segment) {
                ledger.on_retransmitted(range.clone(), now);
                range.start
            } else {
                ledger.on_sent(ledger.nxt() + segment, now);
                ledger.nxt() - segment
            };
            if (wire.len() as u64) < queue {
                wire.push_back((now + Duration::from_millis(20), start));
            }
        }
    }
    ledger.check_invariants();
    (reductions, ledger.una())
}

#[test]
fn a_flow_that_fills_its_queue_reduces_once_a_round_trip_and_keeps_going() {
    for name in BY_LOSS {
        let (reductions, bytes) = drive(name, 60);
        assert!(reductions.len() > 2, "{name} {reductions:?}");
        assert!(reductions.windows(2).all(|w| w[1].since(w[0]) >= Duration::from_millis(20)), "{name} {reductions:?}");
        // 10 s at 60 segments per 20 ms is 30 MB; a sawtooth between a half and all of it gets two thirds at least.
        assert!(bytes > 20_000_000, "{name}: {bytes}");
    }
}

proptest! {
    #[test]
    fn the_window_stays_between_its_floor_and_its_bound(
        name in prop::sample::select(&BY_LOSS),
        events in prop::collection::vec((0u8..12, 0u64..3_000_000, 1u32..70_000), 0..200),
    ) {
        let mut controller = started(name);
        let (mut now, mut segment) = (Instant::ZERO, u64::from(SEGMENT));
        for (kind, bytes, size) in events {
            now += Duration::from_micros(bytes);
            let (lost_bytes, outstanding_bytes) = (segment, bytes);
            let event = match kind {
                0 => Some(CongestionEvent::Loss { lost_bytes, outstanding_bytes }),
                1 => Some(CongestionEvent::Ecn { outstanding_bytes }),
                2 => Some(CongestionEvent::Rto { first: size % 2 == 0, outstanding_bytes }),
                3 => Some(CongestionEvent::Spurious),
                4 => Some(CongestionEvent::Idle { idle_for: Duration::from_micros(bytes), rto: RTT }),
                5 if size < 10_000 => {
                    segment = u64::from(size);
                    Some(CongestionEvent::MtuChanged { segment_bytes: size })
                }
                _ => None,
            };
            match event {
                Some(event) => controller.on_congestion(now, &event),
                None => controller.on_ack(&ack(now, bytes * u64::from(size))),
            }
            prop_assert!(controller.cwnd() >= segment && controller.cwnd() <= u64::from(CWND_MAX));
            prop_assert!(controller.ssthresh() >= 2 * segment);
        }
    }

    #[test]
    fn splitting_acknowledgements_does_not_speed_growth(
        name in prop::sample::select(&BY_LOSS),
        lost: bool,
        cuts in prop::collection::vec(1u64..2_000, 1..60),
    ) {
        let mut split = started(name);
        if lost {
            lose(&mut *split, Instant::ZERO);
        }
        let mut whole = split.clone();
        let mut now = Instant::ZERO;
        let (mut held, mut delivered) = (0, 0);
        let before = split.cwnd();
        for bytes in cuts {
            now += Duration::from_millis(1);
            split.on_ack(&ack(now, bytes));
            held += bytes;
            delivered += bytes;
            while held >= u64::from(SEGMENT) {
                held -= u64::from(SEGMENT);
                whole.on_ack(&ack(now, u64::from(SEGMENT)));
            }
        }
        whole.on_ack(&ack(now, held));
        prop_assert!(split.cwnd() <= whole.cwnd() + u64::from(SEGMENT));
        prop_assert!(split.cwnd() - before <= delivered);
    }
}
