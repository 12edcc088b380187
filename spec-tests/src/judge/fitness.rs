//! Whether a scenario can be run over a transport at all: what an application could not do is no fault of the transport.

use burstlane::transport::Transport;

use crate::face::{Channel, Face, Handle};
use crate::scenario::{Scenario, Side};
use crate::subject::Subject;

/// Why this scenario says nothing of this transport, if it does not.
#[must_use]
pub fn unfit<T: Transport>(subject: &Subject<T>, scenario: &Scenario) -> Option<String>
where
    T::Io: Face,
{
    if scenario.link.loss >= 1.0 {
        return Some("the link loses everything; expected a loss below 100%".to_owned());
    }
    let (most, is_reliable) = (subject.promises.piece_bytes_max, subject.promises.is_reliable);
    for (number, flow) in scenario.flows.iter().enumerate() {
        for side in Side::BOTH {
            let plan = flow.side(side);
            let place = format!("flow {number}, {side}");
            if <Handle<T> as Channel>::HAS_MESSAGES
                && let Some(large) = plan.sizes().find(|bytes| *bytes > most)
            {
                return Some(format!("{place}: a message of {large} bytes; expected at most {most}"));
            }
            if !is_reliable && plan.sizes().any(|bytes| bytes < NUMBERED_BYTES_MIN) {
                return Some(format!(
                    "{place}: expected datagrams of at least {NUMBERED_BYTES_MIN} bytes, for their number"
                ));
            }
            if let Some(op) = plan.behind_the_end() {
                return Some(format!("{place}: '{op}' stands behind the end"));
            }
        }
    }
    None
}

/// A datagram begins with its number.
const NUMBERED_BYTES_MIN: u32 = 8;
