//! Drawing scenarios until a law is broken or enough have passed, and making what broke it small.

use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use burstlane::transport::Transport;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use super::Campaign;
use super::quiet::guarded;
use crate::face::Face;
use crate::failure::{Paths, Report, Verdict, default_folder, kept_scenarios};
use crate::judge::{Broken, Law, Watch, run};
use crate::recording::Recording;
use crate::scenario::Scenario;
use crate::subject::Subject;

/// A scenario that broke a law, shrunk.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which campaign found it.
    pub campaign: Campaign,
    /// The law, and how the shrunk scenario breaks it.
    pub broken: Broken,
    /// The shrunk scenario.
    pub scenario: Scenario,
    /// Scenarios drawn until one broke it.
    pub cases: u32,
}

/// Judges up to `cases` scenarios (fewer where each has much traffic: [`Campaign::cases`]), drawn from `seed`, or
/// from the environment's `PROPTEST_RNG_SEED`, or from entropy.
///
/// # Errors
/// The first that broke a law, shrunk for at most 20 s.
pub fn hunt<T: Transport>(
    subject: &Subject<T>,
    campaign: Campaign,
    cases: u32,
    seed: Option<u64>,
) -> Result<(), Box<Failure>>
where
    T::Io: Face,
{
    let config = Config {
        cases: campaign.cases(cases),
        failure_persistence: None,
        max_shrink_time: SHRINK_MS,
        max_shrink_iters: 10_000,
        rng_seed: seed.map_or(Config::default().rng_seed, RngSeed::Fixed),
        ..Config::default()
    };
    let drawn = Cell::new(0);
    let first: RefCell<Option<Law>> = RefCell::default();
    let planted = subject.planted.map(str::to_owned);
    let scenarios = campaign.scenarios(subject.name, &subject.promises);
    let scenarios = scenarios.prop_map(move |scenario| Scenario { planted: planted.clone(), ..scenario });
    let outcome = TestRunner::new(config).run(&scenarios, |scenario| {
        let Err(broken) = campaign.judge(subject, &scenario) else {
            if first.borrow().is_none() {
                drawn.set(drawn.get() + 1);
            }
            return Ok(());
        };
        // While shrinking, what breaks another law is another matter.
        if *first.borrow_mut().get_or_insert(broken.law) == broken.law {
            return Err(TestCaseError::fail(broken.message));
        }
        Ok(())
    });
    match outcome {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, scenario)) => {
            let law = first.borrow().unwrap_or(Law::NoPanic);
            let broken = Broken { law, message: reason.message().to_owned() };
            Err(Box::new(Failure { campaign, broken, scenario, cases: drawn.get() + 1 }))
        }
        Err(TestError::Abort(reason)) => unreachable!("no scenario is rejected: {reason}"),
    }
}

/// Judges as many new scenarios as the environment's `PROPTEST_CASES` says, or 64. A campaign that does not concern the transport
/// says so on standard error: who made the promise and misspelled it should see it.
///
/// # Panics
/// If a law is broken. What is left for a person stands in the message: the shrunk scenario, and the files written. The
/// scenario is kept in the crate's `regressions/`, too.
pub fn assert_holds<T: Transport>(subject: &Subject<T>, campaign: Campaign, crate_dir: &str)
where
    T::Io: Face,
{
    if !campaign.concerns(&subject.promises) {
        // Not `eprintln!`, which a test that passes keeps to itself.
        let _ = writeln!(io::stderr(), "not promised, not judged: {campaign:?} of {}", subject.name);
        return;
    }
    let cases = cases_asked().unwrap_or(CASES);
    if let Err(failure) = hunt(subject, campaign, cases, None) {
        panic!("{}", failure.leave(subject, &Path::new(crate_dir).join(REGRESSIONS)));
    }
}

/// How many cases `PROPTEST_CASES` asks for, if it is set.
///
/// # Panics
/// If it asks for something else.
#[must_use]
pub fn cases_asked() -> Option<u32> {
    let asked = std::env::var_os("PROPTEST_CASES")?;
    Some(cases_in(&asked).unwrap_or_else(|error| panic!("{error}")))
}

fn cases_in(asked: &OsStr) -> Result<u32, String> {
    let cases = asked.to_str().and_then(|text| text.parse().ok()).filter(|cases| *cases > 0);
    cases.ok_or_else(|| {
        format!("PROPTEST_CASES is {asked:?}; expected how many cases to draw, a whole number from 1 on")
    })
}

