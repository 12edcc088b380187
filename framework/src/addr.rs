//! Addresses as the data path wants them: IPv4 and IPv6 in one 16-byte value, compared and hashed without a branch.
//! At the edges they convert from and to `std::net`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An IPv4 or IPv6 address. IPv4 is held in its IPv4-mapped form (`::ffff:a.b.c.d`, RFC 4291 2.5.5.2), which never
/// appears on a wire as an IPv6 address here: `net` refuses such packets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ip {
    hi: u64,
    lo: u64,
}

impl Ip {
    /// The unspecified address, `::`. It also stands for "any address" when binding.
    pub const ANY: Self = Self { hi: 0, lo: 0 };

    /// From the four bytes of an IPv4 header field.
    #[inline]
    #[must_use]
    pub const fn v4(octets: [u8; 4]) -> Self {
        Self { hi: 0, lo: V4_MAPPED | u32::from_be_bytes(octets) as u64 }
    }

    /// From the sixteen bytes of an IPv6 header field.
    #[inline]
    #[must_use]
    pub const fn v6(octets: [u8; 16]) -> Self {
        let all = u128::from_be_bytes(octets);
        Self { hi: (all >> 64) as u64, lo: all as u64 }
    }

    /// Whether this is an IPv4 address.
    #[inline]
    #[must_use]
    pub const fn is_v4(self) -> bool {
        self.hi == 0 && self.lo >> 32 == V4_MAPPED >> 32
    }

    /// The four bytes of an IPv4 address; of another, its last four.
    #[inline]
    #[must_use]
    pub const fn octets4(self) -> [u8; 4] {
        (self.lo as u32).to_be_bytes()
    }

    /// The sixteen bytes, an IPv4 address in its mapped form.
    #[inline]
    #[must_use]
    pub const fn octets(self) -> [u8; 16] {
        ((self.hi as u128) << 64 | self.lo as u128).to_be_bytes()
    }

    /// A number whose upper bits depend on all of the address: for small tables of what *we* choose. No hash against peers.
    #[inline]
    pub(crate) const fn mixed(self) -> u64 {
        (self.hi ^ self.lo).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// `::`, or IPv4 `0.0.0.0`.
    #[inline]
    #[must_use]
    pub const fn is_unspecified(self) -> bool {
        self.hi == 0 && (self.lo == 0 || self.lo == V4_MAPPED)
    }

    /// Multicast of either family.
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        if self.is_v4() { self.lo as u32 >> 28 == 0xe } else { self.hi >> 56 == 0xff }
    }

    /// Loopback of either family (`127/8`, `::1`).
    #[must_use]
    pub const fn is_loopback(self) -> bool {
        if self.is_v4() { self.lo as u32 >> 24 == 127 } else { self.hi == 0 && self.lo == 1 }
    }

    /// IPv6 link-local (`fe80::/10`) or IPv4 `169.254/16`.
    #[must_use]
    pub const fn is_link_local(self) -> bool {
        if self.is_v4() { self.lo as u32 >> 16 == 0xa9fe } else { self.hi >> 54 == 0x3fa }
    }

    /// Whether the first `prefix_bits` bits agree and the families are the same. Bits count within the family: at most
    /// 32 for IPv4, 128 for IPv6; more are taken as the most.
    #[must_use]
    pub const fn in_prefix(self, network: Self, prefix_bits: u8) -> bool {
        if self.is_v4() != network.is_v4() {
            return false;
        }
        let family_bits: u32 = if self.is_v4() { 32 } else { 128 };
        let ignored = family_bits.saturating_sub(prefix_bits as u32);
        if ignored == 128 {
            return true;
        }
        u128::from_be_bytes(self.octets()) >> ignored == u128::from_be_bytes(network.octets()) >> ignored
    }
}

impl From<IpAddr> for Ip {
    fn from(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(a) => Self::v4(a.octets()),
            IpAddr::V6(a) => Self::v6(a.octets()),
        }
    }
}

impl From<Ipv4Addr> for Ip {
    fn from(addr: Ipv4Addr) -> Self {
        Self::v4(addr.octets())
    }
}

impl From<Ipv6Addr> for Ip {
    fn from(addr: Ipv6Addr) -> Self {
        Self::v6(addr.octets())
    }
}

impl From<Ip> for IpAddr {
    fn from(ip: Ip) -> Self {
        if ip.is_v4() { IpAddr::V4(Ipv4Addr::from(ip.octets4())) } else { IpAddr::V6(Ipv6Addr::from(ip.octets())) }
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

impl fmt::Debug for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address and a port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Endpoint {
    /// The address; [`Ip::ANY`] binds to all.
    pub ip: Ip,
    /// The port; 0 asks for one to be chosen, and stands for "none" in protocols without ports.
    pub port: u16,
}

impl Endpoint {
    /// The two together.
    #[must_use]
    pub const fn new(ip: Ip, port: u16) -> Self {
        Self { ip, port }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Self { ip: addr.ip().into(), port: addr.port() }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(e: Endpoint) -> Self {
        Self::new(e.ip.into(), e.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether the group bit is set (broadcast included).
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const V4_MAPPED: u64 = 0xffff_0000_0000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn std_addresses_survive_the_round_trip(addr: IpAddr) {
            // An IPv4-mapped IPv6 address is the one value that changes family, by design.
            prop_assume!(!matches!(addr, IpAddr::V6(a) if a.to_ipv4_mapped().is_some()));
            prop_assert_eq!(IpAddr::from(Ip::from(addr)), addr);
            prop_assert_eq!(Ip::from(addr).is_multicast(), addr.is_multicast());
            prop_assert_eq!(Ip::from(addr).is_loopback(), addr.is_loopback());
            prop_assert_eq!(Ip::from(addr).is_unspecified(), addr.is_unspecified());
        }
    }

    #[test]
    fn prefixes_count_bits_within_their_family() {
        let net = Ip::v4([10, 77, 0, 0]);
        assert!(Ip::v4([10, 77, 3, 4]).in_prefix(net, 16));
        assert!(!Ip::v4([10, 78, 3, 4]).in_prefix(net, 16));
        assert!(Ip::v4([1, 2, 3, 4]).in_prefix(Ip::v4([0; 4]), 0));
        assert!(!Ip::from(Ipv6Addr::LOCALHOST).in_prefix(net, 0));
        assert!(Ip::from(Ipv6Addr::LOCALHOST).in_prefix(Ip::ANY, 0));
        let fd: Ipv6Addr = "fd77::".parse().unwrap();
        let host: Ipv6Addr = "fd77::2".parse().unwrap();
        assert!(Ip::from(host).in_prefix(fd.into(), 64));
    }
}
