//! Least recently used order over the indices of a table: a doubly linked list in a vector beside it. Every step is
//! O(1), and nothing is allocated once the table has its size.

/// Order of the indices that may be evicted; others are simply not in it.
#[derive(Debug, Default)]
pub(crate) struct LruList {
    links: Vec<Link>,
    ends: Link,
}

/// `older` and `newer` neighbours, `NONE` at the ends. Of the list itself: its newest and its oldest.
#[derive(Clone, Copy, Debug)]
struct Link {
    older: u32,
    newer: u32,
    listed: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self { older: NONE, newer: NONE, listed: false }
    }
}

impl LruList {
    /// Puts `index` at the newest end, from wherever it was.
    pub(crate) fn touch(&mut self, index: u32) {
        self.remove(index);
        if self.links.len() <= index as usize {
            self.links.resize(index as usize + 1, Link::default());
        }
        let newest = self.ends.older;
        self.set(index, |link| *link = Link { older: newest, newer: NONE, listed: true });
        self.set_newer(newest, index);
        self.ends.older = index;
    }

    /// Takes `index` out, if it is in.
    pub(crate) fn remove(&mut self, index: u32) {
        let Some(link) = self.links.get_mut(index as usize).filter(|link| link.listed) else { return };
        let Link { older, newer, .. } = std::mem::take(link);
        self.set_newer(older, newer);
        if newer == NONE {
            self.ends.older = older;
        } else {
            self.set(newer, |link| link.older = older);
        }
    }

    /// The index unused for longest.
    pub(crate) fn oldest(&self) -> Option<u32> {
        (self.ends.newer != NONE).then_some(self.ends.newer)
    }

    fn set_newer(&mut self, of: u32, newer: u32) {
        if of == NONE {
            self.ends.newer = newer;
        } else {
            self.set(of, |link| link.newer = newer);
        }
    }

    fn set(&mut self, index: u32, change: impl FnOnce(&mut Link)) {
        if let Some(link) = self.links.get_mut(index as usize) {
            change(link);
        }
    }
}

const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_a_list_ordered_by_last_touch(ops in proptest::collection::vec((any::<bool>(), 0u32..12), 0..200)) {
            let (mut list, mut model) = (LruList::default(), Vec::<u32>::new());
            for (touch, index) in ops {
                model.retain(|i| *i != index);
                if touch { list.touch(index); model.push(index); } else { list.remove(index); }
                prop_assert_eq!(list.oldest(), model.first().copied());
            }
            while let Some(index) = list.oldest() {
                prop_assert_eq!(index, model.remove(0));
                list.remove(index);
            }
            prop_assert!(model.is_empty());
        }
    }
}
