//! The ledger against a model that remembers every unit by itself.

use super::rack::Rack;
use super::*;
use crate::toolkit::RtoConfig;
use proptest::prelude::*;

const SEGMENT: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    Sacked,
    Lost,
}

#[derive(Clone, Copy, Debug)]
struct Unit {
    sent_at: Instant,
    resent: bool,
    state: State,
    /// How many congestion responses there had been when it was last sent.
    episode: u64,
}

/// One entry per unit, linear scans, RFC 8985 6.2 as written.
#[derive(Default)]
struct Model {
    una: usize,
    units: Vec<Unit>,
    episode: u64,
    recovery: Recovery,
    recovery_end: usize,
    recovered_before: bool,
    xmit: (Instant, usize),
    xmit_once: (Instant, usize),
    rack_rtt: Duration,
    fack: usize,
    fack_next: usize,
    reordering_seen: bool,
    reneged: bool,
}

impl Model {
    fn deliver(&mut self, at: usize, now: Instant, min_rtt: Duration) -> u64 {
        let unit = self.units[at];
        if unit.state == State::Sacked {
            return 0;
        }
        self.units[at].state = State::Sacked;
        self.fack_next = self.fack_next.max(at + 1);
        self.reordering_seen |= at + 1 < self.fack && !unit.resent;
        let rtt = now.since(unit.sent_at);
        if !(unit.resent && rtt < min_rtt) {
            self.rack_rtt = rtt;
            self.xmit = self.xmit.max((unit.sent_at, at + 1));
            if !unit.resent {
                self.xmit_once = self.xmit_once.max((unit.sent_at, at + 1));
            }
        }
        1
    }

    fn count(&self, state: State) -> u64 {
        self.units[self.una..].iter().filter(|u| u.state == state).count() as u64
    }

    fn begin_episode(&mut self, recovery: Recovery) {
        self.episode += 1;
        self.recovery = recovery;
        self.recovery_end = self.units.len();
        self.recovered_before = true;
    }

    fn detect(&mut self, now: Instant, rtt: &RttEstimator) -> Loss {
        self.fack = self.fack_next;
        let in_recovery = matches!(self.recovery, Recovery::Fast | Recovery::Timeout);
        let impatient = in_recovery || self.count(State::Sacked) >= 3 * u64::from(SEGMENT);
        let window =
            if impatient && !self.reordering_seen { Duration::ZERO } else { (rtt.min() / 4).min(rtt.smoothed()) };
        let mut loss = Loss::default();
        for at in self.una..self.units.len() {
            let unit = &mut self.units[at];
            if unit.state != State::InFlight || self.xmit <= (unit.sent_at, at + 1) {
                continue;
            }
            let due = unit.sent_at + self.rack_rtt + window;
            if due <= now {
                unit.state = State::Lost;
                loss.bytes += 1;
                loss.new_episode |= unit.episode == self.episode;
            } else {
                loss.recheck_at = loss.recheck_at.max(Some(due));
            }
        }
        if loss.bytes > 0 {
            let recovery = if self.recovery == Recovery::Timeout { Recovery::Timeout } else { Recovery::Fast };
            if loss.new_episode {
                self.begin_episode(recovery);
            } else if !in_recovery {
                (self.recovery, self.recovery_end) = (recovery, self.units.len());
                self.recovered_before = true;
            }
        }
        loss
    }
}

#[derive(Clone, Debug)]
enum Action {
    Send(u64),
    Wait(u64),
    Cumulative(u8),
    Sack(u8, u64),
    Resend(u64),
    Probe(u64),
    Detect,
    /// By the time of sending, or all.
    Timeout(bool),
    Undo,
    Echo,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let one = prop_oneof![
        6 => (1u64..60).prop_map(Action::Send),
        6 => (1u64..30).prop_map(Action::Wait),
        4 => any::<u8>().prop_map(Action::Cumulative),
        6 => (any::<u8>(), 1u64..30).prop_map(|(at, n)| Action::Sack(at, n)),
        5 => (1u64..40).prop_map(Action::Resend),
        1 => (1u64..20).prop_map(Action::Probe),
        4 => Just(Action::Detect),
        1 => any::<bool>().prop_map(Action::Timeout),
        1 => Just(Action::Undo),
        1 => Just(Action::Echo),
    ];
    prop::collection::vec(one, 0..120)
}

