//! TCP segments in scripts, for any implementation of TCP. Sequence numbers are relative: each end's SYN has 0, whatever
//! stands on the wire, also behind the wrap.

use std::fmt;
use std::time::Duration;

use burstlane::socket::Listener;
use burstlane::transport::Transport;

use super::{Packet, Script};
use crate::face::{Face, Handle};
use crate::oracle::segment::{PSH, URG, WireHeader, letters};
use crate::packets::{ACK, FIN, RST, SYN};

/// A segment. What is not said has, when sent, its usual value: the next numbers, a window of [`WINDOW`] bytes, no option.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The control bits but PSH.
    pub flags: Option<u8>,
    /// The PSH bit.
    pub push: Option<bool>,
    /// SEG.SEQ.
    pub seq: Option<i32>,
    /// SEG.ACK.
    pub ack: Option<i32>,
    /// SEG.UP, with the URG bit.
    pub urgent: Option<u16>,
    /// SEG.WND as it stands in the header.
    pub window: Option<u16>,
    /// The text.
    pub payload: Option<Vec<u8>>,
    /// Bytes of text, where it does not matter which.
    pub len: Option<usize>,
    /// The option of RFC 9293 3.2.
    pub mss: Option<u16>,
    /// RFC 7323 2, a shift.
    pub window_scale: Option<u8>,
    /// RFC 2018 2.
    pub sack_permitted: Option<bool>,
    /// RFC 7323 3: TSval, TSecr.
    pub timestamps: Option<(u32, u32)>,
    /// RFC 2018 3: the blocks in order.
    pub sack: Option<Vec<(i32, i32)>>,
    /// More options, as bytes, behind the others; only to be sent.
    pub other_options: Vec<u8>,
}

/// A SYN.
#[must_use]
pub fn syn() -> Segment {
    segment(SYN)
}

/// The answer to a SYN.
#[must_use]
pub fn syn_ack() -> Segment {
    segment(SYN | ACK)
}

/// An acknowledgement up to `ack`.
#[must_use]
pub fn ack(ack: i32) -> Segment {
    segment(ACK).ack(ack)
}

/// Text from `seq` on, with an ACK.
#[must_use]
pub fn data(seq: i32, payload: impl Into<Vec<u8>>) -> Segment {
    segment(ACK).seq(seq).payload(payload)
}

/// `len` bytes of text from `seq` on, with an ACK. Which bytes does not matter; sent, each is its own number's.
#[must_use]
pub fn text(seq: i32, len: usize) -> Segment {
    Segment { len: Some(len), ..segment(ACK).seq(seq) }
}

/// The end of the peer's, or the host's, text, with an ACK.
#[must_use]
pub fn fin(seq: i32) -> Segment {
    segment(FIN | ACK).seq(seq)
}

/// A reset.
#[must_use]
pub fn rst(seq: i32) -> Segment {
    segment(RST).seq(seq)
}

/// A segment with these control bits and nothing else said.
#[must_use]
pub fn segment(flags: u8) -> Segment {
    Segment { flags: Some(flags), ..Segment::default() }
}

impl Segment {
    /// With these control bits as well.
    #[must_use]
    pub fn and(mut self, flags: u8) -> Self {
        self.flags = Some(self.flags.unwrap_or(0) | flags);
        self
    }

    /// With this SEG.SEQ.
    #[must_use]
    pub fn seq(self, seq: i32) -> Self {
        Self { seq: Some(seq), ..self }
    }

    /// With this SEG.ACK.
    #[must_use]
    pub fn ack(self, ack: i32) -> Self {
        Self { ack: Some(ack), ..self }
    }

    /// With the PSH bit, or expected to be without it.
    #[must_use]
    pub fn push(self, push: bool) -> Self {
        Self { push: Some(push), ..self }
    }

    /// With this window, not scaled.
    #[must_use]
    pub fn window(self, window: u16) -> Self {
        Self { window: Some(window), ..self }
    }

    /// With urgent data that ends so many bytes behind SEG.SEQ.
    #[must_use]
    pub fn urgent(self, pointer: u16) -> Self {
        Self { urgent: Some(pointer), ..self.and(URG) }
    }

