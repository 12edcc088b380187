//! A recording of a run: each packet with its fate, each event of both hosts. It is plain data: what pictures and captures
//! are made from.

use burstlane::time::Instant;
use burstlane_sim::Damage;

use crate::scenario::Side;

/// Everything that happened, in the order in which it happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// Packets by time of sending.
    pub packets: Vec<PacketRecord>,
    /// What the hosts told, by time.
    pub events: Vec<EventRecord>,
    /// Packets and events that came after the recording was full: they are not in it.
    pub left_out: u64,
}

/// A packet, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct PacketRecord {
    /// Its number among the packets that its side sent, as faults name it; `None` for a question for neighbours, or the answer.
    pub number: Option<u32>,
    /// Who sent it.
    pub from: Side,
    /// When.
    pub sent_at: Instant,
    /// As it was sent, Ethernet header first.
    pub bytes: Vec<u8>,
    /// When it arrives, each time, and what happened to it on the way. Empty if it was lost.
    pub arrivals: Vec<(Instant, Damage)>,
    /// The fault that struck it, or why the link dropped it.
    pub trouble: Option<String>,
}

/// Something that a host told.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// Which host.
    pub side: Side,
    /// When.
    pub at: Instant,
    /// The flow that it is about, by its number in the scenario, if it is about one.
    pub flow: Option<usize>,
    /// What.
    pub what: Happening,
}

/// What a host tells that is worth a line in a picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// The flow came to be.
    Opened,
    /// The flow is over.
    Closed {
        /// How.
        reason: String,
    },
    /// The protocol's state machine took an edge.
    State {
        /// The state left.
        from: String,
        /// The state entered.
        to: String,
    },
    /// A timer fired.
    Timer {
        /// Which.
        name: String,
    },
    /// The congestion controller spoke.
    Congestion {
        /// Window, bytes.
        cwnd: u64,
        /// Slow-start threshold, bytes; `u64::MAX` before the first reduction.
        ssthresh: u64,
        /// Sent and neither confirmed nor judged lost, bytes.
        in_flight: u64,
    },
    /// A part of the stream was judged lost.
    Lost {
        /// First byte.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// A round trip was measured: microseconds.
    Rtt {
        /// The sample.
        rtt_us: u64,
        /// Smoothed.
        srtt_us: u64,
        /// The timeout that follows.
        rto_us: u64,
    },
    /// A packet was thrown away by the host.
    Dropped {
        /// Why.
        reason: String,
    },
    /// An application did or saw something.
    App {
        /// What.
        what: String,
    },
}
