//! All that one sender hands to its device. What is left to the device is finished here on a copy: a checksum of which only
//! the pseudo-header's sum is there (RFC 1071 makes that a true part of the whole), and a frame that the device is to cut,
//! which is judged as one large packet, and by what it tells the device.

use std::fmt::Write;

use super::{Content, Decoded, ETHERNET_BYTES, Flaw, Fragments, Rules, decode, fold, ones_sum};

/// What a device does for its sender.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// What may be sent by it.
    pub rules: Rules,
    /// It completes checksums.
    pub completes_checksums: bool,
    /// IP protocols whose large frames it cuts into segments.
    pub cuts: Vec<u8>,
}

/// What is left to the device with one frame; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// A checksum to complete: offset in the frame of the first byte covered, and bytes from there to the field.
    pub checksum: Option<(usize, usize)>,
    /// Segments to cut.
    pub cut: Option<Cut>,
}

/// How a frame is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// IP protocol by whose rules.
    pub protocol: u8,
    /// Bytes of headers in front of the payload, Ethernet's included.
    pub header_bytes: usize,
    /// Payload bytes of each segment but the last.
    pub segment_bytes: usize,
}

/// What a sender has sent so far, as far as the next frame is judged by it: the pieces of a packet.
#[derive(Debug)]
pub struct Watch {
    device: Device,
    fragments: Fragments,
    /// A frame as the device will have finished it.
    finished: Vec<u8>,
}

impl Watch {
    /// Watches the sender that has this device.
    #[must_use]
    pub fn new(device: Device) -> Self {
        // Room for what is copied, so that no measured allocation is ours.
        Self { device, fragments: Fragments::default(), finished: Vec::with_capacity(FRAME_BYTES_MAX) }
    }

    /// Judges the next frame, Ethernet header first.
    ///
    /// # Errors
    /// The first thing that is wrong with it, or with what the device is told of it.
    pub fn check(&mut self, frame: &[u8], task: &Task) -> Result<(), Flaw> {
        let mtu = if task.cut.is_some() { usize::from(u16::MAX) } else { self.device.rules.mtu };
        let rules = Rules { mtu, ..self.device.rules };
        let bytes = match task.checksum {
            None => frame,
            Some((start, field)) => {
                ensure!(self.device.completes_checksums, "a checksum is left to a device that completes none");
                finish(frame, start, field, &mut self.finished)?;
                &self.finished
            }
        };
        match (decode(bytes, &rules)?, &task.cut) {
            (Decoded::Ip(header, Content::Fragment(fragment)), None) => self.fragments.take(&header, &fragment),
            (Decoded::Ip(header, content), Some(cut)) => {
                ensure!(task.checksum.is_some(), "to be cut, with a checksum that is right for the whole only");
                self.check_cut(frame.len(), header.protocol, content.payload().map(<[u8]>::len), cut)
            }
            (Decoded::Arp, Some(_)) => Err(Flaw("ARP: to be cut".into())),
            (_, None) => Ok(()),
        }
    }

    /// The same for a test, which ends with the frame and the reason.
    ///
    /// # Panics
    /// The frame is flawed.
    #[track_caller]
    pub fn demand(&mut self, frame: &[u8], task: &Task) {
        if let Err(flaw) = self.check(frame, task) {
            panic!("a frame of ours is wrong: {flaw}; {task:?}\n{}", hex_dump(frame));
        }
    }

    /// What was sent is lost, as when a link goes down: the pieces that follow are a new packet's.
    pub fn forget(&mut self) {
        self.fragments = Fragments::default();
    }

    /// What the device is told of a frame that it is to cut. How long the headers of a protocol are that nobody here knows,
    /// is believed.
    fn check_cut(&self, frame_bytes: usize, protocol: u8, payload_bytes: Option<usize>, cut: &Cut) -> Result<(), Flaw> {
        let Cut { header_bytes, segment_bytes, .. } = *cut;
        ensure!(self.device.cuts.contains(&protocol), "to be cut by a device that does not cut {protocol}");
        ensure!(cut.protocol == protocol, "to be cut as {}, and is {protocol}", cut.protocol);
        let is_in_frame = (ETHERNET_BYTES..frame_bytes).contains(&header_bytes);
        let payload_bytes = payload_bytes.unwrap_or(frame_bytes.saturating_sub(header_bytes));
        ensure!(
            is_in_frame && header_bytes + payload_bytes == frame_bytes,
            "to be cut behind {header_bytes} bytes of headers"
        );
        let packet_bytes = header_bytes - ETHERNET_BYTES + segment_bytes;
        ensure!(packet_bytes <= self.device.rules.mtu, "to be cut into packets of {packet_bytes} bytes");
        ensure!(payload_bytes > segment_bytes, "to be cut, and is one segment");
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
