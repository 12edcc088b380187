//! Ready lists: flows with something to send, by class. A flow stands on a list once (its `ready` bit).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// One class's list: ranked flows by rank, then the others in turn.
#[derive(Default)]
pub(crate) struct ReadyList {
    turn: VecDeque<u32>,
    /// Ordered by rank, then by the order of arrival: equal ranks take turns.
    ranked: BinaryHeap<Reverse<(u64, u64, u32)>>,
    arrivals: u64,
}

impl ReadyList {
    #[inline]
    pub(crate) fn push(&mut self, index: u32, rank: u64) {
        if rank == 0 {
            self.turn.push_back(index);
        } else {
            self.arrivals += 1;
            self.ranked.push(Reverse((rank, self.arrivals, index)));
        }
    }

    /// The next flow and its rank.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(u32, u64)> {
        if let Some(Reverse((rank, _, index))) = self.ranked.pop() {
            return Some((index, rank));
        }
        self.turn.pop_front().map(|index| (index, 0))
    }

    pub(crate) fn len(&self) -> usize {
        self.turn.len() + self.ranked.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn clear(&mut self) {
        self.turn.clear();
        self.ranked.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranked_flows_go_first_and_equal_ranks_take_turns() {
        let mut list = ReadyList::default();
        for (index, rank) in [(1, 0), (2, 9), (3, 5), (4, 5), (5, 0)] {
            list.push(index, rank);
        }
        let order: Vec<u32> = std::iter::from_fn(|| list.pop().map(|x| x.0)).collect();
        assert_eq!(order, [3, 4, 2, 1, 5]);
    }
}
