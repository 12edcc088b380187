//! The narrow waist: what a transport protocol implements ([`Transport`]), and what it is given to do so.
//!
//! A transport is a pure state machine. Time, randomness and memory come with a context; packets leave only through the
//! [`TxBatch`] of the two `poll_*` calls; everything else records what is owed and returns. The same calls with the same
//! seed give the same packets, always.
//!
//! An ordinary protocol names five types and writes eight methods; [`no_extras!`](crate::no_extras) fills in the types it
//! does not need, and the other methods have defaults. The calls come in this order:
//!
//! ```text
//!  packet ─► parse ─► key known? ──yes──────────────────────────► on_run (all packets of ONE flow in ONE burst)
//!                        │ no
//!                        ├─ a remnant's key ─► on_remnant ─► Keep │ Gone │ Reopen │ Promote ─► on_run
//!                        └─ nobody's ────────► on_unmatched ─► Drop │ Owed │ Remnant │ Accept ─► on_run
//!  time    ─► on_deadline, on_lane_deadline          app ─► connect, bind, on_app          ICMP ─► on_trouble
//!  after the app ran: settle (flows on no ready list) ─► poll_lane_tx ─► poll_tx by class: Control, Ack, Data
//! ```
//! Each of these calls tells the application what it has made possible: [`Context::emit`] says what is owed, and when.

mod context;
pub(crate) mod run;
mod verdict;

pub use context::{Context, End, FlowError, LaneCx, LaneInfo, LaneParts};
pub use run::{Run, Segment};
pub use verdict::{Listener, Open, Opened, Parsed, RemnantInput, TroubleAnswer, TxStatus, Unmatched, Verdict};

use std::hash::Hash;
use std::sync::Arc;

use crate::addr::Endpoint;
pub use crate::engine::{FlowId, PortId};
use crate::net::{Claim, DropReason, Packet, Quote, Trouble, TxBatch};
use crate::socket::{AppOp, FlowIo};
use crate::toolkit::Mem;

