//! Stop-and-wait with its mistakes, one at a time.

use burstlane_spec::Subject;
use stop_and_wait::{PlantedBug, StopAndWait};

/// See [`PlantedBug`].
#[must_use]
pub fn stop_and_wait() -> Vec<(&'static str, Subject<StopAndWait>)> {
    let with = |bug: PlantedBug| {
        let mut subject = crate::stop_and_wait();
        subject.config.planted = Some(bug);
        (bug.name(), subject)
    };
    PlantedBug::ALL.into_iter().map(with).collect()
}
