//! [`FieldReader`] and [`FieldWriter`]: header fields in network byte order, read and written one behind the other. For
//! protocols that lay out their own datagrams; headers that the world knows have parsers of their own.

use arrayvec::ArrayVec;

/// Reads fields from the front of what came from a wire. Past the end every field is `None`, and nothing panics.
#[derive(Clone, Debug)]
pub struct FieldReader<'a> {
    rest: &'a [u8],
}

impl<'a> FieldReader<'a> {
    /// From the first byte on.
    #[inline]
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read.
    #[inline]
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*field)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    /// Two bytes.
    #[inline]
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes.
    #[inline]
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    #[inline]
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Eight bytes that number something from 0, below 2^62: so sums of two never overflow, and more is nonsense.
    #[inline]
    pub fn offset(&mut self) -> Option<u64> {
        self.u64().filter(|offset| *offset < 1 << 62)
    }

    /// One byte of eight flags, the highest bit first.
    #[inline]
    pub fn flags(&mut self) -> Option<[bool; 8]> {
        self.u8().map(|byte| std::array::from_fn(|bit| byte << bit & 0x80 != 0))
    }

    /// A part that is there only if `present`, as a flag in front of it says. The outer `None`: it should be there, and is
    /// not, or is malformed.
    #[inline]
    pub fn when<T>(&mut self, present: bool, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if present { read(self).map(Some) } else { Some(None) }
    }
}

/// Writes fields into at most `N` bytes, without a heap.
#[derive(Clone, Debug, Default)]
pub struct FieldWriter<const N: usize> {
    bytes: ArrayVec<u8, N>,
}

impl<const N: usize> FieldWriter<N> {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: ArrayVec::new_const() }
    }

    /// All that was written.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Some bytes. `N` is the sum of all fields that a protocol writes; what is beyond is a bug of ours, and left out.
    #[inline]
    pub fn put(&mut self, field: &[u8]) -> &mut Self {
        let fits = self.bytes.try_extend_from_slice(field).is_ok();
        debug_assert!(fits, "a header of more than {N} bytes");
        self
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self, field: u8) -> &mut Self {
        self.put(&[field])
    }

    /// One byte of eight flags, the highest bit first.
    #[inline]
    pub fn flags(&mut self, flags: [bool; 8]) -> &mut Self {
        self.u8(flags.into_iter().fold(0, |byte, flag| byte << 1 | u8::from(flag)))
    }

    /// Two bytes.
    #[inline]
    pub fn u16(&mut self, field: u16) -> &mut Self {
        self.put(&field.to_be_bytes())
    }

    /// Four bytes.
    #[inline]
    pub fn u32(&mut self, field: u32) -> &mut Self {
        self.put(&field.to_be_bytes())
    }

    /// Eight bytes.
    #[inline]
    pub fn u64(&mut self, field: u64) -> &mut Self {
        self.put(&field.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(a: u8, b: u16, c: u32, d: u64, e: [u8; 5]) {
            let mut out = FieldWriter::<20>::new();
            out.u8(a).u16(b).u32(c).u64(d).put(&e);
            let mut fields = FieldReader::new(out.bytes());
            prop_assert_eq!((fields.u8(), fields.u16(), fields.u32(), fields.u64()), (Some(a), Some(b), Some(c), Some(d)));
            prop_assert_eq!(fields.rest(), &e);
            prop_assert_eq!((fields.u64(), fields.array(), fields.u8()), (None, Some(e), None));
        }
    }

    #[test]
    fn flags_have_an_order_and_offsets_a_bound() {
        let flags = [true, false, false, false, false, true, true, false];
        let mut out = FieldWriter::<17>::new();
        out.flags(flags).u64((1 << 62) - 1).u64(1 << 62);
        let mut fields = FieldReader::new(out.bytes());
        assert_eq!((out.bytes()[0], fields.flags()), (0b1000_0110, Some(flags)));
        assert_eq!((fields.offset(), fields.offset()), (Some((1 << 62) - 1), None));
    }

    #[test]
    fn a_part_is_there_if_its_flag_says_so() {
        let mut fields = FieldReader::new(&[1, 2]);
        assert_eq!(fields.when(false, FieldReader::u16), Some(None));
        assert_eq!(fields.when(true, FieldReader::u16), Some(Some(0x102)));
        assert_eq!(fields.when(true, FieldReader::u16), None);
    }
}
