//! Links for tests that judge transports: the standard one, which spares the questions for neighbours.

use burstlane::time::{Duration, Instant};
pub use burstlane_sim::is_neighbour_traffic;
use burstlane_sim::{Fate, LinkConfig, LinkModel, Passing, StandardLink};

/// A standard link on which neighbours always find each other. With a fifth of all frames lost, one in twenty questions
/// would go unanswered three times, and a transport that then says "unreachable" would be right.
#[derive(Clone)]
pub struct SparingLink {
    inner: Box<dyn LinkModel>,
    delay: Duration,
}

impl SparingLink {
    /// A link like this, its faults drawn from `seed`.
    ///
    /// # Panics
    /// If the configuration makes no sense.
    #[must_use]
    pub fn boxed(config: &LinkConfig, seed: u64) -> Box<dyn LinkModel> {
        let inner = StandardLink::boxed(config.clone(), seed).unwrap();
        Box::new(Self { inner, delay: config.delay })
    }
}

impl LinkModel for SparingLink {
    fn transit(&mut self, now: Instant, frame: &Passing<'_>) -> Fate {
        if is_neighbour_traffic(frame.bytes) {
            return Fate::after(self.delay);
        }
        self.inner.transit(now, frame)
    }

    fn next_release(&self) -> Option<Instant> {
        self.inner.next_release()
    }

    fn release(&mut self, at: Instant, frame: &Passing<'_>) -> Fate {
        self.inner.release(at, frame)
    }
}
