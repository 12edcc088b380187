//! Wakers of asynchronous tasks that wait on flows. They are collected while the lane is borrowed, and woken or dropped
//! after: the last waker of a task may drop the task, and with it whatever the application put there.

use std::task::Waker;

use hashbrown::HashMap;

use super::Ready;
use crate::engine::{FlowId, PortId};

/// One engine's waiting tasks.
#[derive(Default)]
pub struct Wakers {
    flows: HashMap<FlowId, Waiting, foldhash::fast::FixedState>,
    ports: HashMap<PortId, Waker, foldhash::fast::FixedState>,
    woken: Vec<Waker>,
    dropped: Vec<Waker>,
}

#[derive(Default)]
struct Waiting {
    read: Option<Waker>,
    write: Option<Waker>,
}

impl Wakers {
    /// Wakes `waker` when the flow becomes readable; it replaces the one registered before.
    pub fn wait_read(&mut self, flow: FlowId, waker: &Waker) {
        let place = &mut self.flows.entry(flow).or_default().read;
        replace(place, waker, &mut self.dropped);
    }

    /// Wakes `waker` when the flow becomes writable or opens.
    pub fn wait_write(&mut self, flow: FlowId, waker: &Waker) {
        let place = &mut self.flows.entry(flow).or_default().write;
        replace(place, waker, &mut self.dropped);
    }

    /// Wakes `waker` when a flow waits at the listener.
    pub fn wait_accept(&mut self, port: PortId, waker: &Waker) {
        self.dropped.extend(self.ports.insert(port, waker.clone()));
    }

    #[inline(always)]
    pub(crate) fn wake(&mut self, flow: FlowId, ready: Ready) {
        if !self.flows.is_empty() {
            self.wake_waiting(flow, ready);
        }
    }

    #[inline(never)]
    fn wake_waiting(&mut self, flow: FlowId, ready: Ready) {
        let Some(waiting) = self.flows.get_mut(&flow) else { return };
        let over = ready.intersects(Ready::CLOSED);
        if over || ready.intersects(Ready::READABLE | Ready::PEER_FINISHED) {
            self.woken.extend(waiting.read.take());
        }
        if over || ready.intersects(Ready::WRITABLE | Ready::OPEN) {
            self.woken.extend(waiting.write.take());
        }
        if waiting.read.is_none() && waiting.write.is_none() {
            self.flows.remove(&flow);
        }
    }

    pub(crate) fn wake_port(&mut self, port: PortId) {
        if !self.ports.is_empty() {
            self.woken.extend(self.ports.remove(&port));
        }
    }

    pub(crate) fn forget(&mut self, flow: FlowId) {
        if !self.flows.is_empty() {
            let waiting = self.flows.remove(&flow).unwrap_or_default();
            self.dropped.extend(waiting.read.into_iter().chain(waiting.write));
        }
    }

    pub(crate) fn forget_port(&mut self, port: PortId) {
        self.dropped.extend(self.ports.remove(&port));
    }

    /// Moves out those to be woken, and those to be dropped, once no lane is borrowed.
    pub fn take_woken(&mut self, woken: &mut Vec<Waker>, dropped: &mut Vec<Waker>) {
        woken.append(&mut self.woken);
        dropped.append(&mut self.dropped);
    }
}

fn replace(place: &mut Option<Waker>, waker: &Waker, dropped: &mut Vec<Waker>) {
    if !place.as_ref().is_some_and(|old| old.will_wake(waker)) {
        dropped.extend(place.replace(waker.clone()));
    }
}
