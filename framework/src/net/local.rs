//! The addresses that are ours: asked for the destination and again for the source of every packet, so the answer "no"
//! and the answer "yes" both take one look at a small table.

use crate::addr::Ip;

/// One of our addresses, or the directed broadcast address of a network that we are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalAddress {
    pub(crate) ip: Ip,
    pub(crate) netif: u16,
    pub(crate) prefix_bits: u8,
    pub(crate) broadcast: bool,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct LocalAddresses {
    all: Vec<LocalAddress>,
    /// By [`bucket`]: which entry of `all` has addresses of this bucket.
    buckets: [Bucket; BUCKETS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bucket {
    Empty,
    One(u16),
    Several,
}

impl LocalAddresses {
    pub(crate) fn new() -> Self {
        Self { all: Vec::new(), buckets: [Bucket::Empty; BUCKETS] }
    }

    /// Adds an address. The first of an interface is its primary one. A second entry for the same address is ignored.
    pub(crate) fn add(&mut self, address: LocalAddress) {
        let Ok(index) = u16::try_from(self.all.len()) else { return };
        if self.find(address.ip).is_some() {
            return;
        }
        self.all.push(address);
        if let Some(at) = self.buckets.get_mut(bucket(address.ip)) {
            *at = if *at == Bucket::Empty { Bucket::One(index) } else { Bucket::Several };
        }
    }

    #[inline]
    pub(crate) fn find(&self, ip: Ip) -> Option<&LocalAddress> {
        match *self.buckets.get(bucket(ip))? {
            Bucket::Empty => None,
            Bucket::One(index) => self.all.get(usize::from(index)).filter(|a| a.ip == ip),
            Bucket::Several => self.all.iter().find(|a| a.ip == ip),
        }
    }

    /// Our own, not a broadcast address.
    #[inline]
    pub(crate) fn contains(&self, ip: Ip) -> bool {
        self.find(ip).is_some_and(|a| !a.broadcast)
    }

    /// Our addresses of an interface, in the order of their adding.
    pub(crate) fn of(&self, netif: u16) -> impl Iterator<Item = &LocalAddress> {
        self.all.iter().filter(move |a| a.netif == netif && !a.broadcast)
    }

    /// Whether `ip` is on the link of `netif`: in the network of one of its addresses.
    pub(crate) fn is_on_link(&self, netif: u16, ip: Ip) -> bool {
        self.of(netif).any(|a| ip.in_prefix(a.ip, a.prefix_bits))
    }

    /// The source for packets to `remote` out of `netif`, after RFC 6724 5, as far as it matters here: the same address
    /// (rule 1), the same scope (rule 2), the longest matching prefix (rule 8), the one configured first.
    /// RFC 9293: MUST-43, MUST-44.
    pub(crate) fn source_for(&self, netif: u16, remote: Ip) -> Option<Ip> {
        let rank = |a: &LocalAddress| {
            let same_scope = a.ip.is_link_local() == (remote.is_link_local() || remote.is_multicast());
            let common = common_prefix_bits(a.ip, remote).min(u32::from(a.prefix_bits) + family_offset(a.ip));
            (a.ip == remote, same_scope, common)
        };
        // `max_by_key` would keep the last of equals.
        let mut best: Option<&LocalAddress> = None;
        for a in self.of(netif).filter(|a| a.ip.is_v4() == remote.is_v4()) {
            if best.is_none_or(|b| rank(a) > rank(b)) {
                best = Some(a);
            }
        }
        best.map(|a| a.ip)
    }
}

/// A mapped IPv4 address has 96 bits in front that all IPv4 addresses share.
fn family_offset(ip: Ip) -> u32 {
    if ip.is_v4() { 96 } else { 0 }
}

fn common_prefix_bits(a: Ip, b: Ip) -> u32 {
    (u128::from_be_bytes(a.octets()) ^ u128::from_be_bytes(b.octets())).leading_zeros()
}

#[inline]
fn bucket(ip: Ip) -> usize {
    // The last byte of a product depends on all of its factors' bytes: neighbouring networks are not to share buckets.
    (ip.mixed() >> 56) as usize % BUCKETS
}

const BUCKETS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn set(all: &[(&str, u8)]) -> LocalAddresses {
        let mut set = LocalAddresses::new();
        for (ip, prefix_bits) in all {
            let ip = ip.parse::<std::net::IpAddr>().unwrap().into();
            set.add(LocalAddress { ip, netif: 1, prefix_bits: *prefix_bits, broadcast: false });
        }
        set
    }

    fn ip(text: &str) -> Ip {
        text.parse::<std::net::IpAddr>().unwrap().into()
    }

    #[test]
    fn all_are_found_also_those_that_share_a_bucket() {
        let mut set = LocalAddresses::new();
        let all: Vec<Ip> = (0..600u32).map(|n| Ip::v4((0x0a00_0000 + n * 7).to_be_bytes())).collect();
        for ip in &all {
            assert!(set.find(*ip).is_none());
            set.add(LocalAddress { ip: *ip, netif: 1, prefix_bits: 8, broadcast: false });
        }
        assert!(all.iter().all(|ip| set.contains(*ip)));
    }

    #[test]
    fn sources_follow_scope_and_prefix() {
        let set = set(&[("10.0.0.2", 24), ("10.1.0.2", 24), ("fe80::2", 64), ("fd77::2", 64), ("fd78::2", 64)]);
        let source = |remote| set.source_for(1, ip(remote)).map(|ip| ip.to_string());
        assert_eq!(source("10.1.0.9").as_deref(), Some("10.1.0.2"));
        assert_eq!(source("192.0.2.1").as_deref(), Some("10.0.0.2"), "the first, all else being equal");
        assert_eq!(source("fe80::9").as_deref(), Some("fe80::2"));
        assert_eq!(source("fd78::9").as_deref(), Some("fd78::2"));
        assert_eq!(source("2001:db8::1").as_deref(), Some("fd77::2"));
        assert_eq!(source("ff02::1").as_deref(), Some("fe80::2"));
    }
}
