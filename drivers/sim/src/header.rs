//! Where a frame's IP header is: as much of a frame as devices and routers look at.

/// The version of an IP header, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IpAt {
    V4(usize),
    V6(usize),
}

/// The IP header of a frame, behind one VLAN tag, too. Only one that is there whole, IPv4's options aside.
#[inline]
pub(crate) fn ip_header(frame: &[u8]) -> Option<IpAt> {
    let at = ethernet_bytes(frame)?;
    match (frame.get(at - 2..at)?, frame.get(at)? >> 4) {
        ([0x08, 0x00], 4) => (frame.len() >= at + 20).then_some(IpAt::V4(at)),
        ([0x86, 0xdd], 6) => (frame.len() >= at + 40).then_some(IpAt::V6(at)),
        _ => None,
    }
}

/// Whether it is a question or an answer about neighbours, or routers: ARP (RFC 826), or NDP without extension headers
/// (RFC 4861 4).
#[must_use]
pub fn is_neighbour_traffic(frame: &[u8]) -> bool {
    if let Some(IpAt::V6(at)) = ip_header(frame) {
        return frame.get(at + 6) == Some(&ICMPV6) && matches!(frame.get(at + 40), Some(133..=137));
    }
    ethernet_bytes(frame).and_then(|at| frame.get(at - 2..at)) == Some(&[0x08, 0x06])
}

/// Bytes up to the packet: the Ethernet header, and one IEEE 802.1Q tag.
fn ethernet_bytes(frame: &[u8]) -> Option<usize> {
    Some(if frame.get(12..14)? == [0x81, 0x00] { 18 } else { 14 })
}

const ICMPV6: u8 = 58;
