//! The command `burstlane`: two hosts in memory, a lab against the kernel, HTTP over our own stack.
#![deny(unsafe_code)]
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))] // the lab's parts
#![allow(unreachable_pub)] // a program has no public interface: `pub` says "for the other modules"

#[cfg(feature = "bench")]
mod bench;
mod cli;
mod doctor;
mod get;
#[cfg(target_os = "linux")]
mod lab;
mod packages;
mod plot;
mod problem;
mod quickstart;
mod serve;
mod service;
mod sim;
mod spec;
mod station;
mod term;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use cli::{Cli, Command};
use problem::{Problem, STATUS_USAGE};

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.into_command(),
        Err(error) => return usage(&error),
    };
    let result = match &command {
        Command::Quickstart(args) => quickstart::run(args),
        Command::Lab(args) => run_lab(args),
        Command::Serve(args) => serve::run(args),
        Command::Get(args) => get::run(args),
        Command::Sim(args) => sim::run(args),
        Command::Doctor => Ok(doctor::run()),
        #[cfg(feature = "bench")]
        Command::Bench(args) => bench::run(args),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(problem) => {
            eprintln!("{} {problem}", term::Style::stderr().red("burstlane:"));
            ExitCode::from(problem.status)
        }
    }
}

#[cfg(target_os = "linux")]
fn run_lab(args: &cli::LabArgs) -> Result<u8, Problem> {
    lab::run(args)
}

#[cfg(not(target_os = "linux"))]
fn run_lab(_: &cli::LabArgs) -> Result<u8, Problem> {
    Err(Problem::new("a lab needs Linux").cause("TAP devices and network namespaces are Linux's").next("burstlane"))
}

/// Prints help, or what was wrong with the command line and a line to imitate.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => {
            let argv: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
            eprintln!("Example: {}", cli::example_for(&argv));
            ExitCode::from(STATUS_USAGE)
        }
    }
}
