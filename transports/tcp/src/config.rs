//! What an application chooses, with defaults that suit most.

use burstlane::congestion::{Controller, Cubic};
use burstlane::time::Duration;
use burstlane::toolkit::RtoConfig;

use crate::ecn::Ecn;
use crate::options::WINDOW_SCALE_MAX;
use crate::personality::Personality;
use crate::settings::{KeepAlive, Settings};

/// Configuration of the transport on a host; all its connections share it. Made by [`Config::default`] and changed
/// by the `with_*` methods or field by field. Values outside their range are taken as the nearest one within.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// Bytes accepted from the application and not yet acknowledged, per connection, at first: 4 KiB to 1 GiB.
    pub send_buffer_bytes: u32,
    /// What that grows to where the path has more under way; at least `send_buffer_bytes`, which then stays. Not beyond while
    /// half of the lane's memory is in use.
    pub send_buffer_max: u32,
    /// Bytes received and not yet taken by the application, per connection, at first: 4 KiB to 1 GiB. The window.
    pub receive_buffer_bytes: u32,
    /// What that grows to where the application takes all that comes; at least `receive_buffer_bytes`, which then stays. Not
    /// beyond while half of the lane's memory is in use.
    pub receive_buffer_max: u32,
    /// Hold small segments back while others are unacknowledged (RFC 9293 3.7.4).
    pub nagle: bool,
    /// How long an acknowledgement may wait for company: zero (none is delayed) to 500 ms (RFC 9293 3.8.6.3).
    pub delayed_ack_timeout: Duration,
    /// Cloned for every connection.
    pub congestion: Box<dyn Controller>,
    /// How long a closed connection's key stays taken: 2 MSL.
    pub time_wait_timeout: Duration,
    /// How long we wait in FIN-WAIT-2 for the peer's FIN once the application has let go.
    pub fin_wait_timeout: Duration,
    /// Times that a SYN or SYN-ACK is sent again before giving up. 7 with the default timeouts are 183 s (RFC 9293 3.8.3: R2 for a
    /// SYN at least 3 minutes, MUST-23).
    pub syn_retries_max: u8,
    /// Timeouts in a row, without an answer, before a connection is given up. 15 with the default timeouts are about 15
    /// minutes (RFC 9293 3.8.3: R2 at least 100 s).
    pub retries_max: u8,
    /// Longest time without progress on unacknowledged data before a connection is given up; `None` leaves it to
    /// `retries_max`.
    pub user_timeout: Option<Duration>,
    /// Whether silent peers are asked whether they are there; `None`, the default, does not (RFC 9293 3.8.4, MUST-25).
    pub keep_alive: Option<KeepAlive>,
    /// How long what was written has to arrive once the application let go, before the connection is reset: zero resets
    /// at once, `None` leaves it to `retries_max`.
    pub linger: Option<Duration>,
    /// Bytes that wait to be sent for the first time at most, per connection: at least 1. What a program writes late it can
    /// still choose; `u32::MAX` leaves it to `send_buffer_bytes`.
    pub unsent_bytes_max: u32,
    /// Bytes of the stream sent in a second at most, per connection: at least 1000; `None` leaves it to the congestion
    /// controller.
    pub pacing_max: Option<u64>,
    /// The differentiated services code point of packets, 0 to 63 (RFC 2474).
    pub dscp: u8,
    /// Connections that may finish after their applications let go, per lane: beyond, the oldest is reset.
    pub orphans_max: u32,
    /// Bounds of the retransmission timeout.
    pub rto: RtoConfig,
    /// Largest segment that we offer to receive, bytes; also limited by the path: at least 88.
    pub mss_max: u16,
    /// Offer timestamps (RFC 7323).
    pub timestamps: bool,
    /// Offer selective acknowledgements (RFC 2018).
    pub sack: bool,
    /// Offer window scaling (RFC 7323). Without it windows end at 64 KiB.
    pub window_scaling: bool,
    /// The shift of our windows, at most 14 (RFC 7323 2.3); `None` is the smallest with which the receive buffer fits.
    pub window_scale: Option<u8>,
    /// Whose habits connections have where RFCs leave a choice.
    pub personality: Personality,
    /// Explicit congestion notification (RFC 3168, RFC 9768).
    pub ecn: Ecn,
    /// For tests of what happens where sequence numbers wrap: a connection that is opened at time zero begins here, later ones
    /// 61 numbers further for each millisecond. Never on a network: numbers that can be guessed let strangers in (RFC 6528).
    pub fixed_isn: Option<u32>,
    /// A mistake made on purpose.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<crate::PlantedBug>,
}

