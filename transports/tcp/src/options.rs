//! Header options by kind of segment: RFC 9293 3.2 (MSS), RFC 7323 (window scale, timestamps), RFC 2018 (SACK).
#![deny(clippy::arithmetic_side_effects)]

use arrayvec::ArrayVec;
use burstlane::net::DropReason;
use burstlane::toolkit::SeqNum;

/// RFC 7323 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamps {
    /// `TSval`: the sender's clock.
    pub value: u32,
    /// `TSecr`: ours, as it came back.
    pub echo: u32,
}

impl Timestamps {
    /// The option alone.
    /// RFC 9293: MUST-14, MUST-69.
    fn to_bytes(self) -> [u8; 10] {
        let ([v0, v1, v2, v3], [e0, e1, e2, e3]) = (self.value.to_be_bytes(), self.echo.to_be_bytes());
        [KIND_TIMESTAMPS, 10, v0, v1, v2, v3, e0, e1, e2, e3]
    }
}

/// What a segment carries beside timestamps: a SYN one thing, all others another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Options {
    /// Nothing of interest.
    None,
    /// The offers of a SYN.
    Syn(SynOptions),
    /// What arrived out of order.
    Sack(SackBlocks),
}

impl Options {
    /// What arrived out of order.
    #[must_use]
    pub fn sack(&self) -> Option<&SackBlocks> {
        match self {
            Self::Sack(blocks) => Some(blocks),
            Self::None | Self::Syn(_) => None,
        }
    }
}

/// What is only allowed on a SYN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SynOptions {
    /// Largest segment that the sender receives, bytes of payload without options (RFC 6691).
    pub mss: Option<u16>,
    /// Shift of the sender's windows, at most 14 (RFC 7323 2.3: more is taken as 14).
    pub window_scale: Option<u8>,
    /// The sender understands SACK.
    pub sack_permitted: bool,
}

impl SynOptions {
    /// Behind timestamps in their usual place, aligned to four bytes.
    pub(crate) fn to_bytes_after(self, timestamps: Option<Timestamps>) -> ArrayVec<u8, 24> {
        let mut bytes = ArrayVec::new();
        if let Some(timestamps) = timestamps {
            bytes.extend([KIND_NOP, KIND_NOP]);
            bytes.extend(timestamps.to_bytes());
        }
        bytes.extend(self.to_bytes());
        bytes
    }

    /// In the order of Linux, which fills the two bytes that timestamps and SACK lack with the other, aligned to four bytes.
    pub(crate) fn to_bytes_of_linux(self, timestamps: Option<Timestamps>) -> ArrayVec<u8, 24> {
        let mut bytes = ArrayVec::new();
        if let Some([high, low]) = self.mss.map(u16::to_be_bytes) {
            bytes.extend([KIND_MSS, 4, high, low]);
        }
        let sack = if self.sack_permitted { [KIND_SACK_PERMITTED, 2] } else { [KIND_NOP, KIND_NOP] };
        if let Some(timestamps) = timestamps {
            bytes.extend(sack);
            bytes.extend(timestamps.to_bytes());
        } else if self.sack_permitted {
            bytes.extend([KIND_NOP, KIND_NOP]);
            bytes.extend(sack);
        }
        if let Some(shift) = self.window_scale {
            bytes.extend([KIND_NOP, KIND_WINDOW_SCALE, 3, shift]);
        }
        bytes
    }

    /// Aligned to four bytes.
    #[must_use]
    pub fn to_bytes(self) -> ArrayVec<u8, 12> {
        let mut bytes = ArrayVec::new();
        if let Some([high, low]) = self.mss.map(u16::to_be_bytes) {
            bytes.extend([KIND_MSS, 4, high, low]);
        }
        if let Some(shift) = self.window_scale {
            bytes.extend([KIND_NOP, KIND_WINDOW_SCALE, 3, shift]);
        }
        if self.sack_permitted {
            bytes.extend([KIND_NOP, KIND_NOP, KIND_SACK_PERMITTED, 2]);
        }
        bytes
    }
}

/// Up to four blocks of a SACK option: left edge, and right edge (exclusive), in the order of the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks {
    blocks: [(SeqNum, SeqNum); SACK_BLOCKS_MAX],
    count: u8,
}

impl SackBlocks {
    /// Appends a block; a fifth is ignored.
    pub fn push(&mut self, left: SeqNum, right: SeqNum) {
        if let Some(place) = self.blocks.get_mut(usize::from(self.count)) {
            *place = (left, right);
            self.count = self.count.saturating_add(1);
        }
    }