    /// With this text.
    #[must_use]
    pub fn payload(self, payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: Some(payload.into()), ..self }
    }

    /// With so many bytes of text.
    #[must_use]
    pub fn len(self, len: usize) -> Self {
        Self { len: Some(len), ..self }
    }

    /// Offering to receive segments of `mss` bytes.
    #[must_use]
    pub fn mss(self, mss: u16) -> Self {
        Self { mss: Some(mss), ..self }
    }

    /// Offering to shift windows.
    #[must_use]
    pub fn window_scale(self, shift: u8) -> Self {
        Self { window_scale: Some(shift), ..self }
    }

    /// Offering to take SACKs, or expected not to.
    #[must_use]
    pub fn sack_permitted(self, permitted: bool) -> Self {
        Self { sack_permitted: Some(permitted), ..self }
    }

    /// With these timestamps.
    #[must_use]
    pub fn timestamps(self, value: u32, echo: u32) -> Self {
        Self { timestamps: Some((value, echo)), ..self }
    }

    /// With these SACK blocks, in this order.
    #[must_use]
    pub fn sack(self, blocks: &[(i32, i32)]) -> Self {
        Self { sack: Some(blocks.to_vec()), ..self }
    }

    /// With these bytes among its options.
    #[must_use]
    pub fn other_options(self, bytes: &[u8]) -> Self {
        Self { other_options: bytes.to_vec(), ..self }
    }

    /// Whether all of these control bits are said to be set.
    #[must_use]
    pub fn has(&self, flags: u8) -> bool {
        self.flags.is_some_and(|set| set & flags == flags)
    }

    /// Bytes of text.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payload.as_ref().map_or(self.len.unwrap_or(0), Vec::len)
    }

    /// SEG.LEN: SYN and FIN count (RFC 9293 3.4).
    #[must_use]
    pub fn segment_len(&self) -> i32 {
        self.payload_bytes() as i32 + i32::from(self.has(SYN)) + i32::from(self.has(FIN))
    }

    fn text(&self, seq: i32) -> Vec<u8> {
        let numbered = || (0..self.payload_bytes() as i32).map(|at| (seq + at) as u8).collect();
        self.payload.clone().unwrap_or_else(numbered)
    }

    fn option_bytes(&self, ends: &Ends) -> Vec<u8> {
        let mut bytes = vec![];
        if let Some(mss) = self.mss {
            bytes.extend([2, 4]);
            bytes.extend(mss.to_be_bytes());
        }
        if let Some(shift) = self.window_scale {
            bytes.extend([1, 3, 3, shift]);
        }
        if self.sack_permitted == Some(true) {
            bytes.extend([1, 1, 4, 2]);
        }
        if let Some((value, echo)) = self.timestamps {
            bytes.extend([1, 1, 8, 10]);
            bytes.extend([value, echo].iter().flat_map(|field| field.to_be_bytes()));
        }
        if let Some(blocks) = self.sack.as_ref().filter(|blocks| !blocks.is_empty()) {
            bytes.extend([1, 1, 5, 2 + 8 * blocks.len() as u8]);
            let edges = blocks.iter().flat_map(|(left, right)| [left, right]);
            bytes.extend(edges.flat_map(|edge| ends.host_isn.wrapping_add(*edge as u32).to_be_bytes()));
        }
        bytes.extend(&self.other_options);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        assert!(bytes.len() <= OPTION_BYTES_MAX, "{} bytes of options are too many", bytes.len());
        bytes
    }
}

/// Both ends of a scripted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The host's port and the peer's.
    pub ports: [u16; 2],
    /// The peer's initial sequence number, as the script likes it.
    pub peer_isn: u32,
    /// The host's, learned from its SYN.
    pub host_isn: u32,
    /// The number behind all that the peer sent.
    pub peer_next: i32,
    /// The number behind all that the host sent.
    pub host_next: i32,
}

impl Ends {
    /// A peer whose SYN has this number on the wire.
    #[must_use]
    pub const fn new(peer_isn: u32) -> Self {
        Self { ports: [80, 5000], peer_isn, host_isn: 0, peer_next: 0, host_next: 0 }
    }
}

