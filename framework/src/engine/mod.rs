//! [`Core`]: everything between the network layer and one transport, monomorphised for it: flows, remnants, keys, runs,
//! ready lists, timers, listeners, events. [`Engine`] is its object-safe face: a lane makes a handful of virtual calls a
//! *turn*, never one a packet.

mod app;
mod check;
mod core;
mod demux;
mod flow;
mod listen;
mod local;
mod ready;
mod receive;
mod remnant;
mod starved;
mod transmit;

pub use app::{EngineEvent, OpenError};
pub use core::{Core, EngineLimits};
pub use flow::FlowId;
pub(crate) use flow::Head;
pub use listen::PortId;
pub(crate) use local::Local;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::task::Waker;

use crate::net::{Claim, EngineIndex, NeighbourChange, Net, Packet, Quote, Trouble};
use crate::time::Instant;
use crate::transport::{Class, LaneParts};

/// A transport on a lane, whichever it is.
pub trait Engine {
    /// The transport's name.
    fn name(&self) -> &'static str;
    /// What of the traffic is its.
    fn claim(&self) -> Claim;
    /// Its place on the lane, told once.
    fn set_index(&mut self, index: EngineIndex);
    /// One burst of its packets; `batch` is left empty.
    fn receive(&mut self, lane: &mut LaneParts, net: &mut Net, batch: &mut Vec<Option<Packet>>);
    /// An ICMP error about a packet of ours.
    fn trouble(&mut self, lane: &mut LaneParts, net: &mut Net, quote: &Quote, trouble: &Trouble);
    /// A neighbour was found or given up: flows that waited for it go on, or learn of it.
    fn neighbour(&mut self, lane: &mut LaneParts, net: &mut Net, change: &NeighbourChange);
    /// Serves the deadlines that have come.
    fn expire(&mut self, lane: &mut LaneParts, net: &mut Net);
    /// After the application ran, before `transmit`.
    fn settle(&mut self, lane: &mut LaneParts, net: &mut Net);
    /// Serves a ready list once around.
    fn transmit(&mut self, lane: &mut LaneParts, net: &mut Net, class: Class);
    /// The last of a turn: tells those who were refused for want of memory that there is some.
    fn relieve(&mut self, lane: &LaneParts);
    /// When it wants a turn without a packet: at once if something is ready to leave.
    fn next_deadline(&self) -> Option<Instant>;
    /// The application let go of a flow.
    fn detach(&mut self, lane: &mut LaneParts, net: &mut Net, flow: FlowId);
    /// The application let go of a listener.
    fn unlisten(&mut self, lane: &mut LaneParts, net: &mut Net, port: PortId);
    /// Moves out the wakers to be woken, and those to be dropped, once the lane is not borrowed.
    fn take_woken(&mut self, woken: &mut Vec<Waker>, dropped: &mut Vec<Waker>);
    /// Whether there are events that the application had no turn to take, because they came of sending.
    fn has_news(&self) -> bool;
    /// Flows, open or not yet let go by the application.
    fn flows(&self) -> usize;
    /// Remnants.
    fn remnants(&self) -> usize;
    /// Ends every flow, forgets every remnant and every listener, silently, and gives back what they held.
    fn clear(&mut self, lane: &mut LaneParts, net: &mut Net);
    /// The `Core<T>` behind.
    fn as_any(&mut self) -> &mut dyn Any;
}