/// Judges the scenarios in the crate's `regressions/` that name this transport, what broke a law once, under every campaign that
/// asks more of them than any run is asked ([`Campaign::asks_more`]); so the one that found it is among them.
///
/// # Panics
/// If one breaks a law again, or cannot be read.
pub fn assert_stays_mended<T: Transport>(subject: &Subject<T>, crate_dir: &str)
where
    T::Io: Face,
{
    let folder = Path::new(crate_dir).join(REGRESSIONS);
    let kept = kept_scenarios(&folder).unwrap_or_else(|error| panic!("{error}"));
    for (path, scenario) in
        kept.iter().filter(|(_, scenario)| scenario.transport == subject.name && scenario.planted.is_none())
    {
        let asking = |campaign: &Campaign| campaign.concerns(&subject.promises) && campaign.asks_more(scenario);
        for campaign in Campaign::ALL.into_iter().filter(asking) {
            if let Err(broken) = campaign.judge(subject, scenario) {
                let failure = Failure { campaign, broken, scenario: scenario.clone(), cases: 0 };
                panic!("{} again: {}", path.display(), failure.leave(subject, &folder));
            }
        }
    }
}

impl Failure {
    /// Runs the scenario once more and writes what it leaves for a person into `folder`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write<T: Transport>(&self, subject: &Subject<T>, folder: &Path) -> io::Result<Paths>
    where
        T::Io: Face,
    {
        write(subject, &self.scenario, Some(self.verdict()), folder)
    }

    fn verdict(&self) -> Verdict<'_> {
        Verdict { law: self.broken.law.name(), message: &self.broken.message }
    }

    /// [`write`](Self::write), and says where, and how to run it again.
    pub(super) fn say_written<T: Transport>(&self, subject: &Subject<T>, folder: &Path) -> String
    where
        T::Io: Face,
    {
        match self.write(subject, folder) {
            Ok(paths) => format!("see {}\nrerun: {}", paths.page.display(), (subject.rerun)(&paths.scenario)),
            Err(error) => format!("nothing was written: {error}"),
        }
    }

    /// Writes everything for a person, keeps the scenario in `regressions`, and says where.
    fn leave<T: Transport>(&self, subject: &Subject<T>, regressions: &Path) -> String
    where
        T::Io: Face,
    {
        let Self { broken, scenario, cases, campaign } = self;
        let written = self.say_written(subject, &default_folder());
        let nothing = Recording::default();
        let kept = match report(subject, scenario, &nothing, Some(self.verdict())).write_scenario(regressions) {
            Ok(path) => format!("kept as {}", path.display()),
            Err(error) => format!("not kept: {error}"),
        };
        format!("{campaign:?}, after {cases} scenarios: {broken}\n\n{scenario}\n{written}\n{kept}\n")
    }
}

/// Runs a scenario once more and writes what it leaves for a person.
pub(super) fn write<T: Transport>(
    subject: &Subject<T>,
    scenario: &Scenario,
    broken: Option<Verdict<'_>>,
    folder: &Path,
) -> io::Result<Paths>
where
    T::Io: Face,
{
    let rerun = guarded(|| run(subject, scenario, Watch::Record));
    let recording = rerun.map(|run| run.recording).unwrap_or_default();
    report(subject, scenario, &recording, broken).write(folder)
}

fn report<'a, T: Transport>(
    subject: &Subject<T>,
    scenario: &'a Scenario,
    recording: &'a Recording,
    broken: Option<Verdict<'a>>,
) -> Report<'a> {
    Report { scenario, recording, broken, name_packet: subject.name_packet, rerun: subject.rerun }
}

/// Scenarios of a campaign, unless `PROPTEST_CASES` says otherwise.
pub(super) const CASES: u32 = 64;
/// Most time that shrinking takes, milliseconds.
const SHRINK_MS: u32 = 20_000;
/// Where a crate keeps what broke a law once.
const REGRESSIONS: &str = "regressions";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_many_cases_is_a_number_or_an_error_that_says_so() {
        assert_eq!(cases_in(OsStr::new("250")), Ok(250));
        for wrong in ["", "0", "-1", "many", "1e3", " 5", "4294967296", "\u{1b}[2J"] {
            let error = cases_in(OsStr::new(wrong)).unwrap_err();
            assert!(
                error.contains(&format!("PROPTEST_CASES is {wrong:?}")) && error.contains("whole number"),
                "{error}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn how_many_cases_is_no_bytes_outside_of_unicode() {
        use std::os::unix::ffi::OsStrExt;
        let error = cases_in(OsStr::from_bytes(b"5\xff")).unwrap_err();
        assert!(error.contains(r"5\xFF"), "{error}");
    }
}
