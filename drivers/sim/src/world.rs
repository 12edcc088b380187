//! The world: everything that lives on a simulated network, and the rule by which time passes there. Nodes take their
//! turns at one instant until nothing moves; then the clock jumps to the next arrival or deadline. Nothing waits.
//!
//! A node for which nothing [has arrived](Node::has_arrivals) is passed over, which saves a large world most of its turns
//! and changes nothing else. All get their turns at the first instant of a run, because whoever runs the world may have done
//! something to them, where an [alarm](Network::alarm) goes off, and when [somebody asks](Network::wake_all).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use burstlane::time::Instant;
use thiserror::Error;

use crate::network::Network;

/// Something that lives on the network by turns: a host, a foreign stack, a script.
pub trait Node {
    /// One turn: receives what came, lets its application run, sends what is owed. Returns whether anything happened, so
    /// that others may have something to do now.
    fn turn(&mut self, now: Instant) -> bool;

    /// When it wants a turn even if nothing comes. An instant in the past means at once.
    fn next_deadline(&self) -> Option<Instant>;

    /// Whether something has arrived for it. A node that says no is passed over until its deadline, for which it is asked
    /// after its turns only. One that cannot tell says yes, as by default, and gets a turn whenever anybody does.
    fn has_arrivals(&self) -> bool {
        true
    }
}

/// A network and its nodes. Cloning clones the handle.
#[derive(Clone)]
pub struct World(pub(crate) Rc<Inner>);

pub(crate) struct Inner {
    network: Network,
    nodes: RefCell<Vec<Place>>,
    /// All get their turns at the present instant.
    takes_all: Cell<bool>,
    /// Turns at the present instant, and those of them, the last, in which nothing happened.
    turns_here: Cell<u32>,
    idle_here: Cell<u32>,
    turns: Cell<u64>,
    forced: Cell<u64>,
}

/// A node, when it had its last turn, and its deadline after that; never, if it has none.
struct Place {
    node: Box<dyn Node>,
    turned_at: Option<Instant>,
    deadline: Instant,
    /// It can tell whether something has arrived: it did so once.
    tells: bool,
}

impl Place {
    fn turn(&mut self, now: Instant) -> bool {
        let moved = self.node.turn(now);
        self.turned_at = Some(now);
        self.deadline = self.deadline_now();
        moved
    }

    fn is_due(&mut self, now: Instant) -> bool {
        if self.deadline <= now {
            return true;
        }
        let has_arrivals = self.node.has_arrivals();
        self.tells |= !has_arrivals;
        has_arrivals
    }

    /// Its deadline, after a round in which nothing happened. One that cannot tell is asked again: another node may have
    /// done something to it since its turn.
    fn deadline_after_all(&self) -> Instant {
        if !self.tells {
            return self.deadline_now();
        }
        debug_assert_eq!(
            self.deadline,
            self.deadline_now(),
            "something was done to a node from outside of its turn: `Network::wake_all` must be told"
        );
        self.deadline
    }

    fn deadline_now(&self) -> Instant {
        self.node.next_deadline().unwrap_or(Instant::NEVER)
    }
}

/// What a step of the world came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something happened, at this instant.
    Moved,
    /// Nothing did, and the clock went on.
    Advanced,
    /// Nothing did, nothing is under way, and nobody has a deadline: nothing will ever happen again by itself.
    Quiet,
    /// The step was taken from within a node's turn, where time cannot pass; nothing was done.
    Nested,
}

/// Why a run ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The condition did not come true in the virtual time given.
    #[error("not within the time given: it is {now}")]
    TimeLimit {
        /// The clock when it was given up.
        now: Instant,
    },
    /// Nothing is under way and nobody has a deadline, so the condition never comes true.
    #[error("nothing is under way and nobody waits for anything: it is {now}")]
    Quiet {
        /// The clock when everything fell silent.
        now: Instant,
    },
    /// A node's turn wanted to run the world that it is a part of.
    #[error("a node cannot run the world from within its turn")]
    Nested,
}

