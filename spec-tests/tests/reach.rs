//! The campaigns come where they are meant to: what they are to try out happens in what they draw by default.

#![allow(clippy::unwrap_used, reason = "a test: what is wrong fails it")]

use burstlane::transport::Transport;
use burstlane_spec::conformance::Campaign;
use burstlane_spec::judge::{Law, Watch, run, unfit};
use burstlane_spec::scenario::{Fault, Reader, Trouble};
use burstlane_spec::{Face, Scenario, Subject};
use burstlane_spec_bundled as bundled;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// As many as a campaign draws by default, the same each time.
fn drawn<T: Transport>(subject: &Subject<T>, campaign: Campaign) -> Vec<Scenario> {
    let config = Config { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let scenarios = campaign.scenarios(subject.name, &subject.promises);
    (0..64).map(|_| scenarios.new_tree(&mut runner).unwrap().current()).collect()
}

/// Whether a socket had no room in some of these runs: in two at least, so that it is no matter of luck.
fn fills_sockets<T: Transport>(subject: &Subject<T>, campaign: Campaign) -> bool
where
    T::Io: Face,
{
    let had_no_room = |scenario: &Scenario| {
        let reports = run(subject, scenario, Watch::Judge).reports;
        reports.iter().flatten().any(|report| report.blocked > 0)
    };
    drawn(subject, campaign).iter().filter(|scenario| had_no_room(scenario)).take(2).count() == 2
}

#[test]
fn writers_meet_full_sockets() {
    assert!(fills_sockets(&bundled::tcp(), Campaign::Loss));
    assert!(fills_sockets(&bundled::tcp(), Campaign::SlowReaders));
    assert!(fills_sockets(&bundled::rudp(), Campaign::Loss));
    assert!(fills_sockets(&bundled::stop_and_wait(), Campaign::Loss));
    assert!(fills_sockets(&bundled::udp(), Campaign::Loss));
}

#[test]
fn flows_end_early_among_partitions_slow_readers_and_devices_that_stall() {
    let scenarios = drawn(&bundled::tcp(), Campaign::Anything);
    let early: Vec<_> = scenarios.iter().filter(|scenario| !scenario.ends_in_order()).collect();
    let with = |what: &dyn Fn(&Scenario) -> bool| early.iter().filter(|scenario| what(scenario)).count();
    let troubled = |is_meant: fn(&Trouble) -> bool| {
        with(&|scenario| {
            let faults = &scenario.faults;
            faults.iter().any(|fault| matches!(fault, Fault::Spell { trouble, .. } if is_meant(trouble)))
        })
    };
    let eager = |scenario: &Scenario| {
        scenario.flows.iter().flat_map(|flow| &flow.sides).all(|side| side.reader == Reader::Eager)
    };
    assert!((10..54).contains(&early.len()), "{}", early.len());
    assert!(troubled(|trouble| matches!(trouble, Trouble::Partition(_))) > 3);
    assert!(troubled(|trouble| matches!(trouble, Trouble::Stall(_) | Trouble::Starve(_))) > 3);
    assert!(with(&|scenario| !eager(scenario)) > 3);
}

/// A promise that nobody could keep is found broken there, too.
#[test]
fn hosts_of_several_lanes_are_judged() {
    let scenarios = drawn(&bundled::tcp(), Campaign::Lanes);
    assert!(scenarios.iter().filter(|scenario| scenario.flows.len() > usize::from(scenario.lanes)).count() > 3);
    let mut wrong = bundled::tcp();
    wrong.promises.buffer_bytes_max = 10;
    let broken = scenarios.iter().find_map(|scenario| Campaign::Lanes.judge(&wrong, scenario).err());
    assert_eq!(broken.unwrap().law, Law::BoundedMemory);
}

/// What cannot be asked of several lanes is said, and not run.
#[test]
fn what_does_not_suit_several_lanes_is_unfit() {
    let scenario = |text: &str| -> Scenario {
        let text = format!("burstlane scenario 1\ntransport tcp\nseed 1\nlanes 2\n{text}");
        text.parse().unwrap()
    };
    let fits = |text: &str| unfit(&bundled::tcp(), &scenario(text)).is_none();
    assert!(fits("flow opens 0ms\n left send 9\nfaults\n left packet 1 drop\n 1s..2s partition"));
    for text in ["device late", "flow opens 0ms\n left abort", "faults\n 1s rebind", "faults\n 1s..2s stall left"] {
        assert!(!fits(text), "{text}");
    }
    assert!(unfit(&bundled::udp(), &scenario("")).is_some());
}
