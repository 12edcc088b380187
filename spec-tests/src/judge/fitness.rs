//! Whether a scenario can be run over a transport at all: what an application could not do is no fault of the transport.

use burstlane::transport::Transport;

use crate::face::{Channel, Face, Handle};
use crate::scenario::{Device, Fault, Mishap, Scenario, Side, Trouble};
use crate::subject::{Opening, Promises, Subject};

/// Why this scenario says nothing of this transport, if it does not.
#[must_use]
pub fn unfit<T: Transport>(subject: &Subject<T>, scenario: &Scenario) -> Option<String>
where
    T::Io: Face,
{
    if scenario.link.loss >= 1.0 {
        return Some("the link loses everything; expected a loss below 100%".to_owned());
    }
    if scenario.lanes > 1
        && let Some(why) = unfit_for_lanes(&subject.promises, scenario)
    {
        return Some(format!("{} lanes a host: {why}", scenario.lanes));
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

/// What is judged of several lanes is that flows go on, whatever happens to single packets.
fn unfit_for_lanes(promises: &Promises, scenario: &Scenario) -> Option<&'static str> {
    let is_lane_matter = |fault: &Fault| match fault {
        Fault::Packet { mishap, .. } => !matches!(mishap, Mishap::Tamper { .. }),
        Fault::Spell { trouble, .. } => matches!(trouble, Trouble::Partition(_)),
        Fault::Forged { .. } | Fault::Flood { .. } | Fault::Rebind { .. } | Fault::Clock { .. } => false,
    };
    if promises.opening == Opening::Both {
        return Some("expected a transport that listens: which lane a first datagram comes to, the device decides");
    }
    if scenario.device != Device::Plain {
        return Some("expected plain devices");
    }
    if !scenario.ends_in_order() || scenario.ends_in_silence(promises) {
        return Some("expected applications that wait for their peer's end, and no silence that ends a flow");
    }
    (!scenario.faults.iter().all(is_lane_matter))
        .then_some("expected nothing worse than packets struck, and partitions")
}

/// A datagram begins with its number.
const NUMBERED_BYTES_MIN: u32 = 8;