impl Config {
    /// With another congestion controller.
    #[must_use]
    pub fn with_congestion(mut self, controller: impl Controller + 'static) -> Self {
        self.congestion = Box::new(controller);
        self
    }

    /// With buffers of these sizes, bytes, which stay.
    #[must_use]
    pub fn with_buffers(mut self, send: u32, receive: u32) -> Self {
        (self.send_buffer_bytes, self.send_buffer_max) = (send, send);
        (self.receive_buffer_bytes, self.receive_buffer_max) = (receive, receive);
        self
    }

    /// With every value in its range.
    pub(crate) fn in_range(mut self) -> Self {
        let settings = Settings::of(&self).in_range();
        self.send_buffer_bytes = settings.send_buffer_bytes;
        self.receive_buffer_bytes = settings.receive_buffer_bytes;
        self.send_buffer_max = self.send_buffer_max.clamp(self.send_buffer_bytes, BUFFER_BYTES_MAX);
        self.receive_buffer_max = self.receive_buffer_max.clamp(self.receive_buffer_bytes, BUFFER_BYTES_MAX);
        self.unsent_bytes_max = settings.unsent_bytes_max;
        self.mss_max = self.mss_max.max(MSS_MIN);
        self.pacing_max = settings.pacing_max;
        self.dscp = settings.dscp;
        self.keep_alive = settings.keep_alive;
        self.delayed_ack_timeout = self.delayed_ack_timeout.min(DELAYED_ACK_MAX);
        self
    }

    /// The shift of our windows: the one that was chosen, or the smallest with which the largest receive buffer fits 16 bits (RFC 7323 2.3).
    pub(crate) fn window_scale(&self) -> u8 {
        if let Some(shift) = self.window_scale {
            return shift.min(WINDOW_SCALE_MAX);
        }
        let mut shift = 0;
        while shift < WINDOW_SCALE_MAX && self.receive_buffer_max >> shift > u32::from(u16::MAX) {
            shift += 1;
        }
        shift
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            send_buffer_bytes: 256 * 1024,
            send_buffer_max: 4 * 1024 * 1024,
            receive_buffer_bytes: 256 * 1024,
            receive_buffer_max: 6 * 1024 * 1024,
            nagle: true,
            delayed_ack_timeout: Duration::from_millis(40),
            congestion: Box::new(Cubic::default()),
            time_wait_timeout: Duration::from_secs(60),
            fin_wait_timeout: Duration::from_secs(60),
            syn_retries_max: 7,
            retries_max: 15,
            user_timeout: None,
            keep_alive: None,
            linger: None,
            unsent_bytes_max: u32::MAX,
            pacing_max: None,
            dscp: 0,
            orphans_max: 8192,
            rto: RtoConfig::default(),
            mss_max: u16::MAX,
            timestamps: true,
            sack: true,
            window_scaling: true,
            window_scale: None,
            personality: Personality::default(),
            ecn: Ecn::default(),
            fixed_isn: None,
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }
}

/// The least that a peer's MSS offer is taken as, and that ours can be: below, headers outweigh data and a peer could
/// make us send a packet per byte.
pub(crate) const MSS_MIN: u16 = 88;
/// Assumed of a peer that offers none over IPv4 (RFC 9293 3.7.1, MUST-15).
pub(crate) const MSS_DEFAULT_V4: u16 = 536;
/// The same over IPv6.
pub(crate) const MSS_DEFAULT_V6: u16 = 1220;
pub(crate) const BUFFER_BYTES_MIN: u32 = 4 * 1024;
pub(crate) const BUFFER_BYTES_MAX: u32 = 1 << 30;
const DELAYED_ACK_MAX: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controller_is_the_one_that_was_chosen() {
        assert_eq!(Config::default().congestion.name(), "cubic");
        assert_eq!(
            Config::default().with_congestion(burstlane::congestion::NewReno::new()).congestion.name(),
            "newreno"
        );
    }

    #[test]
    fn the_scale_is_the_smallest_that_fits() {
        let scale = |bytes| Config::default().with_buffers(bytes, bytes).in_range().window_scale();
        assert_eq!([scale(0), scale(65_535), scale(65_536), scale(256 * 1024), scale(u32::MAX)], [0, 0, 1, 3, 14]);
    }
}
