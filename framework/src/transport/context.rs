//! What a transport is given with every call: the lane's time, memory and randomness, and the flow's requests.

use std::ops::{Deref, DerefMut};

use rand_chacha::ChaCha8Rng;
use rand_core::RngCore;
use thiserror::Error;

use super::{Class, FlowId, PortId, Transport};
use crate::engine::{Head, Local};
use crate::net::{Counters, DropReason, PathId};
use crate::observe::{Event, FlowRef, Observers};
use crate::socket::Ready;
use crate::time::Instant;
use crate::toolkit::Mem;

/// Which lane a transport runs on.
#[derive(Clone, Copy, Debug)]
pub struct LaneInfo {
    /// Its number, below `lanes`.
    pub lane: u16,
    /// Lanes of the host.
    pub lanes: u16,
    /// Seed for what is random but need not be secret.
    pub seed: u64,
}

/// What every engine of a lane uses, and no flow owns.
pub struct LaneParts {
    /// The last reading of the clock, by whoever drives the lane.
    pub now: Instant,
    /// Chunks of buffers, accounted.
    pub mem: Mem,
    /// Seeded randomness.
    pub rng: ChaCha8Rng,
    /// Who watches.
    pub observers: Observers,
    /// Packets dropped by transports, by reason.
    pub drops: Counters,
}

impl LaneParts {
    /// The lane, as one engine's transport is given it.
    #[inline(always)]
    pub(crate) fn cx<'a, T: Transport>(&'a mut self, local: &'a mut Local<T>) -> LaneCx<'a, T> {
        let Self { now, mem, rng, observers, drops } = self;
        LaneCx { now: *now, mem, rng, observers, drops, local }
    }
}

/// The lane, for calls that concern no single flow.
pub struct LaneCx<'a, T: Transport> {
    /// Now.
    pub now: Instant,
    /// The lane's buffer memory.
    pub mem: &'a mut crate::toolkit::Mem,
    /// Seeded randomness.
    pub rng: &'a mut ChaCha8Rng,
    pub(crate) observers: &'a mut Observers,
    pub(crate) drops: &'a mut Counters,
    pub(crate) local: &'a mut Local<T>,
}

impl<T: Transport> LaneCx<'_, T> {
    /// Puts another flow of this lane on a ready list. Rank 0 is round robin; flows with higher ranks are served in the
    /// order of their ranks, the lowest first, before those with none (shortest remaining processing time, and friends).
    pub fn wake(&mut self, flow: FlowId, class: Class, rank: u64) {
        self.local.wake.push((flow, class, rank));
    }

    /// Asks for `poll_lane_tx`.
    pub fn want_lane_tx(&mut self) {
        self.local.lane_tx = true;
    }

    /// Sets, moves or (with `Instant::NEVER`) clears the lane's deadline.
    pub fn set_lane_deadline(&mut self, at: Instant) {
        self.local.lane_due = at;
    }

    /// Tells the application something of the protocol's own.
    pub fn notify(&mut self, flow: Option<FlowId>, notice: T::Notice) {
        self.local.notices.push_back((flow, notice));
    }

    /// Counts a packet that goes no further.
    pub fn count(&mut self, reason: DropReason) {
        self.drops.add(reason);
        self.observers.emit(self.now, || Event::Dropped { reason: reason.0 });
    }

    /// Whether a key is taken.
    pub fn has_key(&self, key: &T::Key) -> bool {
        self.local.demux.get(key).is_some()
    }

    /// In `on_unmatched`: whether the lane has room for one more remnant.
    #[must_use]
    pub fn has_remnant_room(&self) -> bool {
        self.local.remnant_room
    }

    /// A random number, from the lane's seed.
    pub fn random_u64(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Whether there are observers: for callers that must gather what an event says.
    #[inline]
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.observers.is_some()
    }

    /// Tells observers; the closure runs only if there is one.
    #[inline]
    pub fn observe<'e>(&mut self, event: impl FnOnce() -> Event<'e>) {
        self.observers.emit(self.now, event);
    }
}

/// How a flow ends.
pub enum End<T: Transport> {
    /// Over. The error, if any, is what the application reads.
    Closed(Option<FlowError>),
    /// Over for the application, with an error or in good order; what is left stays under the flow's first key until then.
    Retired(T::Remnant, Instant, Option<FlowError>),
}

/// One flow and its lane. Derefs to [`LaneCx`].
pub struct Context<'a, T: Transport> {
    pub(crate) lane: LaneCx<'a, T>,
    pub(crate) id: FlowId,
    pub(crate) head: &'a mut Head<T::Key>,
    pub(crate) want: u8,
    pub(crate) settle: bool,
    pub(crate) emit: Ready,
}

impl<'a, T: Transport> Deref for Context<'a, T> {
    type Target = LaneCx<'a, T>;

    #[inline]
    fn deref(&self) -> &LaneCx<'a, T> {
        &self.lane
    }
}

impl<'a, T: Transport> DerefMut for Context<'a, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut LaneCx<'a, T> {
        &mut self.lane
    }
}

