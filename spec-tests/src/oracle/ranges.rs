//! Which offsets arrived: a set of ranges, as small as an oracle can afford.

use std::collections::BTreeMap;

/// Disjoint ranges that do not touch, by their start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds `start..end`.
    pub(super) fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let (mut left, mut right) = (start, end);
        while let Some((&from, &to)) = self.0.range(..=right).next_back().filter(|(_, to)| **to >= left) {
            left = left.min(from);
            right = right.max(to);
            self.0.remove(&from);
        }
        self.0.insert(left, right);
    }

    /// Whether all of `start..end` is in it.
    pub(super) fn contains(&self, start: u64, end: u64) -> bool {
        start >= end || self.0.range(..=start).next_back().is_some_and(|(_, to)| *to >= end)
    }

    /// Where the range that begins at zero ends; zero without one.
    pub(super) fn contiguous(&self) -> u64 {
        self.0.get(&0).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_set_of_offsets(pieces in proptest::collection::vec((0_u64..60, 0_u64..12), 0..20)) {
            let (mut ranges, mut set) = (Ranges::default(), [false; 80]);
            for (start, len) in pieces {
                ranges.insert(start, start + len);
                set[start as usize..(start + len) as usize].fill(true);
            }
            for start in 0..80_usize {
                for end in start..80 {
                    prop_assert_eq!(ranges.contains(start as u64, end as u64), set[start..end].iter().all(|is| *is));
                }
            }
            let contiguous = set.iter().take_while(|is| **is).count();
            prop_assert_eq!(ranges.contiguous(), contiguous as u64);
        }
    }
}
