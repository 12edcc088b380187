//! A scenario file once more, over a transport that only its own crate knows.

use std::env;
use std::path::Path;

use burstlane::transport::Transport;

use super::{Campaign, Failure};
use crate::face::Face;
use crate::failure::{Paths, default_folder};
use crate::judge::{Law, unfit};
use crate::scenario::file::read_text;
use crate::scenario::{Scenario, text::ScenarioError};
use crate::subject::Subject;

/// Replays the file that the environment's `BURSTLANE_REPLAY` names, if it names one, and says where the page is. A relative path
/// begins at the crate's folder, where Cargo runs its tests.
///
/// # Panics
/// As [`replay`] does.
pub fn replay_what_is_asked<T: Transport>(subject: &Subject<T>)
where
    T::Io: Face,
{
    let Some(file) = env::var_os("BURSTLANE_REPLAY").filter(|file| !file.is_empty()) else { return };
    let file = Path::new(&file);
    match replay(subject, file, &default_folder()) {
        Some(paths) => println!("{}: no law is broken; see {}", file.display(), paths.page.display()),
        None => println!("{}: passed over, it is not about '{}'", file.display(), subject.name),
    }
}

/// Judges the scenario of a file and writes its page and its capture into `folder`. `None` if it names another transport, or a
/// planted bug that this one has not.
///
/// # Panics
/// If a law is broken, the file cannot be read, or what it says does not suit the transport.
pub fn replay<T: Transport>(subject: &Subject<T>, file: &Path, folder: &Path) -> Option<Paths>
where
    T::Io: Face,
{
    let place = file.display();
    let text = read_text(file).unwrap_or_else(|error| panic!("{place}: {error}"));
    let scenario: Scenario = text.parse().unwrap_or_else(|error: ScenarioError| panic!("{place}: {error}"));
    if scenario.transport != subject.name || scenario.planted.as_deref() != subject.planted {
        return None;
    }
    if let Some(why) = unfit(subject, &scenario) {
        panic!("{place} does not suit '{}': {why}", subject.name);
    }
    // Only what was drawn to be fair is judged by that.
    let was_unfair = text.lines().any(|line| line.strip_prefix("# broke ") == Some(Law::Fairness.name()));
    let fairness = was_unfair.then_some(Campaign::Fairness);
    for campaign in [Campaign::Anything, Campaign::Damage, Campaign::Repetition].into_iter().chain(fairness) {
        if let Err(broken) = campaign.judge(subject, &scenario) {
            let failure = Failure { campaign, broken, scenario, cases: 1 };
            let written = failure.say_written(subject, folder);
            panic!("{place}: {}\n\n{}\n{written}\n", failure.broken, failure.scenario);
        }
    }
    let paths = super::hunt::write(subject, &scenario, None, folder);
    Some(paths.unwrap_or_else(|error| panic!("nothing was written into {}: {error}", folder.display())))
}
