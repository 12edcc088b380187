//! What must not wait: acknowledgements of data that arrived in order, and the news that a window which was used up is open
//! again. Both are measured at the host that owes them, from when it could know to when a packet left, so that neither the path nor
//! a queue before it counts.

use std::collections::{BTreeMap, VecDeque};

use burstlane::observe::FlowRef;
use burstlane::time::Instant;

use super::laws::Law;
use super::watch::{FlowWatch, peer_of, with};
use super::witness::Witness;
use crate::scenario::Side;

/// What one end of a flow owes its peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Owed {
    /// Ends of what arrived in order and is not known to be acknowledged, and when it did.
    acks: VecDeque<(u64, Instant)>,
    /// The largest window that the peer ever had.
    window_max: u64,
    /// Since when the peer should be told of room.
    room_since: Option<Instant>,
}

/// When the packets on their way to one side left, by when they arrive; the first of those that arrive together.
#[derive(Clone, Debug, Default)]
pub(super) struct Post(BTreeMap<Instant, Instant>);

impl Post {
    pub(super) fn on_left(&mut self, left_at: Instant, arrives_at: Instant) {
        let first = self.0.entry(arrives_at).or_insert(left_at);
        *first = left_at.min(*first);
    }

    /// It is `now`: what came earlier has been looked at.
    pub(super) fn on_arrived(&mut self, now: Instant) {
        self.0 = self.0.split_off(&now);
    }
}

/// A part of the stream arrived; before that, all before `prefix` was there.
pub(super) fn on_arrived(watch: &mut FlowWatch, now: Instant, prefix: u64) {
    let grown = watch.arrived_prefix();
    if grown > prefix {
        watch.owed.acks.push_back((grown, now));
    }
}

/// `side` learnt that all before `offset` is acknowledged.
pub(super) fn on_acked(witness: &mut Witness, side: Side, now: Instant, flow: FlowRef, offset: u64) {
    let Some(peer) = peer_of(witness, side, flow) else { return };
    let mut oldest = None;
    while let Some((_, since)) = peer.owed.acks.pop_front_if(|(end, _)| *end <= offset) {
        oldest = oldest.or(Some(since));
    }
    // What was lost since then, or thrown away (by a TCP whose window ends before it, say), may have been the answer.
    let troubled_at = witness.troubled_at.max(witness.refused_at[side.index()]);
    let untroubled = oldest.filter(|since| *since > troubled_at && !witness.is_held_up());
    let left_at = witness.post[side.index()].0.get(&now);
    let (Some(since), Some(&left_at)) = (untroubled, left_at) else { return };
    let waited = left_at.since(since);
    if waited > witness.promises.ack_delay_max {
        let due = witness.promises.ack_delay_max;
        witness.accuse(now, Law::PromptAcknowledgements, || {
            format!("{} acknowledged after {waited:?} what arrived at {since}; {due:?} are promised", side.other())
        });
    }
}

/// `side` told its peer how far it may send.
pub(super) fn on_credit(witness: &mut Witness, side: Side, now: Instant, flow: FlowRef) {
    let late = with(witness, side, flow, |watch| {
        let window = watch.window();
        watch.owed.window_max = window.max(watch.owed.window_max);
        watch.owed.room_since.take()
    });
    if let Some(since) = late.flatten() {
        judge_room(witness, side, now, since);
    }
}

/// The application of `side` has read all that there is, `received` bytes of the flow so far: unless it has the half of the largest
/// window left, the peer is to be told.
pub(super) fn on_drained(witness: &mut Witness, side: Side, now: Instant, number: usize, received: u64) {
    let Some(flow) = witness.first_flow(side, number) else { return };
    let since = with(witness, side, flow, |watch| {
        let window = watch.window();
        // What stands in front of messages is not counted in what was received, so that of these only shut windows are certain.
        let is_small = window == 0 || received >= watch.arrived_prefix() && 2 * window < watch.owed.window_max;
        let is_owed = watch.credit.is_some() && is_small;
        watch.owed.room_since = is_owed.then(|| watch.owed.room_since.unwrap_or(now));
        watch.owed.room_since
    });
    if let Some(since) = since.flatten() {
        judge_room(witness, side, now, since);
    }
}

fn judge_room(witness: &mut Witness, side: Side, now: Instant, since: Instant) {
    let (waited, due) = (now.since(since), witness.promises.ack_delay_max);
    if waited > due && !witness.is_held_up() {
        witness.accuse(now, Law::WindowReopens, || {
            format!("{side} has room again since {since} and told nobody in {waited:?}; {due:?} are promised")
        });
    }
}
