//! A bounded set of `u64` ranges: which packets or bytes arrived, for acknowledgement ranges of message protocols and
//! for SACK blocks. Not a buffer: it holds numbers, no data.

use arrayvec::ArrayVec;
use std::ops::Range;

/// Sorted, disjoint, never touching half-open ranges. At most [`limit`](Self::limit) of them: beyond that the *lowest*
/// is forgotten, because what is old is acknowledged already or soon resent. Up to four need no heap.
#[derive(Clone, Debug)]
pub struct RangeSet {
    store: Store,
    limit: u16,
}

/// What [`RangeSet::insert`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inserted {
    /// How many numbers were not in the set before. Zero: a duplicate (or the new range was the one forgotten).
    pub new: u64,
    /// The range that had to be forgotten to stay within the limit. It may be the one just inserted.
    pub forgotten: Option<Range<u64>>,
}

impl RangeSet {
    /// An empty set of at most `limit` ranges (at least 1).
    #[must_use]
    pub const fn with_limit(limit: u16) -> Self {
        Self { store: Store::Inline(ArrayVec::new_const()), limit: if limit == 0 { 1 } else { limit } }
    }

    /// Adds a range, joining those it overlaps or touches. An empty range adds nothing.
    pub fn insert(&mut self, range: Range<u64>) -> Inserted {
        if range.is_empty() {
            return Inserted::default();
        }
        let spans = self.as_slice();
        // Those that overlap or touch the new one: spans[from..to].
        let from = spans.partition_point(|s| s.end < range.start);
        let to = from + spans.get(from..).map_or(0, |rest| rest.partition_point(|s| s.start <= range.end));
        let mut joined = Span { start: range.start, end: range.end };
        let mut held = 0;
        for span in spans.get(from..to).unwrap_or_default() {
            joined.start = joined.start.min(span.start);
            joined.end = joined.end.max(span.end);
            held += span.count();
        }
        let new = joined.count() - held;
        if from < to {
            self.replace(from, to, joined);
            return Inserted { new, forgotten: None };
        }
        if spans.len() < usize::from(self.limit) {
            self.insert_at(from, joined);
            return Inserted { new, forgotten: None };
        }
        if from == 0 {
            return Inserted { new: 0, forgotten: Some(range) };
        }
        let forgotten = self.first();
        self.remove_at(0);
        self.insert_at(from - 1, joined);
        Inserted { new, forgotten }
    }

    /// Takes a range out. Cutting the middle out of a range makes two; if that exceeds the limit, the lowest range of
    /// the set is forgotten and returned.
    pub fn remove(&mut self, range: Range<u64>) -> Option<Range<u64>> {
        if range.is_empty() {
            return None;
        }
        let spans = self.as_slice();
        let from = spans.partition_point(|s| s.end <= range.start);
        let to = spans.partition_point(|s| s.start < range.end);
        if from >= to {
            return None;
        }
        let left = spans.get(from).map(|s| Span { start: s.start, end: range.start }).filter(|s| s.start < s.end);
        let right = spans.get(to - 1).map(|s| Span { start: range.end, end: s.end }).filter(|s| s.start < s.end);
        match (left, right) {
            (None, None) => self.remove_span(from, to),
            (Some(rest), None) | (None, Some(rest)) => self.replace(from, to, rest),
            (Some(left), Some(right)) => {
                self.replace(from, to, left);
                self.insert_at(from + 1, right);
                if self.as_slice().len() > usize::from(self.limit) {
                    let forgotten = self.first();
                    self.remove_at(0);
                    return forgotten;
                }
            }
        }
        None
    }

    /// Takes out everything below `bound`.
    pub fn remove_below(&mut self, bound: u64) {
        self.remove(0..bound);
    }

    /// Whether `number` is in the set.
    #[inline]
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.range_of(number).is_some()
    }

    /// The range that holds `number`.
    #[inline]
    #[must_use]
    pub fn range_of(&self, number: u64) -> Option<Range<u64>> {
        let spans = self.as_slice();
        spans.get(spans.partition_point(|s| s.end <= number)).filter(|s| s.start <= number).map(Span::range)
    }

    /// The first run of numbers at or after `from` that is not in the set although something above it is.
    #[must_use]
    pub fn first_gap(&self, from: u64) -> Option<Range<u64>> {
        let spans = self.as_slice();
        let at = spans.partition_point(|s| s.end <= from);
        let next = spans.get(at)?;
        if from < next.start {
            return Some(from..next.start);
        }
        spans.get(at + 1).map(|after| next.end..after.start)
    }

    /// The ranges in ascending order; reversible, for protocols that report the newest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + ExactSizeIterator + '_ {
        self.as_slice().iter().map(Span::range)
    }

    /// The lowest range.
    #[inline]
    #[must_use]
    pub fn first(&self) -> Option<Range<u64>> {
        self.as_slice().first().map(Span::range)
    }

    /// The highest range.
    #[inline]
    #[must_use]
    pub fn last(&self) -> Option<Range<u64>> {
        self.as_slice().last().map(Span::range)
    }

    /// How many ranges.
    #[inline]
    #[must_use]
    pub fn ranges(&self) -> usize {
        self.as_slice().len()
    }

    /// How many numbers, all ranges together.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.as_slice().iter().map(Span::count).sum()
    }

    /// Whether it holds nothing.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// The most ranges it will hold.
    #[must_use]
    pub const fn limit(&self) -> u16 {
        self.limit
    }

    /// Forgets everything, heap memory too.
    pub fn clear(&mut self) {
        self.store = Store::Inline(ArrayVec::new_const());
    }

    #[inline]
    fn as_slice(&self) -> &[Span] {
        match &self.store {
            Store::Inline(spans) => spans,
            Store::Heap(spans) => spans,
        }
    }

    /// `spans[from..to]`, at least one of them, become `span`.
    fn replace(&mut self, from: usize, to: usize, span: Span) {
        let spans = match &mut self.store {
            Store::Inline(spans) => spans.as_mut_slice(),
            Store::Heap(spans) => spans.as_mut_slice(),
        };
        if let Some(first) = spans.get_mut(from) {
            *first = span;
        }
        self.remove_span(from + 1, to);
    }

    fn remove_span(&mut self, from: usize, to: usize) {
        match &mut self.store {
            Store::Inline(spans) => drop(spans.drain(from..to)),
            Store::Heap(spans) => drop(spans.drain(from..to)),
        }
    }

    fn remove_at(&mut self, at: usize) {
        self.remove_span(at, at + 1);
    }

    fn insert_at(&mut self, at: usize, span: Span) {
        if let Store::Inline(spans) = &mut self.store {
            if spans.try_insert(at, span).is_ok() {
                return;
            }
            let mut heap = Vec::with_capacity(INLINE_RANGES * 2);
            heap.extend_from_slice(spans);
            self.store = Store::Heap(heap);
        }
        if let Store::Heap(spans) = &mut self.store {
            spans.insert(at, span);
        }
    }
}

