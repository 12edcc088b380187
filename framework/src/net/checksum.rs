//! What Internet checksums cover in IP packets: the pseudo-header (RFC 768, RFC 9293 3.1, RFC 8200 8.1) and the declared
//! place in a transport's header. The summing itself is `simd`.

use crate::addr::Ip;
use crate::simd;

/// Where a transport's header keeps the Internet checksum of pseudo-header, header and payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChecksumSpec {
    /// Bytes from the start of the transport header to the field; even.
    pub field: u16,
}

/// A 16-bit number, as a partial sum of the two bytes that it has on the wire.
#[inline]
pub(crate) const fn word(x: u16) -> u64 {
    x.to_be() as u64
}

/// The addresses' part of the pseudo-header. The mapped form of an IPv4 address adds 0xffff, which is zero in this
/// arithmetic, so both families are summed alike.
#[inline]
pub(crate) fn addresses_sum(src: Ip, dst: Ip) -> u64 {
    simd::add(simd::sum(&src.octets()), simd::sum(&dst.octets()))
}

/// The pseudo-header's sum from its addresses' part. Both families sum the same numbers in different widths.
#[inline]
pub(crate) fn pseudo_sum(addresses: u64, protocol: u8, transport_bytes: usize) -> u64 {
    // A transport in one IP packet is shorter than 2^16.
    simd::add(addresses, word(protocol as u16) + word(transport_bytes as u16))
}

/// Whether `bytes`, checksum included, and a pseudo-header sum to all ones.
#[inline]
pub(crate) fn verifies(pseudo: u64, bytes: &[u8]) -> bool {
    simd::fold(simd::add(pseudo, simd::sum(bytes))) == 0xffff
}

/// The checksum to store, in wire order, for this sum.
#[inline]
pub(crate) const fn finish(sum: u64) -> [u8; 2] {
    (!simd::fold(sum)).to_ne_bytes()
}

/// As [`finish`], for UDP: a computed zero is sent as all ones, because zero means "none" (RFC 768). The two are equal
/// in this arithmetic, so it would be right for any transport.
#[inline]
pub(crate) const fn finish_nonzero(sum: u64) -> [u8; 2] {
    match finish(sum) {
        [0, 0] => [0xff, 0xff],
        other => other,
    }
}
