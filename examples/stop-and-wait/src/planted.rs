//! Mistakes planted on purpose, so that what judges transports can be judged by finding them. It is no part of the
//! protocol: without the crate's feature all of this does nothing.

use crate::{Conn, Meta, StopAndWait};
#[cfg(feature = "planted-bugs")]
use crate::{Kind, PATIENCE, TRIES_MAX};
use burstlane::prelude::*;

/// What an application may choose: nothing. The feature adds a mistake.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    /// A mistake made on purpose.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<PlantedBug>,
}

/// A mistake of those who write their first protocol.
#[cfg(feature = "planted-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlantedBug {
    /// Whatever comes is held for the item that is due: a repetition is delivered twice.
    TakesAnyNumber,
    /// Numbers are compared by their last bit, as in the textbook's alternating bit: on a network that reorders, a late duplicate
    /// passes for the next item.
    AlternatesOneBit,
    /// What has come before is not acknowledged again: one lost acknowledgement stays lost.
    AcksNoRepetition,
    /// Any answer acknowledges the item under way, as in the protocol that gave the sorcerer's apprentice syndrome its name
    /// (RFC 1123 4.2.3.1).
    TakesAnyAck,
    /// When all is said, nobody answers any more: a peer whose last acknowledgement was lost waits in vain.
    DeafWhenOver,
    /// A reset means nothing.
    IgnoresReset,
    /// It repeats itself at an even pace (RFC 8085 3.1.3).
    NeverBacksOff,
    /// It repeats itself for ever.
    NeverGivesUp,
    /// Who waits for a message is not told that it came.
    ForgetsToWakeReaders,
}

#[cfg(feature = "planted-bugs")]
impl PlantedBug {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::TakesAnyNumber,
        Self::AlternatesOneBit,
        Self::AcksNoRepetition,
        Self::TakesAnyAck,
        Self::DeafWhenOver,
        Self::IgnoresReset,
        Self::NeverBacksOff,
        Self::NeverGivesUp,
        Self::ForgetsToWakeReaders,
    ];

    /// Its name: `takes_any_number`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TakesAnyNumber => "takes_any_number",
            Self::AlternatesOneBit => "alternates_one_bit",
            Self::AcksNoRepetition => "acks_no_repetition",
            Self::TakesAnyAck => "takes_any_ack",
            Self::DeafWhenOver => "deaf_when_over",
            Self::IgnoresReset => "ignores_reset",
            Self::NeverBacksOff => "never_backs_off",
            Self::NeverGivesUp => "never_gives_up",
            Self::ForgetsToWakeReaders => "forgets_to_wake_readers",
        }
    }
}

#[cfg(not(feature = "planted-bugs"))]
impl Config {
    /// A header as it is.
    pub(crate) const fn misread(&self, _: &Conn, _: &MessageIo, meta: Meta) -> Meta {
        meta
    }

    /// What the application is told.
    pub(crate) const fn mistold(&self, ready: Ready) -> Ready {
        ready
    }

    /// Nothing.
    pub(crate) const fn mistime(&self, _: &Context<'_, StopAndWait>, _: &Conn) {}
}

#[cfg(feature = "planted-bugs")]
impl Config {
    /// A header as the mistake takes it.
    pub(crate) fn misread(&self, conn: &Conn, io: &MessageIo, meta: Meta) -> Meta {
        let Meta(key, kind, number, expected) = meta;
        let is_item = !matches!(kind, Kind::Ack | Kind::Reset);
        let is_old = is_item && number != conn.expected;
        let due = Meta(key, kind, conn.expected, expected);
        let unheard = Meta(key, Kind::Ack, number, expected);
        match self.planted {
            Some(PlantedBug::TakesAnyNumber) if is_old => due,
            Some(PlantedBug::AlternatesOneBit) if is_old && (number ^ conn.expected) & 1 == 0 => due,
            Some(PlantedBug::AcksNoRepetition) if is_old => unheard,
            Some(PlantedBug::TakesAnyAck) => Meta(key, kind, number, conn.number.wrapping_add(1)),
            Some(PlantedBug::DeafWhenOver) if conn.finished && io.rx_finished => unheard,
            Some(PlantedBug::IgnoresReset) if kind == Kind::Reset => unheard,
            _ => meta,
        }
    }

    /// What the application is told of what came.
    pub(crate) fn mistold(&self, ready: Ready) -> Ready {
        if self.planted == Some(PlantedBug::ForgetsToWakeReaders) { Ready::NONE } else { ready }
    }

    /// An item left: when, and whether, it is repeated.
    pub(crate) fn mistime(&self, cx: &mut Context<'_, StopAndWait>, conn: &mut Conn) {
        match self.planted {
            Some(PlantedBug::NeverBacksOff) => cx.set_deadline(cx.now + PATIENCE),
            Some(PlantedBug::NeverGivesUp) => conn.tries = conn.tries.min(TRIES_MAX - 1),
            _ => {}
        }
    }
}
