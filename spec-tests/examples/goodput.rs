//! The goodput of the bundled transports over a bottleneck that loses by chance, with each congestion controller: the table of
//! `docs/performance.md`. Time is virtual, so everybody gets the same figures. With the start of a transport's or controller's name
//! only those rows.
//!
//! ```text
//! cargo run --release -p burstlane-spec --example goodput [NAME]
//! ```
#![forbid(unsafe_code)]

use std::time::Duration;

use burstlane_spec::goodput::Spans;
use burstlane_spec_bundled::goodput::table;

fn main() {
    let part = std::env::args().nth(1).unwrap_or_default();
    let spans = Spans { warm_up: Duration::from_secs(5), measured: Duration::from_secs(60) };
    print!("{}", table(|_| spans, &part));
}
