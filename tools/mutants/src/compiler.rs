//! The compiler: which mutants it refuses, and the test programs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::mutant::Mutant;
use crate::sample::choose;
use crate::scratch::{Place, Scratch};
use crate::suite::CRATES;

/// Draws `count` mutants that compile, in this order, leaves the copy with them in it, and says how many were refused.
pub fn choose_compiling(
    scratch: &Scratch,
    target: &Path,
    mutants: &[Mutant],
    order: &[usize],
    count: usize,
) -> Result<(Vec<usize>, usize)> {
    let mut refused = BTreeSet::new();
    // More than wanted at first: what is refused is found in fewer rounds. The chosen are the first of the order that compile
    // whatever else is tried with them.
    let mut tried = choose(mutants, order, count + count / 2, |_| false);
    loop {
        let places = scratch.write(mutants, &tried)?;
        let errors = check(scratch, target)?;
        if !errors.is_empty() {
            for error in errors {
                refused.extend(culprits(&error, &places)?);
            }
            tried.retain(|number| !refused.contains(number));
            continue;
        }
        let is_known = |number: usize| refused.contains(&number);
        let chosen = choose(mutants, order, count, is_known);
        if chosen.iter().all(|number| tried.contains(number)) {
            scratch.write(mutants, &chosen)?;
            return Ok((chosen, refused.len()));
        }
        tried = choose(mutants, order, count + count / 2, is_known);
    }
}

/// An error: what the compiler says, and where, the places that it means before those that explain.
struct CompileError {
    message: String,
    spans: Vec<(bool, String, usize, usize)>,
}

fn check(scratch: &Scratch, target: &Path) -> Result<Vec<CompileError>> {
    let mut command = cargo(scratch, target);
    command.args(["check", "--lib", "--keep-going"]);
    for part in CRATES {
        command.args(["-p", part.package]);
    }
    let mut errors = vec![];
    let is_success = run(command, |message| {
        if message["reason"] == "compiler-message" && message["message"]["level"] == "error" {
            errors.extend(CompileError::read(&message["message"]));
        }
    })?;
    ensure!(is_success || !errors.is_empty(), "cargo check failed without saying where");
    Ok(errors)
}

impl CompileError {
    fn read(message: &Value) -> Option<Self> {
        let spans = message["spans"].as_array()?.iter().filter_map(|span| {
            let at = |key: &str| Some(span[key].as_u64()? as usize);
            let file = span["file_name"].as_str()?.to_owned();
            Some((span["is_primary"].as_bool()?, file, at("byte_start")?, at("byte_end")?))
        });
        let mut spans: Vec<_> = spans.collect();
        spans.sort_by_key(|span| !span.0);
        // "aborting due to 2 previous errors" has no place.
        let message = message["rendered"].as_str().unwrap_or_default().to_owned();
        (!spans.is_empty()).then_some(Self { message, spans })
    }
}

/// The mutants in which an error lies; failing that, the nearest before it in the file.
fn culprits(error: &CompileError, places: &[Place]) -> Result<Vec<usize>> {
    for is_primary in [true, false] {
        let spans = error.spans.iter().filter(|span| span.0 == is_primary);
        let hit = spans.flat_map(|(_, file, start, end)| {
            let here = places.iter().filter(move |place| place.file == *file);
            here.filter(move |place| place.range.start <= *end && *start <= place.range.end).map(|place| place.number)
        });
        let hit: Vec<_> = hit.collect();
        if !hit.is_empty() {
            return Ok(hit);
        }
    }
    let nearest = error.spans.iter().find_map(|(_, file, start, _)| {
        let before = places.iter().filter(|place| place.file == *file && place.range.start < *start);
        before.max_by_key(|place| place.range.start).map(|place| place.number)
    });
    match nearest {
        Some(number) => Ok(vec![number]),
        None => bail!("the compiler complains, but not of a mutant:\n{}", error.message),
    }
}

/// Builds the test programs: path by package and target (`lib` for unit tests).
pub fn build_tests(scratch: &Scratch, target: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut command = cargo(scratch, target);
    command.args(["test", "--no-run", "--lib", "--test", "*"]);
    for part in CRATES {
        command.args(["-p", part.package]);
    }
    command.args(["-p", SPEC]);
    let mut programs = BTreeMap::new();
    let mut said = String::new();
    let is_success = run(command, |message| {
        if message["reason"] == "compiler-message" && message["message"]["level"] == "error" {
            said += message["message"]["rendered"].as_str().unwrap_or_default();
        }
        let (Some(path), Some(id)) = (message["executable"].as_str(), message["package_id"].as_str()) else { return };
        if message["profile"]["test"] != true {
            return;
        }
        let kind = message["target"]["kind"][0].as_str().unwrap_or_default();
        let name = if kind == "lib" { "lib" } else { message["target"]["name"].as_str().unwrap_or_default() };
        programs.insert(format!("{}/{name}", package_of(id)), PathBuf::from(path));
    })?;
    ensure!(is_success, "the tests do not build:\n{said}");
    Ok(programs)
}

/// The name in an identifier as `path+file:///folder#name@1.0`, or `path+file:///folder/name#1.0`.
fn package_of(id: &str) -> &str {
    let (url, fragment) = id.split_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => url.rsplit('/').next().unwrap_or(url),
    }
}

/// Cargo in the copy, with what debug builds check and some speed; warnings about mutants are nobody's business.
fn cargo(scratch: &Scratch, target: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&scratch.root).env("CARGO_TARGET_DIR", target);
    command.env("RUSTFLAGS", "-A warnings --cap-lints warn");
    for (key, value) in [("OPT_LEVEL", "1"), ("DEBUG", "0"), ("DEBUG_ASSERTIONS", "true"), ("OVERFLOW_CHECKS", "true")]
    {
        command.env(format!("CARGO_PROFILE_DEV_{key}"), value);
    }
    command
}

/// Runs it with messages in JSON; whether it succeeded.
fn run(mut command: Command, mut on_message: impl FnMut(&Value)) -> Result<bool> {
    command.args(["--locked", "--quiet", "--message-format", "json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().context("running cargo")?;
    let stdout = child.stdout.take().context("what cargo says")?;
    for line in BufReader::new(stdout).lines() {
        if let Ok(message) = serde_json::from_str(&line?) {
            on_message(&message);
        }
    }
    Ok(child.wait()?.success())
}

/// The crate of tests.
const SPEC: &str = "burstlane-spec";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_in_both_ways_of_writing() {
        assert_eq!(package_of("path+file:///a/framework#burstlane@0.1.0"), "burstlane");
        assert_eq!(package_of("path+file:///a/burstlane-tcp#0.1.0"), "burstlane-tcp");
    }

    #[test]
    fn an_error_is_laid_to_the_mutant_in_which_it_lies_or_to_the_one_before() {
        let place = |number, start| Place { file: "f.rs".into(), range: start..start + 10, number };
        let places = [place(7, 100), place(8, 200)];
        let error =
            |file: &str, at| CompileError { message: String::new(), spans: vec![(true, file.into(), at, at + 1)] };
        assert_eq!(culprits(&error("f.rs", 205), &places).unwrap(), [8]);
        assert_eq!(culprits(&error("f.rs", 150), &places).unwrap(), [7]);
        assert!(culprits(&error("f.rs", 50), &places).is_err());
        assert!(culprits(&error("g.rs", 205), &places).is_err());
    }
}