/// One transport protocol on one lane.
pub trait Transport: Sized + 'static {
    /// What the application chooses. Cloned for every lane.
    type Config: Clone + Send + 'static;
    /// What all lanes of a host share: secrets, tokens, host-wide budgets.
    type Shared: Send + Sync + 'static;
    /// What names a flow in a packet: a 4-tuple, a connection id.
    type Key: Copy + Eq + Hash + 'static;
    /// What `parse` read of the header. Nothing behind `parse` sees raw header bytes.
    type Meta: Copy + 'static;
    /// A flow's state. Keep it small: it is touched by every run. What only loss, opening and closing need belongs into
    /// a slab in `self`, by an index here (a reference would be loaded early, and miss the cache each time).
    type Conn: 'static;
    /// What the application sees of a flow: [`StreamIo`](crate::socket::StreamIo),
    /// [`MessageIo`](crate::socket::MessageIo) or a type of the protocol's own.
    type Io: FlowIo;
    /// What is left of a flow that is not open yet or not open any more: half-open, TIME-WAIT. Small, by the thousand.
    type Remnant: 'static;
    /// Application operations beyond [`AppOp`]'s.
    type Op: 'static;
    /// Notices to the application beyond readiness: streams, calls.
    type Notice: 'static;

    /// The protocol's name in events, counters and errors.
    const NAME: &'static str;

    /// What of the traffic is this protocol's.
    fn claim(config: &Self::Config) -> Claim {
        let _ = config;
        Claim::Udp
    }

    /// Makes what all lanes share, once per host, from 32 secret random bytes.
    fn shared(config: &Self::Config, secret: &[u8; 32]) -> Self::Shared;

    /// The protocol on one lane.
    fn new(config: Self::Config, shared: Arc<Self::Shared>, lane: LaneInfo) -> Self;

    /// Reads and validates the header, which `packet.frame` begins with.
    ///
    /// # Errors
    /// The reason to drop and count the packet.
    fn parse(&self, packet: &Packet) -> Result<Parsed<Self::Key, Self::Meta>, DropReason>;

    /// Keys to try in order when nobody has `key`: less specific ones (a bound, unconnected socket).
    fn fallback_keys(&self, key: &Self::Key) -> [Option<Self::Key>; 2] {
        let _ = key;
        [None, None]
    }

    /// The key of *our* flow whose packet came back inside an ICMP error. Eight bytes of it are certain.
    fn parse_quoted(&self, quote: &Quote) -> Option<Self::Key> {
        let _ = quote;
        None
    }

    /// The key that a flow between these endpoints would have, for protocols keyed by ports: the engine asks before it
    /// gives out an ephemeral port.
    fn tuple_key(&self, open: &Open) -> Option<Self::Key> {
        let _ = open;
        None
    }

    /// Opens a flow. The first packet leaves in `poll_tx`; the engine has put the flow on the Control list.
    ///
    /// # Errors
    /// [`FlowError::Unsupported`] by default.
    fn connect(&mut self, cx: &mut LaneCx<'_, Self>, open: &Open) -> Result<Opened<Self>, FlowError> {
        let _ = (cx, open);
        Err(FlowError::Unsupported)
    }

    /// Makes a flow without a peer: a bound datagram socket. `open.remote` is unspecified.
    ///
    /// # Errors
    /// [`FlowError::Unsupported`] by default.
    fn bind(&mut self, cx: &mut LaneCx<'_, Self>, open: &Open) -> Result<Opened<Self>, FlowError> {
        let _ = (cx, open);
        Err(FlowError::Unsupported)
    }

    /// A packet whose key nobody has. `listener` is the one its destination names, if any.
    fn on_unmatched(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        meta: &Self::Meta,
        packet: &Packet,
        listener: Option<&Listener>,
    ) -> Unmatched<Self>;

    /// A packet or a deadline for a remnant.
    fn on_remnant(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        remnant: &mut Self::Remnant,
        input: RemnantInput<'_, Self>,
        listener: Option<&Listener>,
    ) -> Verdict<Self> {
        let _ = (cx, remnant, input, listener);
        Verdict::Gone
    }

    /// All packets of one flow in one burst, in the order of arrival. What is not taken from the run is dropped; what is
    /// left when the flow ends is judged anew, as if it had come a moment later.
    fn on_run(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Self::Conn,
        io: &mut Self::Io,
        run: &mut Run<'_, Self::Meta>,
    );

    /// The flow's deadline has come; it is unset.
    fn on_deadline(&mut self, cx: &mut Context<'_, Self>, conn: &mut Self::Conn, io: &mut Self::Io) {
        let _ = (cx, conn, io);
    }

    /// The application did something.
    fn on_app(&mut self, cx: &mut Context<'_, Self>, conn: &mut Self::Conn, io: &mut Self::Io, op: AppOp<Self::Op>) {
        let _ = (conn, io, op);
        cx.want_tx(Class::Data);
    }

    /// An ICMP error about a packet of this flow, or trouble with its path.
    fn on_trouble(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Self::Conn,
        io: &mut Self::Io,
        quote: Option<&Quote>,
        trouble: &Trouble,
    ) -> TroubleAnswer {
        let _ = (cx, conn, io, quote, trouble);
        TroubleAnswer::Ignore
    }

    /// Called after the application ran, for flows that asked ([`Context::request_settle`]) and stand on no ready list:
    /// the place to decide on a delayed acknowledgement, which an answer would have carried.
    fn settle(&mut self, cx: &mut Context<'_, Self>, conn: &mut Self::Conn, io: &mut Self::Io) {
        let _ = (cx, conn, io);
    }

    /// Builds what the flow owes in this class, as far as `out` takes it.
    fn poll_tx(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Self::Conn,
        io: &mut Self::Io,
        class: Class,
        out: &mut TxBatch<'_>,
    ) -> TxStatus;

    /// The deadline set by [`LaneCx::set_lane_deadline`] has come.
    fn on_lane_deadline(&mut self, cx: &mut LaneCx<'_, Self>) {
        let _ = cx;
    }

    /// Builds packets that belong to no flow: answers to strangers, for half-open remnants. Called after
    /// [`LaneCx::want_lane_tx`].
    fn poll_lane_tx(&mut self, cx: &mut LaneCx<'_, Self>, out: &mut TxBatch<'_>) -> TxStatus {
        let _ = (cx, out);
        TxStatus::Idle
    }

    /// The two ends of a flow, ours first, for applications and observers. All zero where there is none.
    fn endpoints(&self, key: &Self::Key, conn: &Self::Conn) -> (Endpoint, Endpoint) {
        let _ = (key, conn);
        (Endpoint::default(), Endpoint::default())
    }

    /// The flow is over, whatever the reason: give back what `conn` holds elsewhere (its cold state, buffer memory).
    fn release(&mut self, mem: &mut Mem, conn: &mut Self::Conn) {
        let _ = (mem, conn);
    }
}

/// The three transmit lists of a lane, served in this order: control, acknowledgements, data. The first two are
/// bounded per turn, so that none starves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Opening, closing, resetting, probing.
    Control = 0,
    /// Acknowledgements without data.
    Ack = 1,
    /// The rest.
    Data = 2,
}

impl Class {
    /// In the order of service.
    pub const ALL: [Self; 3] = [Self::Control, Self::Ack, Self::Data];

    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Inside an `impl Transport`: names the types that an ordinary protocol does not need, and makes its empty shared state.
#[macro_export]
macro_rules! no_extras {
    () => {
        type Shared = ();
        type Remnant = ::std::convert::Infallible;
        type Op = ::std::convert::Infallible;
        type Notice = ::std::convert::Infallible;

        fn shared(_config: &Self::Config, _secret: &[u8; 32]) {}
    };
}
