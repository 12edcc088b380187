//! Each discipline over a real link, against the plainest account of it, which stands here.

use std::collections::VecDeque;
use std::time::Duration;

use burstlane::driver::Driver;
use burstlane::time::Instant;
use proptest::prelude::*;

use crate::{
    CoDelConfig, Discipline, EndConfig, Ideal, LinkConfig, Network, RedConfig, Signal, StandardLink, StepConfig,
};

/// A packet: when it is offered, its bytes, whether its sender knows marks.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: u64,
    bytes: usize,
    is_ect: bool,
}

/// What became of it: when its last bit was out, and whether it carried CE. `None`: it was dropped.
type Fate = Option<(u64, bool)>;

const RATE: u64 = 8_000_000;
const MS: u64 = 1_000_000;

/// A byte takes a microsecond.
fn nanos(bytes: usize) -> u64 {
    bytes as u64 * 8 * 1_000_000_000 / RATE
}

fn link(discipline: Discipline) -> LinkConfig {
    LinkConfig { rate_bits_per_s: Some(RATE), discipline, ..LinkConfig::default() }
}

/// Sends all over a link, polling the other end at all times at which something arrives.
fn play(config: LinkConfig, traffic: &[Sent]) -> Vec<Fate> {
    let net = Network::new();
    let there = StandardLink::boxed(config, 1).unwrap();
    let (mut a, mut b) = net.link(EndConfig::host(1), EndConfig::host(2), there, Box::<Ideal>::default());
    let mut fates = vec![None; traffic.len()];
    let mut hear_until = |end: u64| {
        while let Some(at) = net.next_arrival().filter(|at| at.as_nanos() <= end) {
            net.advance(at);
            let mut burst = vec![];
            b.rx_burst(&mut burst, 100).unwrap();
            for frame in burst {
                let tag = u32::from_be_bytes(frame.bytes()[30..34].try_into().unwrap());
                fates[tag as usize] = Some((net.now().as_nanos(), frame.bytes()[15] & 3 == 3));
            }
        }
    };
    for (tag, sent) in traffic.iter().enumerate() {
        hear_until(sent.at);
        net.advance(Instant::from_nanos(sent.at));
        let mut frame = a.pool().alloc().unwrap();
        let mut bytes = vec![0; sent.bytes];
        (bytes[12], bytes[14], bytes[15]) = (8, 0x45, u8::from(sent.is_ect));
        bytes[30..34].copy_from_slice(&(tag as u32).to_be_bytes());
        assert!(frame.extend_from_slice(&bytes));
        a.tx_burst(&mut vec![frame]).unwrap();
    }
    hear_until(u64::MAX);
    let stats = a.handle().sent();
    assert_eq!(stats.delivered + stats.queue_drops + stats.discipline_drops, stats.sent);
    assert_eq!(fates.iter().flatten().filter(|(_, is_marked)| *is_marked).count() as u64, stats.marked);
    assert_eq!(a.handle().frames_out(), 0);
    fates
}

/// Half as much again as the line carries, with pauses in which the queue may run empty.
fn any_traffic() -> impl Strategy<Value = Vec<Sent>> {
    let pause = prop_oneof![40 => Just(0), 60 => 0..MS, 10 => 0..5 * MS, 1 => 0..50 * MS];
    proptest::collection::vec((pause, 34_usize..1500, any::<bool>()), 1..400).prop_map(|packets| {
        let mut at = 0;
        let sent = packets.into_iter().map(|(pause, bytes, is_ect)| {
            at += pause;
            Sent { at, bytes, is_ect }
        });
        sent.collect()
    })
}

fn any_signal() -> impl Strategy<Value = Signal> {
    prop_oneof![Just(Signal::Drop), Just(Signal::MarkOrDrop), Just(Signal::MarkOnly)]
}