impl Packet for Segment {
    type Ends = Ends;
    const PROTOCOL: u8 = 6;
    const CHECKSUM_FIELD: usize = 16;

    fn write(&self, ends: &mut Ends) -> Vec<u8> {
        let flags = self.flags.unwrap_or(ACK) | if self.push == Some(true) { PSH } else { 0 };
        if flags & SYN != 0 && self.seq.is_none() {
            ends.peer_next = 0;
        }
        let seq = self.seq.unwrap_or(ends.peer_next);
        let ack = if flags & ACK == 0 { 0 } else { self.ack.unwrap_or(ends.host_next) };
        let ack_on_wire = if flags & ACK == 0 { 0 } else { ends.host_isn.wrapping_add(ack as u32) };
        let options = self.option_bytes(ends);
        let mut bytes: Vec<u8> = [ends.ports[1], ends.ports[0]].iter().flat_map(|port| port.to_be_bytes()).collect();
        bytes.extend(ends.peer_isn.wrapping_add(seq as u32).to_be_bytes());
        bytes.extend(ack_on_wire.to_be_bytes());
        bytes.extend([(5 + options.len() as u8 / 4) << 4, flags]);
        bytes.extend(self.window.unwrap_or(WINDOW).to_be_bytes());
        bytes.extend([0; 2]);
        bytes.extend(self.urgent.unwrap_or(0).to_be_bytes());
        bytes.extend(options);
        bytes.extend(self.text(seq));
        if flags & RST == 0 {
            ends.peer_next = ends.peer_next.max(seq + self.segment_len());
        }
        bytes
    }

    fn read(bytes: &[u8], ends: &mut Ends) -> Option<Self> {
        let header = WireHeader::read(bytes)?;
        if header.ports != ends.ports {
            return None;
        }
        if header.has(SYN) {
            (ends.host_isn, ends.host_next) = (header.seq, 0);
        }
        let payload = bytes.get(header.header_bytes..)?.to_vec();
        let seq = header.seq.wrapping_sub(ends.host_isn) as i32;
        if !header.has(RST) {
            ends.host_next = ends.host_next.max(seq + header.segment_len(payload.len()) as i32);
        }
        let relative = |number: u32| number.wrapping_sub(ends.peer_isn) as i32;
        Some(Self {
            flags: Some(header.flags & !PSH),
            push: Some(header.has(PSH)),
            seq: Some(seq),
            ack: header.has(ACK).then(|| relative(header.ack)),
            urgent: Some(header.urgent),
            window: Some(header.window),
            len: Some(payload.len()),
            payload: Some(payload),
            mss: header.options.mss,
            window_scale: header.options.window_scale,
            sack_permitted: Some(header.options.sack_permitted),
            timestamps: header.options.timestamps,
            sack: Some(header.options.sack().iter().map(|&(left, right)| (relative(left), relative(right))).collect()),
            other_options: vec![],
        })
    }

    fn differences(&self, came: &Self) -> Vec<&'static str> {
        fn differ<F: PartialEq>(expected: &Option<F>, came: &Option<F>) -> bool {
            expected.is_some() && expected != came
        }
        let fields = [
            ("flags", differ(&self.flags, &came.flags)),
            ("push", differ(&self.push, &came.push)),
            ("seq", differ(&self.seq, &came.seq)),
            ("ack", differ(&self.ack, &came.ack)),
            ("urgent", differ(&self.urgent, &came.urgent)),
            ("window", differ(&self.window, &came.window)),
            ("payload", differ(&self.payload, &came.payload)),
            ("length", differ(&self.len, &came.len)),
            ("mss", differ(&self.mss, &came.mss)),
            ("window scale", differ(&self.window_scale, &came.window_scale)),
            ("sack permitted", differ(&self.sack_permitted, &came.sack_permitted)),
            ("timestamps", differ(&self.timestamps, &came.timestamps)),
            ("sack", differ(&self.sack, &came.sack)),
        ];
        fields.into_iter().filter(|(_, differ)| *differ).map(|(name, _)| name).collect()
    }

    fn ports(ends: &Ends) -> [u16; 2] {
        ends.ports
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let push = if self.push == Some(true) { PSH } else { 0 };
        f.write_str(&self.flags.map_or("[?]".into(), |flags| letters(flags | push)))?;
        let mut field = |name: &str, value: Option<String>| value.map_or(Ok(()), |value| write!(f, " {name} {value}"));
        field("seq", self.seq.map(|seq| seq.to_string()))?;
        field("ack", self.ack.map(|ack| ack.to_string()))?;
        field("up", self.urgent.filter(|pointer| *pointer != 0).map(|pointer| pointer.to_string()))?;
        field("win", self.window.map(|window| window.to_string()))?;
        field("len", self.payload.as_ref().map(Vec::len).or(self.len).map(|len| len.to_string()))?;
        field("mss", self.mss.map(|mss| mss.to_string()))?;
        field("wscale", self.window_scale.map(|shift| shift.to_string()))?;
        field("sackOK", self.sack_permitted.filter(|permitted| *permitted).map(|_| String::new()))?;
        field("TS", self.timestamps.map(|(value, echo)| format!("{value} {echo}")))?;
        for (left, right) in self.sack.iter().flatten() {
            write!(f, " sack {left}:{right}")?;
        }
        Ok(())
    }
}

