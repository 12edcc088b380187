//! A host's own clock: it runs fast or slow, is ahead, and jumps, but never back. A host that is driven by it cannot tell;
//! the world maps its deadlines to true instants, exactly, so that no turn is missed and none comes for nothing.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use burstlane::time::{Instant, nanos};

use crate::world::Node;

/// A clock beside the world's. Cloning clones the handle.
#[derive(Clone, Debug)]
pub struct Clock(Rc<Cell<Reading>>);

/// What it showed at a true instant, and how it goes on from there.
#[derive(Clone, Copy, Debug)]
struct Reading {
    true_at: Instant,
    shown_at: Instant,
    /// Shown nanoseconds in a million true ones.
    rate: u64,
}

impl Default for Clock {
    /// The world's own.
    fn default() -> Self {
        Self::skewed(0, Duration::ZERO)
    }
}

impl Clock {
    /// A clock that gains `parts_per_million` (loses them, if below zero), and is `ahead` from the start. It loses at most
    /// half of the time, and gains at most twice.
    #[must_use]
    pub fn skewed(parts_per_million: i32, ahead: Duration) -> Self {
        let rate = rate(parts_per_million);
        Self(Rc::new(Cell::new(Reading { true_at: Instant::ZERO, shown_at: Instant::ZERO + ahead, rate })))
    }

