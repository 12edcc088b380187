//! Colour where a person reads, plain text where a program does.

use std::io::{IsTerminal, Write};

/// Prints. A reader that has gone away (`| head`) is no reason to complain.
pub fn print(text: impl std::fmt::Display) {
    let _ = write!(std::io::stdout(), "{text}");
}

/// Whether to write escape sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// No colour, ever.
    #[cfg(test)]
    pub const PLAIN: Self = Self { colour: false };

    /// For standard output: colour on a terminal, unless `NO_COLOR` is set or the terminal is dumb.
    pub fn stdout() -> Self {
        Self { colour: std::io::stdout().is_terminal() && wanted() }
    }

    /// For standard error.
    pub fn stderr() -> Self {
        Self { colour: std::io::stderr().is_terminal() && wanted() }
    }

    /// Good news.
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Bad news.
    pub fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Worth a look.
    pub fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// By the way.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}
