//! A received body: where it ends, and chunked transfer coding taken off (RFC 9112 6.3 and 7.1). Used by both sides.

use std::ops::Range;

use thiserror::Error;

use super::head::Length;

/// What [`BodyDecoder::step`] made of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// Where in them the body's bytes are; the rest is framing.
    pub data: Range<usize>,
}

/// The peer broke the framing: where the body ends is not known any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    /// A chunk's size is no hexadecimal number, or is absurd.
    #[error("malformed chunk size")]
    ChunkSize,
    /// A chunk's data is not followed by a line end.
    #[error("chunk without an end")]
    ChunkEnd,
    /// More extension or trailer bytes than anyone needs.
    #[error("chunk extensions or trailers too long")]
    TooLong,
}

/// Finds a body's bytes in the bytes of a connection. Holds no data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyDecoder {
    /// So many bytes are to come.
    Length(u64),
    /// Chunks.
    Chunked(Chunk),
    /// All until the connection ends.
    UntilClose,
}

/// Where in the chunked coding the input is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// In the line that begins a chunk: size so far, digits seen, bytes of the line, whether the digits are over.
    Size { size: u64, digits: u32, line_bytes: usize, ended: bool },
    /// In a chunk's data, with so many bytes to come.
    Data(u64),
    /// Before the line end that follows the data: whether CR was seen.
    End { cr: bool },
    /// In the trailers: bytes so far, and bytes of the current line.
    Trailer { bytes: usize, line_bytes: usize },
    /// Past the last empty line.
    Done,
}

impl BodyDecoder {
    /// For a request (RFC 9112 6.3: without a length there is no body).
    pub fn for_request(length: Length) -> Self {
        match length {
            Length::Absent => Self::Length(0),
            Length::Exactly(bytes) => Self::Length(bytes),
            Length::Chunked => Self::Chunked(CHUNK_START),
        }
    }

    /// For a response with `status` to a GET (without a length it lasts until the connection ends).
    pub fn for_response(length: Length, status: u16) -> Self {
        match length {
            _ if matches!(status, 100..=199 | 204 | 304) => Self::Length(0),
            Length::Absent => Self::UntilClose,
            Length::Exactly(bytes) => Self::Length(bytes),
            Length::Chunked => Self::Chunked(CHUNK_START),
        }
    }

    /// Whether the body is complete. One that lasts until the connection ends never is by itself.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::Done))
    }

    /// Looks at the front of `input`. Consumes nothing only when `input` is empty or the body is complete.
    ///
    /// # Errors
    /// The framing is broken; the connection is of no further use.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        match self {
            Self::Length(left) => Ok(take(left, input)),
            Self::UntilClose => Ok(Step { consumed: input.len(), data: 0..input.len() }),
            Self::Chunked(chunk) => chunk.step(input),
        }
    }
}

impl Chunk {
    fn step(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        if let Self::Data(left) = self {
            let step = take(left, input);
            if *left == 0 {
                *self = Self::End { cr: false };
            }
            return Ok(step);
        }
        let mut consumed = 0;
        for &byte in input {
            if matches!(self, Self::Data(_) | Self::Done) {
                break;
            }
            self.framing(byte)?;
            consumed += 1;
        }
        Ok(Step { consumed, data: consumed..consumed })
    }

