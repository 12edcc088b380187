//! The IPv6 header as received, and the chain of extension headers behind it (RFC 8200 3, 4), of which only so many are
//! followed. A type 0 routing header with segments left asks for what RFC 5095 forbids, and is refused like any other.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use super::cut::{FRAGMENT_HEADER, FRAGMENT_HEADER_BYTES};
use super::drops::DropReason;
use super::header::IPV6_HEADER_BYTES;
use super::ip::{Fault, FragmentAt, IpHeader, ParameterProblem};
use crate::addr::Ip;

/// Reads and validates the headers at the front of `packet`, as far as the first fragment header.
#[inline(always)]
pub(crate) fn parse(packet: &[u8]) -> Result<IpHeader, Fault> {
    let (ip, rest) = packet.split_first_chunk::<IPV6_HEADER_BYTES>().ok_or(DropReason("ipv6: truncated"))?;
    if ip[0] >> 4 != 6 {
        return Err(DropReason("ipv6: version").into());
    }
    let payload_bytes = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
    let payload = rest.get(..payload_bytes).ok_or(DropReason("ipv6: payload length"))?;
    let (src, dst) = addresses(ip);
    if src.is_v4() || dst.is_v4() {
        return Err(DropReason("ipv6: IPv4-mapped address").into());
    }
    let mut header = IpHeader {
        src,
        dst,
        protocol: ip[6],
        hop_limit: ip[7],
        traffic_class: ip[0] << 4 | ip[1] >> 4,
        header_bytes: IPV6_HEADER_BYTES,
        total_bytes: IPV6_HEADER_BYTES + payload_bytes,
        fragment: None,
    };
    if is_extension(header.protocol) {
        let chain = walk(header.protocol, payload, true)?;
        header.protocol = chain.protocol;
        header.header_bytes = header.header_bytes.saturating_add(chain.bytes);
        header.fragment = chain.fragment;
    }
    Ok(header)
}

/// Source and destination of a header.
pub(crate) fn addresses(ip: &[u8; IPV6_HEADER_BYTES]) -> (Ip, Ip) {
    let (mut src, mut dst) = ([0; 16], [0; 16]);
    if let Some((_, rest)) = ip.split_first_chunk::<8>()
        && let Some((from, to)) = rest.split_first_chunk::<16>()
    {
        src = *from;
        dst = *to.first_chunk::<16>().unwrap_or(&dst);
    }
    (Ip::v6(src), Ip::v6(dst))
}

/// What a chain of extension headers leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) protocol: u8,
    /// Bytes of all extension headers.
    pub(crate) bytes: usize,
    /// The chain was followed as far as this fragment header, included.
    pub(crate) fragment: Option<FragmentAt>,
}

/// Follows the chain that begins at the front of `payload` with a header of type `first`. `from_start`: it stands right
/// behind the IPv6 header, where alone hop-by-hop options and fragment headers are allowed; otherwise it was reassembled.
#[cold]
pub(crate) fn walk(first: u8, payload: &[u8], from_start: bool) -> Result<Chain, Fault> {
    let mut chain = Chain { protocol: first, bytes: 0, fragment: None };
    // Where the number of the current header stands, for complaints: in the IPv6 header, then in the one before.
    let mut number_at = 6;
    for _ in 0..=EXTENSIONS_MAX {
        if !is_extension(chain.protocol) {
            return Ok(chain);
        }
        let rest = payload.get(chain.bytes..).unwrap_or_default();
        let ([next, length, b2, b3, ..], at) = match rest.first_chunk::<8>() {
            Some(header) => (*header, chain.bytes.saturating_add(IPV6_HEADER_BYTES)),
            None => return Err(DropReason("ipv6: extension header truncated").into()),
        };
        let bytes = if chain.protocol == FRAGMENT_HEADER {
            FRAGMENT_HEADER_BYTES
        } else {
            usize::from(length).saturating_add(1).saturating_mul(8)
        };
        let header = rest.get(..bytes).ok_or(DropReason("ipv6: extension header truncated"))?;
        match chain.protocol {
            HOP_BY_HOP if !from_start || chain.bytes != 0 => {
                let reason = DropReason("ipv6: hop-by-hop options not first");
                return Err(problem(reason, UNRECOGNIZED_HEADER, number_at));
            }
            HOP_BY_HOP | DESTINATION_OPTIONS => check_options(header, at)?,
            ROUTING if b3 != 0 => {
                // RFC 8200 4.4: an unknown type, and we know none, with segments left.
                return Err(problem(DropReason("ipv6: routing header"), ERRONEOUS_FIELD, at.saturating_add(2)));
            }
            FRAGMENT_HEADER if !from_start => return Err(DropReason("ipv6: fragment within a fragment").into()),
            FRAGMENT_HEADER => {
                let offset_more = u16::from_be_bytes([b2, b3]);
                let (offset, more) = (usize::from(offset_more & !7), offset_more & 1 == 1);
                // An atomic fragment is a whole packet (RFC 6946 4).
                if offset != 0 || more {
                    let ident = header.last_chunk::<4>().map_or(0, |ident| u32::from_be_bytes(*ident));
                    chain.fragment = Some(FragmentAt { ident, offset, more });
                }
            }
            _ => {}
        }
        number_at = at;
        chain.protocol = next;
        chain.bytes = chain.bytes.saturating_add(bytes);
        if chain.fragment.is_some() {
            return Ok(chain);
        }
    }
    Err(DropReason("ipv6: too many extension headers").into())
}

