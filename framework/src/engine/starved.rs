//! [`Starved`]: flows whose application was refused for want of memory, until there is some. Their own buffers may be empty,
//! and then no acknowledgement ever tells them of room.

use hashbrown::HashMap;

use super::FlowId;
use super::core::Core;
use crate::socket::Ready;
use crate::transport::{LaneParts, Transport};

/// What each of them asked for, bytes. At most all flows, and nearly always none.
#[derive(Default)]
pub(super) struct Starved(HashMap<FlowId, usize, foldhash::fast::FixedState>);

impl Starved {
    #[inline]
    pub(super) fn forget(&mut self, flow: FlowId) {
        if !self.0.is_empty() {
            self.0.remove(&flow);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl<T: Transport> Core<T> {
    /// The application of `flow` is told when the lane has `bytes` of buffer memory again.
    #[cold]
    pub(crate) fn starve(&mut self, flow: FlowId, bytes: usize) {
        self.starved.0.insert(flow, bytes);
    }

    /// Tells those for whom there is memory now. All of them try, and whoever comes too late waits again.
    pub(super) fn tell_starved(&mut self, lane: &LaneParts) {
        if self.starved.0.is_empty() {
            return;
        }
        let available_bytes = lane.mem.available_bytes();
        let fed: Vec<FlowId> =
            self.starved.0.extract_if(|_, bytes| *bytes <= available_bytes).map(|(id, _)| id).collect();
        for flow in fed {
            self.emit(flow.index, Ready::WRITABLE);
        }
    }
}
