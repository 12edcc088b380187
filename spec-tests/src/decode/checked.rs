//! A driver that looks at everything that is sent before the device gets it.

use std::time::Duration;

use burstlane::driver::{Capabilities, Driver, DriverError};
use burstlane::frame::{Frame, FramePool};

use super::{Cut, Device, Rules, Task, Watch};

/// A device between which and its lane a decoder stands. It panics with the frame and the reason if one is flawed.
pub struct CheckedDriver {
    inner: Box<dyn Driver>,
    watch: Watch,
}

impl CheckedDriver {
    /// The same driver, watched. Datagrams and echoes may leave in fragments: their senders ask for it by their size.
    #[must_use]
    pub fn boxed(inner: Box<dyn Driver>) -> Box<dyn Driver> {
        let Capabilities { mac, mtu, tx_checksum, segments } = inner.capabilities();
        let watch = Watch::new(Device {
            rules: Rules { mtu: mtu as usize, mac: Some(mac.0), fragments_of: &[ICMP, UDP, ICMPV6] },
            completes_checksums: tx_checksum,
            cuts: (0..=u8::MAX).filter(|protocol| segments.contains(*protocol)).collect(),
        });
        Box::new(Self { inner, watch })
    }
}

/// What is left to the device with this frame.
fn task(frame: &Frame) -> Task {
    let meta = &frame.meta;
    let cut = (meta.segment_bytes != 0).then(|| Cut {
        protocol: meta.segment_protocol,
        header_bytes: meta.header_bytes.into(),
        segment_bytes: meta.segment_bytes.into(),
    });
    Task { checksum: frame.partial_checksum(), cut }
}

impl Driver for CheckedDriver {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn pool(&self) -> &FramePool {
        self.inner.pool()
    }

    fn large_pool(&self) -> Option<&FramePool> {
        self.inner.large_pool()
    }

    fn rx_burst(&mut self, frames: &mut Vec<Frame>, frames_max: usize) -> Result<(), DriverError> {
        self.inner.rx_burst(frames, frames_max)
    }

    fn tx_room(&self) -> usize {
        self.inner.tx_room()
    }

    fn tx_burst(&mut self, frames: &mut Vec<Frame>) -> Result<(), DriverError> {
        // Devices take what they have room for; what is left comes again, and is looked at then.
        let room = self.inner.tx_room();
        for frame in frames.iter().take(room) {
            self.watch.demand(frame.bytes(), &task(frame));
        }
        self.inner.tx_burst(frames)
    }

    fn reap(&mut self) {
        self.inner.reap();
        if !self.inner.is_up() {
            // A link that goes down takes what waits for it along.
            self.watch.forget();
        }
    }

    fn is_up(&self) -> bool {
        self.inner.is_up()
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), DriverError> {
        self.inner.wait(timeout)
    }
}

const ICMP: u8 = 1;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
