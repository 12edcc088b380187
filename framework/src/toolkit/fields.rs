//! [`FieldReader`] and [`FieldWriter`]: header fields in network byte order, read and written one behind the other. For
//! protocols that lay out their own datagrams; headers that the world knows have parsers of their own.
//!
//! What not every packet carries is a *part*: a byte of flags, and behind it the parts that its flags name, in their order.
//! Reader and writer count the flags, so a protocol lists its parts once for each direction and numbers nothing:
//!
//! ```
//! use burstlane::toolkit::{FieldReader, FieldWriter};
//!
//! let mut out = FieldWriter::<19>::new();
//! out.u16(7).parts().flag(true).part(&None::<u64>).part(&Some(5_u64));
//! assert_eq!(out.bytes(), [0, 7, 0b1010_0000, 0, 0, 0, 0, 0, 0, 0, 5]);
//!
//! let mut fields = FieldReader::new(out.bytes());
//! assert_eq!(fields.u16(), Some(7));
//! let mut parts = fields.parts().unwrap();
//! let (urgent, absent, present) = (parts.flag(), parts.part::<u64>(), parts.part::<u64>());
//! assert_eq!((urgent, absent, present), (true, Some(None), Some(Some(5))));
//! ```

use arrayvec::ArrayVec;

/// Something with one layout in a header.
pub trait Field: Sized {
    /// Reads one off a wire; `None` if it is cut or nonsense.
    fn read(fields: &mut FieldReader<'_>) -> Option<Self>;

    /// Writes it.
    fn write<const N: usize>(&self, out: &mut FieldWriter<N>);
}

/// Eight bytes.
impl Field for u64 {
    #[inline]
    fn read(fields: &mut FieldReader<'_>) -> Option<Self> {
        fields.u64()
    }

    #[inline]
    fn write<const N: usize>(&self, out: &mut FieldWriter<N>) {
        out.u64(*self);
    }
}

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

    /// A byte of flags, and what stands behind it.
    #[inline]
    pub fn parts(&mut self) -> Option<PartsReader<'_, 'a>> {
        Some(PartsReader { flags: self.u8()?, fields: self })
    }
}

/// Reads the parts that a byte of flags names, at most eight, the one of its highest bit first. Flags that are not asked
/// for are ignored.
#[derive(Debug)]
pub struct PartsReader<'r, 'a> {
    flags: u8,
    fields: &'r mut FieldReader<'a>,
}

impl PartsReader<'_, '_> {
    /// The next flag, which names nothing: it speaks for itself.
    #[inline]
    pub fn flag(&mut self) -> bool {
        let is_set = self.flags & FIRST_FLAG != 0;
        self.flags <<= 1;
        is_set
    }

    /// The part that the next flag names, if it is set. The outer `None`: it should be there, and is not, or is malformed.
    #[inline]
    pub fn part<F: Field>(&mut self) -> Option<Option<F>> {
        if self.flag() { F::read(self.fields).map(Some) } else { Some(None) }
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

    /// A byte of flags, for what is written by the returned value.
    #[inline]
    pub fn parts(&mut self) -> PartsWriter<'_, N> {
        let flags_at = self.bytes.len();
        self.u8(0);
        PartsWriter { next: FIRST_FLAG, flags_at, out: self }
    }
}

/// Writes at most eight flags and the parts that they name, in the order in which [`PartsReader`] is asked for them.
#[derive(Debug)]
pub struct PartsWriter<'w, const N: usize> {
    /// The next flag's bit.
    next: u8,
    flags_at: usize,
    out: &'w mut FieldWriter<N>,
}

impl<const N: usize> PartsWriter<'_, N> {
    /// The next flag, which names nothing.
    #[inline]
    pub fn flag(&mut self, is_set: bool) -> &mut Self {
        debug_assert!(self.next != 0, "a ninth flag");
        if let Some(flags) = self.out.bytes.get_mut(self.flags_at).filter(|_| is_set) {
            *flags |= self.next;
        }
        self.next >>= 1;
        self
    }

    /// The next flag, and the part that it names.
    #[inline]
    pub fn part<F: Field>(&mut self, part: &Option<F>) -> &mut Self {
        self.flag(part.is_some());
        if let Some(part) = part {
            part.write(self.out);
        }
        self
    }
}

const FIRST_FLAG: u8 = 0x80;

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

    proptest! {
        #[test]
        fn the_parts_that_are_written_are_read(
            parts: [Option<u64>; 4], flags: [bool; 3], behind: u8, cut in 0usize..40,
        ) {
            let mut out = FieldWriter::<40>::new();
            let mut writer = out.parts();
            for (part, flag) in parts.iter().zip(flags) {
                writer.flag(flag).part(part);
            }
            writer.part(&parts[3]);
            out.u8(behind);
            let bytes = out.bytes();
            let mut fields = FieldReader::new(bytes);
            let mut reader = fields.parts().unwrap();
            for (part, flag) in parts.iter().zip(flags) {
                prop_assert_eq!((reader.flag(), reader.part()), (flag, Some(*part)));
            }
            prop_assert_eq!(reader.part(), Some(parts[3]));
            prop_assert_eq!(fields.rest(), &[behind]);
            // Cut anywhere, the part that is not whole is missing.
            let mut fields = FieldReader::new(&bytes[..cut.min(bytes.len())]);
            if let Some(mut reader) = fields.parts() {
                let read = parts.iter().enumerate().take_while(|(at, _)| {
                    let _ = *at < 3 && reader.flag();
                    reader.part::<u64>().is_some()
                });
                prop_assert_eq!(read.count() < 4, cut < bytes.len() - 1);
            }
        }
    }

    #[test]
    fn flags_have_an_order_and_offsets_a_bound() {
        let mut out = FieldWriter::<17>::new();
        out.parts().flag(true).flag(false).flag(false).flag(false).flag(false).flag(true);
        out.u64((1 << 62) - 1).u64(1 << 62);
        let mut fields = FieldReader::new(out.bytes());
        assert_eq!(fields.u8(), Some(0b1000_0100));
        assert_eq!((fields.offset(), fields.offset()), (Some((1 << 62) - 1), None));
    }
}
