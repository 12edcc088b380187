use std::time::Duration;

use burstlane_sim::{CoDelConfig, Discipline, LinkConfig, RedConfig, Signal, StepConfig};
use proptest::collection::vec;
use proptest::prelude::*;

use super::ScenarioError;
use crate::scenario::{Device, Fault, FlowPlan, Mishap, Op, Reader, Scenario, Side, SidePlan, Span, Trouble};

/// Any scenario that has a link: also those that make no sense as runs.
fn any_scenario() -> impl Strategy<Value = Scenario> {
    let name = "[a-z][a-z0-9-]{0,12}|\\PC{0,9}|[\"\\\\\n\r #,;]{0,5}";
    let device = prop_oneof![Just(Device::Plain), Just(Device::Offloading), Just(Device::Late)];
    let head = (name, proptest::option::of(name), any::<u64>(), any::<bool>(), device, 1_u16..=16, any_link());
    (head, vec(any_flow(), 0..4), vec(any_fault(), 0..8)).prop_map(|(head, flows, faults)| {
        let (transport, planted, seed, is_v6, device, lanes, link) = head;
        Scenario { transport, planted, seed, is_v6, device, lanes, link, flows, faults }
    })
}

fn any_link() -> impl Strategy<Value = LinkConfig> {
    let chance = || prop_oneof![Just(0.0), Just(0.01), 0.0..=1.0];
    let time = || (0..3_600_000_000_000_u64).prop_map(Duration::from_nanos);
    let queue =
        (proptest::option::of(1_u64..), proptest::option::of(1_u32..), proptest::option::of(1_u64..), any_discipline());
    let chances = (chance(), chance(), chance(), chance());
    let times = (time(), time(), 1..3_600_000_000_000_u64, any::<bool>());
    (queue, chances, times, 68_u32..=65_535, vec(any::<u64>(), 0..4)).prop_map(|(queue, chances, times, mtu, drops)| {
        let mut drops = drops;
        drops.sort_unstable();
        LinkConfig {
            // A rule needs a queue, and a queue a rate.
            rate_bits_per_s: queue.0.or((queue.3 != Discipline::DropTail).then_some(1)),
            queue_frames_max: queue.1,
            queue_bytes_max: queue.2,
            loss: chances.0,
            duplicate: chances.1,
            reorder: chances.2,
            corrupt: chances.3,
            delay: times.0,
            jitter: times.1,
            reorder_delay: Duration::from_nanos(times.2),
            jitter_reorders: times.3,
            mtu,
            drops,
            discipline: queue.3,
        }
    })
}

fn any_discipline() -> impl Strategy<Value = Discipline> {
    let signal = || prop_oneof![Just(Signal::Drop), Just(Signal::MarkOrDrop), Just(Signal::MarkOnly)];
    let step = (any::<u32>(), signal()).prop_map(|(above_frames, signal)| StepConfig { above_frames, signal });
    let red = ((0.1..1e6_f64, 0.1..1e6_f64), 0.001..1.0_f64, 0.001..1.0_f64, signal()).prop_map(
        |((average_frames_min, more), weight, probability_max, signal)| RedConfig {
            average_frames_min,
            average_frames_max: average_frames_min + more,
            weight,
            probability_max,
            signal,
        },
    );
    let codel = (1..1_000_000_000_u32, any::<u32>(), signal()).prop_map(|(target, more, signal)| {
        let [target, interval] = [target, target.saturating_add(more)].map(|nanos| Duration::from_nanos(nanos.into()));
        CoDelConfig { target, interval, signal }
    });
    prop_oneof![
        Just(Discipline::DropTail),
        step.prop_map(Discipline::Step),
        red.prop_map(Discipline::Red),
        codel.prop_map(Discipline::CoDel),
    ]
}

/// How a side's operations end, if not by the last thing sent.
fn any_end() -> BoxedStrategy<Vec<Op>> {
    prop_oneof![
        Just(vec![]),
        Just(vec![Op::Finish]),
        Just(vec![Op::Close]),
        Just(vec![Op::Abort]),
        any_ms().prop_map(|ms| vec![Op::Finish, Op::Pause { ms }, Op::Abort]),
    ]
    .boxed()
}

/// Up to a day.
fn any_ms() -> impl Strategy<Value = u32> {
    0_u32..=86_400_000
}

fn any_flow() -> impl Strategy<Value = FlowPlan> {
    let op = prop_oneof![
        (1_u32..=8 << 20).prop_map(|bytes| Op::Send { bytes }),
        any_ms().prop_map(|ms| Op::Pause { ms }),
        Just(Op::Send { bytes: 1000 }),
    ];
    let reader = prop_oneof![
        Just(Reader::Eager),
        (1_u32.., 1_u32..=86_400_000).prop_map(|(bytes, every_ms)| Reader::Slow { bytes, every_ms }),
        any_ms().prop_map(|from_ms| Reader::Late { from_ms }),
    ];
    let side =
        (vec(op, 0..6), any_end(), reader).prop_map(|(ops, end, reader)| SidePlan { ops: [ops, end].concat(), reader });
    (any_ms(), [side.clone(), side]).prop_map(|(opens_ms, sides)| FlowPlan { opens_ms, sides })
}

