//! What RUDP looks like inside a UDP datagram: a fixed header, then frames (in the manner of RFC 9000 12.4) to its end.
//! Everything off the wire is checked here, once; the frames of a datagram that passed [`parse`] cannot be malformed.
//!
//! ```text
//!  0       1         2                      10                    18
//!  | magic | version | receiver's conn. id  | packet number       | frames...
//!
//!  0 PING                             1 ACK number:8 delay_us:4 upto:8 window:8 ranges:1 (start:4 bytes:4)*ranges
//!  2 OPEN cid:8 window:8              3 ACCEPT cid:8 window:8
//!  4 CHALLENGE token:8                5 RESPONSE token:8
//!  6 RESET                            7 STREAM offset:8 data...    8 STREAM with the end of the stream behind the data
//! ```
//! All numbers are big-endian. A STREAM frame fills the datagram, so its data needs no length. ACK reports the stream by
//! offsets, so that a range sent twice needs no two names; its ranges count from `upto`. Packet numbers are never used
//! twice: they tell how old a datagram is, which decides on where the peer is now.

use std::ops::Range;

use arrayvec::ArrayVec;
use burstlane::net::DropReason;

/// What every datagram begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Connection id of the receiver; 0 while the sender does not know it.
    pub(crate) cid: u64,
    /// Never used twice by a sender.
    pub(crate) number: u64,
    /// The OPEN frame, which is the first one of a datagram if there is one.
    pub(crate) open: Option<Hello>,
    /// Whether the receiver is to acknowledge it.
    pub(crate) eliciting: bool,
}

/// What each side says at first: its connection id, and how much it takes before it says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) cid: u64,
    pub(crate) window: u64,
}

impl Hello {
    fn is_sound(&self) -> bool {
        self.cid != 0 && self.window < NUMBERS_MAX
    }
}

/// One frame. `Stream` has `data` at the end of the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Ping,
    Ack(Ack<'a>),
    Open(Hello),
    Accept(Hello),
    Challenge(u64),
    Response(u64),
    Reset,
    Stream { offset: u64, data: &'a [u8], end: bool },
}

/// What was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ack<'a> {
    /// The highest packet number that arrived.
    pub(crate) number: u64,
    /// How long the oldest news in it waited to be told.
    pub(crate) delay_us: u32,
    /// The stream arrived up to here.
    pub(crate) upto: u64,
    /// The stream may be sent up to here.
    pub(crate) window: u64,
    spans: &'a [u8],
}

impl Ack<'_> {
    /// What else of the stream arrived.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.spans.as_chunks::<8>().0.iter().map(|span| {
            let span = u64::from_be_bytes(*span);
            let start = self.upto.saturating_add(span >> 32);
            start..start.saturating_add(span & u64::from(u32::MAX))
        })
    }

    fn is_sound(&self) -> bool {
        self.number < NUMBERS_MAX && self.upto < NUMBERS_MAX && self.window < NUMBERS_MAX
    }
}

/// Reads and checks a whole datagram.
pub(crate) fn parse(datagram: &[u8]) -> Result<Header, DropReason> {
    let mut rest = datagram;
    let head = (u8_of(&mut rest), u8_of(&mut rest), u64_of(&mut rest), u64_of(&mut rest));
    let (Some(magic), Some(version), Some(cid), Some(number)) = head else { return Err(SHORT) };
    if magic != MAGIC {
        return Err(FOREIGN);
    }
    if version != VERSION {
        return Err(WRONG_VERSION);
    }
    if number >= NUMBERS_MAX || rest.is_empty() {
        return Err(MALFORMED);
    }
    let mut header = Header { cid, number, open: None, eliciting: false };
    let mut first = true;
    while !rest.is_empty() {
        let frame = frame_of(&mut rest).ok_or(MALFORMED)?;
        match frame {
            Frame::Open(hello) if first && hello.is_sound() => header.open = Some(hello),
            Frame::Open(_) => return Err(MALFORMED),
            Frame::Accept(hello) if !hello.is_sound() => return Err(MALFORMED),
            Frame::Ack(ack) if !ack.is_sound() => return Err(MALFORMED),
            Frame::Stream { offset, data, .. } if offset.saturating_add(data.len() as u64) >= NUMBERS_MAX => {
                return Err(MALFORMED);
            }
            _ => {}
        }
        header.eliciting |= !matches!(frame, Frame::Ack(_) | Frame::Accept(_) | Frame::Reset);
        first = false;
    }
    if cid == 0 && header.open.is_none() {
        return Err(MALFORMED);
    }
    Ok(header)
}

/// The frames behind the header of a datagram that [`parse`] accepted.
pub(crate) fn frames(mut rest: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || frame_of(&mut rest))
}

/// Whose datagram an ICMP error quotes, if it quotes that much: one to the peer's connection id, or the first ones of our
/// own, which name none of the peer's yet.
pub(crate) enum Quoted {
    To(u64),
    OpenBy(u64),
}