/// Sets with equal ranges are equal, wherever they are kept and whatever their limits.
impl PartialEq for RangeSet {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for RangeSet {}

/// Four is what SACK options carry, and more than an orderly path ever needs.
const INLINE_RANGES: usize = 4;

/// A heap once needed is kept until [`RangeSet::clear`], so that a busy flow does not allocate again and again.
#[derive(Clone, Debug)]
enum Store {
    Inline(ArrayVec<Span, INLINE_RANGES>),
    Heap(Vec<Span>),
}

/// `Range<u64>` that is `Copy`. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u64,
    end: u64,
}

impl Span {
    const fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    const fn count(&self) -> u64 {
        self.end - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Action {
        Insert(Range<u64>),
        Remove(Range<u64>),
    }

    fn range() -> impl Strategy<Value = Range<u64>> {
        (0u64..128, 0u64..24).prop_map(|(start, count)| start..(start + count).min(128))
    }

    fn actions() -> impl Strategy<Value = Vec<Action>> {
        let one = prop_oneof![3 => range().prop_map(Action::Insert), 1 => range().prop_map(Action::Remove)];
        prop::collection::vec(one, 0..80)
    }

    fn bits(range: &Range<u64>) -> u128 {
        range.clone().fold(0, |bits, n| bits | 1 << n)
    }

    fn check(set: &RangeSet, model: u128) -> Result<(), TestCaseError> {
        let all: Vec<_> = set.iter().collect();
        prop_assert!(all.len() <= usize::from(set.limit()));
        prop_assert!(all.iter().all(|r| r.start < r.end));
        prop_assert!(all.windows(2).all(|w| w[0].end < w[1].start), "{all:?}");
        prop_assert_eq!(all.iter().fold(0, |b, r| b | bits(r)), model);
        prop_assert_eq!(set.count(), u64::from(model.count_ones()));
        prop_assert_eq!(set.first().map(|r| r.start), (model != 0).then(|| u64::from(model.trailing_zeros())));
        for n in 0..128 {
            prop_assert_eq!(set.contains(n), model >> n & 1 == 1);
            let start = (n..128).find(|i| model >> i & 1 == 0);
            let end = start.and_then(|s| (s..128).find(|i| model >> i & 1 == 1));
            prop_assert_eq!(set.first_gap(n), end.map(|e| start.unwrap()..e));
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_bits_that_forgets_the_lowest(limit in 1u16..12, actions in actions()) {
            let mut set = RangeSet::with_limit(limit);
            let mut model = 0u128;
            for action in actions {
                let forgotten = match action {
                    Action::Insert(r) => {
                        let before = set.ranges();
                        let Inserted { new, forgotten } = set.insert(r.clone());
                        let refused = forgotten == Some(r.clone());
                        let fresh = if refused { 0 } else { (bits(&r) & !model).count_ones() };
                        prop_assert_eq!(new, u64::from(fresh));
                        prop_assert!(forgotten.is_none() || before == usize::from(limit));
                        model |= bits(&r);
                        forgotten
                    }
                    Action::Remove(r) => {
                        model &= !bits(&r);
                        set.remove(r)
                    }
                };
                if let Some(lost) = forgotten {
                    prop_assert!(set.first().is_none_or(|f| lost.end < f.start), "not the lowest: {lost:?}");
                    prop_assert_eq!(bits(&lost) & model, bits(&lost));
                    model &= !bits(&lost);
                }
                check(&set, model)?;
            }
        }
    }

    #[test]
    fn it_grows_beyond_its_inline_ranges_and_compares_by_content() {
        let mut set = RangeSet::with_limit(64);
        for i in 0..40 {
            set.insert(i * 10..i * 10 + 5);
        }
        assert_eq!(set.ranges(), 40);
        assert_eq!(set.iter().next_back(), set.last());
        set.remove_below(391);
        let mut other = RangeSet::with_limit(64);
        other.insert(391..395);
        assert_eq!(set, other);
        set.insert(0..u64::MAX);
        assert_eq!(set.count(), u64::MAX);
        set.clear();
        assert!(set.is_empty());
    }
}
