//! Shows a page in the browser, where there is one.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::term;

/// Starts what this system opens files with. If there is no such program, says where the page is.
pub(super) fn open(page: &Path) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let started =
        Command::new(opener).arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if let Err(error) = started {
        term::print(format_args!("no browser was started ({opener}: {error}); the page is {}\n", page.display()));
    }
}