impl<T: Transport> Context<'_, T> {
    /// This flow.
    #[must_use]
    pub fn id(&self) -> FlowId {
        self.id
    }

    /// This flow, as observers know it.
    #[must_use]
    pub fn flow_ref(&self) -> FlowRef {
        FlowRef { engine: self.lane.local.index.0, index: self.id.index, generation: self.id.generation }
    }

    /// Tells observers of this flow; the closure runs only if there is one.
    #[inline]
    pub fn observe_flow<'e>(&mut self, event: impl FnOnce(FlowRef) -> Event<'e>) {
        if self.lane.observers.is_some() {
            let flow = self.flow_ref();
            self.lane.observe(|| event(flow));
        }
    }

    /// The flow's first key.
    #[must_use]
    pub fn key(&self) -> T::Key {
        self.head.key
    }

    /// The listener that it came through.
    #[must_use]
    pub fn port(&self) -> Option<PortId> {
        self.head.port
    }

    /// The path that it was opened on, or was given since.
    #[inline]
    #[must_use]
    pub fn path(&self) -> Option<PathId> {
        self.head.path
    }

    /// Moves the flow to another path, which the lane then keeps for it.
    pub fn set_path(&mut self, path: PathId) {
        if self.head.path != Some(path) {
            self.lane.local.path_moves.push((self.head.path, path));
            self.head.path = Some(path);
            // It waited for the old path's neighbour.
            self.want |= std::mem::take(&mut self.head.parked);
        }
    }

    /// Puts the flow on the ready list of `class`, once.
    #[inline]
    pub fn want_tx(&mut self, class: Class) {
        self.want |= class.bit();
    }

    /// Asks for `settle` after the application ran, unless the flow is on a ready list by then.
    #[inline]
    pub fn request_settle(&mut self) {
        self.settle = true;
    }

    /// Sets, moves or (with `Instant::NEVER`) clears the flow's one deadline. Moving it later costs nothing.
    #[inline]
    pub fn set_deadline(&mut self, at: Instant) {
        self.head.due = at;
    }

    /// The deadline that is set, or `Instant::NEVER`.
    #[inline]
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.head.due
    }

    /// Tells the application that something may be possible now. It is told once per turn, whatever is added.
    ///
    /// Who waits for events, or as a task, looks at nothing before it is told. So a transport owes, in the call in which it
    /// happens:
    ///
    /// - [`READABLE`](Ready::READABLE): bytes or a message came into `rx`, `rx_finished` was set (with
    ///   [`PEER_FINISHED`](Ready::PEER_FINISHED)), or the `error` of messages was.
    /// - [`WRITABLE`](Ready::WRITABLE): `tx` has room again, or the `error` of messages was set. Room may be told of when there
    ///   is more of it; at the latest when `tx` is empty.
    /// - [`OPEN`](Ready::OPEN): `open` was set.
    ///
    /// The engine says by itself that a flow is over, what came before it was accepted, and that the lane has memory again. To
    /// tell too often costs a look, to tell too little is an application that hangs.
    #[inline]
    pub fn emit(&mut self, ready: Ready) {
        self.emit = self.emit | ready;
    }

    /// Gives the flow one more key. `false` if another flow or remnant has it.
    #[must_use]
    pub fn add_key(&mut self, key: T::Key) -> bool {
        self.lane.local.add_alias(self.id, key)
    }

    /// Takes a key away again; the first one stays.
    pub fn remove_key(&mut self, key: &T::Key) {
        if *key != self.head.key {
            self.lane.local.remove_alias(self.id, key);
        }
    }

    /// The flow is over. Nothing is called for it any more; what it received can still be read.
    pub fn close(&mut self, error: Option<FlowError>) {
        self.lane.local.end = Some(End::Closed(error));
    }

    /// The flow is over in good order, and leaves a remnant under its first key.
    pub fn retire(&mut self, remnant: T::Remnant, until: Instant) {
        self.lane.local.end = Some(End::Retired(remnant, until, None));
    }

    /// The flow is over by an error, which the application reads, and leaves a remnant as [`retire`](Self::retire) does: one
    /// that tells the peer, or keeps a late duplicate from opening the flow once more.
    pub fn retire_failed(&mut self, remnant: T::Remnant, until: Instant, error: FlowError) {
        self.lane.local.end = Some(End::Retired(remnant, until, Some(error)));
    }

    /// Whether `close` or `retire` was called.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.lane.local.end.is_some()
    }
}

impl FlowError {
    /// Its name in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::TimedOut => "timed out",
            Self::Unreachable => "unreachable",
            Self::Aborted => "aborted",
            Self::Protocol => "protocol error",
            Self::Unsupported => "unsupported",
            Self::NoPort => "no port",
            Self::InUse => "in use",
            Self::NoMemory => "no memory",
            Self::TooLarge => "too large",
            Self::Shutdown => "shut down",
            Self::Closed => "closed",
        }
    }
}

/// Why a flow could not be opened, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlowError {
    /// Nobody listens there.
    #[error("connection refused by the peer")]
    Refused,
    /// The peer ended it at once; data may be lost.
    #[error("connection reset by the peer")]
    Reset,
    /// The peer did not answer in time.
    #[error("the peer does not answer")]
    TimedOut,
    /// No route, no neighbour, or the network said so.
    #[error("the peer cannot be reached")]
    Unreachable,
    /// Ended by this side.
    #[error("aborted on this side")]
    Aborted,
    /// The peer broke the protocol.
    #[error("the peer broke the protocol")]
    Protocol,
    /// This transport has no such operation.
    #[error("this transport does not do that")]
    Unsupported,
    /// All ephemeral ports to that peer are in use.
    #[error("no free port towards that peer")]
    NoPort,
    /// The address or port is taken.
    #[error("the address is in use")]
    InUse,
    /// The lane's limit of flows or memory is reached.
    #[error("the lane's limit is reached")]
    NoMemory,
    /// The message is larger than the transport carries.
    #[error("the message is too large")]
    TooLarge,
    /// This side has finished sending.
    #[error("sending was shut down")]
    Shutdown,
    /// The flow is over.
    #[error("the flow is closed")]
    Closed,
}
