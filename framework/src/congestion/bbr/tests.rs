//! BBR on a model link: one queue, one delay, and a sender as a transport would drive it.

use super::*;
use crate::congestion::CWND_MAX;
use crate::toolkit::{DeliveryRate, Pacer};
use proptest::prelude::*;
use std::collections::VecDeque;

const SEGMENT: u64 = 1_000;

/// A bottleneck of `rate` bytes per second behind a queue of `queue` bytes; of the packets each `loses`th is lost.
struct Link {
    rate: u64,
    delay: Duration,
    queue: u64,
    loses: u64,
}

struct Flow {
    bbr: Bbr,
    sampler: DeliveryRate,
    pacer: Pacer,
    now: Instant,
    /// When its acknowledgement comes, when it was sent, whether it is lost.
    wire: VecDeque<(Instant, Instant, bool)>,
    drained_at: Instant,
    in_flight: u64,
    sent: u64,
    delivered: u64,
    queue_most: Duration,
}

impl Flow {
    fn new() -> Self {
        let mut bbr = Bbr::new();
        bbr.on_congestion(Instant::ZERO, &CongestionEvent::MtuChanged { segment_bytes: SEGMENT as u32 });
        let now = Instant::from_nanos(1);
        Self {
            bbr,
            sampler: DeliveryRate::new(),
            pacer: Pacer::new(),
            now,
            wire: VecDeque::new(),
            drained_at: now,
            in_flight: 0,
            sent: 0,
            delivered: 0,
            queue_most: Duration::ZERO,
        }
    }

    fn run(&mut self, link: &Link, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            while let Some((_, sent_at, lost)) = self.wire.pop_front_if(|(at, ..)| *at <= self.now) {
                self.ack(sent_at, lost);
            }
            let (rate, quantum) = (self.bbr.pacing_rate().unwrap(), self.bbr.send_quantum());
            while self.in_flight + SEGMENT <= self.bbr.cwnd() && self.pacer.may_send(self.now, rate, quantum) {
                self.send(link);
                self.pacer.on_sent(self.now, SEGMENT, rate);
            }
            self.now += Duration::from_micros(100);
        }
    }

    fn ack(&mut self, sent_at: Instant, lost: bool) {
        let mut sample = AckSample::new(self.now);
        sample.in_flight_before = self.in_flight;
        self.in_flight -= SEGMENT;
        sample.in_flight = self.in_flight;
        let rtt = self.now.since(sent_at);
        (sample.srtt, sample.min_rtt) = (rtt, Duration::from_millis(1));
        if lost {
            sample.lost_bytes = SEGMENT;
            sample.recovery = Recovery::Fast;
            self.bbr
                .on_congestion(self.now, &CongestionEvent::Loss { lost_bytes: SEGMENT, outstanding_bytes: SEGMENT });
        } else {
            self.delivered += SEGMENT;
            (sample.delivered_bytes, sample.acked_bytes, sample.rtt) = (SEGMENT, SEGMENT, Some(rtt));
        }
        sample.app_limited = sample.in_flight_before + self.bbr.send_quantum() < self.bbr.cwnd();
        self.sampler.on_ack(&mut sample, (!lost).then_some(sent_at));
        self.bbr.on_ack(&sample);
    }

    fn send(&mut self, link: &Link) {
        self.in_flight += SEGMENT;
        self.sent += 1;
        self.sampler.on_sent(self.now, SEGMENT, self.in_flight);
        self.bbr.on_sent(self.now, SEGMENT, self.in_flight);
        let waits = self.drained_at.max(self.now).since(self.now);
        let overflows = waits.as_nanos() as u64 * link.rate / 1_000_000_000 + SEGMENT > link.queue;
        let lost = overflows || self.sent.is_multiple_of(link.loses);
        if !overflows {
            self.drained_at = self.drained_at.max(self.now) + Duration::from_nanos(SEGMENT * 1_000_000_000 / link.rate);
            self.queue_most = self.queue_most.max(waits);
        }
        let at = self.drained_at.max(self.now) + link.delay;
        self.wire.push_back((at, self.now, lost));
    }

    /// Bytes per second over the next `time`.
    fn measure(&mut self, link: &Link, time: Duration) -> u64 {
        let before = self.delivered;
        self.run(link, time);
        (self.delivered - before) * 1_000 / time.as_millis() as u64
    }
}

fn link(rate: u64, queue_bdps: f64) -> Link {
    let delay = Duration::from_millis(40);
    Link { rate, delay, queue: (rate as f64 * 0.04 * queue_bdps) as u64, loses: u64::MAX }
}

