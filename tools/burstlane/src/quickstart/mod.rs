//! `quickstart`: two hosts in memory over a link that loses packets, a stream by TCP, messages by RUDP, and what
//! happened, with pictures. Nothing of the operating system is used but files.

mod messages;
mod pair;
mod progress;
mod report;
mod stream;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use burstlane_sim::LinkConfig;

use crate::cli::QuickstartArgs;
use crate::problem::Problem;
use crate::term::{self, Style};

/// Runs the command.
///
/// # Errors
/// A file could not be written, or a transfer failed.
pub fn run(args: &QuickstartArgs) -> Result<u8, Problem> {
    let seed = args.seed.unwrap_or(DEFAULT_SEED);
    let dir = args.out.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_DIRECTORY));
    fs::create_dir_all(&dir).map_err(|e| {
        Problem::new(format!("cannot make the directory {}", dir.display()))
            .cause(e)
            .next("burstlane --out DIR   (another place for the files)")
    })?;
    let style = Style::stdout();
    let conditions = format!("{}, seed {seed}", link_in_words(&link()));
    term::print(format_args!("{}: two hosts in memory, {conditions}\n\n", style.bold("Burstlane")));
    let outcomes = [stream::run(seed, &dir)?, messages::run(seed, &dir)?];
    for outcome in &outcomes {
        let svg = dir.join(format!("{}.svg", outcome.name));
        write(&svg, &report::picture(outcome, &conditions))?;
        term::print(format_args!("{}\n", report::text(outcome, style)));
    }
    if let Some(path) = &args.json {
        let json = report::json(&outcomes, &link(), seed);
        write(path, &format!("{json:#}\n"))?;
    }
    term::print(report::ending(&outcomes, &dir, args.json.as_deref(), style));
    Ok(0)
}

/// The link, the same in both directions.
fn link() -> LinkConfig {
    LinkConfig {
        rate_bits_per_s: Some(100_000_000),
        delay: Duration::from_millis(10),
        queue_bytes_max: Some(256 * 1024),
        loss: 0.01,
        ..LinkConfig::default()
    }
}

fn link_in_words(link: &LinkConfig) -> String {
    format!(
        "{} Mbit/s, {} ms there and back, {} % of all packets lost",
        link.rate_bits_per_s.unwrap_or(0) / 1_000_000,
        link.delay.as_millis() * 2,
        link.loss * 100.0
    )
}

fn write(path: &Path, text: &str) -> Result<(), Problem> {
    fs::write(path, text).map_err(|e| Problem::new(format!("cannot write {}", path.display())).cause(e))
}

/// What is carried by each transport, bytes.
const TRANSFER_BYTES: u64 = 8 << 20;
const DEFAULT_SEED: u64 = 1;
const DEFAULT_DIRECTORY: &str = "burstlane-out";
