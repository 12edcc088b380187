//! What a failure leaves, from a real run to the files and back: a transport is held to a promise that it never made.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test: what is wrong fails it")]

use std::path::{Path, PathBuf};

use burstlane_spec::failure::{Failure, Paths};
use burstlane_spec::judge::{Law, Watch, run};
use burstlane_spec::scenario::Scenario;
use burstlane_spec::{Face, Subject};
use burstlane_spec_bundled as bundled;

/// No end buffers more than this, the subject promises, and then one does.
fn forgetful<T: burstlane::transport::Transport>(mut subject: Subject<T>) -> Subject<T> {
    subject.promises.buffer_bytes_max = 30_000;
    subject
}

fn fail<T: burstlane::transport::Transport>(subject: &Subject<T>, scenario: &Scenario) -> Failure
where
    T::Io: Face,
{
    let run = run(subject, scenario, Watch::Record);
    let broken = run.broken.unwrap();
    assert_eq!(broken.law, Law::BoundedMemory, "{broken}");
    let (law, message) = (broken.law.to_string(), broken.message);
    Failure { law, message, scenario: scenario.clone(), recording: run.recording }
}

fn scenario() -> Scenario {
    let text = "\
burstlane scenario 1
transport tcp
seed 5
link delay 5ms rate 10Mbit mtu 1500 duplicate 1%
flow opens 0ms
  left send 2000, pause 60ms, send 60000
  right reads 100 every 10ms; send 700
faults
  left packet 2 drop
  left packet 3 delay 40ms
  20ms..30ms stall right
";
    text.parse().unwrap()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("failures").join(name)
}

#[test]
fn the_scenario_that_a_failure_leaves_fails_again_with_the_same_bytes() {
    let subject = forgetful(bundled::tcp());
    let first: Paths = fail(&subject, &scenario()).write(&folder("first")).unwrap();
    let again: Scenario = std::fs::read_to_string(&first.scenario).unwrap().parse().unwrap();
    let second = fail(&subject, &again).write(&folder("second")).unwrap();
    assert_eq!(first.scenario.file_name(), second.scenario.file_name());
    for (one, two) in [(&first.capture, &second.capture), (&first.scenario, &second.scenario)] {
        assert!(std::fs::read(one).unwrap() == std::fs::read(two).unwrap(), "{} differs", one.display());
    }
    let page = std::fs::read_to_string(&first.page).unwrap();
    for part in ["bounded_memory", "here the law was broken", "SYN ACK", "dropped", "delayed 40 ms", "device stalls"] {
        assert!(page.contains(part), "the page lacks {part}");
    }
}
