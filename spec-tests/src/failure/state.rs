//! What is known of a flow at an instant, from what its host told up to then.

use std::collections::BTreeMap;
use std::fmt;

use burstlane::time::Instant;

use crate::recording::{EventRecord, Happening};
use crate::scenario::Side;

/// One end of a flow, as far as its host told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FlowState {
    state: Option<String>,
    window: Option<Window>,
    /// Smoothed round-trip time and timeout, microseconds.
    times_us: Option<(u64, u64)>,
    closed: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    cwnd: u64,
    ssthresh: u64,
    in_flight: u64,
}

/// All flows of both hosts, at an instant that only moves on.
#[derive(Clone, Debug)]
pub(super) struct States<'a> {
    events: &'a [EventRecord],
    flows: BTreeMap<(Side, usize), FlowState>,
}

impl<'a> States<'a> {
    /// Before the first of `events`, which come by time.
    pub(super) const fn new(events: &'a [EventRecord]) -> Self {
        Self { events, flows: BTreeMap::new() }
    }

    /// Takes in what was told before `at`, and what was told at `at` too if `is_inclusive`.
    pub(super) fn advance(&mut self, at: Instant, is_inclusive: bool) {
        while let Some((event, rest)) = self.events.split_first() {
            if event.at > at || event.at == at && !is_inclusive {
                return;
            }
            if let Some(flow) = event.flow {
                self.flows.entry((event.side, flow)).or_default().hear(&event.what);
            }
            self.events = rest;
        }
    }

    /// A flow of one host in words, or if none is asked for, or not known, all of them, at most a handful. Empty if it told
    /// of none.
    pub(super) fn describe(&self, side: Side, flow: Option<usize>) -> String {
        if let Some(state) = flow.and_then(|flow| self.flows.get(&(side, flow))) {
            return format!("flow {}: {state}", flow.unwrap_or_default());
        }
        let flows = || self.flows.iter().filter(|((of, _), _)| *of == side).map(|((_, flow), state)| (flow, state));
        let shown: Vec<String> = flows().take(FLOWS_MAX).map(|(flow, state)| format!("flow {flow}: {state}")).collect();
        let more = flows().count().saturating_sub(FLOWS_MAX);
        if more > 0 { format!("{}; and {more} flows more", shown.join("; ")) } else { shown.join("; ") }
    }
}

impl FlowState {
    fn hear(&mut self, what: &Happening) {
        match what {
            Happening::Opened => *self = Self::default(),
            Happening::Closed { reason } => self.closed = Some(reason.clone()),
            Happening::State { to, .. } => self.state = Some(to.clone()),
            Happening::Congestion { cwnd, ssthresh, in_flight } => {
                self.window = Some(Window { cwnd: *cwnd, ssthresh: *ssthresh, in_flight: *in_flight });
            }
            Happening::Rtt { srtt_us, rto_us, .. } => self.times_us = Some((*srtt_us, *rto_us)),
            Happening::Timer { .. } | Happening::Lost { .. } | Happening::Dropped { .. } | Happening::App { .. } => {}
        }
    }
}

impl fmt::Display for FlowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state.as_deref().unwrap_or("open"))?;
        if let Some(Window { cwnd, ssthresh, in_flight }) = self.window {
            write!(f, ", cwnd {cwnd}")?;
            if ssthresh != u64::MAX {
                write!(f, ", ssthresh {ssthresh}")?;
            }
            write!(f, ", in flight {in_flight}")?;
        }
        if let Some((srtt, rto)) = self.times_us {
            write!(f, ", srtt {}, rto {}", millis(srtt), millis(rto))?;
        }
        self.closed.as_ref().map_or(Ok(()), |reason| write!(f, ", over ({reason})"))
    }
}

fn millis(us: u64) -> String {
    format!("{}.{:03} ms", us / 1000, us % 1000)
}

/// Flows that one line tells of.
const FLOWS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_what_was_told_up_to_then() {
        let event = |ms: u64, what| EventRecord {
            side: Side::Left,
            at: Instant::from_nanos(ms * 1_000_000),
            flow: Some(0),
            what,
        };
        let events = [
            event(1, Happening::State { from: "CLOSED".into(), to: "SYN-SENT".into() }),
            event(2, Happening::Congestion { cwnd: 14_600, ssthresh: u64::MAX, in_flight: 0 }),
            event(2, Happening::Rtt { rtt_us: 10_000, srtt_us: 10_050, rto_us: 210_000 }),
            event(3, Happening::Closed { reason: "reset".into() }),
        ];
        let mut states = States::new(&events);
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        assert_eq!(states.describe(Side::Left, None), "");
        states.advance(at(1), false);
        assert_eq!(states.describe(Side::Left, None), "");
        states.advance(at(1), true);
        assert_eq!(states.describe(Side::Left, None), "flow 0: SYN-SENT");
        states.advance(at(3), false);
        let told = "flow 0: SYN-SENT, cwnd 14600, in flight 0, srtt 10.050 ms, rto 210.000 ms";
        assert_eq!(states.describe(Side::Left, None), told);
        states.advance(at(9), false);
        assert_eq!(states.describe(Side::Left, Some(0)), states.describe(Side::Left, None));
        assert_eq!(states.describe(Side::Left, None), format!("{told}, over (reset)"));
        assert_eq!(states.describe(Side::Right, Some(0)), "");
    }
}
