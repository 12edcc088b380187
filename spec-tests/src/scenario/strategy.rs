//! What property tests draw: scenarios of several kinds. Shrinking takes faults and operations away one by one and makes
//! what is left smaller; an empty list of faults is a perfect network.

use std::time::Duration;

use burstlane_sim::{CoDelConfig, Discipline, LinkConfig, RedConfig, Signal, StepConfig};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Device, Fault, FlowPlan, Mishap, Op, Reader, Scenario, Side, SidePlan, Span, Trouble};
use crate::subject::Promises;

/// What a kind of scenario is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// A little of everything that a network and its devices do, several flows.
    Anything,
    /// One flow with more to say, over a network that loses, doubles, delays.
    Loss,
    /// Long silences.
    Partitions,
    /// Readers that read late or little.
    SlowReaders,
    /// Applications that close or abort early.
    EarlyEnds,
    /// The peer is gone for good.
    Silence,
    /// Bits flipped, packets cut.
    Damage,
    /// Strangers send forged packets.
    Strangers,
    /// Strangers open flows by the hundred.
    Flood,
    /// Somebody on the way changes packets so that their checksums are right.
    Tampering,
    /// A network address translator forgets, once or twice, while both ends have something to say.
    Rebinding,
    /// Two to four flows that begin together and send as much from left to right, over a link that is narrower than they.
    Bottleneck,
}

