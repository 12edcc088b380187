//! An error for a person: what failed, why, and the command to type next.
//!
//! Everything that leaves the command as a failure is one of these; a library's error is translated where it is known
//! what the user was trying to do.

use std::fmt;

/// A failure that ends the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What could not be done, in one line.
    pub what: String,
    /// Why, as far as is known.
    pub cause: Option<String>,
    /// Commands or steps that mend it, one a line.
    pub next: Vec<String>,
    /// The exit status, 1 to 255.
    pub status: u8,
}

impl Problem {
    /// A failure with exit status 1.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None, next: Vec::new(), status: STATUS_FAILED }
    }

    /// With the reason.
    #[must_use]
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// With one more line of "what to do now".
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next.push(step.into());
        self
    }

    /// With another exit status.
    #[must_use]
    pub fn status(mut self, status: u8) -> Self {
        self.status = status;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if let Some(cause) = &self.cause {
            write!(f, "\n  cause: {cause}")?;
        }
        for (i, step) in self.next.iter().enumerate() {
            write!(f, "\n  {} {step}", if i == 0 { "next: " } else { "      " })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// The thing asked for was tried and failed.
pub const STATUS_FAILED: u8 = 1;
/// The command line was wrong.
pub const STATUS_USAGE: u8 = 2;
/// `lab` failed before it could run the command.
pub const STATUS_LAB: u8 = 125;
/// `lab`: the command exists and cannot be run.
pub const STATUS_NOT_EXECUTABLE: u8 = 126;
/// `lab`: there is no such command.
pub const STATUS_NOT_FOUND: u8 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_what_cause_next() {
        let p = Problem::new("cannot open /dev/net/tun").cause("no such file").next("sudo modprobe tun").next("retry");
        assert_eq!(
            p.to_string(),
            "cannot open /dev/net/tun\n  cause: no such file\n  next:  sudo modprobe tun\n         retry"
        );
    }
}
