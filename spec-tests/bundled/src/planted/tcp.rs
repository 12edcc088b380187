//! TCP with its mistakes, one at a time: none is planted so far.

use burstlane_spec::Subject;
use burstlane_tcp::Tcp;

/// None.
#[must_use]
pub fn tcp() -> Vec<(&'static str, Subject<Tcp>)> {
    Vec::new()
}