/// A script about TCP.
pub type TcpScript<T> = Script<T, Segment>;

/// Where the numbers of a scripted connection begin: far from the wrap, and so close before it that data crosses it.
pub const ISNS: [u32; 2] = [0x1000, 0xffff_ff80];

impl<T: Transport<Io: Face>> TcpScript<T> {
    /// A script in which both ends' initial numbers are `isn`.
    ///
    /// # Panics
    /// If the host's number does not follow the clock.
    #[must_use]
    pub fn at_isn(isn: u32, config: T::Config) -> Self {
        let start = Self::start_for_isn(isn, &config);
        Self::starting_at(start, config, Ends::new(isn))
    }

    /// The time at which a script must begin so that the host's initial number is `isn`: it is a clock's plus a secret of
    /// the pair of ends (RFC 9293 3.4.1), and every script has the same secret.
    ///
    /// # Panics
    /// If the host's number does not follow the clock.
    #[must_use]
    pub fn start_for_isn(isn: u32, config: &T::Config) -> Duration {
        let isn_at = |start| {
            let mut script = Self::starting_at(start, config.clone(), Ends::new(isn));
            let _listener = script.listen(1);
            script.peer(syn());
            script.expect(syn_ack());
            script.ends.host_isn
        };
        let start = ISN_TICK * isn.wrapping_sub(isn_at(Duration::ZERO));
        assert_eq!(isn_at(start), isn, "the initial sequence number does not follow the clock");
        start
    }

    /// The peer opens with `offer`, a SYN, and the handshake is done. Its window stays the same, and is not scaled.
    ///
    /// # Panics
    /// If the host does otherwise.
    #[track_caller]
    pub fn accepted(&mut self, offer: Segment) -> (Handle<T>, Listener<T>) {
        let listener = self.listen(8);
        let (stamped, window) = (offer.timestamps, offer.window);
        self.peer(offer);
        let answer = self.expect(syn_ack().seq(0).ack(1));
        let mut third = Segment { window, ..ack(1) };
        third.timestamps = stamped.zip(answer.timestamps).map(|(ours, theirs)| (ours.0, theirs.0));
        self.peer(third);
        self.nothing_more();
        let Some(handle) = self.accept(&listener) else { self.fail("nothing to accept") };
        (handle, listener)
    }

    /// The host opens, and the peer answers with `offer`, a SYN-ACK.
    ///
    /// # Panics
    /// If the host does otherwise.
    #[track_caller]
    pub fn connected(&mut self, offer: Segment) -> Handle<T> {
        let handle = self.connect();
        self.expect(syn().seq(0));
        self.peer(offer);
        self.expect(ack(1).seq(1).len(0));
        handle
    }
}

/// The peer's window where none is said.
pub const WINDOW: u16 = 60_000;
/// RFC 9293 3.4.1: the initial sequence number's clock.
const ISN_TICK: Duration = Duration::from_micros(4);
const OPTION_BYTES_MAX: usize = 40;