    /// The blocks.
    pub fn iter(&self) -> impl Iterator<Item = (SeqNum, SeqNum)> + '_ {
        self.blocks.iter().copied().take(usize::from(self.count))
    }

    /// Aligned to four bytes; empty if there is no block.
    #[must_use]
    pub fn to_bytes(&self) -> ArrayVec<u8, 36> {
        let mut bytes = ArrayVec::new();
        if self.count == 0 {
            return bytes;
        }
        bytes.extend([KIND_NOP, KIND_NOP, KIND_SACK, self.count.saturating_mul(8).saturating_add(2)]);
        for (left, right) in self.iter() {
            bytes.extend(left.0.to_be_bytes());
            bytes.extend(right.0.to_be_bytes());
        }
        bytes
    }
}

/// Timestamps in the usual place (RFC 7323 appendix A) and nothing else: what nearly every segment has.
#[inline(always)]
pub(crate) fn timestamps_only(bytes: &[u8]) -> Option<Timestamps> {
    let &[1, 1, 8, 10, v0, v1, v2, v3, e0, e1, e2, e3] = bytes else { return None };
    Some(Timestamps { value: u32::from_be_bytes([v0, v1, v2, v3]), echo: u32::from_be_bytes([e0, e1, e2, e3]) })
}

/// Reads the option bytes of a header.
///
/// # Errors
/// An illegal length (MUST-7: it must not make us stumble), or one that the kind does not have.
/// RFC 9293: MUST-4, MUST-5, MUST-64, MUST-68.
#[cold]
#[inline(never)]
pub(crate) fn parse(mut bytes: &[u8], is_syn: bool) -> Result<Parsed, DropReason> {
    let (mut timestamps, mut syn, mut sack, mut marked) = (None, SynOptions::default(), None, None);
    if let Some((front, rest)) = bytes.split_first_chunk::<TIMESTAMPS_BYTES>() {
        timestamps = timestamps_only(front);
        bytes = if timestamps.is_some() { rest } else { bytes };
    }
    loop {
        let (kind, rest) = match *bytes {
            [] | [KIND_END, ..] => break,
            [KIND_NOP, ref rest @ ..] => {
                bytes = rest;
                continue;
            }
            [kind, ref rest @ ..] => (kind, rest),
        };
        let Some((&len, rest)) = rest.split_first() else { return Err(BAD_LENGTH) };
        let value_bytes = usize::from(len).checked_sub(2).ok_or(BAD_LENGTH)?;
        let Some((value, rest)) = rest.split_at_checked(value_bytes) else { return Err(BAD_LENGTH) };
        bytes = rest;
        match (kind, value) {
            (KIND_MSS, &[high, low]) if is_syn => syn.mss = Some(u16::from_be_bytes([high, low])),
            (KIND_WINDOW_SCALE, &[shift]) if is_syn => syn.window_scale = Some(shift.min(WINDOW_SCALE_MAX)),
            (KIND_SACK_PERMITTED, &[]) if is_syn => syn.sack_permitted = true,
            (KIND_TIMESTAMPS, &[v0, v1, v2, v3, e0, e1, e2, e3]) => {
                timestamps = Some(Timestamps {
                    value: u32::from_be_bytes([v0, v1, v2, v3]),
                    echo: u32::from_be_bytes([e0, e1, e2, e3]),
                });
            }
            (KIND_SACK, value) if !is_syn => sack = Some(parse_sack(value)?),
            // The second of three fields in either order; other lengths are read as far as they go (RFC 9768 3.2.3).
            (KIND_ACCECN_0 | KIND_ACCECN_1, &[_, _, _, c0, c1, c2, ..]) if !is_syn => {
                marked = Some(u32::from_be_bytes([0, c0, c1, c2]));
            }
            // On a segment of the wrong kind they mean nothing (MUST-65, RFC 7323 2.2).
            (KIND_MSS | KIND_WINDOW_SCALE | KIND_SACK_PERMITTED, _) if !is_syn => {}
            (KIND_SACK, _) => {}
            (KIND_MSS | KIND_WINDOW_SCALE | KIND_SACK_PERMITTED | KIND_TIMESTAMPS, _) => return Err(BAD_LENGTH),
            // Others are skipped (MUST-6).
            _ => {}
        }
    }
    let options = match sack {
        _ if is_syn => Options::Syn(syn),
        Some(blocks) => Options::Sack(blocks),
        None => Options::None,
    };
    Ok(Parsed { timestamps, options, marked_bytes: marked })
}

