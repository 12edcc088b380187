//! Mistakes planted on purpose, of the kinds that real stacks had: what judges transports must find each of them. One is
//! chosen in the [`RudpConfig`](crate::RudpConfig), and only a feature of the crate adds the choice; without it every hook
//! is a constant that the compiler removes.
//!
//! What the toolkit does for RUDP is not changed: a mistake is made where RUDP asks for it, or tells of it.

/// Whether a configuration has a mistake planted in it; or a value as the mistakes make it.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($config:expr, $bug:ident) => {
        matches!($config.planted, Some(crate::planted::PlantedBug::$bug))
    };
    ($config:expr, $spoil:ident($($value:expr),*)) => {
        crate::planted::$spoil($config.planted, $($value),*)
    };
}

/// Nothing is planted.
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($config:expr, $bug:ident) => {
        const { false }
    };
    ($config:expr, $spoil:ident($value:expr $(, $more:expr)*)) => {
        $value
    };
}

#[cfg(feature = "planted-bugs")]
pub use bugs::PlantedBug;
#[cfg(feature = "planted-bugs")]
pub(crate) use bugs::{ack, config, counted, fragment, stream};

#[cfg(feature = "planted-bugs")]
mod bugs {
    use burstlane::congestion::{AckSample, CongestionEvent, Controller};
    use burstlane::prelude::*;
    use burstlane::toolkit::{AckBlock, StreamAt};

    use crate::{Meta, RudpConfig};

