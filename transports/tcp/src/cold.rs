//! [`Cold`]: the part of a connection that a steady flow of requests and replies never touches.

use std::ops::Range;

use burstlane::congestion::Controller;
use burstlane::time::Instant;
use burstlane::toolkit::{DeliveryRate, MtuSearch, Pacer, Prr, Reassembly};
use burstlane::transport::FlowError;

use crate::ecn::Counters;
use crate::settings::Settings;
use crate::slow_timers::{Silence, SlowTimers};
use crate::spurious::{Doubt, Reduction};
use crate::tuning::Tuning;

/// See the module.
pub(crate) struct Cold {
    /// Offset of our SYN: the first byte of the stream is the next.
    pub(crate) iss: u64,
    /// Offset of the peer's SYN.
    pub(crate) irs: u64,
    /// What waits behind a gap, if `Flag::Gap`.
    pub(crate) reassembly: Reassembly,
    /// Duplicate acknowledgements owed to a peer without SACK, if `Flag::DuplicatesOwed`.
    pub(crate) duplicates_owed: u8,
    /// Marks, if ECN is agreed on.
    pub(crate) ecn: Counters,
    /// What the path carries, if large segments vanish.
    pub(crate) mtu_search: MtuSearch,
    /// The segment whose size is tried, if one is on its way, and that of its packet.
    pub(crate) mtu_trial: Range<u64>,
    pub(crate) mtu_tried: u32,
    /// Where the stream of the peer ends, if its FIN came early.
    pub(crate) fin_at: u64,
    /// Made when the first congestion window is used up: a connection that never fills one has none.
    pub(crate) controller: Option<Box<dyn Controller>>,
    /// If its controller wants to know the delivery rate.
    pub(crate) rate: Option<Box<DeliveryRate>>,
    /// The peer's MSS option, or its default.
    pub(crate) peer_mss: u16,
    /// What we offered in our SYN.
    pub(crate) offers: Offers,
    /// SND.NXT when a probe repeated the tail: TLP.end_seq of RFC 8985 7.1.
    pub(crate) probe_end: u64,
    /// What the probe carried was new: TLP.is_retrans is false.
    pub(crate) probe_is_new: bool,
    /// How fast losses are repaired, if `Flag::Repairing`.
    pub(crate) prr: Prr,
    /// What might be taken back.
    pub(crate) reduction: Reduction,
    /// Whether the last timeout was needed, as far as that is known.
    pub(crate) doubt: Doubt,
    /// A partial acknowledgement restarted the timer in this recovery; further ones do not (RFC 6582 3.2).
    pub(crate) partial_acked: bool,
    /// What came twice, and is to be told (RFC 2883), if `Flag::DuplicateOwed`.
    pub(crate) duplicate: Range<u64>,
    /// Timeouts in a row without an answer.
    pub(crate) timeouts: u8,
    /// When the silence began in which they fell.
    pub(crate) silent_since: Instant,
    /// The last of the timeouts.
    pub(crate) timeout_at: Instant,
    /// Challenges and other answers to nonsense, this interval (RFC 5961 7).
    pub(crate) challenges: u8,
    /// When that interval began.
    pub(crate) challenges_since: Instant,
    /// When everything sent was acknowledged.
    pub(crate) idle_since: Instant,
    /// What the application chose, if it did.
    pub(crate) settings: Option<Box<Settings>>,
    /// The receive buffer's size.
    pub(crate) tuning: Tuning,
    /// Since when the peer's window is shut, if `Timer::Persist`.
    pub(crate) shut_since: Instant,
    /// If `Wish::SlowTimer`.
    pub(crate) slow_timers: SlowTimers,
    /// If `Wish::KeepAlive`.
    pub(crate) silence: Silence,
    /// If `Wish::Paced`.
    pub(crate) pacer: Pacer,
    /// What the cork held may go.
    pub(crate) cork_open: bool,
    /// Acknowledgements that wait for nothing, if `Wish::QuickAck`.
    pub(crate) quick_acks: u32,
    /// SND.UP, the end of urgent data, if `Wish::Urgent`.
    pub(crate) snd_up: u64,
    /// RCV.UP.
    pub(crate) rcv_up: u64,
    /// Its number among the [orphans](crate::orphans); zero while the application holds it.
    pub(crate) orphan: u64,
    /// The last trouble that did not end the connection.
    pub(crate) soft_error: Option<FlowError>,
    /// For [`info`](crate::info): segments sent again.
    pub(crate) retransmits: u64,
    /// Bytes sent again.
    pub(crate) retransmitted_bytes: u64,
    /// Bytes that were held for lost.
    pub(crate) lost_bytes: u64,
    /// Retransmission timeouts.
    pub(crate) timeouts_total: u32,
    /// Segments that came beyond a gap.
    pub(crate) out_of_order: u64,
    /// Duplicates that the peer told of (RFC 2883).
    pub(crate) duplicates_told: u32,
    /// Reductions that were taken back.
    pub(crate) undone: u32,
}

/// What a SYN of ours offers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offers {
    pub(crate) timestamps: bool,
    pub(crate) sack: bool,
    /// Once the peer's SYN came: both do.
    pub(crate) window_scaling: bool,
}

impl Cold {
    pub(crate) fn new(now: Instant, iss: u64, peer_mss: u16, offers: Offers) -> Self {
        Self {
            iss,
            irs: 0,
            reassembly: Reassembly::new(),
            duplicates_owed: 0,
            ecn: Counters::default(),
            mtu_search: MtuSearch::new(),
            mtu_trial: 0..0,
            mtu_tried: 0,
            fin_at: 0,
            controller: None,
            rate: None,
            peer_mss,
            offers,
            probe_end: 0,
            probe_is_new: false,
            prr: Prr::default(),
            reduction: Reduction::default(),
            doubt: Doubt::default(),
            partial_acked: false,
            duplicate: 0..0,
            timeouts: 0,
            silent_since: now,
            timeout_at: now,
            challenges: 0,
            challenges_since: now,
            idle_since: now,
            settings: None,
            tuning: Tuning::new(),
            shut_since: now,
            slow_timers: SlowTimers::NONE,
            silence: Silence { heard_at: now, probes: 0 },
            pacer: Pacer::new(),
            cork_open: false,
            quick_acks: 0,
            snd_up: 0,
            rcv_up: 0,
            orphan: 0,
            soft_error: None,
            retransmits: 0,
            retransmitted_bytes: 0,
            lost_bytes: 0,
            timeouts_total: 0,
            out_of_order: 0,
            duplicates_told: 0,
            undone: 0,
        }
    }

    /// Whether one more answer to nonsense may leave: a few a second for each connection, so that a flood makes no flood,
    /// and that what one connection was sent cannot be read off another's answers (RFC 5961 10, CVE-2016-5696).
    pub(crate) fn may_challenge(&mut self, now: Instant) -> bool {
        if now.since(self.challenges_since) >= CHALLENGE_INTERVAL {
            self.challenges_since = now;
            self.challenges = 0;
        }
        self.challenges = self.challenges.saturating_add(1);
        self.challenges <= CHALLENGES_MAX
    }
}

const CHALLENGE_INTERVAL: burstlane::time::Duration = burstlane::time::Duration::from_secs(1);
/// RFC 5961 7 suggests ten in five seconds; a probing peer with many losses needs some more.
const CHALLENGES_MAX: u8 = 10;
