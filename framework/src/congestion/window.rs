//! What loss-based controllers share: the window itself, slow start by byte counting, restart after idling, and a
//! pacing rate derived from the window. Policy of avoidance and of decrease is theirs.

use super::sample::AckSample;
use crate::time::{Duration, Instant, nanos};
use crate::toolkit::Recovery;

/// cwnd and ssthresh in bytes. 32 bits hold them, since [`CWND_MAX`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) cwnd: u32,
    /// `u32::MAX` before the first congestion.
    pub(super) ssthresh: u32,
    pub(super) segment: u32,
    /// Of the last sample; for pacing.
    srtt_us: u32,
    /// Most segments of growth per acknowledgement in slow start (L of RFC 3465).
    slow_start_limit: u8,
    /// Delivered beyond a hole, and not counted yet.
    beyond_hole: u32,
    /// The window still is the initial one, so a new segment size makes a new one.
    fresh: bool,
    paced: bool,
    /// In slow start what is delivered counts for a part of it (RFC 9406 4.2).
    pub(super) slow_start_divisor: u8,
    /// When it was last used up.
    used_at: Instant,
}

impl Window {
    pub(super) const fn new(slow_start_limit: u8, paced: bool) -> Self {
        let segment = DEFAULT_SEGMENT;
        Self {
            cwnd: initial_window(segment),
            ssthresh: u32::MAX,
            segment,
            srtt_us: 0,
            slow_start_limit,
            beyond_hole: 0,
            fresh: true,
            paced,
            slow_start_divisor: 1,
            used_at: Instant::ZERO,
        }
    }

    pub(super) const fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// Slow start (RFC 5681 3.1 with RFC 3465): grows by what was delivered, at most L segments per acknowledgement,
    /// and up to `ssthresh`. Returns what is left of the delivered bytes for congestion avoidance.
    pub(super) fn on_ack(&mut self, sample: &AckSample) -> u64 {
        self.fresh = false;
        self.srtt_us = (nanos(sample.srtt) / 1_000).min(u64::from(u32::MAX)) as u32;
        // In fast recovery the window stands (RFC 5681 3.2, RFC 6675 5). While the application limits, it was not
        // tried, so nothing speaks for more (RFC 7661 4.3, in short).
        if sample.recovery == Recovery::Fast || sample.app_limited {
            self.beyond_hole = 0;
            return 0;
        }
        if self.is_stale(sample.now) {
            return 0;
        }
        // What arrived beyond a hole counts when the hole is closed: until then it may be a loss (RFC 5681 3.2 step 1, RFC 3042 2).
        if sample.acked_bytes == 0 && sample.sacked_bytes > 0 {
            self.beyond_hole =
                u64::from(self.beyond_hole).saturating_add(sample.delivered_bytes).min(u64::from(CWND_MAX)) as u32;
            return 0;
        }
        let delivered = sample.delivered_bytes + u64::from(std::mem::take(&mut self.beyond_hole));
        if !self.in_slow_start() {
            return delivered;
        }
        // After a timeout one acknowledgement may cover a whole window that had arrived long ago: L = 1 (RFC 3465 2.3). Who
        // paces makes no burst of it (RFC 9406 4.3).
        let limit = match sample.recovery {
            Recovery::Timeout => 1,
            _ if self.paced => u64::from(u32::MAX),
            _ => u64::from(self.slow_start_limit),
        };
        let most = limit.saturating_mul(u64::from(self.segment)).saturating_mul(u64::from(sample.acks.max(1)));
        let credit = delivered.min(most) / u64::from(self.slow_start_divisor);
        let room = u64::from(self.ssthresh - self.cwnd);
        self.grow(credit.min(room));
        if credit > room { delivered - room } else { 0 }
    }

    /// RFC 7661 4.4.3: what was not used up for five minutes is halved, and what was learned stays as the threshold.
    fn is_stale(&mut self, now: Instant) -> bool {
        let used_at = std::mem::replace(&mut self.used_at, now);
        let stale = used_at != Instant::ZERO && now.since(used_at) > UNUSED_MAX;
        let restart = initial_window(self.segment);
        if !stale || self.cwnd <= restart {
            return false;
        }
        self.keep_threshold();
        self.cwnd = (self.cwnd / 2).max(restart);
        true
    }