fn any_fault() -> impl Strategy<Value = Fault> {
    let side = || prop_oneof![Just(Side::Left), Just(Side::Right)];
    let mishap = prop_oneof![
        Just(Mishap::Drop),
        (1_u8..=3, any_ms()).prop_map(|(copies, apart_ms)| Mishap::Duplicate { copies, apart_ms }),
        any_ms().prop_map(|by_ms| Mishap::Delay { by_ms }),
        any::<u32>().prop_map(|bit| Mishap::Corrupt { bit }),
        any::<u32>().prop_map(|bytes| Mishap::Truncate { bytes }),
        any::<(u32, u8)>().prop_map(|(at, value)| Mishap::Tamper { at, value }),
    ];
    let trouble = prop_oneof![
        proptest::option::of(side()).prop_map(Trouble::Partition),
        (side(), any::<u32>()).prop_map(|(from, mtu)| Trouble::BlackHole { from, mtu }),
        side().prop_map(Trouble::Stall),
        side().prop_map(Trouble::Starve),
    ];
    prop_oneof![
        (side(), any::<u32>(), mishap).prop_map(|(from, number, mishap)| Fault::Packet { from, number, mishap }),
        ((0_u32..=43_200_000, 0_u32..=43_200_000), trouble)
            .prop_map(|((from_ms, ms), trouble)| Fault::Spell { span: Span { from_ms, ms }, trouble }),
        (side(), (any_ms(), any::<u32>())).prop_map(|(to, (at_ms, number))| Fault::Forged { to, at_ms, number }),
        (side(), (any_ms(), 1_u32..=100_000)).prop_map(|(to, (at_ms, packets))| Fault::Flood { to, at_ms, packets }),
        any_ms().prop_map(|at_ms| Fault::Rebind { at_ms }),
        (side(), any::<i32>()).prop_map(|(side, parts_per_million)| Fault::Clock { side, parts_per_million }),
    ]
}

fn error_of(text: &str) -> ScenarioError {
    text.parse::<Scenario>().unwrap_err()
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(scenario in any_scenario()) {
        let text = scenario.to_string();
        prop_assert_eq!(text.parse::<Scenario>(), Ok(scenario), "{}", text);
    }

    #[test]
    fn comments_blanks_and_indentation_mean_nothing(scenario in any_scenario()) {
        let mut text = String::from("# a comment\n\n");
        for line in scenario.to_string().lines() {
            text.push_str(&format!("\t {}   # and why\r\n\n", line.trim_start()));
        }
        prop_assert_eq!(text.parse::<Scenario>(), Ok(scenario), "{}", text);
    }

    #[test]
    fn any_bytes_are_a_scenario_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let _ = text.parse::<Scenario>();
        let _ = format!("burstlane scenario 1\n{text}").parse::<Scenario>();
    }

    /// One word of a good file is replaced, doubled or taken away: the error names a place in that file.
    #[test]
    fn any_slip_of_the_pen_is_a_scenario_or_an_error_in_its_place(
        scenario in any_scenario(), at: prop::sample::Index, slip in "left|flow|5ms|x|100000|,|;|\"|99999999999999999999|-1|\\PC"
    ) {
        let good = scenario.to_string();
        let mut words: Vec<&str> = good.split_inclusive([' ', '\n']).collect();
        let index = at.index(words.len());
        words[index] = &slip;
        let text = words.concat();
        if let Err(error) = text.parse::<Scenario>() {
            prop_assert!(error.line >= 1 && error.line <= text.lines().count() + 1, "{}: {}", text, error);
            let width = text.lines().nth(error.line - 1).map_or(0, |line| line.chars().count());
            prop_assert!(error.column >= 1 && error.column <= width + 1, "{}: {}", text, error);
        }
    }
}

#[test]
fn a_file_reads_as_a_person_would_say_it() {
    let text = "\
burstlane scenario 1
transport tcp
planted forgets-karn
seed 42
family v6
device offloading
lanes 4
link delay 5ms rate 10Mbit queue 50 mtu 1400 loss 1%
flow opens 0ms
  left  send 1000 x 20, pause 5ms, finish
  right reads 100 every 3ms; send 5, abort
flow opens 2s
  right reads from 300ms
faults
  left  packet 3 drop
  left  packet 4 delay 20ms
  right packet 7 duplicate 2 apart 10ms
  left  packet 9 corrupt bit 77
  left  packet 10 truncate to 40
  left  packet 11 tamper byte 33 to 255
  20ms forged 5 to right
  1s flood 300 to left
  10ms..310ms partition
  10ms..310ms partition left
  0ms..9s black-hole left mtu 900
  5ms..50ms stall right
  5ms..50ms starve right
  clock right +200ppm
";
    let scenario: Scenario = text.parse().unwrap();
    assert_eq!(scenario.to_string(), text);
    assert_eq!(scenario.flows[0].side(Side::Left).bytes(), 20_000);
    assert_eq!(scenario.flows[1].side(Side::Right).reader, Reader::Late { from_ms: 300 });
    assert_eq!(scenario.faults.len(), 14);
    assert_eq!(scenario.link.loss, 0.01);
}

