//! ICMP (RFC 792), ICMPv6 (RFC 4443) and neighbour discovery (RFC 4861): the messages that we send.

use pnet_packet::icmp::IcmpPacket;
use pnet_packet::icmpv6::Icmpv6Packet;

use super::{Flaw, IpHeader, fold, ones_sum};

/// An ICMP message; returns its type.
pub(super) fn v4(body: &[u8]) -> Result<u8, Flaw> {
    ensure!(body.len() >= HEADER_BYTES, "ICMP: {} bytes", body.len());
    let icmp = IcmpPacket::new(body).ok_or_else(|| Flaw("ICMP: shorter than a header".into()))?;
    ensure!(fold(ones_sum(body)) == 0xffff, "ICMP: checksum {:#06x}", icmp.get_checksum());
    let (kind, code) = (icmp.get_icmp_type().0, icmp.get_icmp_code().0);
    match kind {
        // Echo and its reply.
        0 | 8 => ensure!(code == 0, "ICMP: echo with code {code}"),
        // Errors quote a header and 64 bits (RFC 792), none of them that of an error (RFC 1122 3.2.2).
        3 | 11 | 12 => {
            let quote = &body[HEADER_BYTES..];
            // A packet may have less to quote than 64 bits: nothing of it may be left out then.
            let total = quote.get(2..4).map_or(28, |total| usize::from(u16::from_be_bytes([total[0], total[1]])));
            ensure!(
                quote.len() >= total.clamp(20, 28) && quote[0] >> 4 == 4,
                "ICMP: an error that quotes {} bytes",
                quote.len()
            );
            ensure!(quote[9] != 1 || matches!(quote.get(20), None | Some(0 | 8)), "ICMP: an error about an error");
        }
        _ => return Err(Flaw(format!("ICMP: type {kind}, which we never send"))),
    }
    Ok(kind)
}

/// An ICMPv6 message; returns its type.
pub(super) fn v6(header: &IpHeader, body: &[u8]) -> Result<u8, Flaw> {
    ensure!(body.len() >= HEADER_BYTES, "ICMPv6: {} bytes", body.len());
    let icmp = Icmpv6Packet::new(body).ok_or_else(|| Flaw("ICMPv6: shorter than a header".into()))?;
    ensure!(header.is_sum_right(body), "ICMPv6: checksum {:#06x}", icmp.get_checksum());
    let (kind, code) = (icmp.get_icmpv6_type().0, icmp.get_icmpv6_code().0);
    match kind {
        128 | 129 => ensure!(code == 0, "ICMPv6: echo with code {code}"),
        1..=4 => {
            let quote = &body[HEADER_BYTES..];
            // A packet may be nothing but its header: then that is all there is to quote.
            let least = if quote.get(4..6) == Some(&[0, 0]) { 40 } else { 41 };
            ensure!(quote.len() >= least && quote[0] >> 4 == 6, "ICMPv6: an error that quotes {} bytes", quote.len());
            ensure!(quote[6] != 58 || quote.get(40).is_none_or(|kind| *kind >= 128), "ICMPv6: an error about an error");
        }
        133 | 135 | 136 => {
            ensure!(code == 0, "NDP: code {code}");
            // RFC 4861 6.1.1, 7.1.1, 7.1.2.
            ensure!(header.hop_limit == 255, "NDP: hop limit {}", header.hop_limit);
            let fixed_bytes = if kind == 133 { HEADER_BYTES } else { HEADER_BYTES + 16 };
            ensure!(body.len() >= fixed_bytes, "NDP: {} bytes", body.len());
            ndp_options(&body[fixed_bytes..])?;
        }
        _ => return Err(Flaw(format!("ICMPv6: type {kind}, which we never send"))),
    }
    Ok(kind)
}

/// RFC 4861 4.6: lengths count eight bytes and are not zero.
fn ndp_options(mut options: &[u8]) -> Result<(), Flaw> {
    while let [_, units, ..] = *options {
        let bytes = usize::from(units) * 8;
        ensure!((8..=options.len()).contains(&bytes), "NDP: an option of {bytes} bytes in {}", options.len());
        options = &options[bytes..];
    }
    ensure!(options.is_empty(), "NDP: a byte behind the options");
    Ok(())
}

const HEADER_BYTES: usize = 8;
