//! The command.
#[allow(dead_code, unused_imports, reason = "the quickstart draws with it")]
mod plot;
fn main() {}