fn any_discipline() -> impl Strategy<Value = Discipline> {
    let step = (0_u32..40, any_signal()).prop_map(|(above_frames, signal)| StepConfig { above_frames, signal });
    let red = (0.0..5.0_f64, 0.1..20.0_f64, 0.001..1.0_f64, 0.0..1.0_f64, any_signal()).prop_map(
        |(min, span, weight, probability_max, signal)| {
            let (average_frames_min, average_frames_max) = (min, min + span);
            RedConfig { average_frames_min, average_frames_max, weight, probability_max, signal }
        },
    );
    prop_oneof![
        Just(Discipline::DropTail),
        step.prop_map(Discipline::Step),
        red.prop_map(Discipline::Red),
        any_codel().prop_map(Discipline::CoDel)
    ]
}

fn any_codel() -> impl Strategy<Value = CoDelConfig> {
    (1_u64..10, 1_u64..60, any_signal()).prop_map(|(target, interval, signal)| CoDelConfig {
        target: Duration::from_millis(target),
        interval: Duration::from_millis(interval),
        signal,
    })
}

proptest! {
    /// Whatever is dropped, the rest leaves in order, each as soon as the line is free, and takes its time exactly.
    #[test]
    fn every_discipline_is_first_in_first_out_and_conserves_work(
        discipline in any_discipline(),
        frames_max in proptest::option::of(1_u32..50),
        traffic in any_traffic(),
    ) {
        let fates = play(LinkConfig { queue_frames_max: frames_max, ..link(discipline) }, &traffic);
        let mut free_at = 0;
        for (sent, fate) in traffic.iter().zip(&fates) {
            let Some((out_at, is_marked)) = fate else { continue };
            free_at = free_at.max(sent.at) + nanos(sent.bytes);
            prop_assert_eq!(*out_at, free_at);
            prop_assert!(sent.is_ect || !is_marked, "a mark for who knows none");
        }
    }

    #[test]
    fn who_only_marks_drops_nothing(
        above_frames in 0_u32..40,
        mut codel in any_codel(),
        traffic in any_traffic(),
    ) {
        codel.signal = Signal::MarkOnly;
        for discipline in [Discipline::Step(StepConfig { above_frames, signal: codel.signal }), Discipline::CoDel(codel)] {
            prop_assert!(play(link(discipline), &traffic).iter().all(Option::is_some));
        }
    }

    /// K against a count of the frames that are not out yet; and a longer queue never marks what a shorter one does not.
    #[test]
    fn a_step_tells_those_who_find_more_than_its_threshold(k in 0_u32..30, traffic in any_traffic()) {
        let step = |above_frames| Discipline::Step(StepConfig { above_frames, signal: Signal::MarkOnly });
        let fates = play(link(step(k)), &traffic);
        let higher = play(link(step(k + 1)), &traffic);
        for (i, sent) in traffic.iter().enumerate() {
            let found = fates[..i].iter().flatten().filter(|(out_at, _)| *out_at > sent.at).count();
            let is_marked = fates[i].unwrap().1;
            prop_assert_eq!(is_marked, sent.is_ect && found > k as usize);
            prop_assert!(is_marked || !higher[i].unwrap().1);
        }
    }

    #[test]
    fn codel_is_that_of_rfc_8289(config in any_codel(), traffic in any_traffic()) {
        prop_assert_eq!(play(link(Discipline::CoDel(config)), &traffic), Reference::new(config, &traffic).run());
    }
}

/// RFC 8289 5, line by line: a sender's loop that calls `dequeue` whenever the line is free.
struct Reference<'a> {
    config: CoDelConfig,
    traffic: &'a [Sent],
    fates: Vec<Fate>,
    queue: VecDeque<usize>,
    /// The next packet to arrive.
    next: usize,
    maxpacket: usize,
    first_above_time: u64,
    drop_next: u64,
    count: u32,
    lastcount: u32,
    dropping: bool,
}

