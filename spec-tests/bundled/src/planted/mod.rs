//! Wrong versions of the transports, by the name of the mistake that is planted in each: what the kit must find.

mod rudp;
mod stop_and_wait;
mod tcp;

pub use rudp::rudp;
pub use stop_and_wait::stop_and_wait;
pub use tcp::tcp;

use burstlane::transport::Transport;
use burstlane_spec::judge::{Run, Watch};
use burstlane_spec::{Face, Scenario, Subject};

use crate::{NoSubject, run_fit};

/// Runs a scenario over the wrong version of its transport that has this bug.
pub(crate) fn run_planted(scenario: &Scenario, bug: &str, watch: Watch) -> Result<Run, NoSubject> {
    match scenario.transport.as_str() {
        "tcp" => run_one(tcp(), scenario, bug, watch),
        "rudp" => run_one(rudp(), scenario, bug, watch),
        "stop-and-wait" => run_one(stop_and_wait(), scenario, bug, watch),
        _ => Err(NoSubject::Bug(bug.to_owned())),
    }
}

fn run_one<T: Transport>(
    subjects: Vec<Subject<T>>,
    scenario: &Scenario,
    bug: &str,
    watch: Watch,
) -> Result<Run, NoSubject>
where
    T::Io: Face,
{
    let subject = subjects.iter().find(|subject| subject.planted == Some(bug));
    run_fit(subject.ok_or_else(|| NoSubject::Bug(bug.to_owned()))?, scenario, watch)
}
