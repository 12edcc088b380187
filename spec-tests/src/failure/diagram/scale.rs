//! From time to height. Not a straight line: what happens at one instant may need many lines of text, and of long silence
//! only a strip is drawn, which says how long it is.

use std::time::Duration;

use burstlane::time::{Instant, nanos};

/// Heights of the instants at which something happens.
#[derive(Clone, Debug, Default)]
pub(super) struct TimeScale {
    steps: Vec<Step>,
}

/// All that is drawn of one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) at: Instant,
    /// Height where it begins and where its last line stands.
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl TimeScale {
    pub(super) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The height of an instant; between two steps in proportion.
    pub(super) fn y(&self, at: Instant) -> f64 {
        let next = self.steps.partition_point(|step| step.at < at);
        match (next.checked_sub(1).and_then(|before| self.steps.get(before)), self.steps.get(next)) {
            (_, Some(step)) if step.at == at => step.top,
            (Some(before), Some(after)) => {
                let share = nanos(at.since(before.at)) as f64 / nanos(after.at.since(before.at)) as f64;
                before.bottom + share * (after.top - before.bottom)
            }
            (Some(last), None) => last.bottom,
            (None, Some(first)) => first.top,
            (None, None) => 0.0,
        }
    }
}

/// How much room a stretch of time takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Room {
    /// So much, in proportion.
    Proportional(f64),
    /// It is silence, drawn as a strip.
    Silence,
}

/// A rule for stretches of time: one flight of a packet has a fixed height.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    flight: Duration,
}

impl Pace {
    /// The pace for packets that fly so long, typically: the median.
    pub(super) fn of(mut flights: Vec<Duration>) -> Self {
        flights.sort_unstable();
        let median = flights.get(flights.len() / 2).copied().unwrap_or_default();
        Self { flight: if median.is_zero() { FLIGHT_IF_NONE } else { median } }
    }

    /// The room of a stretch of time.
    pub(super) fn room(&self, time: Duration) -> Room {
        let flights = nanos(time) as f64 / nanos(self.flight) as f64;
        if flights > SILENCE_FLIGHTS { Room::Silence } else { Room::Proportional(flights * FLIGHT_HEIGHT) }
    }
}

/// Height of one flight.
pub(super) const FLIGHT_HEIGHT: f64 = 44.0;
/// What lasts longer than so many flights, and nothing happens, is silence.
const SILENCE_FLIGHTS: f64 = 2.2;
/// The flight that counts where packets arrive at once.
const FLIGHT_IF_NONE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_steps_time_runs_evenly() {
        let mut scale = TimeScale::default();
        let at = Instant::from_nanos;
        assert_eq!(scale.y(at(5)), 0.0);
        scale.push(Step { at: at(10), top: 10.0, bottom: 30.0 });
        scale.push(Step { at: at(20), top: 50.0, bottom: 50.0 });
        let heights = [0, 10, 11, 15, 20, 99].map(|nanos| scale.y(at(nanos)));
        assert_eq!(heights, [10.0, 10.0, 32.0, 40.0, 50.0, 50.0]);
    }

    #[test]
    fn long_silence_is_short() {
        let pace = Pace::of(vec![Duration::from_millis(5); 3]);
        assert_eq!(pace.room(Duration::from_millis(5)), Room::Proportional(FLIGHT_HEIGHT));
        assert_eq!(pace.room(Duration::from_secs(1)), Room::Silence);
        assert_eq!(Pace::of(vec![Duration::ZERO]).room(FLIGHT_IF_NONE), Room::Proportional(FLIGHT_HEIGHT));
    }
}