impl<'a> Reference<'a> {
    fn new(config: CoDelConfig, traffic: &'a [Sent]) -> Self {
        let fates = vec![None; traffic.len()];
        let (queue, next, maxpacket, first_above_time, drop_next) = (VecDeque::new(), 0, 0, 0, 0);
        let (count, lastcount, dropping) = (0, 0, false);
        Self { config, traffic, fates, queue, next, maxpacket, first_above_time, drop_next, count, lastcount, dropping }
    }

    fn run(mut self) -> Vec<Fate> {
        let mut now = 0;
        loop {
            self.arrive(now);
            if self.queue.is_empty() {
                let Some(sent) = self.traffic.get(self.next) else { return self.fates };
                now = sent.at;
                // One alone: what comes at the same time finds the line busy.
                self.arrive_one();
            }
            if let Some((packet, is_marked)) = self.dequeue(now) {
                now += nanos(self.traffic[packet].bytes);
                self.fates[packet] = Some((now, is_marked));
            }
        }
    }

    /// All that came while the line was busy. What comes at the instant at which it is free is later than that.
    fn arrive(&mut self, now: u64) {
        while self.traffic.get(self.next).is_some_and(|sent| sent.at < now) {
            self.arrive_one();
        }
    }

    fn arrive_one(&mut self) {
        self.maxpacket = self.maxpacket.max(self.traffic[self.next].bytes);
        self.queue.push_back(self.next);
        self.next += 1;
    }

    fn dodequeue(&mut self, now: u64) -> (Option<usize>, bool) {
        let Some(packet) = self.queue.pop_front() else {
            self.first_above_time = 0;
            return (None, false);
        };
        let bytes: usize = self.queue.iter().map(|packet| self.traffic[*packet].bytes).sum();
        let sojourn = now - self.traffic[packet].at;
        let mut ok_to_drop = false;
        if sojourn < self.config.target.as_nanos() as u64 || bytes <= self.maxpacket {
            self.first_above_time = 0;
        } else if self.first_above_time == 0 {
            self.first_above_time = now + self.interval();
        } else if now >= self.first_above_time {
            ok_to_drop = true;
        }
        (Some(packet), ok_to_drop)
    }

    fn dequeue(&mut self, now: u64) -> Option<(usize, bool)> {
        let (mut packet, mut ok_to_drop) = self.dodequeue(now);
        if self.dropping {
            self.dropping = ok_to_drop;
            while now >= self.drop_next && self.dropping {
                self.count += 1;
                if self.spares(packet?) {
                    self.drop_next = self.control_law(self.drop_next);
                    return self.marked(packet?);
                }
                (packet, ok_to_drop) = self.dodequeue(now);
                if ok_to_drop {
                    self.drop_next = self.control_law(self.drop_next);
                } else {
                    self.dropping = false;
                }
            }
        } else if ok_to_drop {
            let spared = self.spares(packet?);
            if !spared {
                (packet, _) = self.dodequeue(now);
            }
            self.dropping = true;
            let delta = self.count - self.lastcount;
            let recent = now.saturating_sub(self.drop_next) < 16 * self.interval();
            self.count = if delta > 1 && recent { delta } else { 1 };
            self.drop_next = self.control_law(now);
            self.lastcount = self.count;
            if spared {
                return self.marked(packet?);
            }
        }
        Some((packet?, false))
    }

    /// Whether a packet that is told goes on.
    fn spares(&self, packet: usize) -> bool {
        match self.config.signal {
            Signal::Drop => false,
            Signal::MarkOrDrop => self.traffic[packet].is_ect,
            Signal::MarkOnly => true,
        }
    }

    fn marked(&self, packet: usize) -> Option<(usize, bool)> {
        Some((packet, self.traffic[packet].is_ect))
    }

    fn interval(&self) -> u64 {
        self.config.interval.as_nanos() as u64
    }

    fn control_law(&self, t: u64) -> u64 {
        t + (self.interval() as f64 / f64::from(self.count).sqrt()) as u64
    }
}

