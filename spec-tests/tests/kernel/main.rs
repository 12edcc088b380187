//! The Linux kernel as peer: connections live random lives, and a model of a few lines says what both ends must have seen of
//! them. The kernel's stack is the one reference here that nobody wrote for this project.
//!
//! They need a user and network namespace of their own, with `ip` and, for loss, `nft`:
//!
//! ```text
//! unshare -Urn cargo test -p burstlane-spec --test kernel -- --ignored --test-threads=1
//! ```
//!
//! `PROPTEST_CASES` says how many cases each test runs instead of its default. What fails is shrunk and printed step by step. The
//! kernel's clock and its loss are no seed's, so a failure may not come back each time.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

mod connection;
mod end;
mod kernel;
mod life;
mod model;
mod ours;
mod trace;
mod world;

use std::cell::Cell;
use std::time::Duration;

use burstlane_spec::conformance::cases_asked;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner};

use connection::Connection;
use life::{Case, cases};
use world::{Network, World, prepare_namespace};

#[test]
#[ignore = "needs a user and network namespace: .ci/run lab"]
fn both_ends_see_what_the_model_says_with_large_frames() {
    check("large", Network { large_frames: true, lossy: false }, 40);
}

#[test]
#[ignore = "needs a user and network namespace: .ci/run lab"]
fn both_ends_see_what_the_model_says_without_offloads() {
    check("plain", Network { large_frames: false, lossy: false }, 40);
}

#[test]
#[ignore = "needs a user and network namespace: .ci/run lab"]
fn both_ends_see_what_the_model_says_under_loss_with_large_frames() {
    check("large, lossy", Network { large_frames: true, lossy: true }, 20);
}

#[test]
#[ignore = "needs a user and network namespace: .ci/run lab"]
fn both_ends_see_what_the_model_says_under_loss_without_offloads() {
    check("plain, lossy", Network { large_frames: false, lossy: true }, 20);
}

/// Runs that many cases, or as many as the environment says.
fn check(name: &'static str, network: Network, cases_default: u32) {
    prepare_namespace();
    let mut runner = TestRunner::new(Config {
        cases: cases_asked().unwrap_or(cases_default),
        max_shrink_time: SHRINK_MS_MAX,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        test_name: Some(name),
        ..Config::default()
    });
    let lost = Cell::new([0; 2]);
    let result = runner.run(&cases(), |case| {
        let [incoming, outgoing] = run(network, &case).map_err(TestCaseError::fail)?;
        let [before_in, before_out] = lost.get();
        lost.set([before_in + incoming, before_out + outgoing]);
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => panic!("{why}\nThe least case that fails, of {name}:\n{case}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
    assert!(!network.lossy || lost.get().iter().all(|count| *count > 0), "nothing was lost: {:?}", lost.get());
}

/// Lets a case live, and judges it. Gives the segments lost, each way.
fn run(network: Network, case: &Case) -> Result<[u64; 2], String> {
    let case_max = if network.lossy { LOSSY_CASE_MAX } else { CASE_MAX };
    let world = World::new(network, &case.settings);
    let seeds = case.settings.seed..;
    let mut connections: Vec<Connection<'_>> =
        case.lives.iter().zip(seeds).map(|(life, seed)| Connection::new(&world, life, seed)).collect();
    while !connections.iter().all(Connection::is_over) && !world.is_older_than(case_max) {
        world.turn(|| connections.iter_mut().filter_map(|connection| connection.turn().then_some(())).count() > 0);
    }
    for connection in &connections {
        connection.judge(network.lossy).map_err(|wrong| format!("{wrong}\n{}", world.describe()))?;
    }
    // What heard nothing under loss is let go of here.
    drop(connections);
    while !world.leftovers().is_empty() && !world.is_older_than(case_max + GOODBYE_MAX) {
        world.turn(|| false);
    }
    match &world.leftovers()[..] {
        [] => Ok(world.lost()),
        left => Err(format!("left behind:\n  {}\n{}", left.join("\n  "), world.describe())),
    }
}

const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/proptest-regressions.txt");
/// A case that takes longer hangs: timeouts of both stacks are well below.
const CASE_MAX: Duration = Duration::from_secs(2);
/// Few come near it: the kernel repeats an unanswered SYN-ACK after one second, and then after three.
const LOSSY_CASE_MAX: Duration = Duration::from_secs(10);
/// How long the last segments may take: the kernel's FIN-WAIT-2 is a second.
const GOODBYE_MAX: Duration = Duration::from_secs(3);
/// Shrinking stops after a minute: each step is a case.
const SHRINK_MS_MAX: u32 = 60_000;
