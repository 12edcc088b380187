//! Stop-and-wait with its mistakes, one at a time: none is planted so far.

use burstlane_spec::Subject;
use stop_and_wait::StopAndWait;

/// None.
#[must_use]
pub fn stop_and_wait() -> Vec<(&'static str, Subject<StopAndWait>)> {
    Vec::new()
}
