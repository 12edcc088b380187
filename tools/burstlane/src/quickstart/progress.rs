//! A line that moves while a transfer runs: on a terminal only, and a few times a second only.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// One transfer's progress.
pub(super) struct Progress {
    name: &'static str,
    total: u64,
    shown_at: Option<Instant>,
    started: Instant,
    is_terminal: bool,
}

impl Progress {
    /// Of `total` bytes.
    pub(super) fn new(name: &'static str, total: u64) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { name, total, shown_at: None, started: Instant::now(), is_terminal }
    }

    /// `done` bytes arrived at `virtual_now`.
    pub(super) fn show(&mut self, done: u64, virtual_now: burstlane::time::Instant) {
        if !self.is_terminal || self.shown_at.is_some_and(|at| at.elapsed() < INTERVAL) {
            return;
        }
        self.shown_at = Some(Instant::now());
        let percent = done * 100 / self.total.max(1);
        let filled = (percent as usize * BAR_COLUMNS / 100).min(BAR_COLUMNS);
        let bar = format!("{}{}", "█".repeat(filled), "░".repeat(BAR_COLUMNS - filled));
        let seconds = virtual_now.since(burstlane::time::Instant::ZERO).as_secs_f64();
        let _ = write!(std::io::stderr(), "\r{:4} {bar} {percent:3} %  {seconds:.1} s simulated ", self.name);
    }

    /// Takes the line away; the real time used.
    pub(super) fn end(self) -> Duration {
        if self.shown_at.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        self.started.elapsed()
    }
}

const INTERVAL: Duration = Duration::from_millis(50);
const BAR_COLUMNS: usize = 32;
