//! [`Oracle`]: a passive watcher of a run that knows the rules of one protocol. It sees each frame as it is sent and as it
//! arrives, and each event of both hosts, and says what was against the rules.

use burstlane::observe::Event;
use burstlane::time::Instant;

use crate::scenario::Side;

/// Watches one run.
pub trait Oracle {
    /// `side` sent a frame, Ethernet header first.
    fn on_sent(&mut self, side: Side, now: Instant, frame: &[u8]);
    /// A frame arrived at `side`.
    fn on_delivered(&mut self, side: Side, now: Instant, frame: &[u8]);
    /// Something happened on `side`.
    fn on_event(&mut self, side: Side, now: Instant, event: &Event<'_>);
    /// The run is over: what was against the rules, in order, each with its time and the rule.
    fn finish(&mut self) -> Vec<String>;
}
