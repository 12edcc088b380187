//! Congestion control that belongs to no transport: what controllers are told, what they answer, and four of them.
//!
//! A prototype sits in a transport's configuration and is cloned for every connection; a transport may also take
//! `C: Controller` statically. Detecting losses is not their work (`toolkit::ledger` does it), nor is pacing
//! (`toolkit::pacer`).

mod bbr;
mod cubic;
mod dctcp;
mod hystart;
mod newreno;
mod round;
mod sample;
#[cfg(test)]
mod tests;
mod window;

use crate::time::Instant;
use dyn_clone::DynClone;
use std::fmt::Debug;

pub use bbr::Bbr;
pub use cubic::Cubic;
pub use dctcp::Dctcp;
pub use newreno::NewReno;
pub use sample::{AckSample, CongestionEvent, Interests};
pub use window::{CWND_MAX, initial_window};

/// Decides how much may be in flight. One per connection or path. All quantities are bytes (or packets, for a
/// transport that counts them throughout and says so with `MtuChanged { segment_bytes: 1 }`).
///
/// # What the transport owes
/// - `MtuChanged` before anything else, and when the segment size changes.
/// - One `on_ack` for each run of acknowledgements, if [`wants`](Self::wants) says so, *after* the run's
///   `on_congestion`. So an acknowledgement that starts a recovery is not also growth.
/// - `Loss` and `Ecn` **once per round trip**: the transport guards that, because it alone knows what was sent after
///   the last reduction. [`SentLedger`](crate::toolkit::SentLedger) does it: tell `Loss` when
///   [`Loss::new_episode`](crate::toolkit::Loss::new_episode) is set, `Ecn` when `on_congestion_echo` returns true. A
///   controller reduces each time it is told.
pub trait Controller: DynClone + Debug + Send {
    /// `bytes` were just sent, which made `in_flight_bytes`. Called only if wanted.
    fn on_sent(&mut self, now: Instant, bytes: u64, in_flight_bytes: u64) {
        let _ = (now, bytes, in_flight_bytes);
    }

    /// A run of acknowledgements came in.
    fn on_ack(&mut self, sample: &AckSample);

    /// Something that changes the window at once. Always called, wanted or not.
    fn on_congestion(&mut self, now: Instant, event: &CongestionEvent);

    /// How much may be in flight; never below one segment.
    fn cwnd(&self) -> u64;

    /// Where slow start ends; `u64::MAX` before the first congestion.
    fn ssthresh(&self) -> u64;

    /// Bytes per second at most, or no pacing.
    fn pacing_rate(&self) -> Option<u64> {
        None
    }

    /// The most to send back to back when paced, in bytes.
    fn send_quantum(&self) -> u64 {
        65_536
    }

    /// Which calls it needs. Constant over a connection's life, so a transport may ask once.
    fn wants(&self) -> Interests {
        Interests::ACK
    }

    /// Short, lower case, as configurations and captures name it.
    fn name(&self) -> &'static str;
}

dyn_clone::clone_trait_object!(Controller);

/// A new controller of the given name, or `None`; [`NAMES`] has them all.
#[must_use]
pub fn by_name(name: &str) -> Option<Box<dyn Controller>> {
    match name {
        "cubic" => Some(Box::new(Cubic::new())),
        "bbr" => Some(Box::new(Bbr::new())),
        "dctcp" => Some(Box::new(Dctcp::new())),
        "newreno" | "reno" => Some(Box::new(NewReno::new())),
        _ => None,
    }
}

/// What [`by_name`] knows; `reno` is NewReno, too.
pub const NAMES: [&str; 4] = ["cubic", "newreno", "bbr", "dctcp"];
