//! A kit that finds nothing proves nothing: small wrong versions of each transport, of the kinds that real stacks had, go
//! before the same judge as the right ones, with its default settings and fresh seeds. Each must be caught, and what
//! caught it must shrink to a few faults; the right versions pass the same budget.
//!
//! `cargo test -p burstlane-spec --release --features planted-bugs --test planted -- --nocapture`
//!
//! With `PLANTED=rudp` or `PLANTED=karn` in the environment only what has this in its name is looked at.
#![cfg(feature = "planted-bugs")]

use std::time::Instant;

use burstlane::transport::Transport;
use burstlane_spec::conformance::{Campaign, Failure, hunt};
use burstlane_spec::failure::default_folder;
use burstlane_spec::{Face, Subject};
use burstlane_spec_bundled as bundled;

/// Scenarios that each campaign draws, a few first from all of them: most bugs need no more.
const ROUNDS: [u32; 3] = [50, 450, 1_500];

#[test]
fn every_planted_bug_is_caught_and_shrunk() {
    let mut catches = Vec::new();
    println!("{:<14} {:<34} {:<24} {:<14} {:>6} {:>7}", "transport", "bug", "law", "campaign", "cases", "faults");
    catches.extend(catch_all(bundled::planted::tcp()));
    catches.extend(catch_all(bundled::planted::rudp()));
    catches.extend(catch_all(bundled::planted::stop_and_wait()));
    let mut faults: Vec<usize> = catches.iter().flatten().copied().collect();
    faults.sort_unstable();
    let median = faults.get(faults.len() / 2).copied().unwrap_or(usize::MAX);
    println!("caught {} of {}; the median shrunk schedule has {median} faults", faults.len(), catches.len());
    println!("what each left: {}", default_folder().display());
    println!("next: cargo run --release -p burstlane-cli --features planted-bugs -- sim replay FILE.scenario --open");
    assert_eq!(faults.len(), catches.len(), "some bugs were not caught");
    let is_all = std::env::var_os("PLANTED").is_none();
    assert!(median <= 3 || !is_all, "schedules shrink badly: {faults:?}");
}

#[test]
fn without_a_bug_the_same_budget_passes() {
    let failures = [
        find_in(&bundled::tcp()),
        find_in(&bundled::rudp()),
        find_in(&bundled::stop_and_wait()),
        find_in(&bundled::udp()),
    ];
    let failures: Vec<_> = failures.into_iter().flatten().collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

fn is_asked(transport: &str, bug: &str) -> bool {
    std::env::var("PLANTED").is_ok_and(|part| transport.contains(&part) || bug.contains(&part))
        || std::env::var_os("PLANTED").is_none()
}

/// What is found in a transport as it is.
fn find_in<T: Transport>(subject: &Subject<T>) -> Option<Box<Failure>>
where
    T::Io: Face,
{
    if !is_asked(subject.name, "") {
        return None;
    }
    find(subject).err().map(|(failure, _)| failure)
}

fn catch_all<T: Transport>(subjects: Vec<Subject<T>>) -> Vec<Option<usize>>
where
    T::Io: Face,
{
    let asked = |subject: &&Subject<T>| is_asked(subject.name, subject.planted.unwrap_or_default());
    subjects.iter().filter(asked).map(catch).collect()
}

/// Faults left in the schedule that shows the bug; `None` if nothing showed it.
fn catch<T: Transport>(subject: &Subject<T>) -> Option<usize>
where
    T::Io: Face,
{
    let (began, bug) = (Instant::now(), subject.planted.unwrap_or_default());
    let Err((failure, cases)) = find(subject) else {
        println!("{:<14} {bug:<34} NOT CAUGHT in {:.0?}", subject.name, began.elapsed());
        return None;
    };
    let faults = failure.scenario.faults.len();
    let (law, campaign) = (failure.broken.law, format!("{:?}", failure.campaign));
    println!("{:<14} {bug:<34} {law:<24} {campaign:<14} {cases:>6} {faults:>7}", subject.name);
    if let Err(error) = failure.write(subject, &default_folder()) {
        println!("   nothing was written: {error}");
    }
    Some(faults)
}

/// The first failure within the budget, and how many scenarios it took.
fn find<T: Transport>(subject: &Subject<T>) -> Result<(), (Box<Failure>, u32)>
where
    T::Io: Face,
{
    let mut cases = 0;
    for budget in ROUNDS {
        for campaign in Campaign::ALL.into_iter().filter(|campaign| campaign.concerns(&subject.promises)) {
            match hunt(subject, campaign, budget, None) {
                Ok(()) => cases += budget,
                Err(failure) => {
                    let drawn = cases + failure.cases;
                    return Err((failure, drawn));
                }
            }
        }
    }
    Ok(())
}
