//! What the application sees of a flow, whatever the transport: a stream of bytes, or a queue of messages.

use std::ops::{BitAnd, BitOr};

use crate::toolkit::{Mem, MessageLimits, MessageQueue, RecvBuffer, SendBuffer};
use crate::transport::FlowError;

/// The application's view of a flow. It outlives the protocol's state: what was received can still be read.
pub trait FlowIo: 'static {
    /// Gives all memory back.
    fn release(&mut self, mem: &mut Mem);
}

impl FlowIo for () {
    fn release(&mut self, _mem: &mut Mem) {}
}

/// What the application did to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppOp<X> {
    /// It added bytes or messages to send.
    Written,
    /// It took so many received bytes (or messages) away.
    Consumed(usize),
    /// It will send no more.
    Shutdown,
    /// It let go of the flow: finish in good order, nobody looks any more.
    Close,
    /// End it now.
    Abort,
    /// The transport's own operation.
    Own(X),
}

impl<X> AppOp<X> {
    /// Whether the application sends no more from now on.
    #[must_use]
    pub const fn ends_sending(&self) -> bool {
        matches!(self, Self::Shutdown | Self::Close)
    }
}

/// What may be possible on a flow: a small set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready(u8);

impl Ready {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Data, or the end of data, or an error can be read.
    pub const READABLE: Self = Self(1);
    /// There is room to write, or an error to be met.
    pub const WRITABLE: Self = Self(2);
    /// The flow is open now.
    pub const OPEN: Self = Self(4);
    /// The peer sends no more.
    pub const PEER_FINISHED: Self = Self(8);
    /// The protocol is over, in good order or not.
    pub const CLOSED: Self = Self(16);
    /// The peer marked data as urgent, or moved the mark: read up to it.
    pub const URGENT: Self = Self(32);
    /// The flow does not get through as it should, and goes on trying; the transport says why.
    pub const TROUBLE: Self = Self(64);

    /// With all of `other` added: `|` for constants.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether some of `other` is in it.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Ready {
    type Output = Self;

    fn bitor(self, rhs: Self) -> Self {
        Self(self.0 | rhs.0)
    }
}

impl BitAnd for Ready {
    type Output = Self;

    fn bitand(self, rhs: Self) -> Self {
        Self(self.0 & rhs.0)
    }
}

/// A stream of bytes both ways.
#[derive(Default)]
pub struct StreamIo {
    /// Accepted from the application, not yet acknowledged by the peer.
    pub tx: SendBuffer,
    /// Received in order, not yet taken by the application.
    pub rx: RecvBuffer,
    /// Most bytes that `tx` takes.
    pub tx_max: u32,
    /// The application sends no more.
    pub tx_finished: bool,
    /// The peer sends no more, and all of it is in `rx`.
    pub rx_finished: bool,
    /// The flow can carry data.
    pub open: bool,
}

impl StreamIo {
    /// An empty stream that takes up to `tx_max` unacknowledged bytes.
    #[must_use]
    pub fn new(tx_max: u32) -> Self {
        Self { tx_max, ..Self::default() }
    }

    /// Bytes that a write would take now, memory permitting.
    #[must_use]
    pub fn tx_room(&self) -> usize {
        if self.tx_finished { 0 } else { (self.tx_max as usize).saturating_sub(self.tx.len()) }
    }
}

impl FlowIo for StreamIo {
    fn release(&mut self, mem: &mut Mem) {
        self.tx.clear(mem);
        self.rx.clear(mem);
    }
}

/// Whole messages both ways.
#[derive(Default)]
pub struct MessageIo {
    /// Accepted from the application, not yet given up by the transport.
    pub tx: MessageQueue,
    /// Complete messages received, not yet taken.
    pub rx: MessageQueue,
    /// The application sends no more.
    pub tx_finished: bool,
    /// The peer sends no more, and all of it is in `rx`.
    pub rx_finished: bool,
    /// The flow can carry messages.
    pub open: bool,
    /// Largest message, bytes.
    pub message_bytes_max: u32,
    /// What `tx` holds at most.
    pub tx_limits: MessageLimits,
    /// An error that does not end the flow (a datagram was refused): the next call of the application takes it.
    pub error: Option<FlowError>,
}

impl MessageIo {
    /// Whether a message would be taken now, memory permitting.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.tx_finished && self.tx.len() < self.tx_limits.messages_max && self.tx.bytes() < self.tx_limits.bytes_max
    }
}

impl FlowIo for MessageIo {
    fn release(&mut self, mem: &mut Mem) {
        self.tx.clear(mem);
        self.rx.clear(mem);
    }
}
