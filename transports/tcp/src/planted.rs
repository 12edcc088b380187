//! Mistakes planted on purpose, of the kinds that real stacks had: what judges transports must find each of them. One is
//! chosen in the [`Config`](crate::Config), and only a feature of the crate adds the choice; without it every
//! hook is a constant that the compiler removes.

/// Whether a configuration has a mistake planted in it.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($config:expr, $bug:ident) => {
        matches!($config.planted, Some(crate::planted::PlantedBug::$bug))
    };
}

/// Nothing is planted.
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($config:expr, $bug:ident) => {
        const { false }
    };
}

/// A mistake: what it does, where it was seen, and which rule it breaks.
#[cfg(feature = "planted-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlantedBug {
    /// A SYN that comes again is answered under another initial sequence number, as by listeners that keep nothing of it: the peer
    /// may believe either (RFC 9293 3.10.7.4, RFC 6528).
    RepeatedSynGetsAnotherIsn,
    /// A half-open connection is kept until its peer answers, as before SYN floods taught otherwise (RFC 4987 3.2; RFC 9293 3.8.3).
    HalfOpenNeverExpires,
    /// In SYN-SENT the number that a SYN-ACK acknowledges is not looked at, as in small stacks of devices (RFC 9293 3.10.7.3, first
    /// step).
    SynSentTakesAnyAck,
    /// Acknowledgements are compared as plain integers: nothing is acknowledged across the wrap (RFC 9293 3.4). Found again in
    /// every second new stack.
    ComparesNumbersAsIntegers,
    /// A FIN is not counted in RCV.NXT: it is never acknowledged (RFC 9293 3.4).
    FinTakesNoNumber,
    /// A FIN counts although what precedes it has not arrived: the stream ends early (RFC 9293 3.10.7.4, eighth step).
    TakesFinBeyondGap,
    /// A segment that ends where the window begins is taken for new: an off-by-one in the acceptability test (RFC 9293 3.10.7.4,
    /// first step).
    DeliversTwice,
    /// Of a segment that is old in part the wrong part is kept, as in the reassembly of many stacks that evasion tools play on
    /// (RFC 9293 3.10.7.4, seventh step).
    OverlapNotTrimmed,
    /// What waits behind a gap is filed one byte late, as if the FIN or SYN had been counted twice (RFC 9293 3.10.7.4, seventh step).
    MisplacesWhatIsBehindGap,
    /// What waits behind a gap is not freed with its connection, as in more than one kernel's out-of-order queue.
    LeaksWhatIsBehindGap,
    /// While a gap is open it is acknowledged, as if one segment were sure to fill it (RFC 9293 3.4).
    AcksBeyondArrival,
    /// What has come before is dropped without an acknowledgement, so that one lost acknowledgement stays lost (RFC 9293 3.10.7.4,
    /// first step).
    NeverAcksDuplicates,
    /// A duplicate acknowledgement is answered by one: the ACK storms of desynchronized connections (RFC 9293 3.10.7.4).
    AnswersAcksWithAcks,
    /// The timer of delayed acknowledgements is not stopped when one has left: it is due for ever (RFC 9293 3.8.6.3).
    DelayedAckTimerRunsOn,
    /// A round trip is measured from the last repetition, whichever was answered (Karn's algorithm, RFC 6298 3).
    ForgetsKarn,
    /// Each retransmission waits as long as the first (RFC 6298 5.5), as before 1988.
    NeverBacksOff,
    /// An acknowledgement stops the retransmission timer although not all is acknowledged (RFC 6298 5.3).
    TimerStopsAtPartialAck,
    /// What is sent again is taken from the start of the send buffer, wherever the hole is (RFC 2018 5): an offset not added.
    RetransmitsFromTheHead,
    /// A FIN whose text is acknowledged is not sent again (RFC 9293 3.10.8).
    NeverRepeatsFin,
    /// A connection is given up after three timeouts (RFC 9293 3.8.3: R2 is at least 100 seconds).
    GivesUpTooEarly,
    /// The timeouts are not counted: a peer that vanished is called for ever (RFC 9293 3.8.3).
    NeverGivesUp,
    /// Data is sent whatever the peer's window (RFC 9293 3.8.6).
    IgnoresPeerWindow,
    /// There is no persist timer: a lost window update ends the conversation (RFC 9293 3.8.6.1), a fault that came back with many
    /// offload engines.
    NeverAsksAfterWindow,
    /// The byte that probes a shut window is acknowledged and not kept (RFC 9293 3.8.6.1).
    AcksProbeWithoutRoom,
    /// A window that was offered is taken back when the buffer fills (RFC 9293 3.8.6, SHLD-14), as by stacks short of memory.
    WindowMovesLeft,
    /// Each byte that is read opens the window at once: silly windows (RFC 9293 3.8.6.2.2).
    AnnouncesEveryByte,
    /// Only the peer's window limits what is in flight (RFC 5681 3.1), as before 1988.
    IgnoresCongestionWindow,
    /// The first flight has forty segments (RFC 6928 2), as some servers' had.
    InitialWindowTooLarge,
    /// The window is reduced for each acknowledgement that reports something missing, not for each loss (RFC 5681 3.2).
    ReducesForEveryDuplicate,
    /// Fast recovery sends again and does not slow down (RFC 5681 3.2).
    KeepsItsWindowOnLoss,
    /// The window grows by acknowledgements although the application or the peer's window is what limits (RFC 7661 1).
    InflatesUnusedWindow,
    /// The FIN goes with the first of the data that is left, not with the last (RFC 9293 3.10.4).
    FinOvertakesData,
    /// Whoever has finished hears nothing any more: shutdown taken for close (RFC 9293 3.6, 3.10.7.4).
    DeafAfterOwnFin,
    /// Every close is an abort: what is in flight is lost (RFC 9293 3.6; RFC 2525 2.17 the other way round).
    ResetsOnClose,
    /// TIME-WAIT is not left (RFC 9293 3.6.1: it lasts 2 MSL).
    TimeWaitNeverEnds,
    /// In TIME-WAIT the peer's FIN is not answered: if the last ACK was lost, the peer repeats its FIN until it gives up (RFC 9293 3.6,
    /// 3.10.7.4, eighth step).
    TimeWaitIsDeaf,
    /// What arrives is acknowledged after seconds, as by hosts that sleep (RFC 9293 3.8.6.3, MUST-40: within half of one).
    DelaysAcksForSeconds,
    /// Reading opens the window, and nobody is told: the peer has to ask (RFC 9293 3.8.6.2.2).
    KeepsTheWindowShut,
    /// Who closes with data that it has not read sends a FIN, as if all had been read (RFC 2525 2.17).
    FinWithUnreadData,
    /// FIN-WAIT-2 waits for the FIN of a peer that is gone, and nobody is left who could end it: a well-known way to fill a server.
    FinWait2NeverEnds,
    /// A reset counts whatever its number (RFC 5961 3; RFC 9293 3.5.3).
    AcceptsAnyReset,
    /// A SYN on an open connection ends it, wherever it stands (RFC 5961 4).
    AcceptsAnySyn,
    /// What came is there to be read, but who waits for it is not told: the lost wake-ups of event loops.
    ForgetsToWakeReaders,
    /// Who waits for room in the send buffer is not told that there is some again.
    ForgetsToWakeWriters,
}

