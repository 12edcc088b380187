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
    let pause = (1_u32..400).prop_map(|ms| Op::Pause { ms });
    let sends = prop_oneof![6 => send(promises, campaign), 1 => pause];
    let ops = vec(sends, 0..=ops_max);
    let end = match campaign {
        Campaign::EarlyEnds if promises.is_reliable => {
            prop_oneof![Just(None), Just(Some(Op::Close)), Just(Some(Op::Abort)), Just(Some(Op::Finish))].boxed()
        }
        _ => Just(None).boxed(),
    };
    (ops, end, reader(campaign)).prop_map(|(mut ops, end, reader)| {
        ops.extend(end);
        SidePlan { ops, reader }
    })
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
        Campaign::Anything => prop_oneof![6 => Just(Reader::Eager), 1 => slow, 1 => late].boxed(),
        _ => Just(Reader::Eager).boxed(),
    }
}
