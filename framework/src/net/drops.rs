//! Why packets were dropped, and how often: every drop has a name that a person can read, and no more memory than there
//! are names in the program.

use std::fmt;

/// The name of a reason to drop a packet, lower case, the layer first: `"ipv4: header checksum"`. A constant of the
/// program, never made from what a wire brought, so the number of them is bounded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DropReason(pub &'static str);

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

/// Drops by reason, in the order in which the reasons first occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(Vec<(DropReason, u64)>);

impl Counters {
    /// Counts one drop.
    #[inline]
    pub fn add(&mut self, reason: DropReason) {
        self.add_many(reason, 1);
    }

    /// Counts `n` drops at once; none adds no entry.
    pub fn add_many(&mut self, reason: DropReason, n: u64) {
        if n == 0 {
            return;
        }
        match self.0.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count = count.saturating_add(n),
            None => self.0.push((reason, n)),
        }
    }

    /// Drops for the reason of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.0.iter().find(|(reason, _)| reason.0 == name).map_or(0, |(_, count)| *count)
    }

    /// All drops together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Reasons with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Adds another's counts to these.
    pub fn merge(&mut self, other: &Self) {
        for (reason, n) in other.iter() {
            self.add_many(reason, n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_name_and_merges() {
        let (a, b) = (DropReason("test: a"), DropReason("test: b"));
        let mut counters = Counters::default();
        counters.add(a);
        counters.add_many(b, 2);
        counters.add_many(b, 0);
        let mut all = counters.clone();
        all.merge(&counters);
        assert_eq!((all.get("test: a"), all.get("test: b"), all.get("none"), all.total()), (2, 4, 0, 6));
        assert_eq!(all.iter().map(|(r, _)| r.0).collect::<Vec<_>>(), ["test: a", "test: b"]);
    }
}
