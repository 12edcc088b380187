//! RUDP with its mistakes, one at a time: none is planted so far.

use burstlane_rudp::Rudp;
use burstlane_spec::Subject;

/// None.
#[must_use]
pub fn rudp() -> Vec<(&'static str, Subject<Rudp>)> {
    Vec::new()
}
