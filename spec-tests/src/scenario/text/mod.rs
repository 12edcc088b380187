//! Scenarios as text that a person reads and edits: one thing a line, words and units, `#` before a comment, what is left
//! out as [`Scenario::new`](crate::Scenario::new) makes it. What is written is read back exactly.
//!
//! ```text
//! burstlane scenario 1
//! transport tcp
//! seed 42
//! lanes 2                             # of each host
//! link delay 5ms rate 10Mbit queue 50 mtu 1500 loss 1%
//! flow opens 0ms
//!   left  send 1000 x 20, pause 5ms, finish
//!   right reads 100 every 3ms; send 5, abort
//! faults
//!   left packet 3 drop                # numbered from 0
//!   10ms..310ms partition left        # nothing that left sends arrives
//!   clock right +200ppm
//! ```
//! Indentation means nothing. `link` may be said on several lines, each field once. A keyword of a new feature goes into
//! `parse` and `print`, a field of a link into `link`.

mod discipline;
mod link;
mod parse;
mod print;
#[cfg(test)]
mod tests;
pub mod units;
mod words;

use std::error::Error;
use std::fmt;

/// A text that is no scenario: where, what stands there, and what should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The line, from 1.
    pub line: usize,
    /// The character of that line, from 1.
    pub column: usize,
    /// What stands there, clipped.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, found, expected } = self;
        write!(f, "line {line}, column {column}: found {found}, expected {expected}")
    }
}

impl Error for ScenarioError {}
