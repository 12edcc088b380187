//! Sequence numbers of 32 bits that wrap (RFC 9293 3.4), and the way from them to 64-bit offsets that do not.
//!
//! Ledgers and reassembly work in `u64` offsets, which order and never wrap in practice. A transport with 32 bits on
//! the wire keeps the offset whose low 32 bits *are* the sequence number: [`SeqNum::first_offset`] gives the first,
//! [`SeqNum::near`] every later one, [`SeqNum::of_offset`] the way back.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A number on a circle of 2^32 (RFC 9293 3.4). It has no `Ord`, because "before" on a circle is not transitive:
/// compare with [`before`](Self::before), [`after`](Self::after) and [`in_window`](Self::in_window), which hold for
/// numbers less than 2^31 apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// Whether `self` comes before `other`: less than half the circle (or exactly half of it) lies between them.
    #[inline]
    #[must_use]
    pub const fn before(self, other: Self) -> bool {
        self.distance_from(other) < 0
    }

    /// Whether `self` comes after `other`. Of two numbers exactly 2^31 apart neither is after the other.
    #[inline]
    #[must_use]
    pub const fn after(self, other: Self) -> bool {
        self.distance_from(other) > 0
    }

    /// `before`, or equal.
    #[inline]
    #[must_use]
    pub const fn at_or_before(self, other: Self) -> bool {
        self.distance_from(other) <= 0
    }

    /// `after`, or equal.
    #[inline]
    #[must_use]
    pub const fn at_or_after(self, other: Self) -> bool {
        self.distance_from(other) >= 0
    }

    /// Whether `self` is one of the `size` numbers from `start` on. Exact for every size, also beyond 2^31; a window
    /// of size zero holds nothing.
    #[inline]
    #[must_use]
    pub const fn in_window(self, start: Self, size: u32) -> bool {
        self.0.wrapping_sub(start.0) < size
    }

    /// The first offset of a flow whose first sequence number is `self`. It lies in the second turn of the circle, so
    /// that numbers a little before it (old duplicates, a probe at ISN - 1) still have an offset of their own.
    #[inline]
    #[must_use]
    pub const fn first_offset(self) -> u64 {
        1 << 32 | self.0 as u64
    }

    /// The sequence number of an offset: its low 32 bits.
    #[inline]
    #[must_use]
    pub const fn of_offset(offset: u64) -> Self {
        Self(offset as u32)
    }

    /// The offset congruent to `self` that is nearest to `reference`; see [`nearest_offset`].
    #[inline]
    #[must_use]
    pub const fn near(self, reference: u64) -> u64 {
        nearest_offset(reference, self.0)
    }

    const fn distance_from(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }
}

/// Of all `u64` whose low 32 bits are `wire`, the nearest to `reference`; of two equally near ones the lower. Where
/// the nearest would lie below zero or beyond `u64::MAX`, the next one on the inside.
#[inline]
#[must_use]
pub const fn nearest_offset(reference: u64, wire: u32) -> u64 {
    let ahead = wire.wrapping_sub(reference as u32) as i32;
    match reference.checked_add_signed(ahead as i64) {
        Some(offset) => offset,
        None if ahead < 0 => reference.wrapping_add_signed(ahead as i64 + TURN),
        None => reference.wrapping_add_signed(ahead as i64 - TURN),
    }
}

/// One turn of the circle.
const TURN: i64 = 1 << 32;

impl Add<u32> for SeqNum {
    type Output = Self;

    #[inline]
    fn add(self, rhs: u32) -> Self {
        Self(self.0.wrapping_add(rhs))
    }
}

impl AddAssign<u32> for SeqNum {
    #[inline]
    fn add_assign(&mut self, rhs: u32) {
        *self = *self + rhs;
    }
}

impl Sub<u32> for SeqNum {
    type Output = Self;

    #[inline]
    fn sub(self, rhs: u32) -> Self {
        Self(self.0.wrapping_sub(rhs))
    }
}

