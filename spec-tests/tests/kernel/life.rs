//! What a case is: the settings of both stacks, and for each connection who opens it and what the two applications do, in
//! which order. It is the value that is generated, printed and shrunk; nothing here runs anything.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;

/// Whose application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// On our host.
    Ours,
    /// On the kernel's.
    Kernel,
}

/// What an application does next. None blocks but those that say "wait".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Hands over so many bytes, as far as there is room now.
    Write(u32),
    /// Takes up to so many bytes, as far as they have come.
    Read(u32),
    /// Waits for all that the peer's socket took, and takes it.
    Drain,
    /// Waits for something unread, and leaves it there.
    Await,
    /// Sends no more.
    Shutdown,
    /// Lets go, whatever is unread.
    Close,
    /// Ends it at once: `SO_LINGER` of zero, on the kernel's side.
    Abort,
    /// Waits so many milliseconds.
    Pause(u8),
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) opener: Side,
    pub(crate) ipv6: bool,
    /// Of the kernel's socket: `TCP_NODELAY`.
    pub(crate) no_delay: bool,
    /// Of the kernel's socket: `SO_RCVBUF` and `SO_SNDBUF`, bytes, if not its own choice.
    pub(crate) buffers: Option<u32>,
    /// In this order; what the other side does between two of them is between them in time.
    pub(crate) steps: Vec<(Side, Op)>,
}

/// What all connections of a case share.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Decides over the bytes, and over our secrets.
    pub(crate) seed: u64,
    /// Of the device, bytes.
    pub(crate) mtu: u32,
    /// What both stacks offer to receive in a segment, bytes, if not what fits the MTU.
    pub(crate) mss: Option<u16>,
    /// Of our connections, each direction, bytes.
    pub(crate) buffers: u32,
    /// Whether ours hold small segments back (RFC 9293 3.7.4).
    pub(crate) nagle: bool,
    /// Whether ours offer timestamps.
    pub(crate) timestamps: bool,
    /// Whether ours offer SACK.
    pub(crate) sack: bool,
    /// Whether ours offer window scaling.
    pub(crate) window_scaling: bool,
    /// How long our acknowledgements may wait, ms.
    pub(crate) delayed_ack: u8,
}

/// Some connections at once.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) settings: Settings,
    pub(crate) lives: Vec<Life>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.settings)?;
        for (at, life) in self.lives.iter().enumerate() {
            let Life { opener, ipv6, no_delay, buffers, steps } = life;
            let family = if *ipv6 { "IPv6" } else { "IPv4" };
            writeln!(
                f,
                "connection {at}: opener {opener:?}, {family}; kernel: no_delay {no_delay}, buffers {buffers:?}"
            )?;
            for (number, (side, op)) in steps.iter().enumerate() {
                writeln!(f, "  {number:>2} {:<6} {op:?}", format!("{side:?}"))?;
            }
        }
        Ok(())
    }
}

/// All cases.
pub(crate) fn cases() -> impl Strategy<Value = Case> {
    (settings(), vec(life(), 1..=CONNECTIONS_MAX)).prop_map(|(settings, lives)| Case { settings, lives })
}

fn settings() -> impl Strategy<Value = Settings> {
    let mtu = prop_oneof![6 => Just(1500_u32), 1 => Just(1280), 1 => Just(9000)];
    let mss = prop_oneof![6 => Just(None), 1 => Just(Some(536)), 1 => (88..1400_u16).prop_map(Some)];
    let buffers = prop_oneof![4 => Just(256 * 1024_u32), 1 => Just(4096), 1 => 4096..100_000_u32];
    let delayed_ack = prop_oneof![3 => Just(40_u8), 1 => Just(0)];
    // What is usual comes first: that is where shrinking goes.
    let usually = || prop::bool::weighted(0.2).prop_map(|unusual| !unusual);
    (any::<u64>().no_shrink(), mtu, mss, buffers, [usually(), usually(), usually(), usually()], delayed_ack).prop_map(
        |(seed, mtu, mss, buffers, [nagle, timestamps, sack, window_scaling], delayed_ack)| Settings {
            seed,
            mtu,
            mss,
            buffers,
            nagle,
            timestamps,
            sack,
            window_scaling,
            delayed_ack,
        },
    )
}

fn life() -> impl Strategy<Value = Life> {
    // The kernel raises what is below its least, which differs by version; it doubles what it is given.
    let buffers = prop_oneof![4 => Just(None), 1 => Just(Some(1)), 1 => (2000..20_000_u32).prop_map(Some)];
    (side(), any::<bool>(), any::<bool>(), buffers, vec((side(), op()), 0..STEPS_MAX))
        .prop_map(|(opener, ipv6, no_delay, buffers, steps)| Life { opener, ipv6, no_delay, buffers, steps })
}

fn side() -> impl Strategy<Value = Side> + Clone {
    prop_oneof![Just(Side::Ours), Just(Side::Kernel)]
}

fn op() -> impl Strategy<Value = Op> {
    // The longer ones outlast the timers of ours that ask after a shut window.
    let pause = prop_oneof![4 => 1..=5_u8, 1 => 60..=150_u8];
    let bytes = || prop_oneof![2 => 1..20_u32, 4 => 1..4000_u32, 2 => 1..WRITE_BYTES_MAX];
    prop_oneof![
        6 => bytes().prop_map(Op::Write),
        3 => bytes().prop_map(Op::Read),
        3 => Just(Op::Drain),
        2 => Just(Op::Await),
        2 => pause.prop_map(Op::Pause),
        1 => Just(Op::Shutdown),
        1 => Just(Op::Close),
        1 => Just(Op::Abort),
    ]
}

const CONNECTIONS_MAX: usize = 3;
const STEPS_MAX: usize = 16;
/// Beyond all buffers, so that writes end for want of room.
const WRITE_BYTES_MAX: u32 = 400_000;