    /// One byte that is not data.
    fn framing(&mut self, byte: u8) -> Result<(), BodyError> {
        match self {
            Self::Size { size, digits, line_bytes, ended } => {
                *line_bytes += 1;
                if *line_bytes > LINE_BYTES_MAX {
                    return Err(BodyError::TooLong);
                }
                match (byte, char::from(byte).to_digit(16)) {
                    (b'\n', _) if *digits > 0 && *size == 0 => *self = Self::Trailer { bytes: 0, line_bytes: 0 },
                    (b'\n', _) if *digits > 0 => *self = Self::Data(*size),
                    (_, Some(digit)) if !*ended && *digits < DIGITS_MAX => {
                        *size = *size << 4 | u64::from(digit);
                        *digits += 1;
                    }
                    // Extensions are skipped (RFC 9112 7.1.1), whatever they say.
                    (b';' | b' ' | b'\t' | b'\r', _) if *digits > 0 => *ended = true,
                    (b'\n', _) => return Err(BodyError::ChunkSize),
                    _ if *ended => {}
                    _ => return Err(BodyError::ChunkSize),
                }
            }
            Self::End { cr } => match byte {
                b'\r' if !*cr => *cr = true,
                b'\n' => *self = CHUNK_START,
                _ => return Err(BodyError::ChunkEnd),
            },
            Self::Trailer { bytes, line_bytes } => {
                *bytes += 1;
                match byte {
                    b'\n' if *line_bytes == 0 => *self = Self::Done,
                    b'\n' => *line_bytes = 0,
                    b'\r' => {}
                    _ => *line_bytes += 1,
                }
                if matches!(self, Self::Trailer { bytes, .. } if *bytes > TRAILER_BYTES_MAX) {
                    return Err(BodyError::TooLong);
                }
            }
            Self::Data(_) | Self::Done => {}
        }
        Ok(())
    }
}

/// As much of `input` as belongs to the `left` bytes to come.
fn take(left: &mut u64, input: &[u8]) -> Step {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
    *left -= count as u64;
    Step { consumed: count, data: 0..count }
}

const CHUNK_START: Chunk = Chunk::Size { size: 0, digits: 0, line_bytes: 0, ended: false };
/// Sizes up to 2^60.
const DIGITS_MAX: u32 = 15;
const LINE_BYTES_MAX: usize = 256;
const TRAILER_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes `input` given in pieces; the body, and what is behind it.
    fn decode(
        mut decoder: BodyDecoder,
        input: &[u8],
        piece_bytes: usize,
    ) -> Result<(Vec<u8>, Vec<u8>, bool), BodyError> {
        let (mut body, mut at, mut end) = (Vec::new(), 0, 0);
        while !decoder.is_done() && (at < end || end < input.len()) {
            end = (end + piece_bytes).min(input.len());
            let step = decoder.step(&input[at..end])?;
            body.extend_from_slice(&input[at..][step.data]);
            at += step.consumed;
        }
        Ok((body, input[at..].to_vec(), decoder.is_done()))
    }

    proptest! {
        #[test]
        fn chunks_come_off_whatever_their_sizes_and_splits(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8), piece in 1usize..64) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:X};name=value\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\nTrailer: x\r\n\r\nnext");
            let (body, rest, done) = decode(BodyDecoder::Chunked(CHUNK_START), &wire, piece).unwrap();
            prop_assert!(done);
            prop_assert_eq!(body, chunks.concat());
            prop_assert_eq!(rest, b"next");
        }

        #[test]
        fn any_bytes_are_a_body_or_a_named_error(input in prop::collection::vec(any::<u8>(), 0..400), piece in 1usize..64) {
            let _ = decode(BodyDecoder::Chunked(CHUNK_START), &input, piece);
        }

        #[test]
        fn a_length_takes_exactly_its_bytes(length in 0u64..100, piece in 1usize..64) {
            let (body, _, done) = decode(BodyDecoder::Length(length), &[7; 100], piece).unwrap();
            prop_assert!(done && body.len() as u64 == length);
        }
    }

    #[test]
    fn broken_framing_is_named() {
        let chunked = || BodyDecoder::Chunked(CHUNK_START);
        for (input, error) in [
            (&b"\r\n"[..], BodyError::ChunkSize),
            (b"x\r\n", BodyError::ChunkSize),
            (b"fffffffffffffffff\r\n", BodyError::ChunkSize),
            (b"1\r\nab\r\n", BodyError::ChunkEnd),
            (&[b"1;".as_slice(), &[b'a'; 400]].concat(), BodyError::TooLong),
            (&[b"0\r\n".as_slice(), &[b'a'; 5000]].concat(), BodyError::TooLong),
        ] {
            assert_eq!(decode(chunked(), input, 7).unwrap_err(), error, "{:?}", input.escape_ascii().to_string());
        }
    }
}
