//! RUDP with its mistakes, one at a time.

use burstlane_rudp::{PlantedBug, Rudp};
use burstlane_spec::Subject;

/// See [`PlantedBug`].
#[must_use]
pub fn rudp() -> Vec<(&'static str, Subject<Rudp>)> {
    let with = |bug: PlantedBug| {
        let mut subject = crate::rudp();
        subject.config.planted = Some(bug);
        (bug.name(), subject)
    };
    PlantedBug::ALL.into_iter().map(with).collect()
}
