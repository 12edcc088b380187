//! Stateless cookies: proof that a peer receives at the address it sends from, without remembering it. As opening
//! cookies where 32 bits of a header are all there is (RFC 4987 3.6), and as path tokens of 64 bits (in the manner of
//! RFC 9000 8.1.3 and 8.2).
//!
//! ```text
//!  32 bits:  | slot: 5 | payload: 3 |        MAC: 24        |
//!  64 bits:  |   slot: 8   |            MAC: 56             |
//! ```

use crate::addr::Endpoint;
use crate::time::{Duration, Instant, nanos};
use siphasher::sip::SipHasher24;
use std::fmt;
use std::hash::Hasher;

/// Makes and checks cookies; one per host, since any lane may see the answer. So the lanes of a host count time from one
/// epoch.
#[derive(Clone)]
pub struct CookieJar {
    key: (u64, u64),
    slot: Duration,
}

impl CookieJar {
    /// With a secret key from the host's seeded generator. A cookie is good for at least `slot` and at most twice
    /// that; `slot` is at least 1 ms.
    #[must_use]
    pub fn new(key: (u64, u64), slot: Duration) -> Self {
        Self { key, slot: slot.max(Duration::from_millis(1)) }
    }

    /// The same from the secret that a host hands to [`Transport::shared`](crate::transport::Transport::shared).
    #[must_use]
    pub fn from_secret(secret: &[u8; 32], slot: Duration) -> Self {
        let half = |at: usize| secret.iter().skip(at).take(8).fold(0, |key, byte| key << 8 | u64::from(*byte));
        Self::new((half(0), half(8)), slot)
    }

    /// A cookie of 32 bits that carries `payload` (3 bits; more are cut off) and is good only for this pair of
    /// endpoints and these `bound` bits, which the peer will have to repeat. A guess succeeds once in 2^23 tries.
    #[must_use]
    pub fn make32(&self, local: Endpoint, remote: Endpoint, bound: u64, payload: u8, now: Instant) -> u32 {
        let (slot, payload) = (self.slot_at(now), payload & PAYLOAD_MASK);
        let mac = self.mac(local, remote, bound, payload, slot) & MAC32_MASK;
        (slot as u32 & SLOT32_MASK) << 27 | u32::from(payload) << 24 | mac as u32
    }

    /// The payload of a cookie made with the same endpoints and `bound` in this slot or the last; else `None`.
    #[must_use]
    pub fn check32(&self, cookie: u32, local: Endpoint, remote: Endpoint, bound: u64, now: Instant) -> Option<u8> {
        let slot = self.recent(u64::from(cookie >> 27), u64::from(SLOT32_MASK), now)?;
        let payload = (cookie >> 24) as u8 & PAYLOAD_MASK;
        let mac = self.mac(local, remote, bound, payload, slot) & MAC32_MASK;
        (mac as u32 == cookie & MAC32_MASK as u32).then_some(payload)
    }

    /// Whether the clock in a cookie is that of this slot or the last, if it is a cookie: for what may be one and cannot be
    /// checked. Of strange numbers one in sixteen is.
    #[must_use]
    pub fn is_recent32(&self, cookie: u32, now: Instant) -> bool {
        self.recent(u64::from(cookie >> 27), u64::from(SLOT32_MASK), now).is_some()
    }

    /// A token of 64 bits, good only for this pair of endpoints and these `bound` bits.
    #[must_use]
    pub fn make64(&self, local: Endpoint, remote: Endpoint, bound: u64, now: Instant) -> u64 {
        let slot = self.slot_at(now);
        (slot & SLOT64_MASK) << 56 | self.mac(local, remote, bound, WIDE, slot) & MAC64_MASK
    }

    /// Whether the token was made with the same endpoints and `bound` in this slot or the last.
    #[must_use]
    pub fn check64(&self, token: u64, local: Endpoint, remote: Endpoint, bound: u64, now: Instant) -> bool {
        self.recent(token >> 56, SLOT64_MASK, now)
            .is_some_and(|slot| self.mac(local, remote, bound, WIDE, slot) & MAC64_MASK == token & MAC64_MASK)
    }