/// Scenarios of one kind for a transport of these promises.
pub fn scenarios(transport: &'static str, promises: &Promises, focus: Focus) -> BoxedStrategy<Scenario> {
    if focus == Focus::Bottleneck {
        return bottleneck(transport, promises).boxed();
    }
    let promises = promises.clone();
    let reliable = promises.is_reliable;
    let flows_max = match focus {
        Focus::Anything | Focus::Flood | Focus::EarlyEnds if reliable => 3,
        _ => 1,
    };
    let flows = vec(flow(&promises, focus), 1..=flows_max);
    let world = (any::<u64>(), any::<bool>(), device(focus), link(focus));
    let faults = faults(&promises, focus);
    (world, flows, faults)
        .prop_map(move |((seed, is_v6, device, link), flows, faults)| {
            let mut scenario = Scenario { is_v6, device, link, flows, faults, ..Scenario::new(transport, seed) };
            match focus {
                Focus::Silence => make_silent(&mut scenario, &promises),
                Focus::Rebinding => outlast_rebinding(&mut scenario, &promises),
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

fn device(focus: Focus) -> BoxedStrategy<Device> {
    match focus {
        // A frame that the device cuts shares one fate, and a stranger's packets are whole.
        Focus::Anything | Focus::Partitions | Focus::SlowReaders => {
            prop_oneof![6 => Just(Device::Plain), 1 => Just(Device::Offloading), 1 => Just(Device::Late)].boxed()
        }
        _ => Just(Device::Plain).boxed(),
    }
}

fn link(focus: Focus) -> impl Strategy<Value = LinkConfig> {
    let mtu = if focus == Focus::Anything {
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

fn flow(promises: &Promises, focus: Focus) -> impl Strategy<Value = FlowPlan> + use<> {
    // A datagram to who is not there yet is lost; flows wait.
    let late_ms = if promises.is_reliable { 200 } else { 1 };
    let opens_ms = prop_oneof![3 => Just(0), 1 => 0_u32..late_ms];
    (opens_ms, side(promises, focus), side(promises, focus))
        .prop_map(|(opens_ms, left, right)| FlowPlan { opens_ms, sides: [left, right] })
}

fn side(promises: &Promises, focus: Focus) -> impl Strategy<Value = SidePlan> + use<> {
    let ops_max = match focus {
        Focus::Loss => 12,
        Focus::Strangers => 6,
        _ => 4,
    };
    let pause = (1_u32..400).prop_map(|ms| Op::Pause { ms });
    let sends = prop_oneof![6 => send(promises, focus), 1 => pause];
    let ops = vec(sends, 0..=ops_max);
    let end = match focus {
        Focus::EarlyEnds if promises.is_reliable => {
            prop_oneof![Just(None), Just(Some(Op::Close)), Just(Some(Op::Abort)), Just(Some(Op::Finish))].boxed()
        }
        _ => Just(None).boxed(),
    };
    (ops, end, reader(focus)).prop_map(|(mut ops, end, reader)| {
        ops.extend(end);
        SidePlan { ops, reader }
    })
}

fn send(promises: &Promises, focus: Focus) -> impl Strategy<Value = Op> + use<> {
    // A datagram begins with its number.
    let least = if promises.is_reliable { 1 } else { 8 };
    let most = promises.piece_bytes_max;
    let small = least..=most.min(100);
    let medium = least..=most.min(4_000);
    let large = match focus {
        Focus::Loss | Focus::SlowReaders | Focus::Partitions => most.min(16_000),
        _ => most.min(8_000),
    };
    prop_oneof![2 => small, 3 => medium, 1 => least..=large].prop_map(|bytes| Op::Send { bytes })
}

fn reader(focus: Focus) -> BoxedStrategy<Reader> {
    let bytes = prop_oneof![1 => 1_u32..256, 1 => 1_u32..3_000];
    let slow = (bytes, 1_u32..50).prop_map(|(bytes, every_ms)| Reader::Slow { bytes: bytes.max(64), every_ms });
    let late = (1_u32..5_000).prop_map(|from_ms| Reader::Late { from_ms });
    match focus {
        Focus::SlowReaders => prop_oneof![1 => Just(Reader::Eager), 3 => slow, 3 => late].boxed(),
        Focus::Anything | Focus::EarlyEnds => prop_oneof![6 => Just(Reader::Eager), 1 => slow, 1 => late].boxed(),
        _ => Just(Reader::Eager).boxed(),
    }
}

fn faults(promises: &Promises, focus: Focus) -> BoxedStrategy<Vec<Fault>> {
    match focus {
        Focus::Anything => vec(
            prop_oneof![8 => packet(any_mishap()), 1 => partition(3_000), 1 => device_trouble(), 1 => clock()],
            0..=10,
        )
        .boxed(),
        Focus::Loss => vec(packet(any_mishap()), 0..=24).boxed(),
        Focus::Partitions => {
            let most_ms = (promises.gives_up_within.as_millis() / 8).min(60_000) as u32;
            vec(prop_oneof![3 => partition(most_ms), 1 => packet(any_mishap())], 1..=3).boxed()
        }
        Focus::SlowReaders => vec(prop_oneof![8 => packet(any_mishap()), 1 => partition(1_000)], 0..=6).boxed(),
        Focus::EarlyEnds => vec(packet(any_mishap()), 0..=6).boxed(),
        Focus::Silence | Focus::Bottleneck => Just(Vec::new()).boxed(),
        Focus::Rebinding => {
            // The flow is open by then, undisturbed: while it is opened, an address is what is to be proven (RFC 9000 8.1, 9).
            let rebind = (1_000_u32..3_000).prop_map(|at_ms| Fault::Rebind { at_ms });
            let later = (any_side(), 6_u32..60, transport_mishap());
            let later = later.prop_map(|(from, number, mishap)| Fault::Packet { from, number, mishap });
            (vec(rebind, 1..=2), vec(later, 0..=3))
                .prop_map(|(mut faults, packets)| {
                    faults.extend(packets);
                    faults
                })
                .boxed()
        }
        Focus::Damage => vec(packet(damage()), 1..=8).boxed(),
        Focus::Strangers => vec(forged(), 1..=20).boxed(),
        Focus::Flood => vec(flood(), 1..=2).boxed(),
        Focus::Tampering => {
            let tamper = (0_u32..80, any::<u8>()).prop_map(|(at, value)| Mishap::Tamper { at, value });
            vec(packet(tamper), 1..=12).boxed()
        }
    }
}

fn any_side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Left), Just(Side::Right)]
}

fn packet(mishap: impl Strategy<Value = Mishap>) -> impl Strategy<Value = Fault> {
    let number = prop_oneof![3 => 0_u32..12, 2 => 0_u32..60];
    (any_side(), number, mishap).prop_map(|(from, number, mishap)| Fault::Packet { from, number, mishap })
}

/// What happens to whole packets.
fn transport_mishap() -> impl Strategy<Value = Mishap> {
    let delay = prop_oneof![3 => 1_u32..80, 1 => 1_u32..2_000].prop_map(|by_ms| Mishap::Delay { by_ms });
    let twice = (1_u8..=3, 0_u32..500).prop_map(|(copies, apart_ms)| Mishap::Duplicate { copies, apart_ms });
    prop_oneof![6 => Just(Mishap::Drop), 3 => delay, 2 => twice]
}

fn any_mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![11 => transport_mishap(), 1 => damage()]
}

fn damage() -> impl Strategy<Value = Mishap> {
    let corrupt = any::<u32>().prop_map(|bit| Mishap::Corrupt { bit });
    let truncate = any::<u32>().prop_map(|bytes| Mishap::Truncate { bytes: bytes % 1500 });
    prop_oneof![3 => corrupt, 1 => truncate]
}

fn partition(ms_max: u32) -> impl Strategy<Value = Fault> {
    let whose = prop_oneof![2 => Just(None), 1 => any_side().prop_map(Some)];
    let span = (0_u32..400, 1..=ms_max).prop_map(|(from_ms, ms)| Span { from_ms, ms });
    (span, whose).prop_map(|(span, whose)| Fault::Spell { span, trouble: Trouble::Partition(whose) })
}

fn device_trouble() -> impl Strategy<Value = Fault> {
    let span = (0_u32..400, 1_u32..800).prop_map(|(from_ms, ms)| Span { from_ms, ms });
    let trouble = (any_side(), any::<bool>());
    (span, trouble).prop_map(|(span, (side, starves))| {
        let trouble = if starves { Trouble::Starve(side) } else { Trouble::Stall(side) };
        Fault::Spell { span, trouble }
    })
}

/// A quartz is wrong by some 100 ppm; a virtual machine's clock by more.
fn clock() -> impl Strategy<Value = Fault> {
    (any_side(), -20_000_i32..20_000).prop_map(|(side, parts_per_million)| Fault::Clock { side, parts_per_million })
}

fn forged() -> impl Strategy<Value = Fault> {
    // Who is opened to has our flow by then: a stranger who opens one first has a flow of its own.
    let late = (any_side(), 300_u32..1_500);
    let early = (Just(Side::Left), 0_u32..300);
    let number = prop_oneof![1 => 0_u32..4, 1 => 0_u32..40];
    (prop_oneof![1 => early, 2 => late], number).prop_map(|((to, at_ms), number)| Fault::Forged { to, at_ms, number })
}

fn flood() -> impl Strategy<Value = Fault> {
    (0_u32..300, 1_u32..2_000).prop_map(|(at_ms, packets)| Fault::Flood { to: Side::Right, at_ms, packets })
}
