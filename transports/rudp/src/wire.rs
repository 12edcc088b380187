//! What RUDP looks like inside a UDP datagram: a header, the parts that its flags name, stream data to the end. Everything
//! off the wire is checked here, once.
//!
//! ```text
//!  0       1         2                       10              18      19
//!  | magic | version | receiver's conn. id:8 | number:8      | flags | parts...
//!
//!  PING, RESET: nothing      HELLO  conn. id:8 window:8      ACK  an `AckBlock`      STREAM  a `StreamAt`, and data behind all
//!  CHALLENGE  token:8        RESPONSE  token:8
//! ```
//! All numbers are big-endian, the flags and parts in this order. ACK reports the stream by offsets, so that a range sent twice
//! needs no two names; its ranges count from `upto`. The number tells how old a datagram is, which decides on where the peer
//! is now; only the last word of a connection is said more than once under the same.

use burstlane::net::DropReason;
use burstlane::toolkit::{AckBlock, Field, FieldReader, FieldWriter, PathParts, StreamAt};

use crate::Key;

/// A datagram but for its stream data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Datagram {
    /// Connection id of the receiver; 0 in a question, whose sender does not know it.
    pub(crate) cid: u64,
    pub(crate) path: PathParts,
    /// The receiver is to acknowledge it, if only that it came.
    pub(crate) ping: bool,
    /// The connection is over.
    pub(crate) reset: bool,
    pub(crate) hello: Option<Hello>,
    pub(crate) ack: Option<AckBlock>,
    pub(crate) stream: Option<StreamAt>,
}

/// What each side says at first: its connection id, and how much it takes before it says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) cid: u64,
    pub(crate) window: u64,
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
        if datagram.stream.is_none() && data_bytes > 0 || datagram.cid == 0 && datagram.hello.is_none() {
            return Err(MALFORMED);
        }
        Ok((datagram, bytes.len() - data_bytes))
    }

    fn read(fields: &mut FieldReader<'_>) -> Option<Self> {
        let (cid, number) = (fields.u64()?, fields.offset()?);
        let mut parts = fields.parts()?;
        let (ping, reset) = (parts.flag(), parts.flag());
        let (hello, ack, stream) = (parts.part()?, parts.part()?, parts.part()?);
        let path = PathParts { number, challenge: parts.part()?, response: parts.part()? };
        Some(Self { cid, path, ping, reset, hello, ack, stream })
    }

    /// The bytes of it. Two datagrams with the same parts have the same length.
    pub(crate) fn write(&self) -> FieldWriter<HEAD_BYTES_MAX> {
        let PathParts { number, challenge, response } = &self.path;
        let mut out = FieldWriter::new();
        let mut parts = out.u16(MAGIC).u64(self.cid).u64(*number).parts();
        parts.flag(self.ping).flag(self.reset);
        parts.part(&self.hello).part(&self.ack).part(&self.stream).part(challenge).part(response);
        out
    }
}

impl Field for Hello {
    fn read(fields: &mut FieldReader<'_>) -> Option<Self> {
        let (cid, window) = (fields.u64()?, fields.offset()?);
        (cid != 0).then_some(Self { cid, window })
    }

    fn write<const N: usize>(&self, out: &mut FieldWriter<N>) {
        out.u64(self.cid).u64(self.window);
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

/// Bytes in front of the parts.
pub(crate) const HEADER_BYTES: usize = 19;
/// Most bytes in front of stream data: the header, and one of each part.
const HEAD_BYTES_MAX: usize = HEADER_BYTES + 16 + AckBlock::BYTES_MAX + 8 + 8 + 8;
/// With the version behind it.
const MAGIC: u16 = 0xb501;

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
        let ranges = proptest::collection::vec(1u64..500, 0..9);
        let ack = (number(), number(), ranges).prop_map(|(upto, window, starts)| {
            let ranges = starts.into_iter().map(|start| upto + start..upto + start + 9);
            AckBlock::new(std::time::Duration::from_micros(77), upto, window, ranges)
        });
        let stream = (number(), any::<bool>()).prop_map(|(offset, end)| StreamAt { offset, end });
        let parts = (proptest::option::of(hello), proptest::option::of(ack), proptest::option::of(stream));
        (number(), number(), any::<[bool; 2]>(), parts, token(), token()).prop_map(
            |(cid, number, [ping, reset], (hello, ack, stream), challenge, response)| {
                let path = PathParts { number, challenge, response };
                Datagram { cid, path, ping, reset, hello, ack, stream }
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
                prop_assert!(datagram.cid != 0 || datagram.hello.is_some());
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
    }

    #[test]
    fn what_is_wrong_has_a_name() {
        let hello = Some(Hello { cid: 1, window: 1 });
        let path = PathParts { number: 1, ..PathParts::default() };
        let question = Datagram { path, hello, ping: true, ..Datagram::default() };
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
