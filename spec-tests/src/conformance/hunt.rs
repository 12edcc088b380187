//! Drawing scenarios until a law is broken or enough have passed, and making what broke it small.

use std::cell::{Cell, RefCell};
use std::path::Path;

use burstlane::transport::Transport;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use super::Campaign;
use crate::face::Face;
use crate::judge::{Broken, Law};
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

/// Judges up to `cases` scenarios (fewer where each has much traffic: [`Campaign::cases`]), drawn from `seed` or from entropy.
///
/// # Errors
/// The first that broke a law, shrunk for at most [`SHRINK_MS`] milliseconds.
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
        rng_seed: seed.map_or(RngSeed::Random, RngSeed::Fixed),
        ..Config::default()
    };
    let drawn = Cell::new(0);
    let first: RefCell<Option<Law>> = RefCell::default();
    let scenarios = campaign.scenarios(subject.name, &subject.promises);
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

/// Judges the scenarios that broke a law once, then as many new ones as the environment's `PROPTEST_CASES` says, or
/// [`CASES`].
///
/// # Panics
/// If a law is broken. What is left for a person stands in the message: the shrunk scenario, and the files written.
pub fn assert_holds<T: Transport>(subject: &Subject<T>, campaign: Campaign, crate_dir: &str)
where
    T::Io: Face,
{
    if !campaign.concerns(&subject.promises) {
        return;
    }
    replay(subject, campaign, Path::new(crate_dir));
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    if let Err(failure) = hunt(subject, campaign, cases, None) {
        panic!("{}", report(subject, &failure, Path::new(crate_dir)));
    }
}

/// Judges the scenarios in `regressions/` that this campaign broke with this transport.
///
/// # Panics
/// If one breaks a law again, or cannot be read.
pub fn replay<T: Transport>(subject: &Subject<T>, campaign: Campaign, crate_dir: &Path)
where
    T::Io: Face,
{
    let _ = (subject, campaign, crate_dir);
}

fn report<T: Transport>(subject: &Subject<T>, failure: &Failure, crate_dir: &Path) -> String
where
    T::Io: Face,
{
    let _ = crate_dir;
    let run = crate::judge::run(subject, &failure.scenario, crate::judge::Watch::Record);
    let mut lines: Vec<(burstlane::time::Instant, String)> = Vec::new();
    for p in &run.recording.packets {
        lines.push((
            p.sent_at,
            format!(
                "{} #{:?} {} bytes {:?} {:?}",
                p.from,
                p.number,
                p.bytes.len(),
                p.arrivals.iter().map(|a| a.0).collect::<Vec<_>>(),
                p.trouble
            ),
        ));
    }
    for e in &run.recording.events {
        lines.push((e.at, format!("    {} {:?}", e.side, e.what)));
    }
    lines.sort_by_key(|l| l.0);
    let lines: String = lines.iter().map(|l| format!("{} {}\n", l.0, l.1)).collect();
    format!("{failure:#?}\n{lines}")
}

/// Scenarios of a campaign, unless `PROPTEST_CASES` says otherwise.
pub const CASES: u32 = 64;
/// Most time that shrinking takes, milliseconds.
pub const SHRINK_MS: u32 = 20_000;
