//! Mutation testing of TCP, RUDP and the toolkit: plants small mistakes, one at a time, and counts those that the tests notice.
//!
//! All mistakes of a sample are built into one program, each behind a switch that an environment variable sets (mutant
//! schemata: Untch, Offutt, Harrold 1993): the workspace is compiled once, and not once for each mutant.

mod compiler;
mod find;
mod mutant;
mod report;
mod run;
mod sample;
mod scratch;
mod suite;
mod swaps;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use anyhow::{Result, bail};
use clap::Parser;

use mutant::Mutant;
use run::{Outcome, Runner};
use scratch::Scratch;

/// Plants small mistakes in TCP, RUDP and the toolkit, one at a time, and counts those that the tests notice.
#[derive(Parser)]
struct Args {
    /// How many mutants are drawn.
    #[arg(long, default_value_t = 200)]
    sample: usize,
    /// What they are drawn by.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Draw from this crate only: tcp, rudp or toolkit.
    #[arg(long = "crate")]
    part: Option<String>,
    /// Judge only those of the sample whose name contains this; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// Leave out tests whose name contains this; may be repeated.
    #[arg(long)]
    without: Vec<String>,
    /// Print all mutants that there are, and run nothing.
    #[arg(long)]
    list: bool,
    /// Mutants that are judged at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Write the outcome as JSON, too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The repository.
    #[arg(long, default_value = ".")]
    root: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let root = args.root.canonicalize()?;
    // Where Cargo builds; its copy there is a workspace of its own.
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("mutants");
    let scratch = Scratch::copy(&root, target.join("workspace"))?;
    let mut mutants = scratch.mutants()?;
    if let Some(name) = &args.part {
        mutants.retain(|mutant| suite::part_of(&mutant.file).name == name);
    }
    if args.list {
        for mutant in &mutants {
            println!("{}", mutant.name());
        }
        return Ok(());
    }
    eprintln!("{} mutants in all; drawing {} by seed {}", mutants.len(), args.sample, args.seed);
    let order = sample::order(&mutants, args.seed);
    let build = target.join("build");
    let (mut chosen, refused) = compiler::choose_compiling(&scratch, &build, &mutants, &order, args.sample)?;
    eprintln!("{refused} that were drawn do not compile, and others took their places");
    let programs = compiler::build_tests(&scratch, &build)?;
    let mut runner = Runner::new(programs, scratch.root.join("spec-tests"), args.without.clone());
    chosen.sort_unstable();
    if !args.only.is_empty() {
        chosen.retain(|&number| args.only.iter().any(|part| mutants[number].name().contains(part)));
    }
    runner.take_times(&suite::all_steps())?;
    let judged = judge_all(&runner, &mutants, &chosen, args.jobs.max(1))?;
    print!("\n{}", report::table(&judged));
    if let Some(path) = &args.json {
        fs::write(path, format!("{:#}\n", report::json(args.seed, &judged)))?;
    }
    Ok(())
}

/// Judges these mutants, `jobs` at a time, and prints each as soon as it is known.
fn judge_all<'a>(
    runner: &Runner,
    mutants: &'a [Mutant],
    chosen: &[usize],
    jobs: usize,
) -> Result<Vec<(&'a Mutant, Outcome)>> {
    let (next, judged) = (AtomicUsize::new(0), Mutex::new(vec![]));
    let work = || -> Result<()> {
        while let Some(&number) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mutant = &mutants[number];
            let outcome = runner.judge(number, &suite::steps(mutant))?;
            let Ok(mut judged) = judged.lock() else { bail!("another worker died") };
            judged.push((number, outcome));
            let (number, outcome) = &judged[judged.len() - 1];
            println!("{:3}/{} {}", judged.len(), chosen.len(), report::line(&mutants[*number], outcome));
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a worker died")))
    })?;
    let mut judged = judged.into_inner().unwrap_or_default();
    judged.sort_by_key(|(number, _)| *number);
    Ok(judged.into_iter().map(|(number, outcome)| (&mutants[number], outcome)).collect())
}
