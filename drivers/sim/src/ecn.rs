//! Explicit congestion notification on frames, as a router does it: whether a packet's sender knows marks, and the mark
//! (RFC 3168 5, and 9.1 for what else it must leave alone). Behind one VLAN tag, too.

use crate::header::{IpAt, ip_header};

/// Whether a queue may mark this packet: its sender said ECT, or another queue has marked it already.
#[must_use]
pub(crate) fn is_markable(frame: &[u8]) -> bool {
    codepoint(frame).is_some_and(|codepoint| codepoint != NOT_ECT)
}

/// Sets CE on a packet whose sender knows it, and keeps IPv4's header checksum true. Anything else stays as it is.
/// Returns whether the packet carries CE now.
pub(crate) fn mark(frame: &mut [u8]) -> bool {
    if !is_markable(frame) {
        return false;
    }
    let at = match ip_header(frame) {
        Some(IpAt::V4(at)) => at,
        Some(IpAt::V6(at)) => {
            if let Some(traffic_class) = frame.get_mut(at + 1) {
                *traffic_class |= CE << 4;
            }
            return true;
        }
        None => return false,
    };
    let Some([version, tos, .., high, low]) = frame.get_mut(at..at + 12) else { return false };
    let before = u16::from_be_bytes([*version, *tos]);
    *tos |= CE;
    let after = u16::from_be_bytes([*version, *tos]);
    // RFC 1624 3: HC' = ~(~HC + ~m + m').
    let sum = u32::from(!u16::from_be_bytes([*high, *low])) + u32::from(!before) + u32::from(after);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    [*high, *low] = (!(folded as u16)).to_be_bytes();
    true
}

/// The two bits, or `None` if the frame has no whole IP header.
fn codepoint(frame: &[u8]) -> Option<u8> {
    match ip_header(frame)? {
        IpAt::V4(at) => Some(frame.get(at + 1)? & CE),
        IpAt::V6(at) => Some(frame.get(at + 1)? >> 4 & CE),
    }
}

const NOT_ECT: u8 = 0b00;
const CE: u8 = 0b11;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071 over an IPv4 header: zero when its checksum is right.
    fn sum(header: &[u8]) -> u16 {
        let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        !((folded & 0xffff) + (folded >> 16)) as u16
    }

    fn v4(tos: u8, rest: [u8; 18], tagged: bool) -> (Vec<u8>, usize) {
        let mut frame = vec![0; 12];
        if tagged {
            frame.extend([0x81, 0, 0, 7]);
        }
        frame.extend([8, 0]);
        let at = frame.len();
        frame.extend([0x45, tos]);
        frame.extend(rest);
        frame[at + 10..at + 12].fill(0);
        let check = sum(&frame[at..]);
        frame[at + 10..at + 12].copy_from_slice(&check.to_be_bytes());
        (frame, at)
    }

    proptest! {
        #[test]
        fn a_mark_changes_two_bits_and_keeps_the_header_checksum(tos: u8, rest: [u8; 18], tagged: bool) {
            let (before, at) = v4(tos, rest, tagged);
            let mut after = before.clone();
            let marked = mark(&mut after);
            prop_assert_eq!(marked, tos & 3 != 0);
            prop_assert_eq!(sum(&after[at..]), 0);
            prop_assert_eq!(after[at + 1], if marked { tos | 3 } else { tos });
            after[at + 1] = before[at + 1];
            after[at + 10..at + 12].copy_from_slice(&before[at + 10..at + 12]);
            prop_assert_eq!(after, before);
        }

        #[test]
        fn a_mark_changes_only_the_traffic_class_of_ipv6(class: u8, rest in proptest::collection::vec(any::<u8>(), 38)) {
            let mut before = vec![0; 12];
            before.extend([0x86, 0xdd, 0x60 | class >> 4, class << 4 | 5]);
            before.extend(rest);
            let mut after = before.clone();
            let marked = mark(&mut after);
            prop_assert_eq!(marked, class & 3 != 0);
            prop_assert_eq!(after[15], before[15] | if marked { 0x30 } else { 0 });
            after[15] = before[15];
            prop_assert_eq!(after, before);
        }

        #[test]
        fn no_bytes_are_trouble(mut frame in proptest::collection::vec(any::<u8>(), 0..60), kind in 0_usize..4) {
            if let Some(room) = frame.get_mut(12..14) {
                room.copy_from_slice(&[[8, 0], [0x86, 0xdd], [0x81, 0], [8, 6]][kind]);
            }
            let before = frame.clone();
            if !mark(&mut frame) {
                prop_assert_eq!(frame, before);
            }
        }
    }
}