#[cfg(feature = "planted-bugs")]
impl PlantedBug {
    /// All of them.
    pub const ALL: [Self; 44] = [
        Self::RepeatedSynGetsAnotherIsn,
        Self::HalfOpenNeverExpires,
        Self::SynSentTakesAnyAck,
        Self::ComparesNumbersAsIntegers,
        Self::FinTakesNoNumber,
        Self::TakesFinBeyondGap,
        Self::DeliversTwice,
        Self::OverlapNotTrimmed,
        Self::MisplacesWhatIsBehindGap,
        Self::LeaksWhatIsBehindGap,
        Self::AcksBeyondArrival,
        Self::NeverAcksDuplicates,
        Self::AnswersAcksWithAcks,
        Self::DelayedAckTimerRunsOn,
        Self::ForgetsKarn,
        Self::NeverBacksOff,
        Self::TimerStopsAtPartialAck,
        Self::RetransmitsFromTheHead,
        Self::NeverRepeatsFin,
        Self::GivesUpTooEarly,
        Self::NeverGivesUp,
        Self::IgnoresPeerWindow,
        Self::NeverAsksAfterWindow,
        Self::AcksProbeWithoutRoom,
        Self::WindowMovesLeft,
        Self::AnnouncesEveryByte,
        Self::IgnoresCongestionWindow,
        Self::InitialWindowTooLarge,
        Self::ReducesForEveryDuplicate,
        Self::KeepsItsWindowOnLoss,
        Self::InflatesUnusedWindow,
        Self::FinOvertakesData,
        Self::DeafAfterOwnFin,
        Self::ResetsOnClose,
        Self::TimeWaitNeverEnds,
        Self::TimeWaitIsDeaf,
        Self::DelaysAcksForSeconds,
        Self::KeepsTheWindowShut,
        Self::FinWithUnreadData,
        Self::FinWait2NeverEnds,
        Self::AcceptsAnyReset,
        Self::AcceptsAnySyn,
        Self::ForgetsToWakeReaders,
        Self::ForgetsToWakeWriters,
    ];

