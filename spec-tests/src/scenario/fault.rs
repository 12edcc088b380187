//! What can go wrong in a run: to one packet, for a while, or with a clock.

use std::fmt;

use burstlane::time::{Duration, Instant};

/// One of the two hosts. The left one opens flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The first host, 10.0.0.1.
    Left,
    /// The second host, 10.0.0.2.
    Right,
}

impl Side {
    /// Both, the left one first.
    pub const BOTH: [Self; 2] = [Self::Left, Self::Right];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    /// 0 or 1.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Left => "left",
            Self::Right => "right",
        })
    }
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// To one packet, on its way.
    Packet {
        /// Who sent it.
        from: Side,
        /// Its number among the packets that this side sends, from 0. Questions for neighbours do not count.
        number: u32,
        /// What happens.
        mishap: Mishap,
    },
    /// For a while.
    Spell {
        /// When.
        span: Span,
        /// What.
        trouble: Trouble,
    },
    /// A stranger, who knows addresses and ports and has seen no packet, sends one: what the other side would have sent in a
    /// run like this one with other secrets and no faults.
    Forged {
        /// To whom.
        to: Side,
        /// When, milliseconds from the start of the run.
        at_ms: u32,
        /// Which of the packets of that other run, modulo their number.
        number: u32,
    },
    /// Many strangers, who may not be where they say, open flows: each sends the first packet of such another run.
    Flood {
        /// To whom.
        to: Side,
        /// When, milliseconds from the start of the run.
        at_ms: u32,
        /// How many.
        packets: u32,
    },
    /// A network address translator on the left host's way forgets: from then on all that the left host sends comes from
    /// another port, and what is sent to the one before arrives nowhere.
    Rebind {
        /// When, milliseconds from the start of the run.
        at_ms: u32,
    },
    /// A host's clock runs fast or slow.
    Clock {
        /// Whose.
        side: Side,
        /// By how many millionths it is fast; below zero, slow.
        parts_per_million: i32,
    },
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It vanishes.
    Drop,
    /// It arrives so many times more (1 to 3), each so much later than the one before.
    Duplicate {
        /// Additional arrivals.
        copies: u8,
        /// Milliseconds between arrivals.
        apart_ms: u32,
    },
    /// It takes longer, so later ones may overtake it.
    Delay {
        /// Milliseconds.
        by_ms: u32,
    },
    /// One bit is flipped: this one, counted from the first bit behind the Ethernet header, modulo their number.
    Corrupt {
        /// The bit.
        bit: u32,
    },
    /// Only so many bytes behind the Ethernet header arrive, modulo their number.
    Truncate {
        /// Bytes.
        bytes: u32,
    },
    /// Somebody on the way makes one byte another, and puts the checksums right: this one, counted from behind the Ethernet
    /// header, modulo their number.
    Tamper {
        /// The byte.
        at: u32,
        /// What it becomes.
        value: u8,
    },
}

/// What is wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing that this side sends arrives; `None`: nothing at all does.
    Partition(Option<Side>),
    /// What this side sends vanishes without a word if it is larger than this, as in a path whose ICMP errors are filtered.
    BlackHole {
        /// Whose packets.
        from: Side,
        /// Largest IP packet that passes, bytes.
        mtu: u32,
    },
    /// This side's device neither takes nor gives frames.
    Stall(Side),
    /// This side's packet memory is used up by somebody else.
    Starve(Side),
}

/// A while, in milliseconds from the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its start.
    pub from_ms: u32,
    /// How long it is.
    pub ms: u32,
}

impl Span {
    /// When it is over, milliseconds from the start of the run.
    #[must_use]
    pub const fn to_ms(self) -> u32 {
        self.from_ms.saturating_add(self.ms)
    }

    /// Its first instant.
    #[must_use]
    pub fn starts_at(self) -> Instant {
        Instant::ZERO + Duration::from_millis(self.from_ms.into())
    }

    /// The instant when all is well again.
    #[must_use]
    pub fn ends_at(self) -> Instant {
        Instant::ZERO + Duration::from_millis(self.to_ms().into())
    }

    /// Whether `at` is in it.
    #[must_use]
    pub fn contains(self, at: Instant) -> bool {
        self.starts_at() <= at && at < self.ends_at()
    }
}
