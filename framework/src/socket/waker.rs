//! Wakers of asynchronous tasks that wait on flows. They are collected while the lane is borrowed and woken after.

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
}

#[derive(Default)]
struct Waiting {
    read: Option<Waker>,
    write: Option<Waker>,
}

impl Wakers {
    /// Wakes `waker` when the flow becomes readable; it replaces the one registered before.
    pub fn wait_read(&mut self, flow: FlowId, waker: &Waker) {
        self.flows.entry(flow).or_default().read = Some(waker.clone());
    }

    /// Wakes `waker` when the flow becomes writable or opens.
    pub fn wait_write(&mut self, flow: FlowId, waker: &Waker) {
        self.flows.entry(flow).or_default().write = Some(waker.clone());
    }

    /// Wakes `waker` when a flow waits at the listener.
    pub fn wait_accept(&mut self, port: PortId, waker: &Waker) {
        self.ports.insert(port, waker.clone());
    }

    #[inline]
    pub(crate) fn wake(&mut self, flow: FlowId, ready: Ready) {
        if self.flows.is_empty() {
            return;
        }
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
        self.woken.extend(self.ports.remove(&port));
    }

    pub(crate) fn forget(&mut self, flow: FlowId) {
        if !self.flows.is_empty() {
            self.flows.remove(&flow);
        }
    }

    /// Those to be woken, once no lane is borrowed.
    pub fn take_woken(&mut self, into: &mut Vec<Waker>) {
        into.append(&mut self.woken);
    }
}
