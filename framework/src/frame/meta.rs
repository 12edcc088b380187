//! What travels beside a packet's bytes: checksum and segmentation state, both ways.

/// How far the transport checksum of a packet can be trusted, or how far it is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// Received: nobody looked. To send: complete.
    #[default]
    Unverified,
    /// The device verified it.
    Good,
    /// Only the pseudo-header's sum is in the field: the sender (this machine's kernel, or we) left the rest to a
    /// device. Trusted on receive, because no wire was crossed; completed before it leaves by a device that cannot.
    Partial,
}

/// Facts about a frame that are not in its bytes. Plain data, 20 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameMeta {
    /// State of the transport checksum.
    pub checksum: Checksum,
    /// The IP protocol number by whose rules the device is to cut this frame into segments (sending), or by whose
    /// rules it was merged (receiving); 0 if it is a single packet. A number here, mapped by drivers.
    pub segment_protocol: u8,
    /// Payload bytes of each segment but the last; 0 if not segmented.
    pub segment_bytes: u16,
    /// Wire packets merged into this frame by the device; 0 and 1 both mean one.
    pub coalesced: u16,
    /// Bytes of headers in front of the payload, Ethernet included, as the device needs them to cut; 0 if unknown.
    pub header_bytes: u16,
    /// With [`Checksum::Partial`]: slot offset of the first byte covered (see `Frame::set_partial_checksum`).
    pub(crate) checksum_start: u32,
    /// With [`Checksum::Partial`]: bytes from there to the field.
    pub(crate) checksum_field: u16,
    /// The interface it came from: index on its lane.
    pub netif: u16,
    /// The device's receive hash, 0 if it has none. For steering only, never for tables.
    pub rx_hash: u32,
}

impl FrameMeta {
    /// How many wire packets this frame stands for: acknowledgement decisions count packets.
    #[inline]
    #[must_use]
    pub fn packets(&self) -> u32 {
        u32::from(self.coalesced.max(1))
    }
}
