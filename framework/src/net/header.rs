//! Ethernet and IP headers to send: written once into a template per path, copied in front of every packet, and only
//! what differs between packets is filled in (RFC 791, RFC 8200 3).

use super::checksum::{self, word};
use super::ethernet::{ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, VLAN_TAG_BYTES};
use crate::addr::{Ip, Mac};
use crate::simd;

/// The headers of all packets from one of our addresses to one other, by one interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderTemplate {
    bytes: [u8; TEMPLATE_BYTES],
    link_bytes: u8,
    v4: bool,
    /// IPv4: sum of the header's words that never change, folded.
    fixed_sum: u16,
    /// The addresses' part of the pseudo-header, folded.
    addresses_sum: u16,
}

/// What differs between packets of one path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IpFields {
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    /// DSCP and ECN, as in the header.
    pub(crate) traffic_class: u8,
    pub(crate) flow_label: u32,
    /// IPv4: identification, flags and offset as two words. Not for IPv6.
    pub(crate) ident: u16,
    pub(crate) fragment: u16,
}

impl HeaderTemplate {
    pub(crate) fn new(mac: Mac, vlan: Option<u16>, src: Ip, dst: Ip) -> Self {
        let mut bytes = [0; TEMPLATE_BYTES];
        let v4 = dst.is_v4();
        let ethertype = if v4 { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
        let mut at = 6;
        let mut put = |part: &[u8]| {
            for byte in part {
                if let Some(place) = bytes.get_mut(at) {
                    *place = *byte;
                }
                at += 1;
            }
        };
        put(&mac.0);
        if let Some(vlan) = vlan {
            put(&ETHERTYPE_VLAN.to_be_bytes());
            put(&(vlan & 0xfff).to_be_bytes());
        }
        put(&ethertype.to_be_bytes());
        if v4 {
            put(&[0x45, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            put(&src.octets4());
            put(&dst.octets4());
        } else {
            put(&[0x60, 0, 0, 0, 0, 0, 0, 0]);
            put(&src.octets());
            put(&dst.octets());
        }
        let addresses = simd::fold(checksum::addresses_sum(src, dst));
        Self {
            bytes,
            link_bytes: (ETHERNET_HEADER_BYTES + vlan.map_or(0, |_| VLAN_TAG_BYTES)) as u8,
            v4,
            fixed_sum: simd::fold(word(0x4500) + u64::from(addresses)),
            addresses_sum: addresses,
        }
    }

    /// Where the frames go next.
    #[inline]
    pub(crate) fn set_destination(&mut self, mac: Mac) {
        if let Some(field) = self.bytes.first_chunk_mut() {
            *field = mac.0;
        }
    }

    /// Bytes of the Ethernet header, tag included.
    #[inline]
    pub(crate) fn link_bytes(&self) -> usize {
        self.link_bytes as usize
    }

    #[inline]
    pub(crate) fn ip_bytes(&self) -> usize {
        if self.v4 { IPV4_HEADER_BYTES } else { IPV6_HEADER_BYTES }
    }

    /// Bytes of both headers.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.link_bytes() + self.ip_bytes()
    }

    #[inline]
    pub(crate) fn is_v4(&self) -> bool {
        self.v4
    }

    /// Sum of the pseudo-header in front of `transport_bytes` bytes.
    #[inline]
    pub(crate) fn pseudo_sum(&self, protocol: u8, transport_bytes: usize) -> u64 {
        checksum::pseudo_sum(u64::from(self.addresses_sum), protocol, transport_bytes)
    }

    /// Writes both headers into `out`, which has [`bytes`](Self::bytes) bytes, in front of `payload_bytes` bytes. With
    /// both together the packet stays below 2^16.
    #[inline(always)]
    pub(crate) fn write(&self, out: &mut [u8], fields: &IpFields, payload_bytes: usize) {
        debug_assert_eq!(out.len(), self.bytes());
        // What nearly every packet has: lengths that are constants make it a few moves.
        match (out.as_mut_array::<IPV4_PLAIN_BYTES>(), self.bytes.first_chunk()) {
            (Some(out), Some(template)) if self.v4 => {
                *out = *template;
                if let Some(ip) = out.last_chunk_mut() {
                    self.write_v4(ip, fields, payload_bytes);
                }
            }
            _ => self.write_any(out, fields, payload_bytes),
        }
    }

    #[inline(never)]
    fn write_any(&self, out: &mut [u8], fields: &IpFields, payload_bytes: usize) {
        let bytes = out.len().min(TEMPLATE_BYTES);
        out.split_at_mut(bytes).0.copy_from_slice(self.bytes.split_at(bytes).0);
        let ip = out.split_at_mut(self.link_bytes().min(bytes)).1;
        if self.v4 {
            if let Some(ip) = ip.first_chunk_mut() {
                self.write_v4(ip, fields, payload_bytes);
            }
        } else if let Some(ip) = ip.first_chunk_mut::<IPV6_HEADER_BYTES>() {
            let first = 6 << 28 | u32::from(fields.traffic_class) << 20 | fields.flow_label & 0xf_ffff;
            [ip[0], ip[1], ip[2], ip[3]] = first.to_be_bytes();
            [ip[4], ip[5]] = (payload_bytes as u16).to_be_bytes();
            ip[6] = fields.protocol;
            ip[7] = fields.hop_limit;
        }
    }

    #[inline(always)]
    fn write_v4(&self, ip: &mut [u8; IPV4_HEADER_BYTES], fields: &IpFields, payload_bytes: usize) {
        let total_bytes = (IPV4_HEADER_BYTES + payload_bytes) as u16;
        let ttl_protocol = u16::from_be_bytes([fields.hop_limit, fields.protocol]);
        let sum = u64::from(self.fixed_sum)
            + word(u16::from(fields.traffic_class))
            + word(total_bytes)
            + word(fields.ident)
            + word(fields.fragment)
            + word(ttl_protocol);
        ip[1] = fields.traffic_class;
        [ip[2], ip[3]] = total_bytes.to_be_bytes();
        [ip[4], ip[5]] = fields.ident.to_be_bytes();
        [ip[6], ip[7]] = fields.fragment.to_be_bytes();
        [ip[8], ip[9]] = [fields.hop_limit, fields.protocol];
        [ip[10], ip[11]] = checksum::finish(sum);
    }
}

/// Bytes of an IPv4 header without options.
pub(crate) const IPV4_HEADER_BYTES: usize = 20;
/// Bytes of an IPv6 header without extensions.
pub(crate) const IPV6_HEADER_BYTES: usize = 40;
/// The don't-fragment bit in IPv4's word of flags and offset.
pub(crate) const DONT_FRAGMENT: u16 = 0x4000;
/// The more-fragments bit there.
pub(crate) const MORE_FRAGMENTS: u16 = 0x2000;
/// Ethernet without tag and IPv4.
const IPV4_PLAIN_BYTES: usize = ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES;
/// Ethernet with a tag and IPv6.
const TEMPLATE_BYTES: usize = ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES + IPV6_HEADER_BYTES;

#[cfg(test)]
mod tests {
    use super::*;
    use pnet_packet::{ethernet::EthernetPacket, ipv4::Ipv4Packet, ipv6::Ipv6Packet};
    use proptest::prelude::*;

    proptest! {
        /// An independent decoder reads from the bytes what was asked for, and its checksum agrees.
        #[test]
        #[expect(clippy::disallowed_methods, reason = "another's checksum, slow or not, is what is wanted here")]
        fn another_decoder_reads_what_was_meant(
            src: std::net::IpAddr, dst4: [u8; 4], dst6: [u8; 16], class: u8, label in 0u32..1 << 20, hops: u8, protocol: u8,
            ident: u16, dont_fragment: bool, payload in 0usize..1400, tagged: bool,
        ) {
            let dst = if Ip::from(src).is_v4() { Ip::v4(dst4) } else { Ip::v6(dst6) };
            prop_assume!(Ip::from(src).is_v4() == dst.is_v4());
            let mut template = HeaderTemplate::new(Mac([2, 1, 2, 3, 4, 5]), tagged.then_some(77), src.into(), dst);
            template.set_destination(Mac([2, 9, 9, 9, 9, 9]));
            let fragment = if dont_fragment { DONT_FRAGMENT } else { 0 };
            let fields = IpFields { protocol, hop_limit: hops, traffic_class: class, flow_label: label, ident, fragment };
            let mut out = vec![0xee; template.bytes()];
            template.write(&mut out, &fields, payload);
            let eth = EthernetPacket::new(&out).unwrap();
            prop_assert_eq!(eth.get_destination().octets(), [2, 9, 9, 9, 9, 9]);
            prop_assert_eq!(eth.get_source().octets(), [2, 1, 2, 3, 4, 5]);
            prop_assert_eq!(eth.get_ethertype().0 == ETHERTYPE_VLAN, tagged);
            let ip = &out[template.link_bytes()..];
            if dst.is_v4() {
                let p = Ipv4Packet::new(ip).unwrap();
                prop_assert_eq!(p.get_checksum(), pnet_packet::ipv4::checksum(&p));
                prop_assert_eq!((Ip::from(p.get_source()), Ip::from(p.get_destination())), (src.into(), dst));
                prop_assert_eq!((p.get_version(), p.get_header_length(), p.get_total_length()), (4, 5, 20 + payload as u16));
                prop_assert_eq!((p.get_ttl(), p.get_next_level_protocol().0, p.get_identification()), (hops, protocol, ident));
                prop_assert_eq!((p.get_dscp() << 2 | p.get_ecn(), p.get_flags()), (class, if dont_fragment { 2 } else { 0 }));
            } else {
                let p = Ipv6Packet::new(ip).unwrap();
                prop_assert_eq!((Ip::from(p.get_source()), Ip::from(p.get_destination())), (src.into(), dst));
                prop_assert_eq!((p.get_version(), p.get_payload_length(), p.get_hop_limit()), (6, payload as u16, hops));
                prop_assert_eq!((p.get_traffic_class(), p.get_flow_label(), p.get_next_header().0), (class, label, protocol));
            }
        }
    }
}
