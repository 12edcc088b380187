//! The events, as plain data. They name a flow by [`FlowRef`] and reasons by fixed strings, so that building one
//! allocates nothing. Which events occur is up to the transport; the framework itself tells of frames, drops, flows,
//! neighbours.

use std::fmt;
use std::time::Duration;

use crate::addr::{Endpoint, Ip, Mac};

/// A flow as seen from outside its lane. The generation tells apart two flows that used one slot after the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct FlowRef {
    /// Which engine of the lane, in order of registration.
    pub engine: u8,
    /// The flow's slot in that engine.
    pub index: u32,
    /// How often the slot had been used before.
    pub generation: u32,
}

/// `engine:index.generation`, as packet comments and logs print it.
impl fmt::Display for FlowRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.engine, self.index, self.generation)
    }
}

/// Something that happened on a lane. Sizes are bytes; offsets count bytes of the flow's own stream from zero, whatever
/// numbers the transport puts on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A frame came in by an interface, before anything was checked.
    FrameReceived {
        /// The interface's number on the lane.
        netif: u16,
        /// Length of the frame, Ethernet header included.
        bytes: usize,
    },
    /// A frame was handed to an interface's driver.
    FrameSent {
        /// The interface's number on the lane.
        netif: u16,
        /// Length of the frame, Ethernet header included.
        bytes: usize,
    },
    /// A packet was thrown away.
    Dropped {
        /// Why, by the name of its counter.
        reason: &'static str,
    },
    /// A link-layer address became known, or changed.
    NeighbourResolved {
        /// The interface's number on the lane.
        netif: u16,
        /// Whose address.
        ip: Ip,
        /// The address.
        mac: Mac,
    },
    /// A neighbour did not answer; what waited for it was dropped.
    NeighbourFailed {
        /// The interface's number on the lane.
        netif: u16,
        /// Who did not answer.
        ip: Ip,
    },
    /// A flow came to be: connected, accepted, or bound.
    FlowOpened {
        /// Name of the transport.
        engine: &'static str,
        /// The flow.
        flow: FlowRef,
        /// Our end.
        local: Endpoint,
        /// The other end; all zero while there is none.
        remote: Endpoint,
    },
    /// A flow's slot was given back.
    FlowClosed {
        /// Name of the transport.
        engine: &'static str,
        /// The flow.
        flow: FlowRef,
        /// How it ended: `"closed"`, `"reset"`, `"timed out"`...
        reason: &'static str,
    },
    /// The flow's state machine took an edge.
    StateChanged {
        /// The flow.
        flow: FlowRef,
        /// The state left, by its specification's name.
        from: &'static str,
        /// The state entered.
        to: &'static str,
    },
    /// A segment, message or fragment left, or was handed to a device that cuts it further.
    SegmentSent {
        /// The flow.
        flow: FlowRef,
        /// Stream offset of the first byte.
        offset: u64,
        /// Payload bytes; 0 for pure control.
        bytes: usize,
        /// Whether any of it had been sent before.
        retransmission: bool,
    },
    /// A segment, message or fragment arrived and was the flow's.
    SegmentReceived {
        /// The flow.
        flow: FlowRef,
        /// Stream offset of the first byte.
        offset: u64,
        /// Payload bytes; 0 for pure control.
        bytes: usize,
    },
    /// The peer confirmed everything before `offset`.
    Acked {
        /// The flow.
        flow: FlowRef,
        /// First stream offset not yet confirmed.
        offset: u64,
    },
    /// The peer was told that it may send everything before `offset` of its stream.
    CreditGiven {
        /// The flow.
        flow: FlowRef,
        /// First stream offset that it may not send yet.
        offset: u64,
    },
    /// A part of the stream was judged lost and will be sent again.
    Lost {
        /// The flow.
        flow: FlowRef,
        /// Stream offset of the first lost byte.
        offset: u64,
        /// How many bytes.
        bytes: usize,
    },
    /// A timer of the flow fired and was still wanted.
    TimerFired {
        /// The flow.
        flow: FlowRef,
        /// Which, by its specification's name.
        name: &'static str,
    },
    /// The congestion controller's answer after it changed.
    Congestion {
        /// The flow.
        flow: FlowRef,
        /// Congestion window, bytes.
        cwnd: u64,
        /// Slow-start threshold, bytes; `u64::MAX` before the first reduction.
        ssthresh: u64,
        /// Sent and neither confirmed nor judged lost, bytes.
        in_flight: u64,
    },
    /// A round trip was measured.
    RttSample {
        /// The flow.
        flow: FlowRef,
        /// The measurement.
        rtt: Duration,
        /// Smoothed, including it (RFC 6298 SRTT).
        srtt: Duration,
        /// The retransmission timeout that follows from it.
        rto: Duration,
    },
    /// Anything else that a transport or an application wants seen.
    Custom {
        /// The flow, if it is about one.
        flow: Option<FlowRef>,
        /// What it is.
        name: &'a str,
        /// How much of it.
        value: f64,
    },
}

impl Event<'_> {
    /// The flow that the event is about, if it is about one.
    #[must_use]
    pub const fn flow(&self) -> Option<FlowRef> {
        match *self {
            Self::FlowOpened { flow, .. }
            | Self::FlowClosed { flow, .. }
            | Self::StateChanged { flow, .. }
            | Self::SegmentSent { flow, .. }
            | Self::SegmentReceived { flow, .. }
            | Self::Acked { flow, .. }
            | Self::CreditGiven { flow, .. }
            | Self::Lost { flow, .. }
            | Self::TimerFired { flow, .. }
            | Self::Congestion { flow, .. }
            | Self::RttSample { flow, .. } => Some(flow),
            Self::Custom { flow, .. } => flow,
            Self::FrameReceived { .. }
            | Self::FrameSent { .. }
            | Self::Dropped { .. }
            | Self::NeighbourResolved { .. }
            | Self::NeighbourFailed { .. } => None,
        }
    }
}