    /// A mistake: what it does, where it was seen, and which rule it breaks.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum PlantedBug {
        /// The question that opens a connection is asked once, as by those who try on a good network only (RFC 9002 6.2.4).
        NeverAsksAgain,
        /// A client's connection id is made of its port: who cannot see the packets guesses it (RFC 9000 21.2).
        GuessableIds,
        /// Who asks is let in without having shown that it receives, like a listener without cookies (RFC 9000 8.1.2).
        TrustsAnyOpener,
        /// A range that came before is taken for the next one: messages arrive twice.
        DeliversRepetitions,
        /// A range behind a gap is taken for the next one: what was lost is not missed.
        SkipsGaps,
        /// The last unit of what stands behind a message's first packet goes one too far: an off-by-one in the cutting.
        ShiftsFragments,
        /// Everything up to the highest byte that came is acknowledged, gaps included.
        AcksAcrossGaps,
        /// Acknowledgements are acknowledged: two hosts thank each other for ever (RFC 9000 13.2.1).
        AcksAcknowledgements,
        /// The delay of an acknowledgement is the longest that it might be, not what it was: the peer takes the path for faster
        /// than it is (RFC 9000 13.2.5).
        OverstatesItsDelay,
        /// The window that the peer was granted at first is all it ever gets (RFC 9000 4.2).
        NeverGrantsMore,
        /// A silent peer is spoken to at an even pace (RFC 8085 3.1.1).
        NeverBacksOff,
        /// A peer that is gone is spoken to for ever.
        NeverGivesUp,
        /// The congestion window is as large as can be (RFC 8085 3.1).
        IgnoresCongestion,
        /// To a new address of the peer goes whatever there is to say, before anybody has shown to be there (RFC 9000 8.1, 9.3).
        FloodsNewAddress,
        /// The peer is where it was when it opened, whatever a NAT does on the way.
        NeverFollows,
        /// Who closes lets go at once: what it wrote is lost with it.
        ClosesByReset,
        /// Our end is taken for the end of both halves: what the peer had still to say is lost.
        HalfCloseIsClose,
        /// Nothing stays behind to answer a peer that missed the end, or to know a late duplicate (RFC 9000 10.2).
        LeavesNoLastWord,
        /// What stays behind says nothing: a peer that missed the end repeats its own until it gives up.
        LastWordIsDeaf,
        /// What arrives is acknowledged after seconds (RFC 9000 13.2.1).
        DelaysAcksForSeconds,
        /// What stays behind stays for good.
        LingersForEver,
        /// What was received in part is not given back.
        LeaksBuffers,
        /// A message is handed over without a word to who waits for it: the lost wake-ups of event loops.
        ForgetsToWakeReaders,
        /// Messages of a full queue leave it without a word to who waits for the room.
        ForgetsToWakeWriters,
    }

    impl PlantedBug {
        /// All of them.
        pub const ALL: [Self; 24] = [
            Self::NeverAsksAgain,
            Self::GuessableIds,
            Self::TrustsAnyOpener,
            Self::DeliversRepetitions,
            Self::SkipsGaps,
            Self::ShiftsFragments,
            Self::AcksAcrossGaps,
            Self::AcksAcknowledgements,
            Self::OverstatesItsDelay,
            Self::NeverGrantsMore,
            Self::NeverBacksOff,
            Self::NeverGivesUp,
            Self::IgnoresCongestion,
            Self::FloodsNewAddress,
            Self::NeverFollows,
            Self::ClosesByReset,
            Self::HalfCloseIsClose,
            Self::LeavesNoLastWord,
            Self::LastWordIsDeaf,
            Self::DelaysAcksForSeconds,
            Self::LingersForEver,
            Self::LeaksBuffers,
            Self::ForgetsToWakeReaders,
            Self::ForgetsToWakeWriters,
        ];

        /// Its name: `never_asks_again`.
        #[must_use]
        pub const fn name(self) -> &'static str {
            match self {
                Self::NeverAsksAgain => "never_asks_again",
                Self::GuessableIds => "guessable_ids",
                Self::TrustsAnyOpener => "trusts_any_opener",
                Self::DeliversRepetitions => "delivers_repetitions",
                Self::SkipsGaps => "skips_gaps",
                Self::ShiftsFragments => "shifts_fragments",
                Self::AcksAcrossGaps => "acks_across_gaps",
                Self::AcksAcknowledgements => "acks_acknowledgements",
                Self::OverstatesItsDelay => "overstates_its_delay",
                Self::NeverGrantsMore => "never_grants_more",
                Self::NeverBacksOff => "never_backs_off",
                Self::NeverGivesUp => "never_gives_up",
                Self::IgnoresCongestion => "ignores_congestion",
                Self::FloodsNewAddress => "floods_new_address",
                Self::NeverFollows => "never_follows",
                Self::ClosesByReset => "closes_by_reset",
                Self::HalfCloseIsClose => "half_close_is_close",
                Self::LeavesNoLastWord => "leaves_no_last_word",
                Self::LastWordIsDeaf => "last_word_is_deaf",
                Self::DelaysAcksForSeconds => "delays_acks_for_seconds",
                Self::LingersForEver => "lingers_for_ever",
                Self::LeaksBuffers => "leaks_buffers",
                Self::ForgetsToWakeReaders => "forgets_to_wake_readers",
                Self::ForgetsToWakeWriters => "forgets_to_wake_writers",
            }
        }
    }

    /// What the parts are configured to do.
    pub(crate) fn config(bug: Option<PlantedBug>, mut config: RudpConfig) -> RudpConfig {
        match bug {
            Some(PlantedBug::NeverBacksOff) => config.channel.patience_max = Duration::from_millis(500),
            Some(PlantedBug::DelaysAcksForSeconds) => config.channel.ack_delay = Duration::from_secs(3),
            Some(PlantedBug::NeverGivesUp) => config.liveness.idle_timeout = Duration::from_secs(1 << 30),
            Some(PlantedBug::IgnoresCongestion) => config.channel.controller = Box::new(Unbounded),
            Some(PlantedBug::LingersForEver) => config.channel.linger = Duration::from_secs(3600),
            _ => {}
        }
        config
    }

    /// How many bytes a datagram is held to have, of which three times as many may go back.
    pub(crate) fn counted(bug: Option<PlantedBug>, meta: Meta) -> Meta {
        let bytes = if bug == Some(PlantedBug::FloodsNewAddress) { 1 << 30 } else { meta.bytes };
        Meta { bytes, ..meta }
    }

    /// Where a range that came is taken to stand.
    pub(crate) fn stream(bug: Option<PlantedBug>, at: Option<StreamAt>, upto: u64) -> Option<StreamAt> {
        let next = at.map(|at| StreamAt { offset: upto, ..at });
        match (bug, at) {
            (Some(PlantedBug::DeliversRepetitions), Some(at)) if at.offset < upto => next,
            (Some(PlantedBug::SkipsGaps), Some(at)) if at.offset > upto => next,
            _ => at,
        }
    }

    /// Where a range that leaves is said to stand.
    pub(crate) fn fragment(bug: Option<PlantedBug>, at: StreamAt) -> StreamAt {
        let shifts = bug == Some(PlantedBug::ShiftsFragments) && at.offset > 0 && at.end;
        StreamAt { offset: at.offset + u64::from(shifts), ..at }
    }

    /// What is acknowledged.
    pub(crate) fn ack(bug: Option<PlantedBug>, ack: Option<AckBlock>) -> Option<AckBlock> {
        let ack = ack?;
        let (delay, upto, window) = (ack.delay(), ack.upto(), ack.window());
        Some(match bug {
            Some(PlantedBug::AcksAcrossGaps) => {
                AckBlock::new(delay, ack.ranges().map(|range| range.end).fold(upto, u64::max), window, [])
            }
            Some(PlantedBug::OverstatesItsDelay) => AckBlock::new(LONGEST_DELAY, upto, window, ack.ranges()),
            Some(PlantedBug::NeverGrantsMore) => AckBlock::new(delay, upto, 0, ack.ranges()),
            _ => ack,
        })
    }

    /// A controller that controls nothing.
    #[derive(Clone, Debug)]
    struct Unbounded;

    impl Controller for Unbounded {
        fn on_ack(&mut self, _: &AckSample) {}

        fn on_congestion(&mut self, _: Instant, _: &CongestionEvent) {}

        fn cwnd(&self) -> u64 {
            1 << 40
        }

        fn ssthresh(&self) -> u64 {
            u64::MAX
        }

        fn name(&self) -> &'static str {
            "unbounded"
        }
    }

    /// Of acknowledgements, by default.
    const LONGEST_DELAY: Duration = Duration::from_millis(5);
}
