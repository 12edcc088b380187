//! What the applications of drawn scenarios do.

use proptest::collection::vec;
use proptest::prelude::*;

use super::Campaign;
use crate::scenario::{FlowPlan, Op, Reader, SidePlan};
use crate::subject::Promises;

pub(super) fn flow(promises: &Promises, campaign: Campaign) -> impl Strategy<Value = FlowPlan> + use<> {
    // A datagram to who is not there yet is lost; flows wait.
    let late_ms = if promises.is_reliable { 200 } else { 1 };
    let opens_ms = prop_oneof![3 => Just(0), 1 => 0_u32..late_ms];
    (opens_ms, side(promises, campaign), side(promises, campaign))
        .prop_map(|(opens_ms, left, right)| FlowPlan { opens_ms, sides: [left, right] })
}

fn side(promises: &Promises, campaign: Campaign) -> impl Strategy<Value = SidePlan> + use<> {
    let ops_max = match campaign {
        Campaign::Loss => 12,
        Campaign::Strangers => 6,
        _ => 4,
    };
    let once = |op| (op, 1);
    let pause = (1_u32..400).prop_map(move |ms| once(Op::Pause { ms }));
    let sends = prop_oneof![12 => send(promises, campaign).prop_map(once), 2 => pause, 1 => burst(promises, campaign)];
    let ops = vec(sends, 0..=ops_max);
    (ops, end(promises, campaign), reader(campaign)).prop_map(|(ops, end, reader)| {
        let ops = ops.into_iter().flat_map(|(op, count)| std::iter::repeat_n(op, count)).chain(end).collect();
        SidePlan { ops, reader }
    })
}

/// How an application ends that does not wait for its peer's end.
fn end(promises: &Promises, campaign: Campaign) -> BoxedStrategy<Option<Op>> {
    let early = prop_oneof![Just(Op::Close), Just(Op::Abort), Just(Op::Finish)];
    match campaign {
        Campaign::EarlyEnds => proptest::option::weighted(0.75, early).boxed(),
        // Most ends wait, because from those that do not, little is to be learned of progress.
        Campaign::Anything if promises.is_reliable => proptest::option::weighted(0.2, early).boxed(),
        _ => Just(None).boxed(),
    }
}

/// The same many times, so that sockets and queues have no more room: small messages by the thousand, large ones by the dozen.
fn burst(promises: &Promises, campaign: Campaign) -> BoxedStrategy<(Op, usize)> {
    let most = match campaign {
        Campaign::Loss => BURST_BYTES_MAX,
        // One that reads little takes its time.
        Campaign::SlowReaders => BURST_BYTES_MAX / 8,
        _ => 0,
    };
    // Nobody promises that datagrams wait, and a few at a time are all that some queues take.
    if most == 0 || !promises.is_reliable {
        return send(promises, campaign).prop_map(|op| (op, 1)).boxed();
    }
    let bytes = 1..=promises.piece_bytes_max.min(16_000);
    let bytes = prop_oneof![1 => 1_u32..=100, 1 => bytes];
    let share = prop_oneof![1 => 0_u32..=50, 1 => 0_u32..=1000];
    let burst = (bytes, share).prop_map(move |(bytes, share)| {
        let count = 1 + BURST_MESSAGES_MAX.min(most / bytes) * share / 1000;
        (Op::Send { bytes }, count as usize)
    });
    burst.boxed()
}

fn send(promises: &Promises, campaign: Campaign) -> impl Strategy<Value = Op> + use<> {
    // A datagram begins with its number.
    let least = if promises.is_reliable { 1 } else { 8 };
    let most = promises.piece_bytes_max;
    let small = least..=most.min(100);
    let medium = least..=most.min(4_000);
    let large = match campaign {
        Campaign::Loss | Campaign::SlowReaders | Campaign::Partitions => most.min(16_000),
        _ => most.min(8_000),
    };
    prop_oneof![2 => small, 3 => medium, 1 => least..=large].prop_map(|bytes| Op::Send { bytes })
}

fn reader(campaign: Campaign) -> BoxedStrategy<Reader> {
    let bytes = prop_oneof![1 => 1_u32..256, 1 => 1_u32..3_000];
    let slow = (bytes, 1_u32..50).prop_map(|(bytes, every_ms)| Reader::Slow { bytes: bytes.max(64), every_ms });
    let late = (1_u32..5_000).prop_map(|from_ms| Reader::Late { from_ms });
    match campaign {
        Campaign::SlowReaders => prop_oneof![1 => Just(Reader::Eager), 3 => slow, 3 => late].boxed(),
        Campaign::Anything | Campaign::EarlyEnds => prop_oneof![6 => Just(Reader::Eager), 1 => slow, 1 => late].boxed(),
        _ => Just(Reader::Eager).boxed(),
    }
}

/// More than a socket's queue holds (256 KiB), in messages of any size ...
const BURST_BYTES_MAX: u32 = 400_000;
/// ... or more messages (1,024).
const BURST_MESSAGES_MAX: u32 = 1_500;
