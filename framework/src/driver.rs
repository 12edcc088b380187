//! A packet source and sink: what a lane needs of one queue of one device.
//!
//! A driver is built on its lane by a `Send` factory and never leaves it. It moves frames in bursts and says what the
//! device can do; what it cannot do (checksums, segmentation) the framework does before the frame gets here.

use std::time::Duration;

use thiserror::Error;

use crate::addr::Mac;
use crate::frame::{Frame, FramePool};

/// One queue of a device, owned by one lane.
pub trait Driver {
    /// What the device does for us. Asked once, when the interface is added.
    fn capabilities(&self) -> Capabilities;

    /// The memory for frames of up to an MTU that leave by this device.
    fn pool(&self) -> &FramePool;

    /// The memory for frames larger than [`pool`](Self::pool)'s slots, where the device takes them (segmentation).
    fn large_pool(&self) -> Option<&FramePool> {
        None
    }

    /// Appends up to `frames_max` received frames, Ethernet header first. None is the normal answer when none came.
    ///
    /// # Errors
    /// The device is gone, or down. Frames appended before the error count.
    fn rx_burst(&mut self, frames: &mut Vec<Frame>, frames_max: usize) -> Result<(), DriverError>;

    /// Frames that [`tx_burst`](Self::tx_burst) would take now. Nothing is built beyond it.
    fn tx_room(&self) -> usize;

    /// Takes frames from the front of `frames` as far as there is room and leaves the rest. A taken frame stays the
    /// driver's until its completion is reaped.
    ///
    /// # Errors
    /// The device is gone, or down. Frames taken before the error count as sent.
    fn tx_burst(&mut self, frames: &mut Vec<Frame>) -> Result<(), DriverError>;

    /// Returns finished transmissions to their pools. Called once a turn.
    fn reap(&mut self) {}

    /// Whether the link is up.
    fn is_up(&self) -> bool {
        true
    }

    /// Sleeps until something can be received or `timeout` has passed; `None` waits without end. A driver without a
    /// descriptor returns at once.
    ///
    /// # Errors
    /// As [`rx_burst`](Self::rx_burst).
    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), DriverError> {
        let _ = timeout;
        Ok(())
    }
}

/// What a device does and how it looks from the wire.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// Our Ethernet address there.
    pub mac: Mac,
    /// Largest IP packet, bytes, 576 to 65,535.
    pub mtu: u32,
    /// It completes transport checksums ([`Checksum::Partial`](crate::frame::Checksum::Partial)).
    pub tx_checksum: bool,
    /// IP protocols whose large frames it cuts into segments.
    pub segments: ProtocolSet,
}

impl Default for Capabilities {
    /// A plain Ethernet device: MTU 1500, no offloads.
    fn default() -> Self {
        Self { mac: Mac([2, 0, 0, 0, 0, 1]), mtu: 1500, tx_checksum: false, segments: ProtocolSet::NONE }
    }
}

/// A small set of IP protocol numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProtocolSet([u64; 4]);

impl ProtocolSet {
    /// No protocol.
    pub const NONE: Self = Self([0; 4]);

    /// The set with `protocol` added.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "a u8 divided by 64 is below 4")]
    pub const fn with(mut self, protocol: u8) -> Self {
        self.0[(protocol / 64) as usize] |= 1 << (protocol % 64);
        self
    }

    /// Whether `protocol` is in it.
    #[inline]
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "a u8 divided by 64 is below 4")]
    pub const fn contains(self, protocol: u8) -> bool {
        self.0[(protocol / 64) as usize] >> (protocol % 64) & 1 == 1
    }
}

/// What can go wrong with a device. Neither is a reason to lose accepted data: flows wait, or learn of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The device was removed, or its descriptor closed. It will not come back.
    #[error("the device is gone: {0}")]
    Gone(String),
    /// The link or the interface is down. It may come back.
    #[error("the interface is down: {0}")]
    Down(String),
}