#[test]
fn an_error_says_where_what_and_what_was_expected() {
    let head = "burstlane scenario 1\ntransport tcp\nseed 1\n";
    for (body, line, column, found, expected) in [
        ("sed 4", 4, 1, "'sed'", "flow or faults"),
        ("seed 2", 4, 1, "'seed'", "once"),
        ("lanes 0", 4, 7, "'0'", "1 to 16"),
        ("link dely 5ms", 4, 6, "'dely'", "a field of a link: delay, rate"),
        ("link delay 5", 4, 12, "'5'", "a time, for example 20ms"),
        ("link loss 5% loss 4%", 4, 14, "'loss'", "once"),
        ("link mtu 20", 4, 1, "a link that cannot be", "68 to 65535 bytes"),
        ("flow opens 1.5ms", 4, 12, "'1.5ms'", "whole milliseconds"),
        ("flow opens 0ms\nup send 4", 5, 1, "'up'", "left, right"),
        ("flow opens 0ms\n left send 4, jump", 5, 15, "'jump'", "send, pause, finish, close or abort"),
        ("flow opens 0ms\n left send 4 x 0", 5, 16, "'0'", "1 to 100000"),
        ("flow opens 0ms\n left send 4\n left send 5", 6, 2, "'left'", "one line for each end"),
        ("faults\n left packet 3 frop", 5, 16, "'frop'", "drop, duplicate"),
        ("faults\n left packet 3 drop now", 5, 21, "'now'", "the end of the line"),
        ("faults\n left packet", 5, 13, "the end of the line", "the number of a packet"),
        ("faults\n 9ms..5ms stall left", 5, 2, "'9ms..5ms'", "START..END"),
        ("faults\n 9ms forge 3 to left", 5, 6, "'forge'", "forged, flood or rebind"),
        ("faults\n clock left fast", 5, 13, "'fast'", "+200ppm"),
    ] {
        let error = error_of(&format!("{head}{body}"));
        assert_eq!((error.line, error.column, error.found.as_str()), (line, column, found), "{body}: {error}");
        assert!(error.expected.contains(expected), "{body}: {error}");
    }
    assert_eq!(
        error_of("hello").to_string(),
        "line 1, column 1: found 'hello', expected 'burstlane scenario 1', the first line of a scenario"
    );
    assert!(error_of("burstlane scenario 2").expected.contains("the version"));
    assert!(error_of("burstlane scenario 1\nseed 1").expected.contains("transport NAME"));
}

#[test]
fn a_short_file_cannot_ask_for_endless_memory() {
    let mut text = String::from("burstlane scenario 1\ntransport tcp\nseed 1\nflow opens 0ms\n  left send 1 x 100000");
    text.push_str(&", send 1 x 100000".repeat(10));
    assert!(error_of(&text).expected.contains("a million"));
}

#[test]
fn all_that_a_file_sends_is_bounded() {
    let head = "burstlane scenario 1\ntransport tcp\nseed 1\nflow opens 0ms\n  left send 67108864 x 3\n";
    let most = format!("{head}flow opens 0ms\n right send 67108863, send 1");
    assert_eq!(most.parse::<Scenario>().map(|scenario| scenario.bytes(Side::Right)), Ok(64 << 20));
    let error = error_of(&format!("{most}, send 1"));
    assert_eq!((error.line, error.column), (7, 31), "{error}");
    assert!(error.expected.contains("268435456 bytes (256 MiB)"), "{error}");
    assert!(error_of(&head.replace("x 3", "x 100000")).expected.contains("256 MiB"));
}

#[test]
fn nothing_stands_behind_an_end() {
    let head = "burstlane scenario 1\ntransport tcp\nseed 1\nflow opens 0ms\n left ";
    for (ops, found) in [
        ("close, send 1", "'send 1' behind the end"),
        ("abort, pause 1ms", "'pause 1ms' behind the end"),
        ("close, finish", "'finish' behind the end"),
        ("abort x 2", "'abort' behind the end"),
        ("finish, close, close", "'close' behind the end"),
        ("finish, pause 1ms, send 7", "'send 7' behind the end"),
        ("finish, finish", "'finish' behind the end"),
    ] {
        let error = error_of(&format!("{head}{ops}"));
        assert_eq!((error.line, error.found.as_str()), (5, found), "{ops}: {error}");
    }
    assert!(format!("{head}send 1, finish, pause 1ms, close").parse::<Scenario>().is_ok());
}

#[test]
fn an_error_plays_no_tricks_on_a_terminal() {
    for text in
        ["\u{1b}[2J", "burstlane scenario 1\ntransport t\nseed 1\nlink \u{1b}]0;x\u{7}", "burstlane scenario \u{9b}1"]
    {
        let error = error_of(text).to_string();
        assert!(error.contains("\\u{") && !error.contains(char::is_control), "{error:?}");
    }
}
