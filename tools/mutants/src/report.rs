//! What is told: a line for each mutant, a table by crate, and the same for machines.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::mutant::Mutant;
use crate::run::Outcome;
use crate::suite::{CRATES, part_of};

/// One mutant's line.
pub fn line(mutant: &Mutant, outcome: &Outcome) -> String {
    let name = mutant.name();
    match outcome {
        Outcome::Survived => format!("SURVIVED   {name}"),
        Outcome::Caught(test) => format!("caught     {name}   by {test}"),
        Outcome::TimedOut(test) => format!("timed out  {name}   in {test}"),
    }
}

/// Counts by crate, and in all.
pub fn table(judged: &[(&Mutant, Outcome)]) -> String {
    let mut table =
        format!("{:8} {:>8} {:>8} {:>9} {:>9} {:>8}\n", "", "mutants", "caught", "timed out", "survived", "caught");
    let rows = CRATES.iter().map(|part| Some(part.name)).chain([None]);
    for name in rows {
        let here = judged.iter().filter(|(mutant, _)| name.is_none_or(|name| part_of(&mutant.file).name == name));
        let count = |is: fn(&Outcome) -> bool| here.clone().filter(|(_, outcome)| is(outcome)).count();
        let all = count(|_| true);
        let survived = count(|outcome| *outcome == Outcome::Survived);
        let timed_out = count(|outcome| matches!(outcome, Outcome::TimedOut(_)));
        let percent = 100.0 * (all - survived) as f64 / all.max(1) as f64;
        let (name, caught) = (name.unwrap_or("all"), all - survived - timed_out);
        let _ = writeln!(table, "{name:8} {all:8} {caught:8} {timed_out:9} {survived:9} {percent:6.1} %");
    }
    table
}

/// The same for machines.
pub fn json(seed: u64, judged: &[(&Mutant, Outcome)]) -> Value {
    let mutants = judged.iter().map(|(mutant, outcome)| {
        let (outcome, test) = match outcome {
            Outcome::Survived => ("survived", None),
            Outcome::Caught(test) => ("caught", Some(test)),
            Outcome::TimedOut(test) => ("timed out", Some(test)),
        };
        json!({
            "crate": part_of(&mutant.file).name, "file": mutant.file, "line": mutant.line, "column": mutant.column,
            "what": mutant.what, "outcome": outcome, "test": test,
        })
    });
    json!({ "seed": seed, "mutants": mutants.collect::<Vec<_>>() })
}
