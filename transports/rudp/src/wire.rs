//! What RUDP looks like inside a UDP datagram: a header, the parts that its flags name, stream data to the end. Everything
//! off the wire is checked here, once.
//!
//! ```text
//!  0       1         2                       10              18      19
//!  | magic | version | receiver's conn. id:8 | number:8      | flags | parts...
//!
//!  HELLO  conn. id:8 window:8        ACK  delay_us:4 upto:8 window:8 ranges:1 (start:4 bytes:4)*ranges
//!  CHALLENGE  token:8                RESPONSE  token:8
//!  STREAM  offset:8 data...          END, with STREAM: the stream ends behind the data     PING, RESET: nothing
//! ```
//! All numbers are big-endian, the parts in this order. ACK reports the stream by offsets, so that a range sent twice needs
//! no two names; its ranges count from `upto`. Datagrams are numbered from 1, and no number is used twice: it tells how old
//! a datagram is, which decides on where the peer is now.

use std::ops::Range;

use burstlane::net::DropReason;
use burstlane::toolkit::{FieldReader, FieldWriter};

use crate::Key;

/// A datagram but for its stream data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Datagram {
    /// Connection id of the receiver; 0 in a question, whose sender does not know it.
    pub(crate) cid: u64,
    pub(crate) number: u64,
    /// The receiver is to acknowledge it, if only that it came.
    pub(crate) ping: bool,
    /// The connection is over.
    pub(crate) reset: bool,
    pub(crate) hello: Option<Hello>,
    pub(crate) ack: Option<Ack>,
    /// A token to be sent back.
    pub(crate) challenge: Option<u64>,
    /// A token sent back.
    pub(crate) response: Option<u64>,
    pub(crate) stream: Option<Stream>,
}

/// What each side says at first: its connection id, and how much it takes before it says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) cid: u64,
    pub(crate) window: u64,
}

/// What was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ack {
    /// How long the oldest news in it waited to be told.
    pub(crate) delay_us: u32,
    /// The stream arrived up to here.
    pub(crate) upto: u64,
    /// The stream may be sent up to here.
    pub(crate) window: u64,
    /// What else arrived: start, counted from `upto`, and bytes; none behind the first without bytes.
    spans: [(u32, u32); RANGES_MAX],
}

/// Where the data belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) offset: u64,
    pub(crate) end: bool,
}

impl Datagram {
    /// Whether it is to be acknowledged.
    pub(crate) fn is_eliciting(&self) -> bool {
        self.ping || self.stream.is_some()
    }

    /// Reads a datagram, and how many bytes of it stand in front of the stream data.
    pub(crate) fn parse(bytes: &[u8]) -> Result<(Self, usize), DropReason> {
        let mut fields = FieldReader::new(bytes);
        if fields.u16() != Some(MAGIC) {
            return Err(FOREIGN);
        }
        let datagram = Self::read(&mut fields).ok_or(MALFORMED)?;
        let data_bytes = fields.rest().len();
        let excess = datagram.stream.is_none() && data_bytes > 0;
        if excess || datagram.cid == 0 && datagram.hello.is_none() {
            return Err(MALFORMED);
        }
        Ok((datagram, bytes.len() - data_bytes))
    }

    fn read(fields: &mut FieldReader<'_>) -> Option<Self> {
        let (cid, number, flags) = (fields.u64()?, offset(fields)?, fields.u8()?);
        let has = |flag| flags & flag != 0;
        Some(Self {
            cid,
            number,
            ping: has(PING),
            reset: has(RESET),
            hello: fields.when(has(HELLO), |fields| {
                Some(Hello { cid: fields.u64().filter(|cid| *cid != 0)?, window: offset(fields)? })
            })?,
            ack: fields.when(has(ACK), Ack::read)?,
            challenge: fields.when(has(CHALLENGE), FieldReader::u64)?,
            response: fields.when(has(RESPONSE), FieldReader::u64)?,
            stream: fields.when(has(STREAM), |fields| Some(Stream { offset: offset(fields)?, end: has(END) }))?,
        })
    }

