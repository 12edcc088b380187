//! `serve`: our host on a driver, answering HTTP, echo and discard.

use std::fmt;
use std::sync::atomic::AtomicBool;

use crate::cli::{HostSpec, ServeArgs};
use crate::problem::Problem;

/// What a server did.
#[derive(Clone, Debug, Default)]
pub struct Summary {}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("served")
    }
}

/// Runs the command.
///
/// # Errors
/// The host could not be brought up.
pub fn run(args: &ServeArgs) -> Result<u8, Problem> {
    let spec = args.host.resolve(std::env::var("BURSTLANE_TAP").ok())?;
    let stop = AtomicBool::new(false);
    host(&spec, &stop, &mut || {})?;
    Ok(0)
}

/// Serves until `stop` is set; calls `ready` once connections are accepted.
///
/// # Errors
/// The host could not be brought up, or its device is gone.
pub fn host(spec: &HostSpec, stop: &AtomicBool, ready: &mut dyn FnMut()) -> Result<Summary, Problem> {
    let _ = (spec, stop, ready);
    Err(Problem::new("not wired yet"))
}
