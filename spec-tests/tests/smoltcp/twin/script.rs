//! What a raw peer and the application do: a readable list of steps, which is what proptest shrinks. Numbers are said
//! relative to what the host has sent and acknowledged, so that any list of steps hits the places that matter.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A conversation with a host.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// The host's application listens; otherwise it connects to the peer.
    pub(crate) is_passive: bool,
    /// The options of the peer's SYNs.
    pub(crate) offers: Offers,
    /// The peer's first number, and smoltcp's.
    pub(crate) peer_iss: u32,
    pub(crate) smol_iss: u32,
    /// The secrets of our lane.
    pub(crate) seed: u64,
    pub(crate) steps: Vec<Step>,
}

/// What the peer's SYNs offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offers {
    pub(crate) mss: Option<u16>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack: bool,
    pub(crate) timestamps: bool,
}

/// One step, after which both hosts are asked what they said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The peer sends a segment.
    Say(Say),
    /// The application writes so many bytes, if the connection is open.
    Write(u16),
    /// It reads all that is there.
    Read,
    /// It finishes.
    Finish,
    /// It aborts.
    Abort,
}

/// A segment of the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Say {
    pub(crate) flags: u8,
    pub(crate) seq: Seq,
    /// SEG.ACK relative to the end of what the host has sent. Counts with the ACK bit.
    pub(crate) ack: i32,
    pub(crate) bytes: u16,
    pub(crate) window: u16,
    pub(crate) stamp: Stamp,
}

/// A place for SEG.SEQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seq {
    /// Relative to what the host has acknowledged: RCV.NXT.
    Next(i32),
    /// Relative to the right edge of the window that it offered.
    Edge(i32),
}

/// What the timestamps option says, on a connection that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    Now,
    /// From before the connection.
    Old,
    Missing,
}

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;
pub(crate) const URG: u8 = 32;

impl Say {
    /// The next segment in order, which acknowledges everything.
    pub(crate) const fn next(flags: u8) -> Self {
        Self { flags, seq: Seq::Next(0), ack: 0, bytes: 0, window: WINDOW, stamp: Stamp::Now }
    }

    pub(crate) const fn at(self, seq: Seq) -> Self {
        Self { seq, ..self }
    }

    pub(crate) const fn acks(self, ack: i32) -> Self {
        Self { ack, ..self }
    }

    pub(crate) const fn carries(self, bytes: u16) -> Self {
        Self { bytes, ..self }
    }

    pub(crate) const fn offers(self, window: u16) -> Self {
        Self { window, ..self }
    }

    pub(crate) const fn stamped(self, stamp: Stamp) -> Self {
        Self { stamp, ..self }
    }
}

/// The peer sends the next segment in order, with these flags.
pub(crate) const fn say(flags: u8) -> Step {
    Step::Say(Say::next(flags))
}

impl Script {
    /// A conversation that first goes to a state.
    pub(crate) fn to(state: u8, is_passive: bool, more: &[Step]) -> Self {
        let offers = Offers { mss: Some(1460), window_scale: None, sack: true, timestamps: false };
        let steps = [way_to(state, is_passive), more.to_vec()].concat();
        Self { is_passive, offers, peer_iss: 5000, smol_iss: 1000, seed: 1, steps }
    }

    pub(crate) fn with_timestamps(mut self) -> Self {
        self.offers.timestamps = true;
        self
    }

    pub(crate) fn with_scale(mut self, shift: u8) -> Self {
        self.offers.window_scale = Some(shift);
        self
    }

    pub(crate) fn with_mss(mut self, mss: u16) -> Self {
        self.offers.mss = Some(mss);
        self
    }
}

/// The conversations that lead to each state of RFC 9293 3.3.2, and then anything.
pub(crate) fn script() -> impl Strategy<Value = Script> {
    // Half of them pass the turn of the number space.
    let near = || prop_oneof![any::<u32>(), (0..6000_u32).prop_map(|near| 0_u32.wrapping_sub(near))];
    (any::<bool>(), offers(), near(), near(), any::<u64>(), LISTEN..=TIME_WAIT, vec(step(), 1..8)).prop_map(
        |(is_passive, offers, peer_iss, smol_iss, seed, state, more)| {
            let mut steps = way_to(state, is_passive);
            steps.extend(more);
            Script { is_passive, offers, peer_iss, smol_iss, seed, steps }
        },
    )
}