    /// Its name: `forgets_karn`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RepeatedSynGetsAnotherIsn => "repeated_syn_gets_another_isn",
            Self::HalfOpenNeverExpires => "half_open_never_expires",
            Self::SynSentTakesAnyAck => "syn_sent_takes_any_ack",
            Self::ComparesNumbersAsIntegers => "compares_numbers_as_integers",
            Self::FinTakesNoNumber => "fin_takes_no_number",
            Self::TakesFinBeyondGap => "takes_fin_beyond_gap",
            Self::DeliversTwice => "delivers_twice",
            Self::OverlapNotTrimmed => "overlap_not_trimmed",
            Self::MisplacesWhatIsBehindGap => "misplaces_what_is_behind_gap",
            Self::LeaksWhatIsBehindGap => "leaks_what_is_behind_gap",
            Self::AcksBeyondArrival => "acks_beyond_arrival",
            Self::NeverAcksDuplicates => "never_acks_duplicates",
            Self::AnswersAcksWithAcks => "answers_acks_with_acks",
            Self::DelayedAckTimerRunsOn => "delayed_ack_timer_runs_on",
            Self::ForgetsKarn => "forgets_karn",
            Self::NeverBacksOff => "never_backs_off",
            Self::TimerStopsAtPartialAck => "timer_stops_at_partial_ack",
            Self::RetransmitsFromTheHead => "retransmits_from_the_head",
            Self::NeverRepeatsFin => "never_repeats_fin",
            Self::GivesUpTooEarly => "gives_up_too_early",
            Self::NeverGivesUp => "never_gives_up",
            Self::IgnoresPeerWindow => "ignores_peer_window",
            Self::NeverAsksAfterWindow => "never_asks_after_window",
            Self::AcksProbeWithoutRoom => "acks_probe_without_room",
            Self::WindowMovesLeft => "window_moves_left",
            Self::AnnouncesEveryByte => "announces_every_byte",
            Self::IgnoresCongestionWindow => "ignores_congestion_window",
            Self::InitialWindowTooLarge => "initial_window_too_large",
            Self::ReducesForEveryDuplicate => "reduces_for_every_duplicate",
            Self::KeepsItsWindowOnLoss => "keeps_its_window_on_loss",
            Self::InflatesUnusedWindow => "inflates_unused_window",
            Self::FinOvertakesData => "fin_overtakes_data",
            Self::DeafAfterOwnFin => "deaf_after_own_fin",
            Self::ResetsOnClose => "resets_on_close",
            Self::TimeWaitNeverEnds => "time_wait_never_ends",
            Self::TimeWaitIsDeaf => "time_wait_is_deaf",
            Self::DelaysAcksForSeconds => "delays_acks_for_seconds",
            Self::KeepsTheWindowShut => "keeps_the_window_shut",
            Self::FinWithUnreadData => "fin_with_unread_data",
            Self::FinWait2NeverEnds => "fin_wait_2_never_ends",
            Self::AcceptsAnyReset => "accepts_any_reset",
            Self::AcceptsAnySyn => "accepts_any_syn",
            Self::ForgetsToWakeReaders => "forgets_to_wake_readers",
            Self::ForgetsToWakeWriters => "forgets_to_wake_writers",
        }
    }
}
