//! What our own tests send, before a decoder that shares no line with us.

use burstlane_decode::{Cut, Device, Rules, Task, Watch};

use crate::driver::Capabilities;
use crate::frame::Frame;

/// The sender behind one device. Protocols of tests may leave in fragments, as UDP and ICMP do.
pub(crate) struct Watched(Watch);

impl Watched {
    pub(crate) fn new(capabilities: &Capabilities) -> Self {
        let Capabilities { mac, mtu, tx_checksum, segments } = capabilities;
        Self(Watch::new(Device {
            rules: Rules { mtu: *mtu as usize, mac: Some(mac.0), fragments_of: &FRAGMENTED },
            completes_checksums: *tx_checksum,
            cuts: (0..=u8::MAX).filter(|protocol| segments.contains(*protocol)).collect(),
        }))
    }

    /// Ends the test with the flaw, if the next frame has one.
    #[track_caller]
    pub(crate) fn demand(&mut self, frame: &Frame) {
        let meta = &frame.meta;
        let cut = (meta.segment_bytes != 0).then(|| Cut {
            protocol: meta.segment_protocol,
            header_bytes: meta.header_bytes.into(),
            segment_bytes: meta.segment_bytes.into(),
        });
        self.0.demand(frame.bytes(), &Task { checksum: frame.partial_checksum(), cut });
    }
}

/// ICMP, UDP, ICMPv6, and the two that RFC 3692 gives to experiments.
const FRAGMENTED: [u8; 5] = [1, 17, 58, 253, 254];
