//! What a controller is told. Rich, and open to growth, so that rate-based controllers need no other trait.

use crate::time::{Duration, Instant};
use crate::toolkit::Recovery;
use std::ops::BitOr;

/// What one run of acknowledgements said. Start from [`AckSample::new`] and fill in what the transport knows; each
/// field's zero means "nothing" or "unknown".
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct AckSample {
    /// When the run was received.
    pub now: Instant,
    /// How many packets of the run acknowledged something new, at least 1. A frame that the device coalesced counts
    /// as the packets it was.
    pub acks: u32,
    /// Newly acknowledged cumulatively, sacked before or not.
    pub acked_bytes: u64,
    /// Newly sacked.
    pub sacked_bytes: u64,
    /// Newly known to have arrived, by either: growth counts this.
    pub delivered_bytes: u64,
    /// Newly held for lost.
    pub lost_bytes: u64,
    /// Of the delivered, what arrived with a congestion mark (RFC 3168, RFC 8257).
    pub ce_marked_bytes: u64,
    /// In flight before the run.
    pub in_flight_before: u64,
    /// In flight after the run.
    pub in_flight: u64,
    /// In flight when the newest delivered packet was sent, that packet included.
    pub in_flight_at_send: u64,
    /// The run's round-trip time, if it gave one.
    pub rtt: Option<Duration>,
    /// The least round-trip time of late.
    pub min_rtt: Duration,
    /// The smoothed round-trip time.
    pub srtt: Duration,
    /// Bytes per second over the last flight. This and what follows up to `delivered_total`, `in_flight_at_send` and `round`
    /// come from [`DeliveryRate`](crate::toolkit::DeliveryRate), if the controller wants [`Interests::RATE`].
    pub delivery_rate: Option<u64>,
    /// When the newest delivered packet was sent, the application had left the path unfilled: the path may be faster.
    pub rate_app_limited: bool,
    /// Held for lost since the newest delivered packet was sent.
    pub lost_since_send: u64,
    /// Delivered since the newest delivered packet was sent.
    pub delivered_since_send: u64,
    /// Delivered since ever, this run included.
    pub delivered_total: u64,
    /// The application or the peer's window, not the controller's, limited what was in flight. Growing then would
    /// promise what was never tried (RFC 7661).
    pub app_limited: bool,
    /// The recovery in which the flow is after the run.
    pub recovery: Recovery,
    /// Counts round trips: it grows when something arrives that was sent after it last grew.
    pub round: u64,
}

impl AckSample {
    /// One acknowledgement at `now` that says nothing yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { now, acks: 1, ..Self::default() }
    }
}

/// What changes a window at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CongestionEvent {
    /// Loss of something sent after the last reduction; once per round trip.
    Loss {
        /// Newly held for lost.
        lost_bytes: u64,
        /// FlightSize (RFC 5681): sent and not cumulatively acknowledged, the lost included.
        outstanding_bytes: u64,
    },
    /// The peer echoed a congestion mark; once per round trip.
    Ecn {
        /// FlightSize.
        outstanding_bytes: u64,
    },
    /// The retransmission timer fired.
    Rto {
        /// The first time since anything was acknowledged: only then does the threshold fall (RFC 5681 3.1).
        first: bool,
        /// FlightSize.
        outstanding_bytes: u64,
    },
    /// The last reduction was for nothing (RFC 4015, RFC 9438 4.9): put back what it took.
    Spurious,
    /// About to send after a pause.
    Idle {
        /// Since the last packet was sent, nothing being in flight.
        idle_for: Duration,
        /// The retransmission timeout now.
        rto: Duration,
    },
    /// The size of a full segment, at the start and whenever it changes.
    MtuChanged {
        /// Payload bytes of a full segment (SMSS), at least 1.
        segment_bytes: u32,
    },
}

/// A set of calls that a controller needs; the others it is spared, so that its memory stays untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Interests(u8);

impl Interests {
    /// None but congestion events.
    pub const NONE: Self = Self(0);
    /// `on_ack` for runs that the window limited.
    pub const ACK: Self = Self(1);
    /// `on_ack` for runs that the application limited, too.
    pub const ACK_APP_LIMITED: Self = Self(2);
    /// `on_sent`.
    pub const SENT: Self = Self(4);
    /// The fields of [`AckSample`] that a [`DeliveryRate`](crate::toolkit::DeliveryRate) fills in.
    pub const RATE: Self = Self(8);
    /// While losses are repaired, its own window: not [`Prr`](crate::toolkit::Prr)'s way from what was in flight to a new one.
    pub const OWN_REPAIR: Self = Self(16);

    /// Whether all of `other` is in it.
    #[inline]
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Interests {
    type Output = Self;

    fn bitor(self, rhs: Self) -> Self {
        Self(self.0 | rhs.0)
    }
}
