//! UDP datagrams in scripts, for every protocol that travels in them: bytes to be sent, and bytes, or a question about
//! them, to be expected.

use std::fmt;
use std::rc::Rc;

use super::Packet;

/// A datagram. To be sent it needs its bytes.
#[derive(Clone)]
pub struct Datagram {
    bytes: Option<Vec<u8>>,
    question: Option<(&'static str, Question)>,
}

type Question = Rc<dyn Fn(&[u8]) -> bool>;

/// The ports of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The host's; learned from what it sends if it is 0.
    pub host: u16,
    /// The peer's.
    pub peer: u16,
}

/// A datagram with these bytes in it.
#[must_use]
pub fn datagram(bytes: impl Into<Vec<u8>>) -> Datagram {
    Datagram { bytes: Some(bytes.into()), question: None }
}

/// An expected datagram of whose bytes `question` is true; `name` says in the trace what it asks.
#[must_use]
pub fn datagram_that(name: &'static str, question: impl Fn(&[u8]) -> bool + 'static) -> Datagram {
    Datagram { bytes: None, question: Some((name, Rc::new(question))) }
}

impl Datagram {
    /// The bytes behind UDP's header; none in one that only asks.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }
}

impl Packet for Datagram {
    type Ends = Ports;
    const PROTOCOL: u8 = 17;
    const CHECKSUM_FIELD: usize = 6;

    fn write(&self, ends: &mut Ports) -> Vec<u8> {
        let bytes = self.bytes();
        let length = HEADER_BYTES as u16 + bytes.len() as u16;
        let mut datagram: Vec<u8> =
            [ends.peer, ends.host, length, 0].iter().flat_map(|field| field.to_be_bytes()).collect();
        datagram.extend(bytes);
        datagram
    }

    fn read(bytes: &[u8], ends: &mut Ports) -> Option<Self> {
        let field = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        if bytes.len() < HEADER_BYTES || field(2) != ends.peer || ends.host != 0 && field(0) != ends.host {
            return None;
        }
        ends.host = field(0);
        Some(datagram(bytes.get(HEADER_BYTES..usize::from(field(4)))?))
    }

    fn differences(&self, came: &Self) -> Vec<&'static str> {
        let mut differences = vec![];
        if self.bytes.as_ref().is_some_and(|bytes| bytes != came.bytes()) {
            differences.push("bytes");
        }
        if let Some((name, question)) = &self.question
            && !question(came.bytes())
        {
            differences.push(name);
        }
        differences
    }

    fn ports(ends: &Ports) -> [u16; 2] {
        [ends.host, ends.peer]
    }
}

impl fmt::Display for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = self.question {
            return write!(f, "UDP {name}");
        }
        write!(f, "UDP {}:", self.bytes().len())?;
        for byte in self.bytes().iter().take(SHOWN_BYTES_MAX) {
            write!(f, " {byte:02x}")?;
        }
        f.write_str(if self.bytes().len() > SHOWN_BYTES_MAX { "..." } else { "" })
    }
}

const HEADER_BYTES: usize = 8;
const SHOWN_BYTES_MAX: usize = 40;