    /// What it shows at `now`, rounded down.
    #[inline]
    #[must_use]
    pub fn at(&self, now: Instant) -> Instant {
        let Reading { true_at, shown_at, rate } = self.0.get();
        if rate == MILLION || now == Instant::NEVER {
            return shown_at + now.since(true_at);
        }
        let passed = u128::from(nanos(now.since(true_at))) * u128::from(rate) / u128::from(MILLION);
        shown_at.plus_nanos(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// The first true instant at which it shows `shown` or more.
    #[inline]
    #[must_use]
    pub fn when(&self, shown: Instant) -> Instant {
        let Reading { true_at, shown_at, rate } = self.0.get();
        if shown == Instant::NEVER {
            return Instant::NEVER;
        }
        if rate == MILLION {
            return true_at + shown.since(shown_at);
        }
        let passes = (u128::from(nanos(shown.since(shown_at))) * u128::from(MILLION)).div_ceil(u128::from(rate));
        true_at.plus_nanos(u64::try_from(passes).unwrap_or(u64::MAX))
    }

    /// Moves it forward at once by `by`, at the true instant `now`.
    pub fn jump(&self, now: Instant, by: Duration) {
        self.0.set(Reading { true_at: now, shown_at: self.at(now) + by, ..self.0.get() });
    }

    /// Changes how it runs from the true instant `now` on.
    pub fn set_skew(&self, now: Instant, parts_per_million: i32) {
        self.0.set(Reading { true_at: now, shown_at: self.at(now), rate: rate(parts_per_million) });
    }
}

fn rate(parts_per_million: i32) -> u64 {
    let rate = i64::from(parts_per_million).saturating_add_unsigned(MILLION);
    rate.clamp(500_000, 3_000_000).unsigned_abs()
}

const MILLION: u64 = 1_000_000;

/// A node that lives by a clock of its own.
#[derive(Debug)]
pub struct Skewed<N> {
    node: N,
    clock: Clock,
}

impl<N: Node> Skewed<N> {
    /// Drives `node` by `clock`.
    #[must_use]
    pub fn new(node: N, clock: Clock) -> Self {
        Self { node, clock }
    }
}

impl<N: Node> Node for Skewed<N> {
    fn turn(&mut self, now: Instant) -> bool {
        self.node.turn(self.clock.at(now))
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.node.next_deadline().map(|shown| self.clock.when(shown))
    }

    fn has_arrivals(&self) -> bool {
        self.node.has_arrivals()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::cell::RefCell;

    use super::*;
    use crate::{Network, World};

    proptest! {
        /// Whatever it goes through, it never goes back, and `when` names the first instant at which a time is shown.
        #[test]
        fn a_clock_is_monotone_and_its_deadlines_are_exact(
            start in (-600_000_i32..3_000_000, 0_u64..1 << 40),
            changes in proptest::collection::vec((0_u64..1 << 40, 0_u64..1 << 40, -600_000_i32..3_000_000, any::<bool>()), 0..20),
            waits in proptest::collection::vec(0_u64..1 << 42, 1..20),
        ) {
            let clock = Clock::skewed(start.0, Duration::from_nanos(start.1));
            let (mut now, mut shown) = (Instant::ZERO, Instant::ZERO);
            for (pause, jump, ppm, jumps) in changes {
                now = now.plus_nanos(pause);
                let before = clock.at(now);
                prop_assert!(before >= shown);
                if jumps { clock.jump(now, Duration::from_nanos(jump)) } else { clock.set_skew(now, ppm) }
                shown = clock.at(now);
                prop_assert_eq!(nanos(shown.since(before)), if jumps { jump } else { 0 });
                for wait in &waits {
                    let deadline = shown.plus_nanos(*wait);
                    let at = clock.when(deadline);
                    prop_assert!(at >= now && clock.at(at) >= deadline);
                    prop_assert!(at == now || clock.at(Instant::from_nanos(at.as_nanos() - 1)) < deadline);
                }
            }
        }
    }

    #[test]
    fn the_ends_of_time_stay_there() {
        for ppm in [i32::MIN, -100, 0, 100, i32::MAX] {
            let clock = Clock::skewed(ppm, Duration::from_secs(1));
            assert_eq!(clock.when(Instant::NEVER), Instant::NEVER);
            assert_eq!(clock.at(Instant::NEVER), Instant::NEVER);
            assert_eq!(clock.when(Instant::ZERO), Instant::ZERO);
        }
        let second = |ppm| clock_after_a_second(ppm);
        assert_eq!((second(0), second(100), second(-100)), (1_000_000_000, 1_000_100_000, 999_900_000));
    }

    /// Wants a turn at each full second of its clock, and notes the true instants.
    struct Ticker(Network, Instant, Rc<RefCell<Vec<u64>>>);

    impl Node for Ticker {
        fn turn(&mut self, now: Instant) -> bool {
            if now < self.1 {
                return false;
            }
            self.1 = Instant::from_nanos((now.as_nanos() / SECOND + 1) * SECOND);
            self.2.borrow_mut().push(self.0.now().as_nanos());
            false
        }

        fn next_deadline(&self) -> Option<Instant> {
            Some(self.1)
        }
    }

    #[test]
    fn a_skewed_node_misses_no_deadline_and_spins_on_none() {
        for ppm in [0, 100, -100, 333_333, -333_333] {
            let world = World::new(Network::new());
            let (clock, ticks) = (Clock::skewed(ppm, Duration::ZERO), Rc::<RefCell<Vec<u64>>>::default());
            let ticker = Ticker(world.network().clone(), Instant::ZERO, ticks.clone());
            world.add(Skewed::new(ticker, clock.clone()));
            world.run_for(Duration::from_secs(10)).unwrap();
            let due = (0..20).map(|n| clock.when(Instant::from_nanos(n * SECOND)).as_nanos());
            assert_eq!(*ticks.borrow(), due.filter(|at| *at < 10 * SECOND).collect::<Vec<_>>());
            assert!(world.turns() <= 3 * ticks.borrow().len() as u64, "{} turns", world.turns());
            assert_eq!(world.forced_advances(), 0);

            let shown = clock.at(world.now());
            clock.jump(world.now(), Duration::from_secs(3));
            assert_eq!(nanos(clock.at(world.now()).since(shown)), 3 * SECOND);
            world.step();
            assert_eq!(*ticks.borrow().last().unwrap(), 10 * SECOND, "a jump passes a deadline at once");
        }
    }

    const SECOND: u64 = 1_000_000_000;

    fn clock_after_a_second(ppm: i32) -> u64 {
        Clock::skewed(ppm, Duration::ZERO).at(Instant::from_nanos(1_000_000_000)).as_nanos()
    }
}