pub(crate) fn quoted(mut quote: &[u8]) -> Option<Quoted> {
    let (MAGIC, VERSION) = (u8_of(&mut quote)?, u8_of(&mut quote)?) else { return None };
    match u64_of(&mut quote)? {
        0 => {
            u64_of(&mut quote)?;
            let Frame::Open(hello) = frame_of(&mut quote)? else { return None };
            Some(Quoted::OpenBy(hello.cid))
        }
        cid => Some(Quoted::To(cid)),
    }
}

fn frame_of<'a>(rest: &mut &'a [u8]) -> Option<Frame<'a>> {
    Some(match u8_of(rest)? {
        0 => Frame::Ping,
        1 => {
            let (number, delay_us, upto, window) = (u64_of(rest)?, u32_of(rest)?, u64_of(rest)?, u64_of(rest)?);
            let ranges = u8_of(rest)?;
            let spans = take(rest, usize::from(ranges).saturating_mul(8))?;
            Frame::Ack(Ack { number, delay_us, upto, window, spans })
        }
        2 => Frame::Open(Hello { cid: u64_of(rest)?, window: u64_of(rest)? }),
        3 => Frame::Accept(Hello { cid: u64_of(rest)?, window: u64_of(rest)? }),
        4 => Frame::Challenge(u64_of(rest)?),
        5 => Frame::Response(u64_of(rest)?),
        6 => Frame::Reset,
        kind @ 7..=8 => Frame::Stream { offset: u64_of(rest)?, data: std::mem::take(rest), end: kind == 8 },
        _ => return None,
    })
}

/// Everything of a datagram in front of its stream data.
#[derive(Clone)]
pub(crate) struct Builder(ArrayVec<u8, PREFIX_BYTES_MAX>);

impl Builder {
    pub(crate) fn new(cid: u64, number: u64) -> Self {
        let mut builder = Self(ArrayVec::new());
        builder.put(&[MAGIC, VERSION]);
        builder.put(&cid.to_be_bytes());
        builder.put(&number.to_be_bytes());
        builder
    }

    pub(crate) fn frame(&mut self, frame: &Frame<'_>) {
        match *frame {
            Frame::Ping => self.put(&[0]),
            Frame::Ack(_) => {} // see `ack`
            Frame::Open(hello) | Frame::Accept(hello) => {
                self.number(if matches!(frame, Frame::Open(_)) { 2 } else { 3 }, hello.cid);
                self.put(&hello.window.to_be_bytes());
            }
            Frame::Challenge(token) => self.number(4, token),
            Frame::Response(token) => self.number(5, token),
            Frame::Reset => self.put(&[6]),
            Frame::Stream { offset, end, .. } => self.number(7 + u8::from(end), offset),
        }
    }