    /// The bytes of it. Two datagrams with the same parts have the same length.
    pub(crate) fn write(&self) -> FieldWriter<HEAD_BYTES_MAX> {
        let mut out = FieldWriter::new();
        let flag = |present: bool, flag| if present { flag } else { 0 };
        let flags = [
            flag(self.ping, PING),
            flag(self.reset, RESET),
            flag(self.hello.is_some(), HELLO),
            flag(self.ack.is_some(), ACK),
            flag(self.challenge.is_some(), CHALLENGE),
            flag(self.response.is_some(), RESPONSE),
            flag(self.stream.is_some(), STREAM),
            flag(self.stream.is_some_and(|stream| stream.end), END),
        ];
        out.u16(MAGIC).u64(self.cid).u64(self.number).u8(flags.iter().sum());
        if let Some(hello) = self.hello {
            out.u64(hello.cid).u64(hello.window);
        }
        if let Some(ack) = &self.ack {
            ack.write(&mut out);
        }
        for token in [self.challenge, self.response].into_iter().flatten() {
            out.u64(token);
        }
        if let Some(stream) = self.stream {
            out.u64(stream.offset);
        }
        out
    }
}

impl Ack {
    /// With as many of `ranges`, all beyond `upto`, as it takes.
    pub(crate) fn new(delay_us: u32, upto: u64, window: u64, ranges: impl IntoIterator<Item = Range<u64>>) -> Self {
        let mut ack = Self { delay_us, upto, window, ..Self::default() };
        for (span, range) in ack.spans.iter_mut().zip(ranges) {
            *span = ((range.start - upto) as u32, (range.end - range.start) as u32);
        }
        ack
    }

    /// What arrived beyond `upto`.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let start = |span: u32| self.upto + u64::from(span);
        self.spans().map(move |(at, bytes)| start(at)..start(at) + u64::from(bytes))
    }

    fn spans(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.spans.iter().copied().take_while(|(_, bytes)| *bytes > 0)
    }

    fn read(fields: &mut FieldReader<'_>) -> Option<Self> {
        let (delay_us, upto, window) = (fields.u32()?, offset(fields)?, offset(fields)?);
        let mut ack = Self { delay_us, upto, window, ..Self::default() };
        for span in ack.spans.get_mut(..usize::from(fields.u8()?))? {
            *span = (fields.u32()?, fields.u32()?);
        }
        Some(ack)
    }

    fn write(&self, out: &mut FieldWriter<HEAD_BYTES_MAX>) {
        out.u32(self.delay_us).u64(self.upto).u64(self.window).u8(self.spans().count() as u8);
        for (start, bytes) in self.spans() {
            out.u32(start).u32(bytes);
        }
    }
}

/// Whose datagram an ICMP error quotes, if it quotes that much: one to the peer's connection id, or a question of our own,
/// which begins with ours.
pub(crate) fn quoted(quote: &[u8]) -> Option<Key> {
    let mut fields = FieldReader::new(quote);
    fields.u16().filter(|magic| *magic == MAGIC)?;
    match (fields.u64()?, fields.u64(), fields.u8()) {
        (0, ..) => fields.u64().map(Key::Own),
        (cid, ..) => Some(Key::Peer(cid)),
    }
}

/// A number of a datagram or a place in a stream: sums of two never overflow.
fn offset(fields: &mut FieldReader<'_>) -> Option<u64> {
    fields.u64().filter(|number| *number < 1 << 62)
}

/// Bytes in front of the parts.
pub(crate) const HEADER_BYTES: usize = 19;
/// Most bytes in front of stream data: the header, and one of each part.
pub(crate) const HEAD_BYTES_MAX: usize = HEADER_BYTES + 16 + 21 + 8 * RANGES_MAX + 8 + 8 + 8;
/// Ranges in an acknowledgement, the latest ones. Each is told again as long as it is among them, so loss of one
/// acknowledgement costs nothing.
pub(crate) const RANGES_MAX: usize = 8;
/// With the version behind it.
const MAGIC: u16 = 0xb501;
const HELLO: u8 = 1;
const ACK: u8 = 2;
const CHALLENGE: u8 = 4;
const RESPONSE: u8 = 8;
const STREAM: u8 = 16;
const END: u8 = 32;
const PING: u8 = 64;
const RESET: u8 = 128;

