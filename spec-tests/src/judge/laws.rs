//! The laws: what holds of any transport that promises it, whatever the network does. A run breaks at most one, the first.

use std::fmt;

/// A law, by the name under which a report, a file and a test know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Law {
    /// What an application receives is what the other one sent: in order, once, unchanged (datagrams: whole, known ones).
    RightBytes,
    /// Datagrams are lost only to what struck packets: no more of them than packets were struck.
    NeedlessLoss,
    /// Nothing is received behind the peer's end.
    NothingBehindTheEnd,
    /// The peer's end is seen only by who has received everything before it.
    HonestEnd,
    /// Once faults stop, all that was accepted arrives and both ends finish, within a time that the back-off explains. Who waits
    /// to be told that there is something to read is told in the turn in which it is there.
    Progress,
    /// Nobody's flow fails while no application aborts and no silence outlasts the transport's patience.
    NoFalseAlarm,
    /// A peer that falls silent for ever becomes an error in time.
    SilenceEnds,
    /// To a silent peer a host repeats itself less and less often.
    Patience,
    /// Packets are bounded by what there is to say and by what went wrong.
    Frugality,
    /// Buffers stay within their bound, whatever the order of arrival and however slow the reader.
    BoundedMemory,
    /// What arrives in order is acknowledged within the time that is promised, without being sent again (RFC 9293 3.8.6.3).
    PromptAcknowledgements,
    /// A window that was used up is opened by reading, not by being asked after (RFC 9293 3.8.6.2.2).
    WindowReopens,
    /// When all is said and few packets were lost, both hosts fall silent soon: nobody goes on asking who does not answer.
    SoonSilent,
    /// Who lets go of a flow before it has read all that came of it does not leave the peer in the belief that all was read
    /// (RFC 9293 3.10.4, RFC 2525 2.17).
    UnreadIsTold,
    /// Nothing is taken for acknowledged that has not arrived.
    TrueAcknowledgements,
    /// A measured round trip is one that a packet and its answer made.
    TrueRoundTrips,
    /// The first flight stays within the initial window, and a probe after it.
    InitialWindow,
    /// The congestion window is reduced once for each window of data that lost something, and for a repetition that was lost
    /// too (RFC 5681 4.3): never three times within a round trip.
    OneReduction,
    /// What is lost makes the congestion window smaller (RFC 5681 3).
    LossIsAnswered,
    /// A congestion window that is not used does not grow: never beyond what twice the largest flight explains (RFC 7661).
    NoHollowWindow,
    /// Nothing is sent beyond what the receiver said it would take, and what it said once it does not take back.
    CreditIsKept,
    /// Receivers give credit in steps that are worth a packet (RFC 9293 3.8.6.2.2).
    CreditIsWorthwhile,
    /// After everything is over nothing is left: no flow, remnant, buffer, frame, timer.
    Cleanliness,
    /// No host asks for turns without end.
    NoSpin,
    /// Nothing panics.
    NoPanic,
    /// The same scenario gives the same packets at the same instants.
    SameBytes,
    /// A damaged packet has the effect of a lost one.
    DamageIsLoss,
    /// A stranger's packets change nothing.
    StrangersArePowerless,
    /// A flood of openings leaves bounded memory, draws bounded answers, and lets a legitimate peer in.
    FloodsAreBounded,
    /// To an address that has not shown to be there goes at most three times what came from it (RFC 9000 8.1).
    NoAmplification,
    /// Flows over one bottleneck share it, and use it.
    Fairness,
    /// The rules of this one protocol, watched by its oracle.
    Protocol,
}

impl Law {
    /// Its name: `right_bytes`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RightBytes => "right_bytes",
            Self::NeedlessLoss => "needless_loss",
            Self::NothingBehindTheEnd => "nothing_behind_the_end",
            Self::HonestEnd => "honest_end",
            Self::Progress => "progress",
            Self::NoFalseAlarm => "no_false_alarm",
            Self::SilenceEnds => "silence_ends",
            Self::Patience => "patience",
            Self::Frugality => "frugality",
            Self::BoundedMemory => "bounded_memory",
            Self::PromptAcknowledgements => "prompt_acknowledgements",
            Self::WindowReopens => "window_reopens",
            Self::SoonSilent => "soon_silent",
            Self::UnreadIsTold => "unread_is_told",
            Self::TrueAcknowledgements => "true_acknowledgements",
            Self::TrueRoundTrips => "true_round_trips",
            Self::InitialWindow => "initial_window",
            Self::OneReduction => "one_reduction",
            Self::LossIsAnswered => "loss_is_answered",
            Self::NoHollowWindow => "no_hollow_window",
            Self::CreditIsKept => "credit_is_kept",
            Self::CreditIsWorthwhile => "credit_is_worthwhile",
            Self::Cleanliness => "cleanliness",
            Self::NoSpin => "no_spin",
            Self::NoPanic => "no_panic",
            Self::SameBytes => "same_bytes",
            Self::DamageIsLoss => "damage_is_loss",
            Self::StrangersArePowerless => "strangers_are_powerless",
            Self::FloodsAreBounded => "floods_are_bounded",
            Self::NoAmplification => "no_amplification",
            Self::Fairness => "fairness",
            Self::Protocol => "protocol",
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A law that a run broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The law.
    pub law: Law,
    /// What was seen, for a person: who, when, what instead of what.
    pub message: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.message)
    }
}