/// An offset a fraction of the way from `una` to `nxt`.
fn at_fraction(ledger: &SentLedger, fraction: u8) -> u64 {
    ledger.una() + ledger.outstanding() * u64::from(fraction) / 255
}

struct Pair {
    ledger: SentLedger,
    model: Model,
    now: Instant,
    rtt: RttEstimator,
    /// The minimum RTT as of the last detection, which is what the ledger knows.
    min_rtt: Duration,
}

impl Pair {
    fn step(&mut self, action: &Action) -> Result<(), TestCaseError> {
        let Self { ledger, model, now, .. } = self;
        let now = *now;
        match *action {
            Action::Send(n) => {
                ledger.on_sent(ledger.nxt() + n, now);
                let unit = Unit { sent_at: now, resent: false, state: State::InFlight, episode: model.episode };
                model.units.resize(model.units.len() + n as usize, unit);
            }
            Action::Wait(ms) => self.now = now + Duration::from_millis(ms),
            Action::Cumulative(fraction) => self.cumulative(fraction)?,
            Action::Sack(fraction, n) => self.sack(fraction, n)?,
            Action::Resend(n) => self.resend_first(n)?,
            Action::Probe(n) => self.probe(n)?,
            Action::Detect => {
                self.min_rtt = self.rtt.min();
                prop_assert_eq!(ledger.detect_loss(now, &self.rtt, SEGMENT), model.detect(now, &self.rtt));
            }
            Action::Timeout(is_timed) => self.timeout(is_timed)?,
            Action::Undo => {
                ledger.undo();
                model.recovery = Recovery::Open;
                model.xmit = model.xmit_once;
                model.units.iter_mut().filter(|u| u.state == State::Lost).for_each(|u| u.state = State::InFlight);
                model.units.iter_mut().for_each(|u| u.episode = model.episode);
            }
            Action::Echo => {
                let beyond = !model.recovered_before || model.una > model.recovery_end;
                let first = model.recovery == Recovery::Open && beyond;
                prop_assert_eq!(ledger.on_congestion_echo(), first);
                if first {
                    model.begin_episode(Recovery::Marked);
                }
            }
        }
        Ok(())
    }

    fn sack(&mut self, fraction: u8, n: u64) -> Result<(), TestCaseError> {
        let Self { ledger, model, now, .. } = self;
        let now = *now;
        let start = at_fraction(ledger, fraction);
        let end = (start + n).min(ledger.nxt());
        let held_lost = model.units[start as usize..end as usize].iter().filter(|u| u.state == State::Lost);
        let held_lost = held_lost.count() as u64;
        let once = |u: &&Unit| u.state == State::InFlight && !u.resent;
        let newest = model.units[start as usize..end as usize].iter().filter(once).map(|u| u.sent_at).max();
        let fresh = model.units[start as usize..end as usize].iter().filter(|u| u.state != State::Sacked);
        let min_rtt = self.min_rtt;
        let is_latest = |u: &&Unit| !(u.resent && now.since(u.sent_at) < min_rtt);
        let newest_sent = fresh.filter(is_latest).map(|u| u.sent_at).max();
        let sacked = ledger.on_sack(start..end, now);
        prop_assert_eq!(sacked.newest_sent_at, newest_sent);
        prop_assert_eq!(sacked.rtt_sample, newest.map(|t| now.since(t)));
        prop_assert_eq!(sacked.not_lost_after_all, held_lost);
        let bytes: u64 = (start..end).map(|at| model.deliver(at as usize, now, self.min_rtt)).sum();
        prop_assert_eq!(sacked.bytes, bytes);
        Ok(())
    }

