//! `quickstart`: two hosts over a lossy link in memory, and what happened.

use crate::cli::QuickstartArgs;
use crate::problem::Problem;

/// Runs the command.
///
/// # Errors
/// A file could not be written.
pub fn run(args: &QuickstartArgs) -> Result<u8, Problem> {
    let _ = args;
    Err(Problem::new("not wired yet"))
}
