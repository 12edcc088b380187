//! What was said in a script, line by line, as one reads it.

use std::fmt;

use burstlane::time::Instant;

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The test's end of the link sent a packet.
    Peer,
    /// The host did.
    Host,
    /// The application on the host.
    App,
}

/// The lines, with their times.
#[derive(Debug)]
pub(super) struct Trace {
    started_at: Instant,
    lines: Vec<(Instant, Who, String)>,
}

impl Trace {
    pub(super) fn new(started_at: Instant) -> Self {
        Self { started_at, lines: vec![] }
    }

    pub(super) fn started_at(&self) -> Instant {
        self.started_at
    }

    pub(super) fn push(&mut self, now: Instant, who: Who, what: &dyn fmt::Display) {
        self.lines.push((now, who, what.to_string()));
    }
}

/// Seconds since the start, who, what.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, who, what) in &self.lines {
            let who = match who {
                Who::Peer => "peer >",
                Who::Host => "     < host",
                Who::App => "       app:",
            };
            writeln!(f, "{:>12.6} {who:<12} {what}", at.since(self.started_at).as_secs_f64())?;
        }
        Ok(())
    }
}
