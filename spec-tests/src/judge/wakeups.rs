//! Wake-ups: half of the ends look at their flow all the time. The others do as programs do that have more than one: they
//! act at first, when their own time comes, and when an event tells them to. What a transport forgets to tell, they miss.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use burstlane::engine::{EngineEvent, FlowId, PortId};
use burstlane::lane::EngineId;
use burstlane::socket::Ready;
use burstlane::time::Instant;
use burstlane::transport::Transport;

use crate::face::Channel;
use crate::hosts::Hosts;
use crate::pattern::mix;
use crate::scenario::Side;

/// What the events of one host named, and nobody has acted on since.
#[derive(Clone, Default)]
pub(super) struct Told(Rc<RefCell<Named>>);

#[derive(Default)]
struct Named {
    flows: HashSet<FlowId>,
    ports: HashSet<PortId>,
}

impl Told {
    /// Of each host: in every turn the events are taken before the applications act that are added after this.
    pub(super) fn on<T: Transport>(hosts: &Hosts, engines: [EngineId<T>; 2]) -> [Self; 2] {
        Side::BOTH.map(|side| {
            let told = Self::default();
            let (named, engine, mut events) = (Rc::clone(&told.0), engines[side.index()], Vec::new());
            hosts.add_app(side.index(), move |host| {
                host.take_events(engine, &mut events);
                events.drain(..).for_each(|event| named.borrow_mut().add(&event));
                false
            });
            told
        })
    }

    fn take_flow(&self, flow: FlowId) -> bool {
        self.0.borrow_mut().flows.remove(&flow)
    }

    fn take_port(&self, port: PortId) -> bool {
        self.0.borrow_mut().ports.remove(&port)
    }
}

impl Named {
    fn add<N>(&mut self, event: &EngineEvent<N>) {
        match *event {
            EngineEvent::Acceptable(port) => drop(self.ports.insert(port)),
            EngineEvent::Ready(flow, _) | EngineEvent::Notice(Some(flow), _) => drop(self.flows.insert(flow)),
            EngineEvent::Notice(None, _) => {}
        }
    }
}

/// How an end knows that there is something to do.
pub(super) struct Wait {
    /// It waits for events; without, it looks in every turn.
    told: Option<Told>,
    looked_at: Option<Instant>,
    /// When it last read there was nothing, and nobody has told it of anything since.
    awaits_data: bool,
}

impl Wait {
    /// Of one end of a flow: the scenario's seed decides.
    pub(super) fn new(told: &Told, seed: u64, flow: usize, side: Side) -> Self {
        let told = waits(seed, flow, side).then(|| told.clone());
        Self { told, ..Self::for_nothing() }
    }

    /// Of an end that looks in every turn.
    pub(super) const fn for_nothing() -> Self {
        Self { told: None, looked_at: None, awaits_data: false }
    }

    /// Whether it waits to be told.
    pub(super) fn is_for_events(&self) -> bool {
        self.told.is_some()
    }

    /// Whether to look at the listener now.
    pub(super) fn may_accept(&self, port: PortId) -> bool {
        self.told.as_ref().is_none_or(|told| told.take_port(port))
    }

    /// Whether to act now: it resumes by itself, and it reads by itself, at the times given; but not where it found nothing.
    pub(super) fn is_due(&mut self, flow: FlowId, now: Instant, resumes_at: Instant, reads_at: Instant) -> bool {
        let Some(told) = &self.told else { return true };
        let looked_at = self.looked_at.replace(now);
        if told.take_flow(flow) {
            self.awaits_data = false;
            return true;
        }
        let has_come = |at: Instant| looked_at < Some(at) && at <= now;
        looked_at.is_none() || has_come(resumes_at) || has_come(reads_at) && !self.awaits_data
    }

    /// It found nothing to read.
    pub(super) fn for_data(&mut self) {
        self.awaits_data = true;
    }

    /// Whether there is what it waits for, although it was not told. Room to write is not asked for: a transport may tell of
    /// it when there is more of it.
    pub(super) fn is_forgotten(&self, channel: &impl Channel) -> bool {
        self.awaits_data && channel.readiness().contains(Ready::READABLE)
    }
}

/// Half of the ends, whatever seeds and flows are like.
fn waits(seed: u64, flow: usize, side: Side) -> bool {
    mix(seed.wrapping_add(2 * flow as u64 + side.index() as u64)) & 1 == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn about_half_of_the_ends_wait(seed: u64) {
            let ends = (0..32).flat_map(|flow| Side::BOTH.map(|side| waits(seed, flow, side)));
            prop_assert!((12..=52).contains(&ends.filter(|waits| *waits).count()));
        }
    }
}
