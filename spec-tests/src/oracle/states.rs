//! The states that an end says it is in: only along the edges of RFC 9293 figure 5, and each from where the last one led.

use std::collections::HashMap;

use burstlane::observe::{Event, FlowRef};

/// The last state of each flow of each side.
#[derive(Debug, Default)]
pub(super) struct States(HashMap<(usize, FlowRef), &'static str>);

impl States {
    /// What is wrong with the event, if something is.
    pub(super) fn on_event(&mut self, side: usize, event: &Event<'_>) -> Option<String> {
        match *event {
            Event::StateChanged { flow, from, to } => {
                let before = self.0.insert((side, flow), to);
                if before.is_some_and(|before| before != from) {
                    return Some(format!("was {}, not {from}", before.unwrap_or_default()));
                }
                if before.is_none() && !FIRST.contains(&from) {
                    return Some(format!("begins in {from}"));
                }
                let is_edge = to == "CLOSED" && from != "CLOSED" || EDGES.contains(&(from, to));
                (!is_edge).then(|| format!("{from} -> {to} is not in RFC 9293 figure 5"))
            }
            Event::FlowClosed { flow, .. } => {
                self.0.remove(&(side, flow));
                None
            }
            _ => None,
        }
    }
}

/// Where an end can be when it first says something.
const FIRST: [&str; 4] = ["CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED"];

/// RFC 9293 figure 5 without its edges to CLOSED, which a reset, an abort or a timeout adds to every state. FIN-WAIT-1 to
/// TIME-WAIT is the figure's note 2.
const EDGES: [(&str, &str); 18] = [
    ("CLOSED", "LISTEN"),
    ("CLOSED", "SYN-SENT"),
    ("LISTEN", "SYN-RECEIVED"),
    ("LISTEN", "SYN-SENT"),
    ("SYN-SENT", "SYN-RECEIVED"),
    ("SYN-SENT", "ESTABLISHED"),
    ("SYN-RECEIVED", "LISTEN"),
    ("SYN-RECEIVED", "ESTABLISHED"),
    ("SYN-RECEIVED", "FIN-WAIT-1"),
    ("ESTABLISHED", "FIN-WAIT-1"),
    ("ESTABLISHED", "CLOSE-WAIT"),
    ("FIN-WAIT-1", "FIN-WAIT-2"),
    ("FIN-WAIT-1", "CLOSING"),
    ("FIN-WAIT-1", "TIME-WAIT"),
    ("FIN-WAIT-2", "TIME-WAIT"),
    ("CLOSE-WAIT", "LAST-ACK"),
    ("CLOSING", "TIME-WAIT"),
    // 3.10.7.4: SYN-RECEIVED takes a FIN that comes with the ACK.
    ("SYN-RECEIVED", "CLOSE-WAIT"),
];