/// A burst, then arrivals exactly as fast as the line: a queue that keeps what the burst left for ever, if nobody drops.
fn standing_queue() -> Vec<Sent> {
    let burst = (0..60).map(|_| 0);
    let steady = (0..2000).map(|i| i * nanos(1000));
    burst.chain(steady).map(|at| Sent { at, bytes: 1000, is_ect: false }).collect()
}

#[test]
fn codel_drains_a_standing_queue_and_drop_tail_does_not() {
    let waits = |discipline| {
        let traffic = standing_queue();
        let fates = play(link(discipline), &traffic);
        let waits = fates.iter().zip(&traffic).filter_map(|(fate, sent)| Some(fate.as_ref()?.0 - sent.at));
        let waits: Vec<u64> = waits.collect();
        (waits[waits.len() / 2..].iter().copied().min().unwrap(), waits.len())
    };
    let (standing, all) = waits(Discipline::DropTail);
    assert_eq!((standing, all), (61 * nanos(1000), 2060));
    let (drained, left) = waits(Discipline::CoDel(CoDelConfig::default()));
    // The target, and the packet's own time.
    assert!(drained <= 5 * MS + nanos(1000), "{} us", drained / 1000);
    assert!((54..60).contains(&(all - left)), "{} dropped: what stood, and no more", all - left);
}

#[test]
fn codel_spares_what_does_not_stand() {
    // A burst of 50 ms twice a second is none of its business.
    let bursts = (0..10).flat_map(|round| (0..50).map(move |_| round * 500 * MS));
    let traffic: Vec<Sent> = bursts.map(|at| Sent { at, bytes: 1000, is_ect: false }).collect();
    assert!(play(link(Discipline::CoDel(CoDelConfig::default())), &traffic).iter().all(Option::is_some));
}

/// What CoDel dropped does not count against the limit afterwards.
#[test]
fn an_empty_queue_has_all_its_room_again() {
    let overload = (0..4000).map(|i| i * nanos(800));
    let later = (0..15).map(|_| 10_000 * MS);
    let traffic: Vec<Sent> = overload.chain(later).map(|at| Sent { at, bytes: 1000, is_ect: false }).collect();
    let fates = play(LinkConfig { queue_bytes_max: Some(15_000), ..link(SHORT_CODEL) }, &traffic);
    let dropped = fates[..4000].iter().filter(|fate| fate.is_none()).count();
    assert!(dropped > 500, "{dropped}");
    assert!(fates[4000..].iter().all(Option::is_some));
}

const SHORT_CODEL: Discipline = Discipline::CoDel(CoDelConfig {
    target: Duration::from_millis(2),
    interval: Duration::from_millis(20),
    signal: Signal::Drop,
});

#[test]
fn another_model_does_not_change_the_fate_of_what_waits() {
    let net = Network::new();
    let there = StandardLink::boxed(link(Discipline::CoDel(CoDelConfig::default())), 1).unwrap();
    let (mut a, mut b) = net.link(EndConfig::host(1), EndConfig::host(2), there, Box::<Ideal>::default());
    let frame = |end: &crate::SimDriver| {
        let mut frame = end.pool().alloc().unwrap();
        assert!(frame.extend_from_slice(&[0; 1000]));
        frame
    };
    a.tx_burst(&mut (0..3).map(|_| frame(&a)).collect()).unwrap();
    a.handle().set_model(Box::<Ideal>::default());
    a.tx_burst(&mut vec![frame(&a)]).unwrap();
    let mut at = vec![];
    let mut burst = vec![];
    loop {
        b.rx_burst(&mut burst, 10).unwrap();
        at.extend(burst.drain(..).map(|_| net.now().as_nanos() / MS));
        let Some(next) = net.next_arrival() else { break };
        net.advance(next);
    }
    assert_eq!(at, [0, 1, 2, 3], "the new model's came at once, the old one's in their time");
}
