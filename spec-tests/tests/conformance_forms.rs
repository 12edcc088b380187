//! Each way to write `conformance!` compiles and runs: by type and configuration, with promises, and by any expression.
#![allow(clippy::expect_used, reason = "a test: what is wrong fails it")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use burstlane_spec::{Promises, Subject};
use burstlane_udp::{Udp, UdpConfig};
use stop_and_wait::{Config, StopAndWait};

/// What the example promises; the words are there because an expression may hold anything.
fn promises(of: &str) -> Promises {
    let mut promises = Promises::reliable();
    promises.piece_bytes_max = 1_200;
    promises.controls_congestion = false;
    promises.proves_openers = false;
    promises.patience_max = Duration::from_secs(of.len() as u64);
    promises.gives_up_within = Duration::from_secs(80);
    promises.settles_within = promises.gives_up_within;
    promises.buffer_bytes_max = 8 << 20;
    promises.tells_of_unread = false;
    promises
}

mod by_type {
    use super::{Udp, UdpConfig};
    use burstlane_spec::Promises;

    burstlane_spec::conformance! { Udp, UdpConfig::default(), Promises::datagrams() }
}

#[allow(
    clippy::needless_update,
    reason = "the form is what is tried; without a feature the configuration has one field"
)]
mod by_expression {
    use super::{Config, StopAndWait, Subject, promises};

    burstlane_spec::conformance! { Subject::<StopAndWait>::new(Config { ..Config::default() }, promises("4444")) }
}

mod with_the_usual_promises {
    use burstlane_tcp::{Config, Tcp};

    burstlane_spec::conformance! { Tcp, Config::default() }
}

/// A scenario of stop-and-wait with one flow, as a file of its own.
fn scenario_file(name: &str, transport: &str, left: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.scenario"));
    std::fs::write(
        &path,
        format!("burstlane scenario 1\ntransport {transport}\nseed 1\nflow opens 0ms\n left {left}\n"),
    )
    .expect("a folder for tests");
    path
}

/// Whether the tests of this file pass with a scenario to replay, and what they print.
fn asked_to_replay(file: &Path) -> (bool, String) {
    let tests = std::env::current_exe().expect("this program");
    let output = Command::new(tests)
        .args(["by_expression::replays_what_is_asked", "--exact", "--nocapture"])
        .env("BURSTLANE_REPLAY", file)
        .env("CARGO_TARGET_DIR", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .expect("it runs");
    let words = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&words).into_owned())
}

#[test]
fn a_file_is_replayed_by_the_crate_that_knows_its_transport() {
    for (name, transport, left, passes, says) in [
        ("holds", "stop-and-wait", "send 100, send 200", true, "no law is broken; see "),
        ("other", "somebody-elses", "send 100", true, "passed over, it is not about 'stop-and-wait'"),
        ("unfit", "stop-and-wait", "send 1201", false, "a message of 1201 bytes; expected at most 1200"),
        ("wrong", "stop-and-wait", "sned 1", false, "line 5, column 7: found 'sned'"),
    ] {
        let (passed, words) = asked_to_replay(&scenario_file(name, transport, left));
        assert!(passed == passes && words.contains(says), "{name}: {words}");
    }
    let (passed, words) = asked_to_replay(Path::new("/nonexistent/file"));
    assert!(!passed && words.contains("/nonexistent/file: "), "{words}");
}

#[test]
fn what_a_replay_breaks_is_told_with_what_reruns_it() {
    let mut subject = Subject::<StopAndWait>::new(Config::default(), promises("4444"));
    subject.promises.buffer_bytes_max = 10;
    let file = scenario_file("breaks", "stop-and-wait", "send 1000");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("a replay's");
    let replay = || burstlane_spec::conformance::replay(&subject, &file, &folder);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(replay)).expect_err("a law is broken");
    let words = panic.downcast_ref::<String>().expect("words");
    let rerun = words.lines().find_map(|line| line.strip_prefix("rerun: BURSTLANE_REPLAY='")).expect(words);
    let (again, command) = rerun.split_once("' cargo test -p burstlane-spec ").expect(rerun);
    assert_eq!(command, "replays_what_is_asked -- --nocapture");
    let again = PathBuf::from(again.replace("'\\''", "'"));
    assert!(words.contains("bounded_memory") && again.is_file() && again.with_extension("pcapng").is_file(), "{words}");
    let page = std::fs::read_to_string(again.with_extension("html")).expect("a page");
    assert!(page.contains("BURSTLANE_REPLAY=") && !page.contains("burstlane sim replay"));
}