impl World {
    /// An empty world around `network`.
    #[must_use]
    pub fn new(network: Network) -> Self {
        Self(Rc::new(Inner {
            network,
            nodes: RefCell::default(),
            takes_all: Cell::new(true),
            turns_here: Cell::new(0),
            idle_here: Cell::new(0),
            turns: Cell::new(0),
            forced: Cell::new(0),
        }))
    }

    /// Adds a node. Nodes take their turns in the order of adding.
    ///
    /// # Panics
    /// If called from within a node's turn.
    pub fn add(&self, node: impl Node + 'static) {
        self.0.nodes.borrow_mut().push(Place {
            node: Box::new(node),
            turned_at: None,
            deadline: Instant::ZERO,
            tells: false,
        });
        self.0.takes_all.set(true);
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.0.network
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.network.now()
    }

    /// Turns of the whole world so far.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.0.turns.get()
    }

    /// How often the clock was pushed on because an instant did not end: a node asked for turns without using them, or
    /// two found ever more to say to each other in no time. Neither is an error, and the first is a bug.
    #[must_use]
    pub fn forced_advances(&self) -> u64 {
        self.0.forced.get()
    }

    /// One turn of every node; if nothing happened in any, the clock goes on.
    pub fn step(&self) -> Step {
        self.0.takes_all.set(true);
        self.step_to(Instant::NEVER)
    }

    /// Lets the world go on until `done`, which is asked after every step, or for `limit` of virtual time.
    ///
    /// # Errors
    /// `done` did not come true.
    pub fn run_until(&self, limit: Duration, mut done: impl FnMut() -> bool) -> Result<(), RunError> {
        let ends_at = self.now() + limit;
        let mut end = None;
        self.0.takes_all.set(true);
        while !done() {
            if let Some(error) = end {
                return Err(error);
            }
            end = match self.step_to(ends_at) {
                Step::Advanced if self.now() >= ends_at => Some(RunError::TimeLimit { now: self.now() }),
                Step::Moved | Step::Advanced => None,
                Step::Quiet => Some(RunError::Quiet { now: self.now() }),
                Step::Nested => Some(RunError::Nested),
            };
        }
        if let Ok(mut nodes) = self.0.nodes.try_borrow_mut() {
            show_the_time(&mut nodes, self.now());
        }
        Ok(())
    }

    /// Lets the world go on for `span` of virtual time. If it falls silent before, the rest passes in silence.
    ///
    /// # Errors
    /// Called from within a node's turn.
    pub fn run_for(&self, span: Duration) -> Result<(), RunError> {
        let ends_at = self.now() + span;
        match self.run_until(span, || false) {
            Ok(()) | Err(RunError::TimeLimit { .. } | RunError::Quiet { .. }) => {
                self.0.network.advance(ends_at);
                Ok(())
            }
            Err(RunError::Nested) => Err(RunError::Nested),
        }
    }

    /// As [`step`](Self::step), but the clock goes no further than `ends_at`.
    fn step_to(&self, ends_at: Instant) -> Step {
        let inner = &*self.0;
        let Ok(mut nodes) = inner.nodes.try_borrow_mut() else { return Step::Nested };
        let now = self.now();
        if inner.network.takes_all() {
            inner.takes_all.set(true);
        }
        let (takes_all, mut moved) = (inner.takes_all.get(), false);
        for place in nodes.iter_mut() {
            if takes_all || place.is_due(now) {
                moved |= place.turn(now);
            }
        }
        bump(&inner.turns);
        let turns_here = inner.turns_here.get() + 1;
        inner.turns_here.set(turns_here);
        if moved && turns_here < TURNS_AN_INSTANT_MAX {
            inner.idle_here.set(0);
            return Step::Moved;
        }
        let deadline = nodes.iter().map(Place::deadline_after_all).min().filter(|at| *at != Instant::NEVER);
        let next = match inner.network.next_arrival().into_iter().chain(deadline).min() {
            Some(next) if next > now && !moved => next,
            None if !moved => {
                show_the_time(&mut nodes, now);
                return Step::Quiet;
            }
            Some(_) if !moved && inner.idle_here.get() < IDLE_TURNS_MAX => {
                // Something is due: a timer that was served just now may want another turn.
                inner.idle_here.set(inner.idle_here.get() + 1);
                return Step::Moved;
            }
            _ => {
                bump(&inner.forced);
                now + FORCED_ADVANCE
            }
        };
        inner.turns_here.set(0);
        inner.idle_here.set(0);
        if next >= ends_at {
            show_the_time(&mut nodes, now);
        }
        inner.takes_all.set(false);
        inner.network.advance(next.min(ends_at));
        Step::Advanced
    }
}