/// How far `self` is after `rhs`; negative if before. Total: never a panic.
impl Sub for SeqNum {
    type Output = i32;

    #[inline]
    fn sub(self, rhs: Self) -> i32 {
        self.distance_from(rhs)
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers where mistakes live: near the wrap, near half the circle, and anywhere.
    fn seq() -> impl Strategy<Value = u32> {
        let near = |at: u32| (0u32..8).prop_map(move |d| at.wrapping_add(d).wrapping_sub(4));
        prop_oneof![near(0), near(1 << 31), near(u32::MAX), any::<u32>()]
    }

    proptest! {
        #[test]
        fn within_half_a_circle_order_is_that_of_distance(a in seq(), d in prop_oneof![0u32..16, 0u32..1 << 31]) {
            let (a, b) = (SeqNum(a), SeqNum(a) + d);
            prop_assert_eq!(b - a, i32::try_from(d).unwrap());
            prop_assert_eq!(a.before(b), d > 0);
            prop_assert_eq!(b.after(a), d > 0);
            prop_assert!(a.at_or_before(b) && b.at_or_after(a));
            prop_assert!(!a.after(b) && !b.before(a));
            prop_assert_eq!(b - d, a);
        }

        #[test]
        fn comparisons_are_total_and_consistent(a in seq(), b in seq()) {
            let (a, b) = (SeqNum(a), SeqNum(b));
            prop_assert_eq!(a.before(b), !a.at_or_after(b));
            prop_assert_eq!(a.after(b), !a.at_or_before(b));
            prop_assert_eq!(a.after(b), a - b > 0);
        }

        #[test]
        fn a_window_holds_exactly_its_numbers(start in seq(), size in seq(), x in seq()) {
            let held = (u64::from(x) + (1 << 32) - u64::from(start)) % (1 << 32) < u64::from(size);
            prop_assert_eq!(SeqNum(x).in_window(SeqNum(start), size), held);
        }

        #[test]
        fn the_nearest_offset_is_congruent_and_nearest(
            reference in prop_oneof![any::<u64>(), 0u64..1 << 34, (0u64..1 << 34).prop_map(|d| u64::MAX - d)],
            wire in seq(),
        ) {
            let offset = nearest_offset(reference, wire);
            prop_assert_eq!(offset as u32, wire);
            let nearest = [reference >> 32, (reference >> 32).wrapping_sub(1), (reference >> 32) + 1]
                .into_iter()
                .filter(|turn| *turn < 1 << 32)
                .map(|turn| turn << 32 | u64::from(wire))
                .min_by_key(|o| (o.abs_diff(reference), *o));
            prop_assert_eq!(Some(offset), nearest);
        }

        #[test]
        fn offsets_follow_a_flow_through_many_wraps(isn in seq(), steps in prop::collection::vec(0u32..1 << 31, 1..40)) {
            let (mut seq, mut offset) = (SeqNum(isn), SeqNum(isn).first_offset());
            for step in steps {
                seq += step;
                let next = seq.near(offset);
                prop_assert_eq!(next, offset + u64::from(step));
                prop_assert_eq!(SeqNum::of_offset(next), seq);
                offset = next;
            }
        }
    }

    #[test]
    fn every_pair_around_the_wrap() {
        for a in -40i64..40 {
            for b in -40i64..40 {
                let (x, y) = (SeqNum(a as u32), SeqNum(b as u32));
                assert_eq!(x.before(y), a < b);
                assert_eq!(x.after(y), a > b);
                assert_eq!(i64::from(x - y), a - b);
                for size in 0..50 {
                    assert_eq!(x.in_window(y, size), (0..i64::from(size)).contains(&(a - b)));
                }
            }
        }
    }

    #[test]
    fn a_number_before_the_first_has_an_offset_before_the_first() {
        let isn = SeqNum(0);
        assert_eq!((isn - 1).near(isn.first_offset()), isn.first_offset() - 1);
        assert_eq!(format!("{}", isn - 1), "4294967295");
    }
}
