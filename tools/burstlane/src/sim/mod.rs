//! `sim`: a transport over a simulated link, in virtual time, before its judge. `run` makes the scenario from flags, `replay`
//! reads it from a file; both leave the scenario, a capture and a page with the sequence diagram.

mod browser;
mod plan;
mod report;

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use burstlane_spec::Scenario;
use burstlane_spec::failure::{Paths, Report, Verdict, by_command};
use burstlane_spec::judge::{Broken, Law, Run, Watch};
use burstlane_spec::scenario::file::read_text;
use burstlane_spec_bundled::{NAMES, NoSubject, names, run_by_name};

use crate::cli::{SimArgs, SimCommand, SimFiles};
use crate::problem::{Problem, STATUS_FAILED, STATUS_USAGE};
use crate::term::{self, Style};

/// Runs the command. The status is 1 if a law was broken.
///
/// # Errors
/// The flags or the file make no scenario, or a file could not be written.
pub fn run(args: &SimArgs) -> Result<u8, Problem> {
    match &args.command {
        SimCommand::Run(args) => judge(&plan::scenario(args)?, &args.files),
        SimCommand::Replay(args) => judge(&read(&args.file)?, &args.files),
    }
}

/// Runs a scenario, writes what it leaves, and says what happened.
fn judge(scenario: &Scenario, files: &SimFiles) -> Result<u8, Problem> {
    let verdict = run_guarded(scenario)?;
    let folder = files.out.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_DIRECTORY));
    let paths = write(scenario, &verdict, &folder)?;
    let style = Style::stdout();
    term::print(report::text(scenario, &verdict, style));
    term::print(report::ending(scenario, &verdict, &paths, style));
    if files.open {
        browser::open(&paths.page);
    }
    Ok(if verdict.broken().is_some() { STATUS_FAILED } else { 0 })
}

/// What came of a run that may have panicked.
enum Outcome {
    Ran(Box<Run>),
    Panicked(Broken),
}

impl Outcome {
    fn broken(&self) -> Option<&Broken> {
        match self {
            Self::Ran(run) => run.broken.as_ref(),
            Self::Panicked(broken) => Some(broken),
        }
    }
}

fn run_guarded(scenario: &Scenario) -> Result<Outcome, Problem> {
    // A transport that panics has broken a law like any other; its last words are on standard error.
    match catch_unwind(AssertUnwindSafe(|| run_by_name(scenario, Watch::Record))) {
        Ok(Ok(run)) => Ok(Outcome::Ran(Box::new(run))),
        Ok(Err(error @ NoSubject::Bug(_))) => Err(Problem::new(error.to_string())
            .next("cargo run --release -p burstlane-cli --features planted-bugs -- sim replay FILE")
            .status(STATUS_USAGE)),
        Ok(Err(NoSubject::Transport(name))) => Err(Problem::new(format!("there is no transport '{name}'"))
            .cause(format!("expected one of {}", NAMES.join(", ")))
            .status(STATUS_USAGE)),
        Ok(Err(error)) => Err(Problem::new(error.to_string()).status(STATUS_USAGE)),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words");
            Ok(Outcome::Panicked(Broken { law: Law::NoPanic, message: message.to_owned() }))
        }
    }
}

fn write(scenario: &Scenario, outcome: &Outcome, folder: &Path) -> Result<Paths, Problem> {
    let nothing = burstlane_spec::Recording::default();
    let recording = match outcome {
        Outcome::Ran(run) => &run.recording,
        Outcome::Panicked(_) => &nothing,
    };
    let broken = outcome.broken().map(|broken| Verdict { law: broken.law.name(), message: &broken.message });
    let report = Report { scenario, recording, broken, name_packet: names::of(&scenario.transport), rerun: by_command };
    report.write(folder).map_err(|error| {
        Problem::new(format!("cannot write into {}", folder.display()))
            .cause(error)
            .next("burstlane sim ... --out DIR   (another place for the files)")
    })
}

fn read(file: &Path) -> Result<Scenario, Problem> {
    let text = read_text(file).map_err(|error| {
        let problem = Problem::new(format!("cannot read {}", file.display()));
        let problem = if error.kind() == ErrorKind::InvalidInput { problem.status(STATUS_USAGE) } else { problem };
        problem.cause(error)
    })?;
    text.parse().map_err(|error: burstlane_spec::scenario::text::ScenarioError| {
        let line: String = text.lines().nth(error.line - 1).unwrap_or_default().trim().chars().take(LINE_MAX).collect();
        let mut problem = Problem::new(format!("{} is no scenario", file.display())).cause(&error).status(STATUS_USAGE);
        if !line.is_empty() {
            problem = problem.next(format!("mend line {}: {line}", error.line));
        }
        problem.next("burstlane sim run --transport tcp   (writes a scenario to start from)")
    })
}

const DEFAULT_DIRECTORY: &str = "burstlane-out";
/// Characters of a wrong line that are shown.
const LINE_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use std::fs;

    /// A folder of this test's own, gone when it is over.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("burstlane-sim-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn sim(line: &str, folder: &Path) -> Result<u8, Problem> {
        let words = ["burstlane", "sim"].into_iter().chain(line.split(' ')).map(str::to_owned);
        let words = words.chain(["--out".to_owned(), folder.display().to_string()]);
        match Cli::try_parse_from(words).map(Cli::into_command) {
            Ok(Command::Sim(args)) => run(&args),
            other => panic!("{other:?}"),
        }
    }

    fn file_of(folder: &Path, extension: &str) -> PathBuf {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    #[test]
    fn replay_gives_the_same_bytes() {
        for transport in NAMES {
            let (first, second) = (Folder::new(&format!("{transport}-1")), Folder::new(&format!("{transport}-2")));
            let line =
                format!("run --transport {transport} --seed 3 --loss 3% --duplicate 2% --reorder 2% --bytes 20k");
            let status = sim(&line, &first.0).unwrap();
            let scenario = file_of(&first.0, "scenario");
            assert_eq!(sim(&format!("replay {}", scenario.display()), &second.0).unwrap(), status);
            let capture = fs::read(file_of(&first.0, "pcapng")).unwrap();
            assert!(capture.len() > 20_000, "{transport}: {} bytes", capture.len());
            assert!(capture == fs::read(file_of(&second.0, "pcapng")).unwrap(), "{transport}: another capture");
        }
    }

    #[test]
    fn wrong_words_are_answered_with_what_was_expected() {
        let folder = Folder::new("wrong");
        let problem = sim("run --transport sctp", &folder.0).unwrap_err();
        assert!(problem.what.contains("'sctp'") && problem.cause.unwrap().contains("tcp, rudp"));
        let file = folder.0.join("x.scenario");
        fs::write(&file, "burstlane scenario 1\ntransport tcp\nsed 4\n").unwrap();
        let problem = sim(&format!("replay {}", file.display()), &folder.0).unwrap_err();
        assert_eq!(problem.status, STATUS_USAGE);
        assert!(problem.to_string().contains("line 3, column 1: found 'sed'"), "{problem}");
        assert!(sim("replay /nonexistent/file", &folder.0).unwrap_err().what.contains("cannot read"));
        let problem = sim(&format!("replay {}", folder.0.display()), &folder.0).unwrap_err();
        assert!(problem.status == STATUS_USAGE && problem.to_string().contains("no regular file"), "{problem}");
        let problem = sim("run --transport tcp --bytes 64Mi --flows 5", &folder.0).unwrap_err();
        assert!(problem.status == STATUS_USAGE && problem.to_string().contains("at most 256 MiB"), "{problem}");
    }
}
