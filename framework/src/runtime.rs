//! The real world: a host driven by a real clock, and secrets from the operating system. Nothing else in the framework
//! knows what time it is or draws what does not follow from a seed. Idle is adaptive: after a turn with nothing to do it sleeps on the device until the
//! next deadline, so an idle program uses no core.

use std::io;
use std::time::Duration;

use rand_core::TryRngCore;

use crate::driver::DriverError;
use crate::lane::LaneConfig;
use crate::socket::{Host, Pump};
use crate::time::Instant;

/// A host on the real clock, which counts from when this was made.
pub struct RealTime {
    host: Host,
    started: std::time::Instant,
    idle_max: Duration,
}

impl RealTime {
    /// Drives `host`. An idle turn sleeps at most `idle_max`, so that the caller can look at other things.
    #[must_use]
    pub fn new(host: Host, idle_max: Duration) -> Self {
        Self { host, started: std::time::Instant::now(), idle_max }
    }

    /// The present reading.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.started.elapsed()
    }

    /// One turn: receive, `app`, transmit; then a sleep if nothing moved and nothing is due. `app` returns whether it did
    /// something.
    ///
    /// # Errors
    /// A device is gone. One that is down may come back, and is no error here.
    pub fn turn(&self, app: impl FnOnce() -> bool) -> Result<(), DriverError> {
        let received = self.host.receive(self.now());
        let active = app();
        let sent = self.host.transmit(self.now());
        if let Some(DriverError::Gone(name)) = self.host.lane().take_fault() {
            return Err(DriverError::Gone(name));
        }
        if received > 0 || sent > 0 || active {
            return Ok(());
        }
        let until_due = self.host.next_deadline().map(|at| at.since(self.now()));
        let sleep = until_due.unwrap_or(self.idle_max).min(self.idle_max);
        // Something is due, but the device takes nothing now: look again soon instead of spinning.
        let sleep = sleep.max(SLEEP_MIN);
        if !self.host.lane().has_interfaces() {
            std::thread::sleep(sleep);
            return Ok(());
        }
        match self.host.lane().wait(Some(sleep)) {
            Err(DriverError::Down(_)) => {
                std::thread::sleep(DOWN_POLL.min(self.idle_max));
                Ok(())
            }
            other => other,
        }
    }
}

impl LaneConfig {
    /// A lane with secrets from the operating system: for real networks.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn from_entropy() -> io::Result<Self> {
        let mut seed = [0; 32];
        rand_core::OsRng.try_fill_bytes(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self { seed, ..Self::seeded(0) })
    }
}

impl Pump for RealTime {
    fn pump(&self) -> io::Result<()> {
        self.turn(|| false).map_err(io::Error::other)
    }

    fn now(&self) -> Option<Instant> {
        Some(Self::now(self))
    }
}

/// The shortest sleep: timers are no finer than this on a real clock.
const SLEEP_MIN: Duration = Duration::from_micros(50);
/// How often a device that is down is looked at.
const DOWN_POLL: Duration = Duration::from_millis(50);
