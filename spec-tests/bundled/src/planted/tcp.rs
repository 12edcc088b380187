//! TCP with its mistakes, one at a time.

use burstlane_spec::Subject;
use burstlane_tcp::{PlantedBug, Tcp};

/// See [`PlantedBug`].
#[must_use]
pub fn tcp() -> Vec<(&'static str, Subject<Tcp>)> {
    let with = |bug: PlantedBug| {
        let mut subject = crate::tcp();
        subject.config.planted = Some(bug);
        subject.oracle = None;
        (bug.name(), subject)
    };
    PlantedBug::ALL.into_iter().map(with).collect()
}
