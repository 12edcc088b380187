//! Ethernet II frames with at most one IEEE 802.1Q tag: whether a frame is for this interface, and what is in it.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use super::drops::DropReason;
use crate::addr::{Ip, Mac};

/// What an Ethernet header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) ethertype: u16,
    /// Bytes of the header, tag included.
    pub(crate) bytes: usize,
    /// Sent to a group, not to us alone.
    pub(crate) group: bool,
}

/// Reads the header of a frame received by the interface with this address and tag.
#[inline(always)]
pub(crate) fn parse(frame: &[u8], mac: Mac, vlan: Option<u16>) -> Result<Link, DropReason> {
    let Some((header, rest)) = frame.split_first_chunk::<ETHERNET_HEADER_BYTES>() else {
        return Err(DropReason("ethernet: truncated"));
    };
    let [d0, d1, d2, d3, d4, d5, s0, ..] = *header;
    let destination = Mac([d0, d1, d2, d3, d4, d5]);
    let group = destination.is_multicast();
    if destination != mac && !group {
        return Err(DropReason("ethernet: not for us"));
    }
    if s0 & 1 == 1 {
        return Err(DropReason("ethernet: source is a group address"));
    }
    let ethertype = u16::from_be_bytes([header[12], header[13]]);
    if ethertype != ETHERTYPE_VLAN && vlan.is_none() {
        return Ok(Link { ethertype, bytes: ETHERNET_HEADER_BYTES, group });
    }
    let tag = if ethertype == ETHERTYPE_VLAN {
        Some(rest.first_chunk::<VLAN_TAG_BYTES>().ok_or(DropReason("ethernet: truncated"))?)
    } else {
        None
    };
    // A tag with identifier 0 gives a priority and no VLAN (IEEE 802.1Q 9.6).
    match (tag.map(|t| (u16::from_be_bytes([t[0], t[1]]) & 0xfff, u16::from_be_bytes([t[2], t[3]]))), vlan) {
        (Some((id, ethertype)), wanted) if id == wanted.unwrap_or(0) => {
            Ok(Link { ethertype, bytes: ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES, group })
        }
        _ => Err(DropReason("ethernet: other VLAN")),
    }
}

/// The Ethernet address of an IP group (RFC 1112 6.4, RFC 2464 7).
pub(crate) fn group_address(ip: Ip) -> Mac {
    if ip.is_v4() {
        let [a, b, c, d] = ip.octets4();
        return if a >> 4 == 0xe { Mac([0x01, 0x00, 0x5e, b & 0x7f, c, d]) } else { Mac::BROADCAST };
    }
    let [.., a, b, c, d] = ip.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

/// Bytes of an Ethernet header without tag.
pub(crate) const ETHERNET_HEADER_BYTES: usize = 14;
/// Bytes that a tag adds.
pub(crate) const VLAN_TAG_BYTES: usize = 4;
pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
pub(crate) const ETHERTYPE_VLAN: u16 = 0x8100;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;

#[cfg(test)]
mod tests {
    use super::*;

    const US: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn frame(dst: [u8; 6], src0: u8, rest: &[u8]) -> Vec<u8> {
        [&dst[..], &[src0, 1, 2, 3, 4, 5], rest].concat()
    }

    #[test]
    fn frames_for_us_and_for_groups_pass() {
        let ip = [0x08, 0x00, 0x45];
        let parse = |dst, src0, rest: &[u8], vlan| {
            super::parse(&frame(dst, src0, rest), US, vlan).map(|l| (l.ethertype, l.bytes, l.group))
        };
        assert_eq!(parse(US.0, 2, &ip, None), Ok((0x0800, 14, false)));
        assert_eq!(parse([0xff; 6], 2, &ip, None), Ok((0x0800, 14, true)));
        assert_eq!(parse([4; 6], 2, &ip, None), Err(DropReason("ethernet: not for us")));
        assert_eq!(parse(US.0, 3, &ip, None), Err(DropReason("ethernet: source is a group address")));
        assert_eq!(parse(US.0, 2, &[8], None), Err(DropReason("ethernet: truncated")));
    }

    #[test]
    fn tags_are_what_the_interface_has() {
        let tagged = |id: u16, vlan| {
            let rest = [&[0x81, 0x00][..], &(0xe000 | id).to_be_bytes(), &[0x86, 0xdd]].concat();
            super::parse(&frame(US.0, 2, &rest), US, vlan).map(|l| (l.ethertype, l.bytes))
        };
        let other = Err(DropReason("ethernet: other VLAN"));
        assert_eq!(tagged(7, Some(7)), Ok((0x86dd, 18)));
        assert_eq!(tagged(0, None), Ok((0x86dd, 18)));
        assert_eq!((tagged(7, None), tagged(7, Some(8)), tagged(0, Some(8))), (other, other, other));
        assert_eq!(super::parse(&frame(US.0, 2, &[8, 0]), US, Some(7)).map(|l| (l.ethertype, l.bytes)), other);
        assert!(super::parse(&frame(US.0, 2, &[0x81, 0, 0]), US, None).is_err());
    }
}
