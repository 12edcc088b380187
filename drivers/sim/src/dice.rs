//! Chance, drawn from a seed: for links and devices whose misfortunes repeat.

use std::time::Duration;

use burstlane::time::nanos;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// The draws of one seed, one after another. They are the same on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// True with probability `p`. Draws only where there is a choice, so unused faults cost nothing.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        const ONE: f64 = (1_u64 << 53) as f64;
        p > 0.0 && ((self.0.next_u64() >> 11) as f64) < p * ONE
    }

    /// Uniform in 0 to `max`, both included.
    pub(crate) fn up_to(&mut self, max: Duration) -> Duration {
        if max.is_zero() {
            return Duration::ZERO;
        }
        let span = u128::from(nanos(max)) + 1;
        Duration::from_nanos(((u128::from(self.0.next_u64()) * span) >> 64) as u64)
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }
}