    fn resend_first(&mut self, n: u64) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.ledger.next_lost(0), None, "nothing was asked for");
        let Self { ledger, model, .. } = self;
        let first = (model.una..model.units.len()).find(|at| model.units[*at].state == State::Lost);
        let offered = ledger.next_lost(n);
        prop_assert_eq!(offered.as_ref().map(|r| r.start as usize), first, "every lost unit is offered, in order");
        let Some(range) = offered else { return Ok(()) };
        let run = (range.start as usize..model.units.len()).take_while(|at| model.units[*at].state == State::Lost);
        prop_assert_eq!(range.end - range.start, n.min(run.count() as u64));
        // A pool may have run out in the middle.
        let end = if n.is_multiple_of(3) { range.start + (range.end - range.start).div_ceil(2) } else { range.end };
        self.resend(range.start..end);
        Ok(())
    }

    fn probe(&mut self, n: u64) -> Result<(), TestCaseError> {
        let Self { ledger, model, .. } = self;
        let last = (model.una..model.units.len()).rfind(|at| model.units[*at].state != State::Sacked);
        let tail = ledger.tail(n);
        prop_assert_eq!(tail.as_ref().map(|r| r.end as usize - 1), last);
        if let Some(range) = tail {
            prop_assert!(range.end - range.start <= n);
            self.resend(range);
        }
        Ok(())
    }

    fn timeout(&mut self, is_timed: bool) -> Result<(), TestCaseError> {
        let Self { ledger, model, now, .. } = self;
        let reneged = model.units.get(model.una).is_some_and(|u| u.state == State::Sacked);
        let mut bytes = 0;
        // The head is the whole of what was sent at once with it, and not cut since.
        let head =
            ledger.board.as_ref().and_then(|board| board.entries.get(1)).map_or(usize::MAX, |next| next.start as usize);
        if is_timed {
            self.min_rtt = self.rtt.min();
        }
        let latest = if model.rack_rtt == Duration::ZERO { self.rtt.latest() } else { model.rack_rtt };
        let patience = latest + (self.min_rtt / 4).min(self.rtt.smoothed());
        for (at, unit) in model.units[model.una..].iter_mut().enumerate() {
            let is_due = !is_timed || reneged || model.una + at < head || unit.sent_at <= *now - patience;
            if unit.state == State::InFlight && is_due || (unit.state == State::Sacked && reneged) {
                unit.resent |= unit.state == State::Sacked;
                unit.state = State::Lost;
                bytes += 1;
            }
        }
        model.reneged |= reneged;
        let timeout = if is_timed { ledger.mark_overdue_lost(*now, &self.rtt) } else { ledger.mark_all_lost() };
        prop_assert_eq!((timeout.bytes, timeout.reneged), (bytes, reneged));
        if model.una < model.units.len() {
            model.begin_episode(Recovery::Timeout);
        }
        Ok(())
    }

    fn cumulative(&mut self, fraction: u8) -> Result<(), TestCaseError> {
        let Self { ledger, model, now, .. } = self;
        let upto = at_fraction(ledger, fraction);
        let range = model.una..upto as usize;
        let fresh: Vec<Unit> =
            model.units[range.clone()].iter().filter(|u| u.state != State::Sacked).copied().collect();
        let ambiguous = fresh.iter().any(|u| u.resent || u.state == State::Lost);
        let min_rtt = self.min_rtt;
        let is_latest = |u: &&Unit| !(u.resent && now.since(u.sent_at) < min_rtt);
        let oldest = fresh.iter().map(|u| u.sent_at).min().filter(|_| !ambiguous);
        let over = model.recovery != Recovery::Open && !range.is_empty() && range.end >= model.recovery_end;
        let expected = Acked {
            bytes: range.len() as u64,
            delivered: fresh.len() as u64,
            not_lost_after_all: fresh.iter().filter(|u| u.state == State::Lost).count() as u64,
            rtt_sample: oldest.map(|t| now.since(t)),
            newest_sent_at: fresh.iter().filter(is_latest).map(|u| u.sent_at).max(),
            lost: 0,
            recovery_ended: over,
        };
        let acked = ledger.on_cumulative(upto, *now);
        prop_assert_eq!(acked, expected);
        for at in range {
            model.deliver(at, *now, self.min_rtt);
        }
        model.una = upto as usize;
        if over {
            model.recovery = Recovery::Open;
        }
        if let Some(sample) = acked.rtt_sample {
            self.rtt.on_sample(*now, sample);
        }
        Ok(())
    }

    fn resend(&mut self, range: Range<u64>) {
        self.ledger.on_retransmitted(range.clone(), self.now);
        for unit in &mut self.model.units[range.start as usize..range.end as usize] {
            if unit.state != State::Sacked {
                let episode = self.model.episode;
                *unit = Unit { sent_at: self.now, resent: true, state: State::InFlight, episode };
            }
        }
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let (ledger, model) = (&self.ledger, &self.model);
        ledger.check_invariants();
        prop_assert_eq!(ledger.una(), model.una as u64);
        prop_assert_eq!(ledger.nxt(), model.units.len() as u64);
        prop_assert_eq!(ledger.in_flight_bytes(), model.count(State::InFlight));
        prop_assert!(ledger.in_flight_bytes() <= ledger.outstanding());
        prop_assert_eq!(ledger.sacked_bytes(), model.count(State::Sacked));
        prop_assert_eq!(ledger.lost_bytes(), model.count(State::Lost));
        prop_assert_eq!(ledger.recovery(), model.recovery);
        let recovery_end = (model.recovery != Recovery::Open).then_some(model.recovery_end as u64);
        prop_assert_eq!(ledger.recovery_end(), recovery_end);
        if model.units.get(model.una).is_some_and(|u| u.state != State::Sacked) {
            prop_assert_eq!(ledger.first_unacked_sent_at(), Some(model.units[model.una].sent_at));
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn it_agrees_with_a_model_that_remembers_every_unit(actions in actions()) {
        // The model knows the path's reordering from the first packet; so must the ledger.
        let mut ledger = SentLedger::new(0);
        ledger.board();
        let rtt = RttEstimator::new(&RtoConfig::default());
        let mut pair = Pair { ledger, model: Model::default(), now: Instant::ZERO, rtt, min_rtt: Duration::ZERO };
        for action in actions {
            let agreed = pair.step(&action).and_then(|()| pair.compare());
            if pair.model.reneged {
                // The times of what was sacked were not kept; from here on only soundness can be asked for.
                pair.ledger.check_invariants();
            } else {
                agreed?;
            }
        }
    }

    #[test]
    fn without_sack_counts_stay_sound_and_every_hole_is_offered(
        actions in prop::collection::vec((0u8..6, any::<u8>()), 0..150)
    ) {
        let mut ledger = SentLedger::new(7);
        let mut now = Instant::ZERO;
        for (kind, x) in actions {
            now += Duration::from_millis(1);
            match kind {
                0 => ledger.on_sent(ledger.nxt() + u64::from(x), now),
                1 => {
                    ledger.on_cumulative(at_fraction(&ledger, x), now);
                }
                2 | 3 => {
                    let loss = ledger.on_duplicate_ack(SEGMENT);
                    prop_assert!(loss.bytes <= u64::from(SEGMENT));
                    prop_assert!(!loss.new_episode || loss.bytes > 0);
                }
                4 => {
                    if let Some(range) = ledger.next_lost(u64::from(x) + 1) {
                        prop_assert!(ledger.una() <= range.start && range.end <= ledger.nxt());
                        ledger.on_retransmitted(range, now);
                    }
                }
                _ if x < 20 => {
                    ledger.mark_all_lost();
                    prop_assert_eq!(ledger.in_flight_bytes(), 0);
                    prop_assert_eq!(ledger.next_lost(u64::MAX).is_some(), !ledger.is_empty());
                }
                _ => {}
            }
            ledger.check_invariants();
        }
    }

    #[test]
    fn a_lone_entry_and_a_board_tell_the_same(sends in prop::collection::vec((1u64..50, 0u64..3, any::<u8>()), 0..40)) {
        let (mut lone, mut board) = (SentLedger::new(0), SentLedger::new(0));
        board.board();
        let mut now = Instant::ZERO;
        for (bytes, wait, fraction) in sends {
            now += Duration::from_millis(wait);
            for ledger in [&mut lone, &mut board] {
                ledger.on_sent(ledger.nxt() + bytes, now);
            }
            prop_assert_eq!(lone.tail(9), board.tail(9));
            let upto = at_fraction(&lone, fraction);
            prop_assert_eq!(lone.on_cumulative(upto, now), board.on_cumulative(upto, now));
            prop_assert_eq!(lone.in_flight_bytes(), board.in_flight_bytes());
            prop_assert_eq!((lone.lost_bytes(), lone.sacked_bytes()), (0, 0));
            prop_assert_eq!((lone.recovery(), lone.recovery_end()), (board.recovery(), board.recovery_end()));
            prop_assert_eq!(lone.first_unacked_sent_at(), board.first_unacked_sent_at());
        }
    }
}

fn at_ms(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn rtt_of(ms: u64) -> RttEstimator {
    let mut rtt = RttEstimator::new(&RtoConfig::default());
    rtt.on_sample(Instant::ZERO, Duration::from_millis(ms));
    rtt
}

/// Ten segments, one a millisecond.
fn ten_segments() -> SentLedger {
    let mut ledger = SentLedger::new(0);
    for i in 1..=10 {
        ledger.on_sent(i * 10, at_ms(i));
    }
    ledger
}

#[test]
fn it_is_small_and_request_and_reply_needs_no_board() {
    assert!(size_of::<SentLedger>() <= 32, "{}", size_of::<SentLedger>());
    let mut ledger = SentLedger::new(1);
    for i in 0..100 {
        ledger.on_sent(ledger.nxt() + 64, at_ms(i));
        ledger.on_cumulative(ledger.nxt(), at_ms(i + 1));
        assert!(ledger.detect_loss(at_ms(i + 1), &rtt_of(1), 10) == Loss::default());
    }
    assert!(ledger.board.is_none());
    ledger.on_sent(ledger.nxt() + 1, at_ms(200));
    ledger.mark_all_lost();
    ledger.release();
    assert!(ledger.board.is_some(), "something is outstanding");
    ledger.on_cumulative(ledger.nxt(), at_ms(201));
    ledger.release();
    assert!(ledger.board.is_none());
}

#[test]
fn what_is_sent_again_at_one_time_is_one_entry() {
    let mut ledger = ten_segments();
    ledger.mark_all_lost();
    for i in 0..10 {
        ledger.on_retransmitted(i * 10..(i + 1) * 10, at_ms(300));
        ledger.check_invariants();
    }
    assert_eq!(ledger.board().entries.len(), 1);
}

#[test]
fn a_steady_flow_keeps_few_entries() {
    let mut ledger = SentLedger::new(0);
    for i in 0..1_000u64 {
        ledger.on_sent(ledger.nxt() + 10, at_ms(i));
        ledger.on_sent(ledger.nxt() + 10, at_ms(i));
        ledger.on_cumulative(ledger.nxt().saturating_sub(100), at_ms(i));
    }
    assert_eq!(ledger.board().entries.len(), 5);
}

#[test]
fn three_sacked_segments_above_a_hole_lose_it_and_one_response_covers_the_window() {
    let mut ledger = ten_segments();
    let rtt = rtt_of(20);
    ledger.on_sack(10..30, at_ms(23));
    let early = ledger.detect_loss(at_ms(23), &rtt, 10);
    // Two could be reordering: wait a quarter of the minimum RTT.
    assert_eq!(early, Loss { recheck_at: Some(at_ms(1 + 20 + 5)), ..Loss::default() });
    ledger.on_sack(10..40, at_ms(24));
    let loss = ledger.detect_loss(at_ms(24), &rtt, 10);
    assert_eq!((loss.bytes, loss.new_episode), (10, true));
    assert_eq!(ledger.next_lost(1_000), Some(0..10));
    ledger.on_retransmitted(0..10, at_ms(24));
    assert_eq!(ledger.next_lost(1_000), None);
    // A second hole of the same flight is no second episode.
    ledger.on_sack(50..100, at_ms(30));
    let second = ledger.detect_loss(at_ms(30), &rtt, 10);
    assert_eq!((second.bytes, second.new_episode), (10, false));
    ledger.on_retransmitted(40..50, at_ms(30));
    // The retransmission of the first is lost: that is one (RFC 5681 4.3).
    ledger.on_sack(40..50, at_ms(51));
    let again = ledger.detect_loss(at_ms(51), &rtt, 10);
    assert_eq!((again.bytes, again.new_episode), (10, true));
    ledger.on_retransmitted(0..10, at_ms(51));
    let acked = ledger.on_cumulative(100, at_ms(72));
    assert_eq!((acked.bytes, acked.delivered, acked.rtt_sample), (100, 10, None));
    assert!(acked.recovery_ended);
}

#[test]
fn a_hole_with_too_few_sacks_above_is_lost_when_the_window_passed() {
    let mut ledger = ten_segments();
    let rtt = rtt_of(20);
    ledger.on_cumulative(80, at_ms(28));
    ledger.on_sack(90..100, at_ms(30));
    let recheck_at = ledger.detect_loss(at_ms(30), &rtt, 10).recheck_at.unwrap();
    assert_eq!(recheck_at, at_ms(9 + 20 + 5));
    assert_eq!(ledger.detect_loss(recheck_at, &rtt, 10).bytes, 10);
}

#[test]
fn reordering_once_seen_is_tolerated_and_duplicates_widen_the_window() {
    let mut ledger = ten_segments();
    let rtt = rtt_of(20);
    ledger.on_sack(10..20, at_ms(22));
    ledger.detect_loss(at_ms(22), &rtt, 10);
    // The first segment comes late but was sent only once.
    ledger.on_cumulative(20, at_ms(23));
    ledger.on_sack(30..60, at_ms(26));
    let loss = ledger.detect_loss(at_ms(26), &rtt, 10);
    assert_eq!((loss.bytes, loss.recheck_at), (0, Some(at_ms(3 + 20 + 5))));
    ledger.on_duplicate_sack();
    ledger.on_duplicate_sack();
    // Once a round trip: two quarters now.
    assert_eq!(ledger.detect_loss(at_ms(28), &rtt, 10).recheck_at, Some(at_ms(3 + 20 + 10)));
}

#[test]
fn a_widened_window_is_a_quarter_again_after_sixteen_recoveries_without_duplicates() {
    let mut ledger = ten_segments();
    let rack = &mut ledger.board().rack;
    rack.begin(Duration::from_millis(20));
    let window = |rack: &Rack| rack.reordering_window(false, Duration::from_secs(1)).as_millis();
    rack.on_duplicate_sack(0, 100);
    rack.on_duplicate_sack(100, 200);
    assert_eq!(window(rack), 15);
    for _ in 0..15 {
        rack.on_recovery_ended();
        assert_eq!(window(rack), 15);
    }
    rack.on_recovery_ended();
    assert_eq!(window(rack), 5);
}

#[test]
fn a_partial_acknowledgement_of_less_than_a_segment_takes_no_duplicate_back() {
    let mut ledger = ten_segments();
    for _ in 0..3 {
        ledger.on_duplicate_ack(10);
    }
    ledger.on_retransmitted(0..10, at_ms(30));
    assert_eq!(ledger.in_flight_bytes(), 70);
    ledger.on_cumulative(4, at_ms(50));
    assert_eq!(ledger.in_flight_bytes(), 66, "four bytes fewer, three duplicates still");
}

#[test]
fn newreno_without_sack_repairs_one_hole_a_round_trip() {
    let mut ledger = ten_segments();
    assert_eq!(ledger.on_duplicate_ack(10), Loss::default());
    assert_eq!(ledger.in_flight_bytes(), 90, "limited transmit");
    ledger.on_duplicate_ack(10);
    let loss = ledger.on_duplicate_ack(10);
    assert_eq!((loss.bytes, loss.new_episode), (10, true));
    assert_eq!(ledger.in_flight_bytes(), 100 - 10 - 30);
    ledger.on_retransmitted(0..10, at_ms(30));
    for _ in 0..5 {
        assert_eq!(ledger.on_duplicate_ack(10), Loss::default());
    }
    // Partial: segment 4 is missing too.
    let acked = ledger.on_cumulative(40, at_ms(50));
    assert_eq!((acked.lost, acked.recovery_ended, acked.rtt_sample), (10, false, None));
    assert_eq!(ledger.next_lost(100), Some(40..50));
    ledger.on_retransmitted(40..50, at_ms(50));
    let acked = ledger.on_cumulative(100, at_ms(70));
    assert!(acked.recovery_ended);
    assert_eq!(ledger.in_flight_bytes(), 0);
    // Duplicates of what was sent before the recovery ended start no new one (RFC 6582 3.2).
    ledger.on_sent(110, at_ms(71));
    for _ in 0..6 {
        assert_eq!(ledger.on_duplicate_ack(10).bytes, 0);
    }
}

#[test]
fn a_timeout_spares_what_was_sacked_unless_the_peer_reneged() {
    let mut ledger = ten_segments();
    ledger.on_sack(20..40, at_ms(25));
    let timeout = ledger.mark_all_lost();
    assert_eq!(timeout, Timeout { bytes: 80, first: true, reneged: false });
    assert_eq!(ledger.recovery(), Recovery::Timeout);
    assert_eq!(ledger.next_lost(15), Some(0..15));
    ledger.on_retransmitted(0..15, at_ms(300));
    assert_eq!(ledger.next_lost(15), Some(15..20));
    assert!(!ledger.mark_all_lost().first);
    ledger.on_cumulative(20, at_ms(320));
    let timeout = ledger.mark_all_lost();
    assert_eq!(timeout, Timeout { bytes: 20, first: true, reneged: true });
    assert_eq!(ledger.next_lost(u64::MAX), Some(20..100));
}

#[test]
fn a_peer_that_shreds_our_ranges_is_followed_only_so_far() {
    let mut ledger = SentLedger::new(0);
    ledger.on_sent(100_000, at_ms(1));
    for i in 0..50_000 {
        ledger.on_sack(i * 2..i * 2 + 1, at_ms(2));
    }
    assert!(ledger.board().entries.len() <= ENTRIES_MAX + 1);
    ledger.check_invariants();
    assert_eq!(ledger.on_sack(0..100_000, at_ms(3)).bytes, 100_000 - ENTRIES_MAX as u64 / 2);
    assert_eq!(ledger.in_flight_bytes(), 0);
}

#[test]
fn undo_puts_everything_back_in_flight() {
    let mut ledger = ten_segments();
    ledger.mark_all_lost();
    ledger.on_retransmitted(0..10, at_ms(300));
    ledger.undo();
    assert_eq!((ledger.in_flight_bytes(), ledger.lost_bytes()), (100, 0));
    assert_eq!((ledger.recovery(), ledger.next_lost(9)), (Recovery::Open, None));
}
