//! Wrong versions of the transports, by the name of the mistake that is planted in each: what the kit must find.

mod rudp;
mod stop_and_wait;
mod tcp;

pub use rudp::rudp;
pub use stop_and_wait::stop_and_wait;
pub use tcp::tcp;

use burstlane::transport::Transport;
use burstlane_spec::judge::{Run, Watch, run};
use burstlane_spec::{Face, Scenario, Subject};

/// Runs a scenario over the wrong version that it names; `None` if there is no such one.
pub(crate) fn run_planted(scenario: &Scenario, watch: Watch) -> Option<Run> {
    match scenario.transport.as_str() {
        "tcp" => run_one(tcp(), scenario, watch),
        "rudp" => run_one(rudp(), scenario, watch),
        "stop-and-wait" => run_one(stop_and_wait(), scenario, watch),
        _ => None,
    }
}

fn run_one<T: Transport>(subjects: Vec<Subject<T>>, scenario: &Scenario, watch: Watch) -> Option<Run>
where
    T::Io: Face,
{
    let subject = subjects.iter().find(|subject| subject.planted == scenario.planted.as_deref())?;
    Some(run(subject, scenario, watch))
}
