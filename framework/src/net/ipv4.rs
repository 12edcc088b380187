//! The IPv4 header as received (RFC 791 3.1, RFC 1122 3.2.1). Options are skipped, source routes refused.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use super::drops::DropReason;
use super::header::{DONT_FRAGMENT, IPV4_HEADER_BYTES, MORE_FRAGMENTS};
use super::ip::{FragmentAt, IpHeader};
use crate::addr::Ip;
use crate::simd;

/// Reads and validates the header at the front of `packet`.
#[inline(always)]
pub(crate) fn parse(packet: &[u8]) -> Result<IpHeader, DropReason> {
    let ip = packet.first_chunk::<IPV4_HEADER_BYTES>().ok_or(DropReason("ipv4: truncated"))?;
    let mut header_bytes = IPV4_HEADER_BYTES;
    let mut sum = simd::sum(ip);
    if ip[0] != 0x45 {
        let options = check_options(ip[0], packet)?;
        header_bytes = header_bytes.saturating_add(options.len());
        sum = simd::add(sum, simd::sum(options));
    }
    if simd::fold(sum) != 0xffff {
        return Err(DropReason("ipv4: header checksum"));
    }
    let total_bytes = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    if total_bytes < header_bytes || total_bytes > packet.len() {
        return Err(DropReason("ipv4: total length"));
    }
    let word = u16::from_be_bytes([ip[6], ip[7]]);
    let fragment = (word & !DONT_FRAGMENT & !RESERVED != 0).then(|| FragmentAt {
        ident: u32::from(u16::from_be_bytes([ip[4], ip[5]])),
        offset: usize::from(word & OFFSET) * 8,
        more: word & MORE_FRAGMENTS != 0,
    });
    Ok(IpHeader {
        src: Ip::v4([ip[12], ip[13], ip[14], ip[15]]),
        dst: Ip::v4([ip[16], ip[17], ip[18], ip[19]]),
        protocol: ip[9],
        hop_limit: ip[8],
        traffic_class: ip[1],
        header_bytes,
        total_bytes,
        fragment,
    })
}

/// The options of a header that begins with `first` and has some, or is wrong. RFC 9293: MUST-50.
#[cold]
fn check_options(first: u8, packet: &[u8]) -> Result<&[u8], DropReason> {
    if first >> 4 != 4 {
        return Err(DropReason("ipv4: version"));
    }
    let header_bytes = usize::from(first & 0xf) * 4;
    let options = packet.get(IPV4_HEADER_BYTES..header_bytes).ok_or(DropReason("ipv4: header length"))?;
    let mut rest = options;
    while let Some((kind, more)) = rest.split_first() {
        match *kind {
            OPTION_END => break,
            OPTION_NONE => rest = more,
            // RFC 7126 4.3, 4.4: whoever routes through us by these wants what no host should do.
            OPTION_LOOSE_ROUTE | OPTION_STRICT_ROUTE => return Err(DropReason("ipv4: source route")),
            _ => {
                let bytes = usize::from(*more.first().unwrap_or(&0));
                rest = rest.get(bytes..).filter(|_| bytes >= 2).ok_or(DropReason("ipv4: options"))?;
            }
        }
    }
    Ok(options)
}

/// Fragment offset, in units of eight bytes.
const OFFSET: u16 = 0x1fff;
const RESERVED: u16 = 0x8000;
const OPTION_END: u8 = 0;
const OPTION_NONE: u8 = 1;
const OPTION_LOOSE_ROUTE: u8 = 131;
const OPTION_STRICT_ROUTE: u8 = 137;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::checksum;

    fn packet(options: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut p = vec![0x45, 3, 0, 0, 0, 7, 0x40, 0, 9, 99, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        p.extend_from_slice(options);
        p[0] = 0x40 | (p.len() / 4) as u8;
        let total = (p.len() + payload.len()) as u16;
        p[2..4].copy_from_slice(&total.to_be_bytes());
        let sum = checksum::finish(simd::sum(&p));
        p[10..12].copy_from_slice(&sum);
        p.extend_from_slice(payload);
        p
    }

    /// Options that mean nothing to us are skipped.
    // cites: MUST-50
    #[test]
    fn a_header_reads_and_padding_is_left_out() {
        let mut p = packet(&[1, 7, 3, 0], b"payload");
        p.extend_from_slice(&[0; 9]);
        let h = parse(&p).unwrap();
        assert_eq!((h.header_bytes, h.total_bytes, h.protocol, h.hop_limit, h.traffic_class), (24, 31, 99, 9, 3));
        assert_eq!((h.src, h.dst, h.fragment), (Ip::v4([10, 0, 0, 1]), Ip::v4([10, 0, 0, 2]), None));
    }

    #[test]
    fn every_fault_has_its_name() {
        let fault = |p: &[u8]| parse(p).unwrap_err().0;
        assert_eq!(fault(&packet(&[], b"")[..19]), "ipv4: truncated");
        assert_eq!(fault(&packet(&[131, 7, 4, 1, 2, 3, 4, 0], b"")), "ipv4: source route");
        assert_eq!(fault(&packet(&[1, 137, 3, 0], b"")), "ipv4: source route");
        assert_eq!(fault(&packet(&[7, 1, 0, 0], b"")), "ipv4: options");
        assert_eq!(fault(&packet(&[7, 9, 0, 0], b"")), "ipv4: options");
        let mut p = packet(&[], b"xy");
        assert_eq!(fault(&p[..21]), "ipv4: total length");
        p[8] ^= 1;
        assert_eq!(fault(&p), "ipv4: header checksum");
        p[0] = 0x65;
        assert_eq!(fault(&p), "ipv4: version");
        p[0] = 0x4f;
        assert_eq!(fault(&p), "ipv4: header length");
        p[0] = 0x44;
        assert_eq!(fault(&p), "ipv4: header length");
    }
}
