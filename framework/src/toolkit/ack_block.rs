//! [`AckBlock`]: what a receiver of a stream tells its sender, in a small value that can be copied, and its bytes.
//!
//! ```text
//!  | delay_us: 4 | upto: 8 | window: 8 | ranges: 1 | (start - upto: 4, length: 4) * ranges |      all big-endian
//! ```

use super::{Field, FieldReader, FieldWriter};
use crate::time::{Duration, nanos};
use std::ops::Range;

/// An acknowledgement by offsets, cumulative and selective (as RFC 2018's), with a window and a delay. The latest ranges
/// are in it; each is told again as long as it is among them, so that loss of one acknowledgement costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckBlock {
    delay_us: u32,
    upto: u64,
    window: u64,
    /// Start, counted from `upto`, and length; none behind the first without length.
    spans: [(u32, u32); Self::RANGES_MAX],
}

impl AckBlock {
    /// Most ranges beyond the cumulative acknowledgement.
    pub const RANGES_MAX: usize = 8;
    /// Most bytes that it writes.
    pub const BYTES_MAX: usize = 21 + 8 * Self::RANGES_MAX;

    /// All below `upto` arrived, and as many of `ranges` beyond it as there is room for; the peer may send up to `window`.
    /// The oldest news in it waited for `delay`.
    #[must_use]
    pub fn new(delay: Duration, upto: u64, window: u64, ranges: impl IntoIterator<Item = Range<u64>>) -> Self {
        let delay_us = u32::try_from(nanos(delay) / 1_000).unwrap_or(u32::MAX);
        let mut block = Self { delay_us, upto, window, ..Self::default() };
        for (span, range) in block.spans.iter_mut().zip(ranges) {
            let start = range.start.saturating_sub(upto);
            *span = (start as u32, range.end.saturating_sub(range.start) as u32);
            debug_assert!(start <= u64::from(u32::MAX), "windows are smaller");
        }
        block
    }

    /// How long the oldest news waited to be told, as the peer says.
    #[must_use]
    pub const fn delay(&self) -> Duration {
        Duration::from_micros(self.delay_us as u64)
    }

    /// The stream arrived up to here.
    #[must_use]
    pub const fn upto(&self) -> u64 {
        self.upto
    }

    /// The stream may be sent up to here.
    #[must_use]
    pub const fn window(&self) -> u64 {
        self.window
    }

    /// What else arrived.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let at = |start: u32| self.upto + u64::from(start);
        self.spans().map(move |(start, bytes)| at(start)..at(start) + u64::from(bytes))
    }

    fn spans(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.spans.iter().copied().take_while(|(_, bytes)| *bytes > 0)
    }
}

impl Field for AckBlock {
    fn read(fields: &mut FieldReader<'_>) -> Option<Self> {
        let (delay_us, upto, window) = (fields.u32()?, fields.offset()?, fields.offset()?);
        let mut block = Self { delay_us, upto, window, ..Self::default() };
        for span in block.spans.get_mut(..usize::from(fields.u8()?))? {
            *span = (fields.u32()?, fields.u32()?);
        }
        Some(block)
    }

    fn write<const N: usize>(&self, out: &mut FieldWriter<N>) {
        out.u32(self.delay_us).u64(self.upto).u64(self.window).u8(self.spans().count() as u8);
        for (start, bytes) in self.spans() {
            out.u32(start).u32(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_survives_the_wire_with_its_first_ranges(
            (delay, upto, window) in (any::<u32>(), 0..1u64 << 62, 0..1u64 << 62),
            starts in proptest::collection::vec(1u64..1 << 31, 0..20),
        ) {
            let ranges: Vec<_> = starts.into_iter().map(|start| upto + start..upto + start + 9).collect();
            let block = AckBlock::new(Duration::from_micros(delay.into()), upto, window, ranges.iter().cloned());
            let mut out = FieldWriter::<{ AckBlock::BYTES_MAX }>::new();
            block.write(&mut out);
            prop_assert_eq!(AckBlock::read(&mut FieldReader::new(out.bytes())), Some(block));
            prop_assert!(block.ranges().eq(ranges.into_iter().take(AckBlock::RANGES_MAX)));
            prop_assert_eq!((block.delay().as_micros(), block.upto(), block.window()), (delay.into(), upto, window));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Some(block) = AckBlock::read(&mut FieldReader::new(&bytes)) {
                prop_assert!(block.ranges().all(|range| range.end < 1 << 63));
            }
        }
    }
}
