//! What time it is for the hosts of a workload.

/// A clock that the hosts of a workload are driven by.
pub(super) enum Clock {
    /// Runs by itself.
    Real(std::time::Instant),
    /// Moves by a step each time it is read, so that timers and windows are the same in every run.
    Stepping(u64),
}

impl Clock {
    pub(super) fn real() -> Self {
        Self::Real(std::time::Instant::now())
    }

    pub(super) const fn stepping() -> Self {
        Self::Stepping(0)
    }

    /// Nanoseconds since its start.
    pub(super) fn nanos(&mut self) -> u64 {
        match self {
            Self::Real(started) => u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX),
            Self::Stepping(nanos) => {
                *nanos += STEP_NANOS;
                *nanos
            }
        }
    }
}

/// About what half a round of a workload takes.
const STEP_NANOS: u64 = 16_000;
