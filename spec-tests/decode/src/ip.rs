//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers, without options and with no extension but a fragment's: we send no others.

use std::net::IpAddr;

use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;

use super::{Content, Decoded, Flaw, Fragment, Rules, content, ensure_padding, fold, ones_sum};

/// What an IP header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpHeader {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// What is inside.
    pub protocol: u8,
    /// Hops that are left.
    pub hop_limit: u8,
}

impl IpHeader {
    /// Whether `body`, with its checksum in place, sums up with the pseudo-header (RFC 9293 3.1, RFC 8200 8.1).
    pub(super) fn is_sum_right(&self, body: &[u8]) -> bool {
        let sum = |address: IpAddr| match address {
            IpAddr::V4(address) => ones_sum(&address.octets()),
            IpAddr::V6(address) => ones_sum(&address.octets()),
        };
        let pseudo = sum(self.source) + sum(self.destination) + u64::from(self.protocol) + body.len() as u64;
        fold(pseudo + ones_sum(body)) == 0xffff
    }
}

/// An IPv4 packet.
pub(super) fn v4<'f>(frame: &[u8], packet: &'f [u8], rules: &Rules) -> Result<Decoded<'f>, Flaw> {
    let ip = Ipv4Packet::new(packet).ok_or_else(|| Flaw("IPv4: shorter than a header".into()))?;
    ensure!(ip.get_version() == 4, "IPv4: version {}", ip.get_version());
    ensure!(ip.get_header_length() == 5, "IPv4: IHL {}, and we send no options", ip.get_header_length());
    let total = usize::from(ip.get_total_length());
    ensure!((V4_BYTES..=packet.len()).contains(&total), "IPv4: total length {total} in {} bytes", packet.len());
    ensure_padding(frame, packet, total)?;
    ensure!(total <= rules.mtu, "IPv4: {total} bytes, and the MTU is {}", rules.mtu);
    ensure!(fold(ones_sum(&packet[..V4_BYTES])) == 0xffff, "IPv4: header checksum {:#06x}", ip.get_checksum());
    ensure!(ip.get_ttl() > 0, "IPv4: TTL 0");
    let source = ip.get_source();
    ensure!(!source.is_multicast() && !source.is_broadcast(), "IPv4: source {source}");
    let header = IpHeader {
        source: source.into(),
        destination: ip.get_destination().into(),
        protocol: ip.get_next_level_protocol().0,
        hop_limit: ip.get_ttl(),
    };
    let (flags, offset) = (ip.get_flags(), ip.get_fragment_offset());
    ensure!(flags & RESERVED == 0, "IPv4: the reserved flag is set");
    let (body, more) = (&packet[V4_BYTES..total], flags & MORE_FRAGMENTS != 0);
    if !more && offset == 0 {
        return Ok(Decoded::Ip(header, content(&header, body)?));
    }
    ensure!(flags & DONT_FRAGMENT == 0, "IPv4: a fragment that must not be divided");
    let offset = usize::from(offset) * 8;
    fragment(header, Fragment { ident: ip.get_identification().into(), offset, more, bytes: body }, rules)
}

/// An IPv6 packet.
pub(super) fn v6<'f>(frame: &[u8], packet: &'f [u8], rules: &Rules) -> Result<Decoded<'f>, Flaw> {
    let ip = Ipv6Packet::new(packet).ok_or_else(|| Flaw("IPv6: shorter than a header".into()))?;
    ensure!(ip.get_version() == 6, "IPv6: version {}", ip.get_version());
    let total = V6_BYTES + usize::from(ip.get_payload_length());
    ensure!(total <= packet.len(), "IPv6: payload length {} in {} bytes", total - V6_BYTES, packet.len());
    ensure_padding(frame, packet, total)?;
    ensure!(total <= rules.mtu, "IPv6: {total} bytes, and the MTU is {}", rules.mtu);
    ensure!(ip.get_hop_limit() > 0, "IPv6: hop limit 0");
    ensure!(!ip.get_source().is_multicast(), "IPv6: source {}", ip.get_source());
    let header = IpHeader {
        source: ip.get_source().into(),
        destination: ip.get_destination().into(),
        protocol: ip.get_next_header().0,
        hop_limit: ip.get_hop_limit(),
    };
    let body = &packet[V6_BYTES..total];
    if header.protocol != FRAGMENT_HEADER {
        return Ok(Decoded::Ip(header, content(&header, body)?));
    }
    // RFC 8200 4.5.
    let Some((&[next, reserved, o1, o0, ident @ ..], bytes)) = body.split_first_chunk::<8>() else {
        return Err(Flaw("IPv6: a fragment header that is cut off".into()));
    };
    let place = u16::from_be_bytes([o1, o0]);
    ensure!(reserved == 0 && place & 0b110 == 0, "IPv6: reserved bits of a fragment header are set");
    let header = IpHeader { protocol: next, ..header };
    let (offset, more) = (usize::from(place & !7), place & 1 != 0);
    fragment(header, Fragment { ident: u32::from_be_bytes(ident), offset, more, bytes }, rules)
}

fn fragment<'f>(header: IpHeader, fragment: Fragment<'f>, rules: &Rules) -> Result<Decoded<'f>, Flaw> {
    ensure!(rules.fragments_of.contains(&header.protocol), "a fragment of protocol {}", header.protocol);
    let bytes = fragment.bytes.len();
    ensure!(bytes > 0, "a fragment of nothing");
    ensure!(!fragment.more || bytes.is_multiple_of(8), "a fragment of {bytes} bytes, not the last one");
    ensure!(fragment.offset + bytes <= usize::from(u16::MAX), "a fragment that ends beyond 65,535 bytes");
    Ok(Decoded::Ip(header, Content::Fragment(fragment)))
}

const V4_BYTES: usize = 20;
const V6_BYTES: usize = 40;
/// The three flags of RFC 791 3.1.
const RESERVED: u8 = 0b100;
const DONT_FRAGMENT: u8 = 0b010;
const MORE_FRAGMENTS: u8 = 0b001;
const FRAGMENT_HEADER: u8 = 44;
