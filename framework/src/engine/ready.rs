//! Ready lists: flows with something to send, by class. A flow stands on a list once (its `ready` bit). One that ends
//! leaves its entry behind, which is passed over by its generation.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::FlowId;

/// One class's list: ranked flows by rank, then the others in turn.
#[derive(Default)]
pub(crate) struct ReadyList {
    turn: VecDeque<FlowId>,
    /// Ordered by rank, then by the order of arrival: equal ranks take turns.
    ranked: BinaryHeap<Reverse<(u64, u64, FlowId)>>,
    arrivals: u64,
}

impl ReadyList {
    #[inline]
    pub(crate) fn push(&mut self, flow: FlowId, rank: u64) {
        if rank == 0 {
            self.turn.push_back(flow);
        } else {
            self.arrivals += 1;
            self.ranked.push(Reverse((rank, self.arrivals, flow)));
        }
    }

    /// The next flow and its rank.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<(FlowId, u64)> {
        if !self.ranked.is_empty() {
            return self.pop_ranked();
        }
        self.turn.pop_front().map(|flow| (flow, 0))
    }

    #[inline(never)]
    fn pop_ranked(&mut self) -> Option<(FlowId, u64)> {
        self.ranked.pop().map(|Reverse((rank, _, flow))| (flow, rank))
    }

    /// Keeps only the entries of flows that `is_live`.
    pub(crate) fn retain(&mut self, is_live: impl Fn(FlowId) -> bool) {
        self.turn.retain(|flow| is_live(*flow));
        self.ranked.retain(|Reverse((_, _, flow))| is_live(*flow));
    }

    /// The flows on it, in no order.
    pub(crate) fn flows(&self) -> impl Iterator<Item = FlowId> + '_ {
        self.turn.iter().copied().chain(self.ranked.iter().map(|Reverse((_, _, flow))| *flow))
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
            list.push(FlowId { index, generation: 1 }, rank);
        }
        let order: Vec<u32> = std::iter::from_fn(|| list.pop().map(|x| x.0.index)).collect();
        assert_eq!(order, [3, 4, 2, 1, 5]);
    }
}
