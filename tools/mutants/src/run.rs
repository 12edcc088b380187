//! Running test programs against a mutant, up to the first test that fails or takes too long.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::mutant::SWITCH_VARIABLE;
use crate::suite::Step;

/// What became of a step, or of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All tests passed.
    Survived,
    /// This one failed.
    Caught(String),
    /// This one did not end in time.
    TimedOut(String),
}

/// The test programs, and how long each step took without a mutant.
pub struct Runner {
    programs: BTreeMap<String, PathBuf>,
    /// Where they run: the copy's folder of tests.
    folder: PathBuf,
    /// Tests that are not run.
    without: Vec<String>,
    limits: BTreeMap<Step, Duration>,
}

impl Runner {
    pub fn new(programs: BTreeMap<String, PathBuf>, folder: PathBuf, without: Vec<String>) -> Self {
        Self { programs, folder, without, limits: BTreeMap::new() }
    }

    /// Runs these steps without a mutant and takes their times.
    ///
    /// # Errors
    /// All tests that fail as they are.
    pub fn take_times(&mut self, steps: &[Step]) -> Result<()> {
        let mut failing = vec![];
        for step in steps {
            let Some(program) = self.programs.get(step.program) else {
                eprintln!("there is no {}: not run", step.program);
                continue;
            };
            loop {
                let started = Instant::now();
                let (Outcome::Caught(test) | Outcome::TimedOut(test)) = self.run(program, step, None, PATIENCE_MAX)?
                else {
                    let took = started.elapsed();
                    eprintln!("{:6.1} s  {} {}", took.as_secs_f64(), step.program, step.filters.join(" "));
                    self.limits.insert(step.clone(), (took * PATIENCE).max(PATIENCE_MIN));
                    break;
                };
                let name = test.rsplit(' ').next().unwrap_or_default().to_owned();
                ensure!(!name.is_empty() && !self.without.contains(&name), "without a mutant, {test} fails");
                failing.push(test);
                self.without.push(name);
            }
        }
        ensure!(failing.is_empty(), "without a mutant, these fail (see --without):\n{}", failing.join("\n"));
        Ok(())
    }

    /// Runs these steps against a mutant.
    pub fn judge(&self, number: usize, steps: &[Step]) -> Result<Outcome> {
        for step in steps {
            let Some(program) = self.programs.get(step.program) else { continue };
            // A part of a step has the time of the whole.
            let limit = self.limits.get(step).or_else(|| {
                self.limits.iter().find(|(whole, _)| whole.program == step.program).map(|(_, limit)| limit)
            });
            let outcome = self.run(program, step, Some(number), limit.copied().unwrap_or(PATIENCE_MIN))?;
            if outcome != Outcome::Survived {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Survived)
    }

    fn run(&self, program: &Path, step: &Step, mutant: Option<usize>, limit: Duration) -> Result<Outcome> {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -c 0 -v \"$0\"; exec \"$@\"", MEMORY_KIB]).arg(program);
        command.args(&step.filters).args(["--test-threads", "1"]);
        // The conformance kit keeps what broke a law; what one mutant broke is not to be held against the next.
        command.args(["--skip", "what_broke_once_stays_mended"]);
        for name in &self.without {
            command.args(["--skip", name]);
        }
        command.current_dir(&self.folder).env_remove("CARGO_TARGET_DIR");
        match mutant {
            Some(number) => command.env(SWITCH_VARIABLE, number.to_string()),
            None => command.env_remove(SWITCH_VARIABLE),
        };
        // The same cases each time; what breaks a property is neither made smaller nor kept.
        for (key, value) in [("RNG_SEED", "1"), ("MAX_SHRINK_ITERS", "0"), ("DISABLE_FAILURE_PERSISTENCE", "true")] {
            command.env(format!("PROPTEST_{key}"), value);
        }
        if step.program.ends_with("/conformance") {
            command.env("PROPTEST_CASES", CASES);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stdout = child.stdout.take().context("what the tests say")?;
        let outcome = watch(&mut child, stdout, Instant::now() + limit);
        // Over or not, it is to be gone.
        let _ = child.kill();
        child.wait()?;
        let named = |test: String| format!("{} {test}", step.program);
        outcome.map(|outcome| match outcome {
            Outcome::Caught(test) => Outcome::Caught(named(test)),
            Outcome::TimedOut(test) => Outcome::TimedOut(named(test)),
            Outcome::Survived => Outcome::Survived,
        })
    }
}

/// Reads what a test program says until a test fails, the program ends, or it is late.
fn watch(child: &mut Child, mut stdout: ChildStdout, deadline: Instant) -> Result<Outcome> {
    let (said, hear) = mpsc::channel();
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(bytes @ 1..) = stdout.read(&mut piece) {
            if said.send(piece[..bytes].to_vec()).is_err() {
                break;
            }
        }
    });
    let mut heard = String::new();
    loop {
        match hear.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(bytes) => heard += &String::from_utf8_lossy(&bytes),
            Err(RecvTimeoutError::Timeout) => return Ok(Outcome::TimedOut(last_test(&heard))),
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if let Some(test) = failed_test(&heard) {
            return Ok(Outcome::Caught(test));
        }
    }
    Ok(if child.wait()?.success() { Outcome::Survived } else { Outcome::Caught(last_test(&heard)) })
}

/// The first test that is said to have failed.
fn failed_test(said: &str) -> Option<String> {
    let line = said.split_inclusive('\n').find(|line| line.starts_with("test ") && line.ends_with("FAILED\n"))?;
    Some(name_in(line))
}

/// The test that ran when the program said no more.
fn last_test(said: &str) -> String {
    said.lines()
        .rfind(|line| line.starts_with("test ") && !line.starts_with("test result"))
        .map(name_in)
        .unwrap_or_default()
}

/// The name in `test tests::a_law - should panic ... ok`.
fn name_in(line: &str) -> String {
    line.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

/// Cases of each property of the conformance kit.
const CASES: &str = "100";
/// A step may take so many times what it took without a mutant, but is granted at least so much, and without one at most.
const PATIENCE: u32 = 20;
const PATIENCE_MIN: Duration = Duration::from_secs(60);
const PATIENCE_MAX: Duration = Duration::from_secs(1_800);
/// Address space of a test program: a mutant that fills the memory fails, and nobody else does.
const MEMORY_KIB: &str = "6000000";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failing_and_the_hanging_test_are_named() {
        let said = "running 3 tests\ntest a::b ... ok\ntest c::d - should panic ... FAILED\ntest e ... ";
        assert_eq!(failed_test(said), Some("c::d".into()));
        assert_eq!(last_test(said), "e");
        assert_eq!(failed_test("test a::b ... ok\n"), None);
    }
}
