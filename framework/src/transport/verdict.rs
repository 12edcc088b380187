//! What a transport answers, and the small values it is asked with.

use super::{FlowError, FlowId, Transport};
use crate::addr::Endpoint;
use crate::net::{DropReason, Packet, PathInfo, Trouble, TxStop};
use crate::time::Instant;

/// What `parse` read.
#[derive(Clone, Copy, Debug)]
pub struct Parsed<K, M> {
    /// Names the flow.
    pub key: K,
    /// The header, read.
    pub meta: M,
    /// The local port by which a listener is looked up if nobody has the key.
    pub port: u16,
    /// Bytes of header in front of the payload: they are trimmed from the frame before `on_run`.
    pub header_bytes: u16,
}

impl<K, M> Parsed<K, M> {
    /// For a protocol whose packets go to ports: that of `packet`'s destination is the listener's. `header_bytes` is what
    /// was read of it, at most all.
    #[inline]
    pub fn new(key: K, meta: M, packet: &Packet, header_bytes: usize) -> Self {
        Self { key, meta, port: packet.dst.port, header_bytes: header_bytes as u16 }
    }
}

/// The endpoints of a flow to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// Ours, complete.
    pub local: Endpoint,
    /// The peer's; unspecified for `bind`.
    pub remote: Endpoint,
    /// The path to it; `None` for `bind`.
    pub path: Option<PathInfo>,
}

/// A new flow.
pub struct Opened<T: Transport> {
    /// Its first key.
    pub key: T::Key,
    /// Its state.
    pub conn: T::Conn,
    /// What the application will see of it.
    pub io: T::Io,
}

/// A bound port that takes new flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens; the address may be [`Ip::ANY`](crate::addr::Ip::ANY).
    pub local: Endpoint,
    /// Most flows that may be open and not yet accepted.
    pub backlog: u32,
    /// Remnants that were made for it and are still half-open.
    pub half_open: u32,
    /// Flows that wait to be accepted.
    pub queued: u32,
}

impl Listener {
    /// Whether one more flow can wait for `accept`.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.queued < self.backlog
    }
}

/// What becomes of a packet that nobody knows.
pub enum Unmatched<T: Transport> {
    /// Counted and dropped.
    Drop(DropReason),
    /// Dropped, and the sender is told by an ICMP port-unreachable (inside UDP) or protocol-unreachable error.
    Refuse(DropReason),
    /// The transport noted an answer, to leave in `poll_lane_tx`.
    Owed,
    /// Remembered in little space. It holds no path: its answers look one up.
    Remnant {
        /// Finds it.
        key: T::Key,
        /// What is remembered.
        remnant: T::Remnant,
        /// When `on_remnant` gets a deadline.
        until: Instant,
    },
    /// A new flow. It waits at the listener, if there is one.
    Accept {
        /// The flow.
        flow: Opened<T>,
        /// The packet has been dealt with; otherwise it is the first of the flow's run.
        consumed: bool,
    },
    /// It belongs to this flow after all.
    Deliver(FlowId),
}

/// What happens to a remnant.
pub enum RemnantInput<'a, T: Transport> {
    /// A packet with its key.
    Packet(&'a T::Meta, &'a Packet),
    /// Its time has come; its key.
    Deadline(&'a T::Key),
}

/// What becomes of a remnant.
pub enum Verdict<T: Transport> {
    /// It stays until then.
    Keep {
        /// The next deadline.
        until: Instant,
    },
    /// It is forgotten; the packet was its last.
    Gone,
    /// It steps aside, and the packet is looked at as unmatched (a new flow with the old key). If that makes a remnant with
    /// its key, this takes its place; otherwise it is forgotten.
    Reopen,
    /// It becomes a flow. Answered only to a packet.
    Promote {
        /// The flow's state.
        conn: T::Conn,
        /// What the application will see of it.
        io: T::Io,
        /// The packet has been dealt with; otherwise it is the first of the flow's run.
        consumed: bool,
    },
}

/// What the flow made of an ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleAnswer {
    /// Not believed, or of no consequence.
    Ignore,
    /// Believed: the path carries no larger packets than this many bytes from now on.
    LowerMtu(u32),
}

impl TroubleAnswer {
    /// That a complaint about too large a packet is believed, but not that any path is narrower than RFC 1122 3.3.3's 576
    /// bytes: a forged one must not make us send headers for the most part. Other trouble is of no consequence.
    #[must_use]
    pub fn believe(trouble: &Trouble) -> Self {
        match trouble {
            Trouble::TooBig { mtu } => Self::LowerMtu(MTU_MIN.max(*mtu)),
            _ => Self::Ignore,
        }
    }
}

const MTU_MIN: u32 = 576;

/// What `poll_tx` leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxStatus {
    /// Nothing more is owed in this class, or nothing that an event would not bring back.
    Idle,
    /// There is more: the quantum or the device's room was used up, or the neighbour is being asked for.
    More,
    /// There is more, not before this instant (pacing).
    PacedUntil(Instant),
}

impl From<TxStop> for TxStatus {
    /// What a flow answers that could not send: what an event brings back (the neighbour's answer, a timer on another path)
    /// is waited for, the rest tried again.
    fn from(stop: TxStop) -> Self {
        match stop {
            TxStop::Unresolved | TxStop::TooBig { .. } => Self::Idle,
            TxStop::Full | TxStop::NoMemory | TxStop::NoPath => Self::More,
        }
    }
}

impl From<FlowError> for std::io::Error {
    fn from(error: FlowError) -> Self {
        use std::io::ErrorKind as K;
        let kind = match error {
            FlowError::Refused => K::ConnectionRefused,
            FlowError::Reset => K::ConnectionReset,
            FlowError::TimedOut => K::TimedOut,
            FlowError::Unreachable => K::HostUnreachable,
            FlowError::Aborted => K::ConnectionAborted,
            FlowError::Protocol => K::InvalidData,
            FlowError::Unsupported => K::Unsupported,
            FlowError::NoPort => K::AddrNotAvailable,
            FlowError::InUse => K::AddrInUse,
            FlowError::NoMemory => K::OutOfMemory,
            FlowError::TooLarge => K::InvalidInput,
            FlowError::Shutdown => K::BrokenPipe,
            FlowError::Closed => K::NotConnected,
        };
        Self::new(kind, error)
    }
}
