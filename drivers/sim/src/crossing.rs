//! What happens to a frame itself on a wire: it becomes another host's, and it may be damaged.

use burstlane::frame::{Checksum, Frame};

use crate::model::Damage;

/// What a device does as a frame leaves one host for another: marks that mean something to one host alone go, and a frame
/// that it would have cut into packets says how many they were. Returns [`packet_bytes`].
#[inline]
pub(crate) fn cross(frame: &mut Frame) -> usize {
    (frame.meta.netif, frame.meta.rx_hash) = (0, 0);
    if frame.meta.segment_bytes != 0 {
        let payload_bytes = frame.len().saturating_sub(usize::from(frame.meta.header_bytes));
        let packets = payload_bytes.div_ceil(usize::from(frame.meta.segment_bytes)).max(1);
        frame.meta.coalesced = u16::try_from(packets).unwrap_or(u16::MAX);
    }
    packet_bytes(frame)
}

/// Bytes of the largest packet that a frame is on a wire.
#[inline]
pub(crate) fn packet_bytes(frame: &Frame) -> usize {
    match frame.meta.segment_bytes {
        0 => frame.len(),
        segment_bytes => frame.len().min(usize::from(frame.meta.header_bytes) + usize::from(segment_bytes)),
    }
}

/// Damages a frame as a wire does: the sum that protects the bytes was written before, and nobody vouches for it after.
pub(crate) fn apply(damage: Damage, frame: &mut Frame) {
    finish_checksum(frame);
    frame.meta.checksum = Checksum::Unverified;
    match damage {
        Damage::None | Damage::MarkCongestion => {}
        Damage::FlipBit(bit) => {
            let bits = frame.len() * 8;
            let bit = (bit as usize).checked_rem(bits).unwrap_or(0);
            if let Some(byte) = frame.bytes_mut().get_mut(bit / 8) {
                *byte ^= 0x80 >> (bit % 8);
            }
        }
        Damage::Truncate(bytes) => frame.truncate(bytes as usize),
    }
}

/// Completes an unfinished checksum (RFC 1071). A sum of zero is written as its other form, which UDP demands and the
/// others accept.
fn finish_checksum(frame: &mut Frame) {
    let Some((start, field)) = frame.partial_checksum() else { return };
    let Some(covered) = frame.bytes_mut().get_mut(start..) else { return };
    let sum: u64 = covered
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => u64::from(u16::from_be_bytes([high, low])),
            [high] => u64::from(high) << 8,
            _ => 0,
        })
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = ((folded & 0xffff) + (folded >> 16)) as u16;
    let sum = if folded == 0xffff { 0xffff } else { !folded };
    if let Some(room) = covered.get_mut(field..field + 2) {
        room.copy_from_slice(&sum.to_be_bytes());
    }
}
