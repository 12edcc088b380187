//! `bench`: the official workloads beside smoltcp.

use crate::cli::BenchArgs;
use crate::problem::Problem;

/// Runs the command.
///
/// # Errors
/// A file could not be written.
pub fn run(args: &BenchArgs) -> Result<u8, Problem> {
    let _ = args;
    Err(Problem::new("not wired yet"))
}