    /// An ACK frame, with as many of `ranges` as it takes.
    pub(crate) fn ack(
        &mut self,
        number: u64,
        delay_us: u32,
        upto: u64,
        window: u64,
        ranges: impl Iterator<Item = Range<u64>>,
    ) {
        self.number(1, number);
        self.put(&delay_us.to_be_bytes());
        self.put(&upto.to_be_bytes());
        self.put(&window.to_be_bytes());
        let spans: ArrayVec<[u8; 8], RANGES_MAX> = ranges
            .take(RANGES_MAX)
            .filter_map(|range| {
                let start = u32::try_from(range.start.checked_sub(upto)?).ok()?;
                let bytes = u32::try_from(range.end.checked_sub(range.start)?).ok()?;
                Some((u64::from(start) << 32 | u64::from(bytes)).to_be_bytes())
            })
            .collect();
        self.put(&[spans.len() as u8]);
        self.put(spans.as_flattened());
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn number(&mut self, kind: u8, value: u64) {
        self.put(&[kind]);
        self.put(&value.to_be_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        let fits = self.0.try_extend_from_slice(bytes).is_ok();
        debug_assert!(fits, "PREFIX_BYTES_MAX is the sum of all frames, each at most once");
    }
}

/// Renumbers a copy of a built prefix, whose last frame is STREAM: the next datagram of a cut train.
pub(crate) fn renumber(prefix: &mut [u8], number: u64, offset: u64, end: bool) {
    if let Some(field) = prefix.get_mut(NUMBER_AT..HEADER_BYTES) {
        field.copy_from_slice(&number.to_be_bytes());
    }
    if let Some((kind, field)) = prefix.last_chunk_mut::<9>().and_then(|frame| frame.split_first_mut()) {
        *kind = 7 + u8::from(end);
        field.copy_from_slice(&offset.to_be_bytes());
    }
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(bytes)?;
    *rest = left;
    Some(taken)
}

fn u8_of(rest: &mut &[u8]) -> Option<u8> {
    take(rest, 1)?.first().copied()
}

fn u32_of(rest: &mut &[u8]) -> Option<u32> {
    take(rest, 4)?.try_into().ok().map(u32::from_be_bytes)
}

fn u64_of(rest: &mut &[u8]) -> Option<u64> {
    take(rest, 8)?.try_into().ok().map(u64::from_be_bytes)
}

/// Bytes in front of the frames.
pub(crate) const HEADER_BYTES: usize = 18;
/// Most bytes in front of stream data: the header, and one of each frame that can precede it.
pub(crate) const PREFIX_BYTES_MAX: usize = HEADER_BYTES + 30 + 8 * RANGES_MAX + 17 + 9 + 9 + 9 + 1;
/// Ranges in an ACK frame that we send.
pub(crate) const RANGES_MAX: usize = 32;
/// Bound of packet numbers and of stream offsets: sums of two never overflow.
pub(crate) const NUMBERS_MAX: u64 = 1 << 62;
const NUMBER_AT: usize = 10;
const MAGIC: u8 = 0xb5;
const VERSION: u8 = 1;

const SHORT: DropReason = DropReason("rudp: shorter than its header");
const FOREIGN: DropReason = DropReason("rudp: not this protocol");
const WRONG_VERSION: DropReason = DropReason("rudp: unknown version");
const MALFORMED: DropReason = DropReason("rudp: malformed frames");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn built(frames: &[Frame<'_>]) -> Vec<u8> {
        let mut builder = Builder::new(7, 9);
        frames.iter().for_each(|frame| builder.frame(frame));
        builder.bytes().to_vec()
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_dropped(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), ours: bool) {
            if ours && bytes.len() > 2 {
                bytes[0] = MAGIC;
                bytes[1] = VERSION;
            }
            if parse(&bytes).is_ok() {
                let used: usize = frames(&bytes[HEADER_BYTES..]).count();
                prop_assert!(used > 0);
            }
        }

        #[test]
        fn acknowledged_ranges_survive_the_wire(
            upto in 0..NUMBERS_MAX,
            runs in proptest::collection::vec((1u64..500, 1u64..500), 0..60),
        ) {
            let mut at = upto;
            let ranges: Vec<Range<u64>> = runs
                .into_iter()
                .map(|(gap, bytes)| {
                    at += gap + bytes;
                    at - bytes..at
                })
                .collect();
            let mut builder = Builder::new(1, 2);
            builder.ack(3, 5, upto, 6, ranges.iter().cloned());
            prop_assert!(!parse(builder.bytes()).unwrap().eliciting);
            let Some(Frame::Ack(ack)) = frames(&builder.bytes()[HEADER_BYTES..]).next() else { panic!("no ACK") };
            prop_assert!(ack.ranges().eq(ranges.into_iter().take(RANGES_MAX)));
            prop_assert_eq!((ack.number, ack.delay_us, ack.upto, ack.window), (3, 5, upto, 6));
        }
    }

    #[test]
    fn frames_survive_the_wire_and_renumbering() {
        let list = [
            Frame::Open(Hello { cid: 3, window: 4 }),
            Frame::Challenge(5),
            Frame::Response(6),
            Frame::Ping,
            Frame::Stream { offset: 11, data: b"", end: false },
        ];
        let mut bytes = built(&list);
        assert_eq!(frames(&bytes[HEADER_BYTES..]).collect::<Vec<_>>(), list);
        renumber(&mut bytes, 10, 12, true);
        bytes.extend_from_slice(b"xyz");
        let header = parse(&bytes).unwrap();
        let open = Some(Hello { cid: 3, window: 4 });
        assert_eq!(header, Header { cid: 7, number: 10, open, eliciting: true });
        let last = frames(&bytes[HEADER_BYTES..]).last();
        assert_eq!(last, Some(Frame::Stream { offset: 12, data: b"xyz", end: true }));
        assert!(matches!(quoted(&bytes[..12]), Some(Quoted::To(7))));
    }

    #[test]
    fn what_is_wrong_has_a_name() {
        let sound = built(&[Frame::Ping]);
        let with = |at: usize, byte: u8| {
            let mut bytes = sound.clone();
            bytes[at] = byte;
            parse(&bytes).unwrap_err()
        };
        assert_eq!(parse(&sound[..17]).unwrap_err(), SHORT);
        assert_eq!(parse(&sound[..18]).unwrap_err(), MALFORMED);
        assert_eq!((with(0, 0), with(1, 9), with(18, 99)), (FOREIGN, WRONG_VERSION, MALFORMED));
        assert_eq!(parse(&built(&[Frame::Ping, Frame::Open(Hello { cid: 1, window: 1 })])), Err(MALFORMED));
        assert_eq!(parse(&built(&[Frame::Stream { offset: NUMBERS_MAX, data: b"", end: false }])), Err(MALFORMED));
    }
}