#[test]
fn it_converges_to_the_rate_of_the_bottleneck_and_leaves_the_queue_short() {
    let link = link(5_000_000, 4.0);
    let mut flow = Flow::new();
    flow.run(&link, Duration::from_secs(2));
    flow.queue_most = Duration::ZERO;
    let rate = flow.measure(&link, Duration::from_secs(20));
    assert!(rate > 4_750_000, "{rate}");
    let bw = flow.bbr.model.max_bw();
    assert!((4_900_000..=5_200_000).contains(&bw), "{bw}");
    assert!(flow.queue_most < Duration::from_millis(60), "of 160 ms: {:?}", flow.queue_most);
}

#[test]
fn a_faster_path_is_found_within_seconds_and_a_slower_one_too() {
    let mut flow = Flow::new();
    flow.run(&link(2_000_000, 2.0), Duration::from_secs(10));
    flow.run(&link(6_000_000, 2.0), Duration::from_secs(15));
    let rate = flow.measure(&link(6_000_000, 2.0), Duration::from_secs(5));
    assert!(rate > 5_400_000, "{rate}");
    flow.run(&link(2_000_000, 2.0), Duration::from_secs(10));
    let rate = flow.measure(&link(2_000_000, 2.0), Duration::from_secs(5));
    assert!(rate > 1_800_000, "{rate}");
    assert!(flow.bbr.model.max_bw() < 2_300_000, "{}", flow.bbr.model.max_bw());
}

#[test]
fn one_loss_in_a_hundred_hardly_slows_it() {
    let link = Link { loses: 100, ..link(5_000_000, 1.0) };
    let mut flow = Flow::new();
    flow.run(&link, Duration::from_secs(3));
    let rate = flow.measure(&link, Duration::from_secs(30));
    assert!(rate > 4_250_000, "{rate}");
}

#[test]
fn every_phase_is_entered_and_the_round_trip_is_probed() {
    let link = link(2_000_000, 2.0);
    let (mut flow, mut seen) = (Flow::new(), vec![Phase::Startup]);
    for _ in 0..30_000 {
        flow.run(&link, Duration::from_millis(1));
        if seen.last() != Some(&flow.bbr.phase) {
            seen.push(flow.bbr.phase);
        }
    }
    // What Drain left is below what DOWN waits for.
    assert_eq!(seen[..6], [Phase::Startup, Phase::Drain, Phase::Cruise, Phase::Refill, Phase::Up, Phase::Down]);
    assert!(seen.iter().filter(|phase| **phase == Phase::ProbeRtt).count() >= 3, "{seen:?}");
    assert!(flow.bbr.model.bdp(2_000_000).abs_diff(80_000) < 10_000, "{:?}", flow.bbr.model.bdp(2_000_000));
}

proptest! {
    #[test]
    fn nothing_overflows_and_the_window_never_closes(
        steps in prop::collection::vec((0u8..8, any::<[u64; 4]>(), 0u64..1 << 34, any::<bool>()), 1..200),
    ) {
        let (mut bbr, mut now, mut total) = (Flow::new().bbr, Instant::from_nanos(1), 0u64);
        let mut segment = SEGMENT;
        for (kind, [a, b, c, d], gap, flag) in steps {
            now += Duration::from_nanos(gap);
            match kind {
                0 => bbr.on_congestion(now, &CongestionEvent::Loss { lost_bytes: a, outstanding_bytes: b }),
                1 => bbr.on_congestion(now, &CongestionEvent::Rto { first: flag, outstanding_bytes: b }),
                2 => bbr.on_congestion(now, &CongestionEvent::Spurious),
                3 => {
                    segment = a % 65_535 + 1;
                    bbr.on_congestion(now, &CongestionEvent::MtuChanged { segment_bytes: segment as u32 });
                }
                4 => bbr.on_sent(now, a, b),
                _ => {
                    let mut sample = AckSample::new(now);
                    sample.delivered_bytes = a;
                    total = total.saturating_add(a);
                    (sample.delivered_total, sample.delivered_since_send) = (total, b);
                    (sample.in_flight_at_send, sample.in_flight, sample.in_flight_before) = (c, d, c);
                    (sample.lost_bytes, sample.lost_since_send, sample.ce_marked_bytes) = (d, c, b);
                    (sample.delivery_rate, sample.rate_app_limited, sample.app_limited) = (Some(d), flag, !flag);
                    sample.rtt = Some(Duration::from_nanos(c));
                    sample.srtt = Duration::from_nanos(d);
                    sample.recovery = if flag { Recovery::Fast } else { Recovery::Open };
                    bbr.on_ack(&sample);
                }
            }
            prop_assert!(bbr.cwnd() >= segment && bbr.cwnd() <= u64::from(CWND_MAX), "{}", bbr.cwnd());
            prop_assert!(bbr.pacing_rate().is_some_and(|rate| rate > 0) && bbr.send_quantum() >= segment);
        }
    }
}