/// Skips options, or does with unknown ones what their type says (RFC 8200 4.2). `at` is the header's offset.
fn check_options(header: &[u8], at: usize) -> Result<(), Fault> {
    let mut offset = 2;
    while let Some(rest) = header.get(offset..).filter(|rest| !rest.is_empty()) {
        let (kind, bytes) = match *rest {
            [PAD1, ..] => (PAD1, 1),
            [kind, length, ..] => (kind, usize::from(length) + 2),
            _ => return Err(DropReason("ipv6: options").into()),
        };
        if bytes > rest.len() {
            return Err(DropReason("ipv6: options").into());
        }
        let known = matches!(kind, PAD1 | PADN | ROUTER_ALERT);
        match kind >> 6 {
            0 => {}
            _ if known => {}
            1 => return Err(DropReason("ipv6: unknown option").into()),
            _ => {
                return Err(problem(
                    DropReason("ipv6: unknown option"),
                    UNRECOGNIZED_OPTION,
                    at.saturating_add(offset),
                ));
            }
        }
        offset = offset.saturating_add(bytes);
    }
    Ok(())
}

fn problem(reason: DropReason, code: u8, pointer: usize) -> Fault {
    Fault { reason, problem: Some(ParameterProblem { code, pointer: pointer as u32 }) }
}

/// The headers that [`walk`] knows. Any other number is the transport's.
pub(crate) fn is_extension(protocol: u8) -> bool {
    matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT_HEADER | DESTINATION_OPTIONS)
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION_OPTIONS: u8 = 60;
const PAD1: u8 = 0;
const PADN: u8 = 1;
const ROUTER_ALERT: u8 = 5;
/// RFC 4443 3.4.
const ERRONEOUS_FIELD: u8 = 0;
pub(crate) const UNRECOGNIZED_HEADER: u8 = 1;
const UNRECOGNIZED_OPTION: u8 = 2;
/// Headers of a chain that are followed; a sender with good intentions needs at most six (RFC 8200 4.1).
const EXTENSIONS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut p = vec![0x6a, 0xb0, 0, 1, 0, payload.len() as u8, first, 9];
        p.extend_from_slice(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        p.extend_from_slice(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        p.extend_from_slice(payload);
        p
    }

    fn outcome(first: u8, payload: &[u8]) -> (&'static str, Option<(u8, u32)>) {
        let fault = parse(&packet(first, payload)).unwrap_err();
        (fault.reason.0, fault.problem.map(|p| (p.code, p.pointer)))
    }

    #[test]
    fn a_plain_header_and_a_chain_read() {
        let h = parse(&packet(99, b"abc")).unwrap();
        assert_eq!((h.protocol, h.header_bytes, h.total_bytes, h.traffic_class, h.hop_limit), (99, 40, 43, 0xab, 9));
        let chain = [
            [0, 0, 1, 4, 0, 0, 0, 0],
            [43, 0, 0x1e, 0, 0, 0, 0, 0],
            [44, 0, 9, 0, 0, 0, 0, 0],
            [99, 0, 0, 0, 0, 0, 0, 5],
        ];
        // Hop-by-hop, destination options, routing without segments left, atomic fragment.
        let mut bytes = chain.concat();
        bytes[0] = 60;
        let h = parse(&packet(0, &bytes)).unwrap();
        assert_eq!((h.protocol, h.header_bytes, h.fragment), (99, 72, None));
    }

    #[test]
    fn fragments_stop_the_walk() {
        let h = parse(&packet(44, &[60, 0, 0, 9 | 0x10, 1, 2, 3, 4, 5])).unwrap();
        assert_eq!(h.fragment, Some(FragmentAt { ident: 0x0102_0304, offset: 24, more: true }));
        assert_eq!((h.protocol, h.header_bytes), (60, 48));
    }

    #[test]
    fn every_fault_has_its_name_and_some_their_complaint() {
        assert_eq!(
            outcome(60, &[0, 0, 1, 4, 0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0]),
            ("ipv6: hop-by-hop options not first", Some((1, 40)))
        );
        assert_eq!(outcome(43, &[99, 0, 0, 1, 0, 0, 0, 0]), ("ipv6: routing header", Some((0, 42))));
        assert_eq!(outcome(60, &[99, 0, 0x80, 4, 0, 0, 0, 0]), ("ipv6: unknown option", Some((2, 42))));
        assert_eq!(outcome(60, &[99, 0, 0x40, 4, 0, 0, 0, 0]), ("ipv6: unknown option", None));
        assert_eq!(outcome(60, &[99, 0, 1, 5, 0, 0, 0, 0]), ("ipv6: options", None));
        assert_eq!(outcome(60, &[99, 1, 1, 4, 0, 0, 0, 0]), ("ipv6: extension header truncated", None));
        assert_eq!(outcome(60, &[60, 0, 1, 4, 0, 0, 0, 0].repeat(9)), ("ipv6: too many extension headers", None));
        let mut p = packet(99, b"abc");
        assert_eq!(parse(&p[..42]).unwrap_err().reason.0, "ipv6: payload length");
        p[8..24].copy_from_slice(&Ip::v4([10, 0, 0, 1]).octets());
        assert_eq!(parse(&p).unwrap_err().reason.0, "ipv6: IPv4-mapped address");
    }
}
