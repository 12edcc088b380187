//! Other systems than Linux: no value of these types can exist, so nothing here can be called.

use std::convert::Infallible;
use std::rc::Rc;

use burstlane::driver::{Capabilities, Driver, DriverError};
use burstlane::frame::{Frame, FramePool};

use crate::config::{TapConfig, TapCounters};
use crate::error::OpenError;

/// One queue of a TAP device; there is none on this system.
#[derive(Debug)]
pub struct TapQueue(Infallible);

/// One queue of a TAP device, as a driver; there is none on this system.
#[derive(Debug)]
pub struct Tap(Infallible);

/// Answers that there are no TAP devices.
///
/// # Errors
/// Always [`OpenError::Unsupported`], or what is wrong with the configuration.
pub fn open_queues(config: &TapConfig, _count: usize) -> Result<Vec<TapQueue>, OpenError> {
    config.validate()?;
    Err(OpenError::Unsupported)
}

impl TapQueue {
    /// The driver.
    #[must_use]
    pub fn into_driver(self) -> Tap {
        match self.0 {}
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.0 {}
    }
}

impl Tap {
    /// Answers that there are no TAP devices.
    ///
    /// # Errors
    /// Always [`OpenError::Unsupported`], or what is wrong with the configuration.
    pub fn open(config: &TapConfig) -> Result<Self, OpenError> {
        config.validate()?;
        Err(OpenError::Unsupported)
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.0 {}
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> Rc<TapCounters> {
        match self.0 {}
    }
}

impl Driver for Tap {
    fn capabilities(&self) -> Capabilities {
        match self.0 {}
    }

    fn pool(&self) -> &FramePool {
        match self.0 {}
    }

    fn rx_burst(&mut self, _frames: &mut Vec<Frame>, _frames_max: usize) -> Result<(), DriverError> {
        match self.0 {}
    }

    fn tx_room(&self) -> usize {
        match self.0 {}
    }

    fn tx_burst(&mut self, _frames: &mut Vec<Frame>) -> Result<(), DriverError> {
        match self.0 {}
    }
}