    /// The slot whose low bits those are, if it is this one or the last. The MAC covers all of its bits, so a cookie
    /// does not come alive again when the low ones come round.
    fn recent(&self, low_bits: u64, mask: u64, now: Instant) -> Option<u64> {
        let current = self.slot_at(now);
        let age = current.wrapping_sub(low_bits) & mask;
        if age <= AGE_SLOTS_MAX { current.checked_sub(age) } else { None }
    }

    fn slot_at(&self, now: Instant) -> u64 {
        now.as_nanos() / nanos(self.slot)
    }

    /// `kind` keeps short and long cookies, and payloads, apart.
    fn mac(&self, local: Endpoint, remote: Endpoint, bound: u64, kind: u8, slot: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        for end in [local, remote] {
            hasher.write(&end.ip.octets());
            hasher.write(&end.port.to_be_bytes());
        }
        hasher.write(&bound.to_be_bytes());
        hasher.write(&slot.to_be_bytes());
        hasher.write(&[kind]);
        hasher.finish()
    }
}

/// Without the key.
impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieJar").field("slot", &self.slot).finish_non_exhaustive()
    }
}

/// How many slots back a cookie may come from.
const AGE_SLOTS_MAX: u64 = 1;
const SLOT32_MASK: u32 = 0x1f;
const SLOT64_MASK: u64 = 0xff;
const PAYLOAD_MASK: u8 = 7;
const MAC32_MASK: u64 = 0xff_ffff;
const MAC64_MASK: u64 = (1 << 56) - 1;
/// The `kind` of 64-bit tokens; payloads are below 8.
const WIDE: u8 = 0xff;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Ip;
    use proptest::prelude::*;

    const SLOT: Duration = Duration::from_secs(60);

    fn jar() -> CookieJar {
        CookieJar::new((0x0123_4567, 0x89ab_cdef), SLOT)
    }

    fn end(host: u8, port: u16) -> Endpoint {
        Endpoint::new(Ip::v4([192, 0, 2, host]), port)
    }

    proptest! {
        #[test]
        fn a_cookie_is_good_for_its_slot_and_the_next(at: u32, later in 0u64..400, bound: u64, payload in 0u8..8) {
            let made = Instant::from_nanos(u64::from(at) * 1_000_000_000);
            let now = made + Duration::from_secs(later);
            let slots = u64::from(at) + later;
            let good = slots / 60 - u64::from(at) / 60 <= 1;
            let (l, r) = (end(1, 80), end(2, 4_000));
            let short = jar().make32(l, r, bound, payload, made);
            prop_assert_eq!(jar().check32(short, l, r, bound, now), good.then_some(payload));
            prop_assert_eq!(jar().is_recent32(short, now), (slots / 60 - u64::from(at) / 60) % 32 <= 1);
            let long = jar().make64(l, r, bound, made);
            prop_assert_eq!(jar().check64(long, l, r, bound, now), good);
        }

        #[test]
        fn nothing_else_is_good(host: u8, port: u16, bound: u64, flip in 0u32..64) {
            let (l, now) = (end(1, 80), Instant::from_nanos(1 << 50));
            let (short, long) = (jar().make32(l, end(2, 4_000), 7, 3, now), jar().make64(l, end(2, 4_000), 7, now));
            prop_assert!(!jar().check64(long ^ 1 << flip, l, end(2, 4_000), 7, now));
            prop_assert_eq!(jar().check32(short ^ 1 << (flip % 32), l, end(2, 4_000), 7, now), None);
            prop_assume!((host, port, bound) != (2, 4_000, 7));
            prop_assert!(!jar().check64(long, l, end(host, port), bound, now));
            let other = CookieJar::new((1, 2), SLOT);
            prop_assert!(!other.check64(long, l, end(2, 4_000), 7, now));
        }
    }

    #[test]
    fn an_old_cookie_does_not_come_alive_when_its_slot_number_comes_round() {
        let (l, r, made) = (end(1, 80), end(2, 4_000), Instant::from_nanos(60_000_000_000));
        let (short, long) = (jar().make32(l, r, 0, 0, made), jar().make64(l, r, 0, made));
        assert_eq!(jar().check32(short, l, r, 0, made + SLOT * 32), None);
        assert!(!jar().check64(long, l, r, 0, made + SLOT * 256));
        assert_eq!(jar().check32(short, l, r, 0, Instant::ZERO), None, "from the future");
        assert!(!format!("{:?}", jar()).contains("0123"));
    }
}
