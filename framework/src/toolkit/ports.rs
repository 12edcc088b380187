//! Which local port a new flow gets, when the application does not care: RFC 6056, algorithm 3. A port that nobody can
//! guess is a part of what keeps off-path attackers out of a flow.

use crate::addr::{Endpoint, Ip};
use siphasher::sip::SipHasher13;
use std::fmt;
use std::hash::Hasher;
use std::ops::RangeInclusive;

/// Chooses ephemeral ports; one per lane and transport, each with a key of its own.
///
/// Ports towards one remote endpoint follow one another, so none is reused sooner than it must be; where each remote
/// endpoint begins is a keyed secret.
#[derive(Clone)]
pub struct PortPicker {
    key: (u64, u64),
    first: u16,
    count: u32,
    /// `next_ephemeral` of RFC 6056, shared by all remotes.
    counter: u32,
    /// The pair asked for last, and its offset: clients mostly go where they went before.
    last: Option<(Ip, Endpoint, u32)>,
}

impl PortPicker {
    /// Over [`DEFAULT_PORTS`], with a secret key from the host's seeded generator.
    #[must_use]
    pub fn new(key: (u64, u64)) -> Self {
        Self::with_range(key, DEFAULT_PORTS)
    }

    /// Over `ports`. Ports below 1024 are never given; if nothing remains, the range is [`DEFAULT_PORTS`].
    #[must_use]
    pub fn with_range(key: (u64, u64), ports: RangeInclusive<u16>) -> Self {
        let (first, last) = (*ports.start().max(&FIRST_UNPRIVILEGED), *ports.end());
        let (first, last) = if first <= last { (first, last) } else { (*DEFAULT_PORTS.start(), *DEFAULT_PORTS.end()) };
        Self { key, first, count: u32::from(last - first) + 1, counter: 0, last: None }
    }

    /// A port for a flow from `local` to `remote` that is not `taken`, or `None` if all of the range are; each is
    /// asked for at most once.
    pub fn next(&mut self, local: Ip, remote: Endpoint, mut taken: impl FnMut(u16) -> bool) -> Option<u16> {
        let offset = match self.last {
            Some((to_local, to_remote, offset)) if (to_local, to_remote) == (local, remote) => offset,
            _ => {
                let offset = self.offset(local, remote);
                self.last = Some((local, remote, offset));
                offset
            }
        };
        for _ in 0..self.count {
            let port = self.first + ((u64::from(offset) + u64::from(self.counter)) % u64::from(self.count)) as u16;
            self.counter = (self.counter + 1) % self.count;
            if !taken(port) {
                return Some(port);
            }
        }
        None
    }

    /// F of RFC 6056 3.3.3.
    fn offset(&self, local: Ip, remote: Endpoint) -> u32 {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write(&local.octets());
        hasher.write(&remote.ip.octets());
        hasher.write(&remote.port.to_be_bytes());
        hasher.finish() as u32
    }
}

/// Without the key.
impl fmt::Debug for PortPicker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortPicker").field("first", &self.first).field("count", &self.count).finish_non_exhaustive()
    }
}

/// What Linux gives, too. RFC 6056 3.2 would have 1024 to 65535; servers listen there.
pub const DEFAULT_PORTS: RangeInclusive<u16> = 32_768..=60_999;
const FIRST_UNPRIVILEGED: u16 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn remote(host: u8, port: u16) -> Endpoint {
        Endpoint::new(Ip::v4([10, 0, 0, host]), port)
    }

    const LOCAL: Ip = Ip::v4([10, 77, 0, 2]);

    #[test]
    fn every_port_is_given_once_and_then_none() {
        let mut picker = PortPicker::with_range((1, 2), 2_000..=2_099);
        let mut taken = HashSet::new();
        while let Some(port) = picker.next(LOCAL, remote(1, 80), |p| taken.contains(&p)) {
            assert!((2_000..=2_099).contains(&port));
            assert!(taken.insert(port));
        }
        assert_eq!(taken.len(), 100);
        taken.remove(&2_042);
        assert_eq!(picker.next(LOCAL, remote(9, 9), |p| taken.contains(&p)), Some(2_042));
    }

    #[test]
    fn ports_towards_one_remote_do_not_repeat_before_the_range_is_through() {
        let mut picker = PortPicker::new((3, 4));
        let given: HashSet<u16> = (0..28_232).filter_map(|_| picker.next(LOCAL, remote(1, 80), |_| false)).collect();
        assert_eq!(given.len(), 28_232);
    }

    #[test]
    fn where_a_remote_begins_is_spread_evenly_and_depends_on_the_key() {
        let mut buckets = [0u32; 16];
        let mut same = 0;
        for host in 0..=255 {
            for port in [80, 443, 7_000, 7_001] {
                let mut pickers = [PortPicker::new((5, 6)), PortPicker::new((5, 7))];
                let ports = pickers.each_mut().map(|p| p.next(LOCAL, remote(host, port), |_| false).unwrap());
                buckets[usize::from(ports[0] - 32_768) * 16 / 28_232] += 1;
                same += u32::from(ports[0] == ports[1]);
            }
        }
        // 1,024 over 16: 64 each; chi squared with 15 degrees of freedom is below 37.7 in 999 of 1,000 keys.
        let chi: f64 = buckets.iter().map(|n| (f64::from(*n) - 64.0).powi(2) / 64.0).sum();
        assert!(chi < 37.7, "{buckets:?} {chi}");
        assert!(same < 4);
    }

    #[test]
    fn odd_ranges_are_made_sensible() {
        let picker = |range| PortPicker::with_range((0, 0), range);
        assert_eq!((picker(1..=1_024).first, picker(1..=1_024).count), (1_024, 1));
        assert_eq!(picker(0..=80).count, 28_232);
        assert_eq!(picker(1_024..=65_535).count, 64_512);
        assert_eq!(picker(40_000..=40_000).next(LOCAL, remote(1, 1), |_| false), Some(40_000));
    }
}