fn offers() -> impl Strategy<Value = Offers> {
    let mss = prop_oneof![4 => Just(Some(1460)), 1 => Just(None), 1 => proptest::option::of(0..1500_u16)];
    let window_scale = prop_oneof![3 => Just(None), 1 => proptest::option::of(0..=16_u8)];
    (mss, window_scale, any::<bool>(), prop_oneof![3 => Just(false), 1 => Just(true)])
        .prop_map(|(mss, window_scale, sack, timestamps)| Offers { mss, window_scale, sack, timestamps })
}

/// Places that a conversation can go to first. Without a handshake, an active host is in SYN-SENT.
pub(crate) const LISTEN: u8 = 0;
pub(crate) const SYN_RECEIVED: u8 = 1;
pub(crate) const ESTABLISHED: u8 = 2;
/// With text outstanding.
const BUSY: u8 = 3;
pub(crate) const CLOSE_WAIT: u8 = 4;
pub(crate) const LAST_ACK: u8 = 5;
const FIN_WAIT_1: u8 = 6;
const FIN_WAIT_2: u8 = 7;
pub(crate) const CLOSING: u8 = 8;
pub(crate) const TIME_WAIT: u8 = 9;

/// The steps from the beginning to one of them.
fn way_to(state: u8, is_passive: bool) -> Vec<Step> {
    let handshake = if is_passive { vec![say(SYN), say(ACK)] } else { vec![say(SYN | ACK)] };
    let crossing = Step::Say(Say::next(FIN | ACK).acks(-1));
    let more = match state {
        LISTEN => return vec![],
        SYN_RECEIVED => return vec![say(SYN)],
        ESTABLISHED => vec![],
        BUSY => vec![Step::Write(2000)],
        CLOSE_WAIT => vec![say(FIN | ACK)],
        LAST_ACK => vec![say(FIN | ACK), Step::Finish],
        FIN_WAIT_1 => vec![Step::Finish],
        FIN_WAIT_2 => vec![Step::Finish, say(ACK)],
        CLOSING => vec![Step::Finish, crossing],
        _ => vec![Step::Finish, say(ACK), say(FIN | ACK)],
    };
    [handshake, more].concat()
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => any_say().prop_map(Step::Say),
        2 => prop_oneof![Just(1), 1..3000_u16].prop_map(Step::Write),
        2 => Just(Step::Read),
        1 => Just(Step::Finish),
        1 => Just(Step::Abort),
    ]
}

fn any_say() -> impl Strategy<Value = Say> {
    let flags = prop_oneof![
        6 => Just(ACK),
        2 => select(vec![PSH | ACK, URG | ACK]),
        3 => Just(FIN | ACK),
        2 => select(vec![RST, RST | ACK]),
        2 => select(vec![SYN, SYN | ACK]),
        1 => select(vec![0, FIN, SYN | FIN, SYN | RST, FIN | RST]),
    ];
    let seq = prop_oneof![
        6 => Just(Seq::Next(0)),
        3 => select(vec![-1, 1, -2, 2, 1460]).prop_map(Seq::Next),
        2 => (-3000..3000_i32).prop_map(Seq::Next),
        2 => select(vec![-1, 0, 1, -100]).prop_map(Seq::Edge),
        1 => any::<i32>().prop_map(Seq::Next),
    ];
    let ack = prop_oneof![
        6 => Just(0),
        2 => select(vec![-1, 1]),
        2 => -3000..3000_i32,
        1 => any::<i32>(),
    ];
    let bytes = prop_oneof![3 => Just(0), 2 => select(vec![1, 2, 100, 1460]), 1 => 0..1461_u16];
    let window = prop_oneof![4 => Just(WINDOW), 1 => Just(0), 1 => 0..2000_u16, 1 => Just(u16::MAX)];
    let stamp = prop_oneof![6 => Just(Stamp::Now), 1 => Just(Stamp::Old), 1 => Just(Stamp::Missing)];
    (flags, seq, ack, bytes, window, stamp).prop_map(|(flags, seq, ack, bytes, window, stamp)| Say {
        flags,
        seq,
        ack,
        bytes,
        window,
        stamp,
    })
}

/// What the peer offers, if it is not asked for something else.
pub(crate) const WINDOW: u16 = 30_000;
