//! A token bucket: so many a second, so many at once. It limits what strangers can make us send (ICMP errors: RFC 1812
//! 4.3.2.8, RFC 4443 2.4 (f); address defence: RFC 5227 2.4).

use crate::time::{Duration, Instant, nanos};

/// A bucket of at most `burst` tokens that gains `per_second` of them a second. It starts full.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    /// Time between two tokens, nanoseconds; `u64::MAX` if none ever come.
    interval_ns: u64,
    burst_ns: u64,
    /// When the bucket is full again. Ahead of `now` by what was taken and has not come back yet.
    full_at: Instant,
}

impl TokenBucket {
    /// A full bucket. `per_second` 0 never gives a token.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval_ns = if per_second == 0 { u64::MAX } else { 1_000_000_000 / u64::from(per_second) };
        let burst_ns = interval_ns.saturating_mul(u64::from(burst.max(1)));
        Self { interval_ns, burst_ns, full_at: Instant::ZERO }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        if self.interval_ns == u64::MAX {
            return false;
        }
        self.full_at = self.full_at.max(now);
        let ahead = nanos(self.full_at.since(now));
        if ahead.saturating_add(self.interval_ns) > self.burst_ns {
            return false;
        }
        self.full_at += Duration::from_nanos(self.interval_ns);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// In any span, no more than the burst and what the rate adds.
        #[test]
        fn never_more_than_rate_and_burst(rate in 1u32..1000, burst in 1u32..50, gaps in proptest::collection::vec(0u64..20_000_000, 1..300)) {
            let mut bucket = TokenBucket::new(rate, burst);
            let (mut now, mut taken) = (Instant::ZERO, 0u64);
            for gap in gaps {
                now += Duration::from_nanos(gap);
                taken += u64::from(bucket.take(now));
                let earned = nanos(now.since(Instant::ZERO)) / (1_000_000_000 / u64::from(rate));
                prop_assert!(taken <= u64::from(burst) + earned);
            }
        }
    }

    #[test]
    fn starts_full_and_refills() {
        let mut bucket = TokenBucket::new(10, 3);
        let mut at = |ms| bucket.take(Instant::ZERO + Duration::from_millis(ms));
        assert_eq!([at(0), at(0), at(0), at(0)], [true, true, true, false]);
        assert_eq!([at(99), at(100), at(101)], [false, true, false]);
        assert!(!TokenBucket::new(0, 9).take(Instant::ZERO));
    }
}
