//! What campaigns draw: scenarios of each kind. Shrinking takes faults and operations away one by one and makes what is
//! left smaller; an empty list of faults is a perfect network.

mod faults;
mod plans;

use std::time::Duration;

use burstlane_sim::{CoDelConfig, Discipline, LinkConfig, RedConfig, Signal, StepConfig};
use proptest::collection::vec;
use proptest::prelude::*;

use super::Campaign;
use crate::scenario::{Device, Fault, FlowPlan, Op, Reader, Scenario, SidePlan, Span, Trouble};
use crate::subject::Promises;

/// What `campaign` draws for a transport of these promises.
pub(super) fn scenarios(transport: &'static str, promises: &Promises, campaign: Campaign) -> BoxedStrategy<Scenario> {
    let campaign = match campaign {
        Campaign::Fairness => return bottleneck(transport, promises).boxed(),
        Campaign::Repetition => Campaign::Anything,
        other => other,
    };
    let promises = promises.clone();
    let reliable = promises.is_reliable;
    let flows_max = match campaign {
        Campaign::Lanes => 6,
        Campaign::Anything | Campaign::Flood | Campaign::EarlyEnds if reliable => 3,
        _ => 1,
    };
    let flows = vec(plans::flow(&promises, campaign), 1..=flows_max);
    let world = (any::<u64>(), any::<bool>(), device(campaign), link(campaign));
    let lanes = if campaign == Campaign::Lanes { 2..=4_u16 } else { 1..=1 };
    let faults = faults::faults(&promises, campaign);
    (world, lanes, flows, faults)
        .prop_map(move |((seed, is_v6, device, link), lanes, flows, faults)| {
            let mut scenario = Scenario { is_v6, device, lanes, link, flows, faults, ..Scenario::new(transport, seed) };
            match campaign {
                Campaign::Silence => make_silent(&mut scenario, &promises),
                Campaign::Rebinding => outlast_rebinding(&mut scenario, &promises),
                _ => {}
            }
            scenario
        })
        .boxed()
}

fn bottleneck(transport: &'static str, promises: &Promises) -> impl Strategy<Value = Scenario> + use<> {
    let bytes = promises.piece_bytes_max.min(16_000);
    (any::<u64>(), any::<bool>(), 2_usize..=4, 2_u64..10, 5_u64..20).prop_map(
        move |(seed, is_v6, flows, mbit, delay_ms)| {
            let rate = mbit * 1_000_000;
            let delay = Duration::from_millis(delay_ms);
            // A queue as deep as the path is long (RFC 6298's senders fill it), of 20 packets at least.
            let queue = (rate * 2 * delay_ms / 1000 / 8 / 1500).max(20) as u32;
            let link = LinkConfig {
                delay,
                rate_bits_per_s: Some(rate),
                queue_frames_max: Some(queue),
                mtu: 1500,
                ..LinkConfig::default()
            };
            // A second or two for each of them alone.
            let pieces = rate / 8 * 3 / (2 * u64::from(bytes));
            let talker = SidePlan { ops: vec![Op::Send { bytes }; pieces as usize], reader: Reader::Eager };
            let plan = FlowPlan { opens_ms: 0, sides: [talker, SidePlan::default()] };
            Scenario { is_v6, link, flows: vec![plan; flows], ..Scenario::new(transport, seed) }
        },
    )
}

/// Both ends say something after the other was cut off, so that both have something to miss.
fn make_silent(scenario: &mut Scenario, promises: &Promises) {
    let cut_ms = scenario.seed % 300;
    let ms = promises.gives_up_within.as_millis() as u32 + 1000;
    for flow in &mut scenario.flows {
        flow.opens_ms = 0;
        for side in &mut flow.sides {
            let again = side.sizes().next().unwrap_or(64);
            side.ops.retain(|op| matches!(op, Op::Send { .. }));
            side.ops.extend([Op::Pause { ms: cut_ms as u32 + 1000 }, Op::Send { bytes: again }]);
            side.reader = Reader::Eager;
        }
    }
    let span = Span { from_ms: cut_ms as u32, ms };
    scenario.faults = [Fault::Spell { span, trouble: Trouble::Partition(None) }].into();
}

/// Both ends go on behind the last rebinding: the left one at once, the right one with much to say, some delays before or after
/// that, so that it now and then speaks to a port that it has heard of but not yet had an answer from.
fn outlast_rebinding(scenario: &mut Scenario, promises: &Promises) {
    let times = scenario.faults.iter().map(|fault| if let Fault::Rebind { at_ms } = fault { *at_ms } else { 0 });
    let ms = times.max().unwrap_or(0);
    let delay_ms = scenario.link.delay.as_millis() as u32;
    let right_ms = (ms + (scenario.seed >> 8) as u32 % 12 * delay_ms).saturating_sub(8 * delay_ms);
    for flow in &mut scenario.flows {
        flow.opens_ms = 0;
        let [left, right] = &mut flow.sides;
        for (plan, ms, bytes) in [(left, ms, 64), (right, right_ms, promises.piece_bytes_max.min(16_000))] {
            plan.ops.retain(|op| matches!(op, Op::Send { .. }));
            plan.ops.extend([Op::Pause { ms }, Op::Send { bytes }]);
        }
    }
}

fn device(campaign: Campaign) -> BoxedStrategy<Device> {
    match campaign {
        // A frame that the device cuts shares one fate, and a stranger's packets are whole.
        Campaign::Anything | Campaign::Partitions | Campaign::SlowReaders => {
            prop_oneof![6 => Just(Device::Plain), 1 => Just(Device::Offloading), 1 => Just(Device::Late)].boxed()
        }
        _ => Just(Device::Plain).boxed(),
    }
}

fn link(campaign: Campaign) -> impl Strategy<Value = LinkConfig> {
    let mtu = if campaign == Campaign::Anything {
        prop_oneof![4 => Just(1500_u32), 1 => Just(1280), 1 => Just(9000)].boxed()
    } else {
        Just(1500).boxed()
    };
    (1_u64..40, proptest::option::weighted(0.25, bottleneck_queue()), mtu).prop_map(|(delay_ms, narrow, mtu)| {
        let link = LinkConfig { delay: Duration::from_millis(delay_ms), mtu, ..LinkConfig::default() };
        match narrow {
            None => link,
            Some((rate, queue_frames_max, discipline)) => {
                LinkConfig { rate_bits_per_s: Some(rate), queue_frames_max, discipline, ..link }
            }
        }
    })
}

/// Bits a second, and what the queue before them does.
fn bottleneck_queue() -> impl Strategy<Value = (u64, Option<u32>, Discipline)> {
    let discipline = prop_oneof![
        3 => Just(Discipline::DropTail),
        1 => Just(Discipline::CoDel(CoDelConfig::default())),
        1 => Just(Discipline::Red(RedConfig::default())),
        1 => Just(Discipline::Step(StepConfig { above_frames: 20, signal: Signal::MarkOrDrop })),
    ];
    let queue = prop_oneof![2 => Just(None), 1 => (20_u32..200).prop_map(Some)];
    ((1_u64..100).prop_map(|mbit| mbit * 1_000_000), queue, discipline)
}