/// All options of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) timestamps: Option<Timestamps>,
    pub(crate) options: Options,
    /// The low 24 bits of the bytes that arrived marked (RFC 9768 3.2.3: ECEB).
    pub(crate) marked_bytes: Option<u32>,
}

/// The AccECN option of order 0: bytes that came as ECT(0), marked, and as ECT(1) if any ever did (RFC 9768 3.2.3). Aligned to four bytes.
pub(crate) fn accurate_ecn(ect0: u32, marked: u32, ect1: Option<u32>) -> ArrayVec<u8, 12> {
    let fields = [Some(ect0), Some(marked), ect1];
    let mut bytes = ArrayVec::new();
    bytes.extend([KIND_ACCECN_0, if ect1.is_some() { 11 } else { 8 }]);
    for [_, high, middle, low] in fields.into_iter().flatten().map(u32::to_be_bytes) {
        bytes.extend([high, middle, low]);
    }
    if ect1.is_some() {
        bytes.push(KIND_NOP);
    }
    bytes
}

fn parse_sack(value: &[u8]) -> Result<SackBlocks, DropReason> {
    let (blocks, rest) = value.as_chunks::<8>();
    if !rest.is_empty() || blocks.is_empty() {
        return Err(BAD_LENGTH);
    }
    let mut sack = SackBlocks::default();
    for &[l0, l1, l2, l3, r0, r1, r2, r3] in blocks {
        sack.push(SeqNum(u32::from_be_bytes([l0, l1, l2, l3])), SeqNum(u32::from_be_bytes([r0, r1, r2, r3])));
    }
    Ok(sack)
}

/// Most blocks that a header has room for.
pub const SACK_BLOCKS_MAX: usize = 4;
/// RFC 7323 2.3: a window never exceeds 2^30.
pub const WINDOW_SCALE_MAX: u8 = 14;
/// Two NOPs, kind and length: what the timestamps option begins with in its usual place.
pub(crate) const TIMESTAMPS_PREFIX: u32 = 0x0101_080a;
/// Bytes that timestamps take of every header.
pub const TIMESTAMPS_BYTES: usize = 12;

const KIND_END: u8 = 0;
const KIND_NOP: u8 = 1;
const KIND_MSS: u8 = 2;
const KIND_WINDOW_SCALE: u8 = 3;
const KIND_SACK_PERMITTED: u8 = 4;
const KIND_SACK: u8 = 5;
const KIND_TIMESTAMPS: u8 = 8;
const KIND_ACCECN_0: u8 = 172;
const KIND_ACCECN_1: u8 = 174;

const BAD_LENGTH: DropReason = DropReason("tcp: option length");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn illegal_lengths_are_dropped_and_unknown_kinds_skipped() {
        assert_eq!(parse(&[KIND_MSS, 0, 0, 0], true), Err(BAD_LENGTH));
        assert_eq!(parse(&[KIND_MSS, 3, 0, 0], true), Err(BAD_LENGTH));
        assert_eq!(parse(&[99, 9, 0, 0], true), Err(BAD_LENGTH));
        assert_eq!(parse(&[1, 1, 1, 99], true), Err(BAD_LENGTH));
        assert_eq!(parse(&[KIND_SACK, 6, 0, 0, 0, 0, 0, 0], false), Err(BAD_LENGTH));
        let mss = |value| Options::Syn(SynOptions { mss: Some(value), ..SynOptions::default() });
        let only = |options| Ok(Parsed { timestamps: None, options, marked_bytes: None });
        assert_eq!(parse(&[99, 4, 7, 7, KIND_MSS, 4, 2, 0], true), only(mss(512)));
        assert_eq!(parse(&[KIND_MSS, 4, 2, 0, KIND_END, 9, 9, 9], true), only(mss(512)));
        assert_eq!(parse(&[KIND_MSS, 4, 2, 0], false), only(Options::None), "only on a SYN");
    }

    #[test]
    fn a_scale_beyond_fourteen_is_fourteen() {
        let parsed = parse(&[KIND_NOP, KIND_WINDOW_SCALE, 3, 200], true).unwrap();
        assert_eq!(parsed.options, Options::Syn(SynOptions { window_scale: Some(14), ..SynOptions::default() }));
    }
}