/// Gives a turn to those that were passed over at this instant, where the world is left to whoever runs it: the time of a
/// host is that of its last turn. They are not due, so it does nothing else.
fn show_the_time(nodes: &mut [Place], now: Instant) {
    for place in nodes.iter_mut().filter(|place| place.turned_at != Some(now)) {
        if !place.is_due(now) {
            place.turn(now);
        }
    }
}

fn bump(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

/// Turns that nodes get at one instant. A real machine would long have needed time for them.
const TURNS_AN_INSTANT_MAX: u32 = 100_000;
/// Turns at one instant without anything happening, while a deadline says that something will.
const IDLE_TURNS_MAX: u32 = 16;
/// How far the clock is pushed when an instant does not end.
const FORCED_ADVANCE: Duration = Duration::from_micros(1);

#[cfg(test)]
mod tests {
    use burstlane::driver::Driver;

    use super::*;
    use crate::{EndConfig, Fate, Ideal, Passing, SimDriver};

    /// Sends back what comes, or something of its own each `every`, so often.
    struct Toy {
        end: SimDriver,
        every: Option<Duration>,
        next_at: Instant,
        left: u32,
        heard: Rc<RefCell<Vec<Instant>>>,
    }

    impl Node for Toy {
        fn turn(&mut self, now: Instant) -> bool {
            let mut frames = vec![];
            self.end.rx_burst(&mut frames, 8).unwrap();
            self.heard.borrow_mut().extend(frames.iter().map(|_| now));
            if let Some(every) = self.every {
                frames.clear();
                if self.left > 0 && self.next_at <= now {
                    self.left -= 1;
                    self.next_at = now + every;
                    let mut frame = self.end.pool().alloc().unwrap();
                    assert!(frame.extend_from_slice(&[0; 60]));
                    frames.push(frame);
                }
            }
            let moved = !frames.is_empty();
            self.end.tx_burst(&mut frames).unwrap();
            moved
        }

        fn next_deadline(&self) -> Option<Instant> {
            (self.left > 0).then_some(self.next_at)
        }
    }

    type Heard = Rc<RefCell<Vec<Instant>>>;

    fn ping_pong(delay: Duration, every: [Option<Duration>; 2], left: u32) -> (World, Heard) {
        let world = World::new(Network::new());
        let model = move |_: Instant, _: &Passing<'_>| Fate::after(delay);
        let (a, b) =
            world.network().link(EndConfig::host(1), EndConfig::host(2), Box::new(model), Box::<Ideal>::default());
        let heard = Heard::default();
        let next_at = Instant::ZERO;
        world.add(Toy { end: a, every: every[0], next_at, left, heard: heard.clone() });
        world.add(Toy { end: b, every: every[1], next_at, left: 0, heard: Heard::default() });
        (world, heard)
    }

    #[test]
    fn time_jumps_from_one_happening_to_the_next() {
        let ms = Duration::from_millis;
        let (world, heard) = ping_pong(ms(20), [Some(ms(50)), None], 3);
        world.run_until(ms(1000), || heard.borrow().len() == 3).unwrap();
        let at: Vec<_> = heard.borrow().iter().map(|at| at.as_nanos() / 1_000_000).collect();
        assert_eq!(at, [20, 70, 120]);
        assert!(world.turns() < 20, "{} turns", world.turns());
        assert_eq!(world.forced_advances(), 0);
        assert!(matches!(world.run_until(ms(1000), || false), Err(RunError::Quiet { .. })));
        world.run_for(ms(80)).unwrap();
        assert_eq!(world.now(), Instant::ZERO + ms(200));
    }

    #[test]
    fn a_limit_holds_and_is_not_passed() {
        let s = Duration::from_secs;
        let (world, _) = ping_pong(s(3), [Some(s(100)), None], 3);
        assert_eq!(world.run_until(s(1), || false), Err(RunError::TimeLimit { now: Instant::ZERO + s(1) }));
        world.run_for(s(1)).unwrap();
        assert_eq!(world.now(), Instant::ZERO + s(2));
    }

    /// Two nodes on a wire without delay that never stop talking cannot stop the clock.
    #[test]
    fn an_endless_instant_ends() {
        let (world, heard) = ping_pong(Duration::ZERO, [None, None], 0);
        let end = world.network().link(
            EndConfig::host(3),
            EndConfig::host(4),
            Box::<Ideal>::default(),
            Box::<Ideal>::default(),
        );
        let (mut starter, echo) = end;
        let mut frame = starter.pool().alloc().unwrap();
        assert!(frame.extend_from_slice(&[0; 60]));
        starter.tx_burst(&mut vec![frame]).unwrap();
        for end in [starter, echo] {
            world.add(Toy { end, every: None, next_at: Instant::ZERO, left: 0, heard: heard.clone() });
        }
        world.run_until(Duration::from_millis(1), || world.now() > Instant::ZERO).unwrap();
        assert_eq!((world.now().as_nanos(), world.forced_advances()), (1000, 1));
        assert!(heard.borrow().len() >= TURNS_AN_INSTANT_MAX as usize);
    }

    /// Waits for nothing but its deadline, which somebody else sets.
    #[cfg(debug_assertions)]
    struct Sleeper(Rc<Cell<Option<Instant>>>);

    #[cfg(debug_assertions)]
    impl Node for Sleeper {
        fn turn(&mut self, now: Instant) -> bool {
            self.0.set(self.0.get().filter(|at| *at > now));
            false
        }

        fn next_deadline(&self) -> Option<Instant> {
            self.0.get()
        }

        fn has_arrivals(&self) -> bool {
            false
        }
    }

    /// A deadline that changes behind the world's back would be missed. Where tests run, that is noticed.
    #[cfg(debug_assertions)]
    #[test]
    fn what_is_done_to_a_node_within_a_run_must_be_told() {
        let ms = Duration::from_millis;
        let run = |tells: bool| {
            let (world, heard) = ping_pong(ms(1), [Some(ms(10)), None], 10);
            let deadline = Rc::new(Cell::new(None));
            world.add(Sleeper(deadline.clone()));
            let done = || {
                if heard.borrow().len() == 3 && deadline.get().is_none() {
                    deadline.set(Some(world.now() + ms(1)));
                    if tells {
                        world.network().wake_all();
                    }
                }
                heard.borrow().len() == 8
            };
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run_until(ms(1000), done)))
        };
        assert_eq!(run(true).unwrap(), Ok(()));
        assert!(run(false).is_err());
    }

    #[test]
    fn a_node_cannot_run_its_own_world() {
        struct Nested(World, Rc<Cell<Option<RunError>>>);
        impl Node for Nested {
            fn turn(&mut self, _now: Instant) -> bool {
                self.1.set(self.0.run_until(Duration::from_secs(1), || true).err());
                self.1.set(self.0.run_for(Duration::from_secs(1)).err());
                false
            }
            fn next_deadline(&self) -> Option<Instant> {
                None
            }
        }
        let (world, said) = (World::new(Network::new()), Rc::default());
        world.add(Nested(world.clone(), Rc::clone(&said)));
        assert_eq!(world.step(), Step::Quiet);
        assert_eq!(said.get(), Some(RunError::Nested));
    }
}
