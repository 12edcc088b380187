//! Initial sequence numbers that old packets do not hit and strangers do not guess: RFC 6528.

use super::seq::SeqNum;
use crate::addr::Endpoint;
use crate::time::Instant;
use siphasher::sip::SipHasher24;
use std::fmt;

/// ISN = M + F(local, remote, key): M ticks every 4 us, F is a keyed hash (RFC 6528 section 3). One per host.
#[derive(Clone)]
pub struct InitialSequence {
    key: (u64, u64),
}

impl InitialSequence {
    /// With a secret key from the host's seeded generator. A new key per start of the host stands in for the quiet
    /// time (RFC 9293 3.4.3): after it, numbers are elsewhere.
    #[must_use]
    pub const fn new(key: (u64, u64)) -> Self {
        Self { key }
    }

    /// The first sequence number of a flow between the two that starts at `now`.
    /// RFC 9293: MUST-8, MUST-9, SHLD-1.
    #[must_use]
    pub fn isn(&self, local: Endpoint, remote: Endpoint, now: Instant) -> SeqNum {
        let hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        let (l, r) = (local.port.to_be_bytes(), remote.port.to_be_bytes());
        // A hash knows how long its input is, so the families need no mark, and the shorter one its own price.
        let place = if local.ip.is_v4() && remote.ip.is_v4() {
            let ([a, b, c, d], [e, f, g, h]) = (local.ip.octets4(), remote.ip.octets4());
            hasher.hash(&[a, b, c, d, e, f, g, h, l[0], l[1], r[0], r[1]])
        } else {
            let mut ends = [0; 36];
            ends[..16].copy_from_slice(&local.ip.octets());
            ends[16..32].copy_from_slice(&remote.ip.octets());
            ends[32..].copy_from_slice(&[l[0], l[1], r[0], r[1]]);
            hasher.hash(&ends)
        };
        SeqNum(place as u32) + (now.as_nanos() / TICK_NANOS) as u32
    }
}

/// Without the key.
impl fmt::Debug for InitialSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InitialSequence")
    }
}

/// RFC 9293 3.4.1: "roughly every 4 microseconds", once round in 4.77 hours.
const TICK_NANOS: u64 = 4_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Ip;
    use crate::time::Duration;

    // cites: MUST-8, MUST-9, SHLD-1
    #[test]
    fn it_ticks_every_four_microseconds_from_a_place_of_its_own_per_pair() {
        let isns = InitialSequence::new((1, 2));
        let end = |port| Endpoint::new(Ip::v4([10, 0, 0, 1]), port);
        let now = Instant::from_nanos(123_456_789_000);
        let first = isns.isn(end(1), end(2), now);
        assert_eq!(isns.isn(end(1), end(2), now), first);
        assert_eq!(isns.isn(end(1), end(2), now + Duration::from_micros(4_000)) - first, 1_000);
        let round = Duration::from_nanos(4_000 << 32);
        assert_eq!(isns.isn(end(1), end(2), now + round), first);
        let others = [
            isns.isn(end(2), end(1), now),
            isns.isn(end(1), end(3), now),
            InitialSequence::new((1, 3)).isn(end(1), end(2), now),
        ];
        assert!(others.iter().all(|o| (*o - first).unsigned_abs() > 1_000_000), "{first} {others:?}");
    }

    /// Else who knows the number of one pair could tell that of another (RFC 6528 3).
    #[test]
    fn every_bit_of_both_ends_counts() {
        let isns = InitialSequence::new((1, 2));
        let v6 = |bits: u128| Ip::v6(bits.to_be_bytes());
        let ends: [fn(u128) -> Ip; 2] = [|bits| Ip::v4((bits as u32).to_be_bytes()), v6];
        for (ip, ip_bits) in ends.into_iter().zip([32, 128]) {
            let base = 0x2001_0db8_0000_0000_0000_0000_0a00_0001;
            let isn = |bit: u32| {
                let flip = |from: u32| bit.checked_sub(from).filter(|bit| *bit < 128).map_or(0u128, |bit| 1 << bit);
                let (port, address) = (|from| flip(from) as u16, |from| base ^ flip(from));
                let local = Endpoint::new(ip(address(32)), 0x1234 ^ port(0));
                let remote = Endpoint::new(ip(address(32 + ip_bits)), 0x5678 ^ port(16));
                isns.isn(local, remote, Instant::ZERO).0
            };
            let all: std::collections::BTreeSet<_> = (0..32 + 2 * ip_bits).map(isn).collect();
            assert_eq!(all.len(), 32 + 2 * ip_bits as usize);
        }
    }
}
