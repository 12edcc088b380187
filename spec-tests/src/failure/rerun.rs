//! What a person types to run a scenario file again. It depends on whose transport it is about: the command knows the
//! bundled ones, the tests of a crate know its own.

use std::env;
use std::path::{self, Path};

/// Makes the line that runs a file again.
pub type Rerun = fn(&Path) -> String;

/// With the command.
#[must_use]
pub fn by_command(file: &Path) -> String {
    format!("burstlane sim replay {}", file.display())
}

/// With the tests that [`conformance!`](crate::conformance!) makes of the crate that is being tested.
#[must_use]
pub fn by_test(file: &Path) -> String {
    // Cargo runs tests in their crate's folder, which need not be where the line is typed.
    let file = path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let package = env::var("CARGO_PKG_NAME").map_or_else(|_| String::new(), |name| format!(" -p {name}"));
    let quoted = file.display().to_string().replace('\'', r"'\''");
    format!("BURSTLANE_REPLAY='{quoted}' cargo test{package} replays_what_is_asked -- --nocapture")
}
