//! A driver that looks at everything that is sent before the device gets it. What the lane leaves to the device is finished
//! here on a copy: a checksum of which only the pseudo-header's sum is there (RFC 1071 makes that a true part of the whole),
//! and a frame that the device is to cut, which is judged as one large packet, and by what it tells the device.

use std::fmt::Write;
use std::time::Duration;

use burstlane::driver::{Capabilities, Driver, DriverError};
use burstlane::frame::{Frame, FramePool};

use super::{Content, Decoded, ETHERNET_BYTES, Flaw, Fragments, ICMP, ICMPV6, Rules, UDP, decode, fold, ones_sum};

/// A device between which and its lane a decoder stands. It panics with the frame and the reason if one is flawed.
pub struct CheckedDriver {
    inner: Box<dyn Driver>,
    capabilities: Capabilities,
    rules: Rules,
    fragments: Fragments,
    /// A frame as the device will have finished it.
    finished: Vec<u8>,
}

impl CheckedDriver {
    /// The same driver, watched. Datagrams and echoes may leave in fragments: their senders ask for it by their size.
    #[must_use]
    pub fn boxed(inner: Box<dyn Driver>) -> Box<dyn Driver> {
        let capabilities = inner.capabilities();
        let rules =
            Rules { mtu: capabilities.mtu as usize, mac: Some(capabilities.mac.0), fragments_of: &[ICMP, UDP, ICMPV6] };
        // Room for what is copied, so that no measured allocation is ours.
        let finished = Vec::with_capacity(FRAME_BYTES_MAX);
        Box::new(Self { inner, capabilities, rules, fragments: Fragments::default(), finished })
    }

    fn check(&mut self, frame: &Frame) -> Result<(), Flaw> {
        let is_large = frame.meta.segment_bytes != 0;
        let mtu = if is_large { usize::from(u16::MAX) } else { self.rules.mtu };
        let rules = Rules { mtu, ..self.rules };
        let bytes = match frame.partial_checksum() {
            None => frame.bytes(),
            Some((start, field)) => {
                ensure!(self.capabilities.tx_checksum, "a checksum is left to a device that completes none");
                finish(frame.bytes(), start, field, &mut self.finished)?;
                &self.finished
            }
        };
        match decode(bytes, &rules)? {
            Decoded::Ip(header, Content::Fragment(fragment)) => self.fragments.take(&header, &fragment),
            Decoded::Ip(header, content) if is_large => {
                self.check_cut(frame, header.protocol, content.payload().unwrap_or_default())
            }
            Decoded::Arp | Decoded::Ip(..) => Ok(()),
        }
    }

    /// What the device is told of a frame that it is to cut.
    fn check_cut(&self, frame: &Frame, protocol: u8, payload: &[u8]) -> Result<(), Flaw> {
        let meta = &frame.meta;
        ensure!(self.capabilities.segments.contains(protocol), "to be cut by a device that does not cut {protocol}");
        ensure!(meta.segment_protocol == protocol, "to be cut as {}, and is {protocol}", meta.segment_protocol);
        ensure!(frame.partial_checksum().is_some(), "to be cut, with a checksum that is right for the whole only");
        let header_bytes = usize::from(meta.header_bytes);
        ensure!(header_bytes + payload.len() == frame.len(), "to be cut behind {header_bytes} bytes of headers");
        let packet_bytes = header_bytes - ETHERNET_BYTES + usize::from(meta.segment_bytes);
        ensure!(packet_bytes <= self.rules.mtu, "to be cut into packets of {packet_bytes} bytes");
        ensure!(payload.len() > usize::from(meta.segment_bytes), "to be cut, and is one segment");
        Ok(())
    }
}

/// Completes a checksum as the device does: over all from `start` on, which has the pseudo-header's sum at `field`.
fn finish(frame: &[u8], start: usize, field: usize, finished: &mut Vec<u8>) -> Result<(), Flaw> {
    finished.clear();
    finished.extend_from_slice(frame);
    let covered = frame.get(start..).filter(|covered| covered.len() >= field + 2);
    let covered = covered.ok_or_else(|| Flaw("a checksum is left to the device that is not in the frame".into()))?;
    // A sum of zero is written in its other form: UDP demands that, TCP does not mind.
    let sum = !fold(ones_sum(covered));
    let sum = if sum == 0 { 0xffff } else { sum };
    finished[start + field..start + field + 2].copy_from_slice(&sum.to_be_bytes());
    Ok(())
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
            if let Err(flaw) = self.check(frame) {
                panic!("a frame of ours is wrong: {flaw}; {:?}\n{}", frame.meta, hex_dump(frame.bytes()));
            }
        }
        self.inner.tx_burst(frames)
    }

    fn reap(&mut self) {
        self.inner.reap();
        if !self.inner.is_up() {
            // A link that goes down takes what waits for it along.
            self.fragments = Fragments::default();
        }
    }

    fn is_up(&self) -> bool {
        self.inner.is_up()
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), DriverError> {
        self.inner.wait(timeout)
    }
}

/// Sixteen bytes a line, with their place.
fn hex_dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, line) in bytes.chunks(16).enumerate() {
        write!(text, "{:04x} ", at * 16).unwrap();
        line.iter().for_each(|byte| write!(text, " {byte:02x}").unwrap());
        text.push('\n');
    }
    text
}

/// The largest IP packet with its Ethernet header and a VLAN tag.
const FRAME_BYTES_MAX: usize = 65_535 + 18;