const FOREIGN: DropReason = DropReason("rudp: not this protocol, or another version");
const MALFORMED: DropReason = DropReason("rudp: malformed datagram");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A datagram with any parts.
    fn datagram() -> impl Strategy<Value = Datagram> {
        let number = || 1..1u64 << 62;
        let token = || proptest::option::of(any::<u64>());
        let hello = (number(), number()).prop_map(|(cid, window)| Hello { cid, window });
        let runs = proptest::collection::vec((1u64..500, 1u64..500), 0..=RANGES_MAX);
        let ack = (any::<u32>(), number(), number(), runs).prop_map(|(delay_us, upto, window, runs)| {
            let mut at = upto;
            let ranges = runs.into_iter().map(|(gap, bytes)| {
                at += gap + bytes;
                at - bytes..at
            });
            Ack::new(delay_us, upto, window, ranges)
        });
        let stream = (number(), any::<bool>()).prop_map(|(offset, end)| Stream { offset, end });
        let parts = (proptest::option::of(hello), proptest::option::of(ack), proptest::option::of(stream));
        (number(), number(), any::<[bool; 2]>(), parts, token(), token()).prop_map(
            |(cid, number, [ping, reset], (hello, ack, stream), challenge, response)| Datagram {
                cid,
                number,
                ping,
                reset,
                hello,
                ack,
                challenge,
                response,
                stream,
            },
        )
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_dropped(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), ours: bool) {
            if ours && bytes.len() > 2 {
                bytes[..2].copy_from_slice(&MAGIC.to_be_bytes());
            }
            if let Ok((datagram, head_bytes)) = Datagram::parse(&bytes) {
                prop_assert!(head_bytes <= bytes.len());
                prop_assert!(datagram.ack.is_none_or(|ack| ack.ranges().all(|range| range.end < 1 << 63)));
            }
            let _ = quoted(&bytes);
        }

        #[test]
        fn datagrams_survive_the_wire(datagram in datagram(), data in proptest::collection::vec(any::<u8>(), 0..9)) {
            let head = datagram.write();
            let mut bytes = head.bytes().to_vec();
            if datagram.stream.is_some() {
                bytes.extend(data);
            }
            prop_assert_eq!(Datagram::parse(&bytes), Ok((datagram, head.bytes().len())));
            prop_assert!(matches!(quoted(&bytes[..12]), Some(Key::Peer(cid)) if cid == datagram.cid));
            for cut in 0..head.bytes().len() {
                prop_assert!(Datagram::parse(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn acknowledged_ranges_survive(upto in 0..1u64 << 62, starts in proptest::collection::vec(1u64..1 << 31, 0..20)) {
            let ranges: Vec<_> = starts.into_iter().map(|start| upto + start..upto + start + 9).collect();
            let ack = Ack::new(1, upto, 2, ranges.iter().cloned());
            prop_assert!(ack.ranges().eq(ranges.into_iter().take(RANGES_MAX)));
        }
    }

    #[test]
    fn what_is_wrong_has_a_name() {
        let hello = Some(Hello { cid: 1, window: 1 });
        let question = Datagram { number: 1, hello, ping: true, ..Datagram::default() };
        let sound = question.write().bytes().to_vec();
        let with = |at: usize, byte: u8| {
            let mut bytes = sound.clone();
            bytes[at] = byte;
            Datagram::parse(&bytes)
        };
        assert!(matches!(quoted(&sound), Some(Key::Own(1))));
        assert_eq!((with(0, 0), with(1, 9), with(10, 0xff)), (Err(FOREIGN), Err(FOREIGN), Err(MALFORMED)));
        assert_eq!(Datagram::parse(&[&sound[..], b"x"].concat()), Err(MALFORMED), "data of no stream");
        assert_eq!(
            Datagram::parse(Datagram { hello: None, ..question }.write().bytes()),
            Err(MALFORMED),
            "from nobody"
        );
        let nobody = Some(Hello { cid: 0, window: 1 });
        assert_eq!(Datagram::parse(Datagram { hello: nobody, ..question }.write().bytes()), Err(MALFORMED));
    }
}
