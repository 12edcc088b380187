//! Who listens: the [`Observer`] trait and the lane's slot for it. Not a bus: events go to one place, synchronously, in
//! the order in which they happen.

use std::cell::RefCell;
use std::rc::Rc;

use super::Event;
use crate::time::Instant;

/// Receives a lane's events in the order in which they happen. It runs inside the lane's turn: it must not block, and
/// cannot change anything. A lane is `!Send`, so an observer may share state by [`Rc`]: keep a clone of an
/// `Rc<RefCell<O>>`, which is an observer too, and read it between turns.
pub trait Observer {
    /// `event` happened at `now`.
    fn event(&mut self, now: Instant, event: &Event<'_>);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    #[inline]
    fn event(&mut self, _now: Instant, _event: &Event<'_>) {}
}

impl<O: Observer + ?Sized> Observer for Box<O> {
    fn event(&mut self, now: Instant, event: &Event<'_>) {
        (**self).event(now, event);
    }
}

/// A shared observer. An event that arrives while its other owner has it borrowed is not seen.
impl<O: Observer + ?Sized> Observer for Rc<RefCell<O>> {
    fn event(&mut self, now: Instant, event: &Event<'_>) {
        if let Ok(mut observer) = self.try_borrow_mut() {
            observer.event(now, event);
        }
    }
}

/// The lane's slot: empty, or whoever listens. Empty, an event costs one branch and is not built.
#[derive(Default)]
pub struct Observers(Option<Box<dyn Observer>>);

impl Observers {
    /// Nobody listens.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// Adds a listener behind those already there.
    pub fn attach(&mut self, observer: impl Observer + 'static) {
        self.0 = Some(match self.0.take() {
            None => Box::new(observer),
            Some(first) => Box::new(Pair(first, observer)),
        });
    }

    /// Whether anybody listens: for callers that must gather what an event says.
    #[inline]
    #[must_use]
    pub const fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Tells whoever listens; `event` is built only then.
    #[inline]
    pub fn emit<'e>(&mut self, now: Instant, event: impl FnOnce() -> Event<'e>) {
        if let Some(observer) = &mut self.0 {
            tell(&mut **observer, now, &event());
        }
    }
}

impl std::fmt::Debug for Observers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_some() { "Observers(some)" } else { "Observers(none)" })
    }
}

/// Two listeners as one.
struct Pair<A, B>(A, B);

impl<A: Observer, B: Observer> Observer for Pair<A, B> {
    fn event(&mut self, now: Instant, event: &Event<'_>) {
        self.0.event(now, event);
        self.1.event(now, event);
    }
}

/// Out of line, so that what callers inline is the branch alone.
#[cold]
#[inline(never)]
fn tell(observer: &mut dyn Observer, now: Instant, event: &Event<'_>) {
    observer.event(now, event);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Reasons(Vec<&'static str>);

    impl Observer for Reasons {
        fn event(&mut self, _now: Instant, event: &Event<'_>) {
            if let Event::Dropped { reason } = event {
                self.0.push(reason);
            }
        }
    }

    #[test]
    fn an_empty_slot_builds_no_event() {
        let mut observers = Observers::none();
        observers.emit(Instant::ZERO, || unreachable!("nobody listens"));
        assert!(!observers.is_some());
        assert_eq!(size_of::<NoObserver>(), 0);
    }

    #[test]
    fn all_listeners_hear_all_events_in_order() {
        let (first, second) = (Rc::new(RefCell::new(Reasons::default())), Rc::new(RefCell::new(Reasons::default())));
        let mut observers = Observers::none();
        observers.attach(Rc::clone(&first));
        observers.attach(NoObserver);
        observers.attach(Rc::clone(&second));
        for reason in ["short", "checksum"] {
            observers.emit(Instant::ZERO, || Event::Dropped { reason });
        }
        assert_eq!(first.borrow().0, ["short", "checksum"]);
        assert_eq!(second.borrow().0, ["short", "checksum"]);
    }

    #[test]
    fn an_observer_being_read_misses_the_event_and_nothing_panics() {
        let shared = Rc::new(RefCell::new(Reasons::default()));
        let mut observers = Observers::none();
        observers.attach(Rc::clone(&shared));
        let reading = shared.borrow();
        observers.emit(Instant::ZERO, || Event::Dropped { reason: "short" });
        assert!(reading.0.is_empty());
    }
}
