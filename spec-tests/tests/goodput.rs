//! Goodput by random loss, held to what was recorded: a change that makes a transport slower, or faster, is to be seen. The spans
//! are short; those of `docs/performance.md` are long.
//!
//! After a change that is meant, record anew: `RECORD=1 cargo test -p burstlane-spec --test goodput`.

#![allow(clippy::expect_used, reason = "a test: what is wrong fails it")]

use std::time::Duration;
use std::{env, fs};

use burstlane_spec::goodput::{Path, Spans};
use burstlane_spec_bundled::goodput::table;

#[test]
fn goodput_of_tcp_is_what_was_recorded() {
    compare("tcp");
}

#[test]
fn goodput_of_rudp_is_what_was_recorded() {
    compare("rudp");
}

fn compare(transport: &str) {
    let path = format!("{}/snapshots/goodput-{transport}.md", env!("CARGO_MANIFEST_DIR"));
    let found = table(spans, transport).to_string();
    if env::var_os("RECORD").is_some() {
        fs::write(&path, &found).expect("the snapshot can be written");
    }
    let recorded = fs::read_to_string(&path).expect("there is a snapshot");
    assert!(are_near(&recorded, &found), "recorded:\n{recorded}\nfound:\n{found}");
}

/// Long where little passes, which costs little and else would be a matter of luck.
fn spans(path: Path) -> Spans {
    let [warm_up, measured] = if path.loss < 0.01 { [500, 1500] } else { [1_000, 8_000] };
    Spans { warm_up: Duration::from_millis(warm_up), measured: Duration::from_millis(measured) }
}

/// The same words; numbers may differ by a tenth, since a packet more or less moves all chances behind it.
fn are_near(recorded: &str, found: &str) -> bool {
    let near = |(recorded, found): (&str, &str)| match (recorded.parse::<f64>(), found.parse::<f64>()) {
        (Ok(recorded), Ok(found)) => (recorded - found).abs() <= 0.1 * recorded.max(found),
        _ => recorded == found,
    };
    let (recorded, found) = (recorded.split_whitespace(), found.split_whitespace());
    recorded.clone().count() == found.clone().count() && recorded.zip(found).all(near)
}

#[test]
fn a_tenth_is_near_and_a_fifth_is_not() {
    assert!(are_near("| tcp, cubic | 90.0 | 0.97 |", "| tcp, cubic | 82.0 | 0.99 |"));
    for far in ["| tcp, cubic | 72.0 | 0.97 |", "| tcp, bbr | 90.0 | 0.97 |", "| tcp, cubic | 90.0 |"] {
        assert!(!are_near("| tcp, cubic | 90.0 | 0.97 |", far), "{far}");
    }
}