    fn keep_threshold(&mut self) {
        if self.ssthresh != u32::MAX {
            self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
        }
    }

    pub(super) fn grow(&mut self, bytes: u64) {
        self.cwnd = (u64::from(self.cwnd) + bytes).min(u64::from(CWND_MAX)) as u32;
    }

    /// What a reduction starts from: FlightSize, but no more than the window allowed now.
    ///
    /// Deviation: RFC 5681 equation 4 takes FlightSize alone. It counts what is sacked and lost, so in a recovery, or
    /// after a timeout, it may exceed the window by far.
    pub(super) fn tried(&self, outstanding_bytes: u64) -> u32 {
        outstanding_bytes.min(u64::from(self.cwnd)) as u32
    }

    /// `ssthresh` and `cwnd` become `bytes`, but two segments at least.
    pub(super) fn reduce_to(&mut self, bytes: u32) {
        self.fresh = false;
        self.ssthresh = bytes.max(self.segment * 2);
        self.cwnd = self.ssthresh;
    }

    /// The loss window of RFC 5681 3.1.
    pub(super) fn collapse(&mut self) {
        self.fresh = false;
        self.cwnd = self.segment;
    }

    /// RFC 5681 4.1: after more than an RTO of silence at most the initial window. What was learned stays as the
    /// threshold (RFC 2861 3.2).
    pub(super) fn on_idle(&mut self, idle_for: Duration, rto: Duration) -> bool {
        let restart = initial_window(self.segment);
        if idle_for <= rto || self.cwnd <= restart {
            return false;
        }
        self.keep_threshold();
        self.cwnd = restart;
        true
    }

    pub(super) fn on_segment_size(&mut self, bytes: u32) {
        self.segment = bytes.clamp(1, SEGMENT_MAX);
        if self.fresh {
            self.cwnd = initial_window(self.segment);
        }
        self.cwnd = self.cwnd.max(self.segment);
        self.ssthresh = self.ssthresh.max(self.segment * 2);
    }

    /// A window per round trip, with room to grow: twice that in slow start, else a fifth more.
    pub(super) fn pacing_rate(&self) -> Option<u64> {
        if !self.paced || self.srtt_us == 0 {
            return None;
        }
        let percent = if self.in_slow_start() { 200 } else { 120 };
        Some(u64::from(self.cwnd) * percent * 10_000 / u64::from(self.srtt_us))
    }

    /// A millisecond's worth, two segments at least, one large frame at most.
    pub(super) fn send_quantum(&self) -> u64 {
        let floor = u64::from(self.segment) * 2;
        self.pacing_rate().map_or(65_536, |rate| (rate / 1_000).min(65_536)).max(floor)
    }

    pub(super) fn ssthresh(&self) -> u64 {
        if self.ssthresh == u32::MAX { u64::MAX } else { u64::from(self.ssthresh) }
    }
}

/// Ten segments, but no more than 14,600 bytes unless two segments are (RFC 6928 section 2).
#[must_use]
pub const fn initial_window(segment_bytes: u32) -> u32 {
    let (ten, two) = (segment_bytes.saturating_mul(10), segment_bytes.saturating_mul(2));
    let bound = if two > 14_600 { two } else { 14_600 };
    if ten < bound { ten } else { bound }
}

/// The largest congestion window, 1 GiB: more than any transport's send buffer.
pub const CWND_MAX: u32 = 1 << 30;
/// The non-validated period of RFC 7661 4.4.
const UNUSED_MAX: Duration = Duration::from_secs(300);
/// Until `MtuChanged` says otherwise: what every IPv6 path carries, less headers.
const DEFAULT_SEGMENT: u32 = 1_220;
/// No IP packet is larger.
const SEGMENT_MAX: u32 = 65_535;
