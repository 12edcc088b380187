//! The caller's memory: [`Memory`], bytes that a C caller lends for one call, and the vectors of them that `readv` and `sendmsg`
//! take.

use std::ffi::c_void;

use crate::Answer;

/// Bytes of the caller's, for the length of a call.
pub(super) struct Memory {
    at: *mut u8,
    bytes: usize,
}

impl Memory {
    /// So many bytes at a place; none at a null pointer.
    ///
    /// # Safety
    /// They can be read until the value is dropped, and written if it is used to write; nobody else writes to them.
    pub(super) unsafe fn new(at: *const c_void, bytes: usize) -> Self {
        Self { at: at.cast_mut().cast(), bytes: if at.is_null() { 0 } else { bytes } }
    }

    /// A value that the caller points at.
    ///
    /// # Safety
    /// As [`new`](Self::new), for the size of `T`.
    pub(super) unsafe fn of<T>(at: *const T) -> Self {
        // SAFETY: as this function demands.
        unsafe { Self::new(at.cast(), size_of::<T>()) }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// A copy.
    pub(super) fn read(&self) -> Vec<u8> {
        if self.bytes == 0 {
            return vec![];
        }
        // SAFETY: not null, and readable for the value's life, as its maker promised.
        unsafe { std::slice::from_raw_parts(self.at, self.bytes) }.to_vec()
    }

    /// Writes from the front, as far as there is room. Returns how far.
    pub(super) fn write(&self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.bytes);
        // SAFETY: not null if `count` is not 0, writable for the value's life, and nobody's else, as its maker promised.
        unsafe { std::ptr::copy(bytes.as_ptr(), self.at, count) };
        count
    }

    pub(super) fn read_i32(&self) -> Answer<i32> {
        self.read().first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)).ok_or(libc::EFAULT)
    }
}

/// The parts of a vector of buffers.
///
/// # Safety
/// `parts` points at `count` of them, each of which can be read, and written if it is used to write, as long as the result lives.
pub(super) unsafe fn vector(parts: *const libc::iovec, count: usize) -> Answer<Vec<Memory>> {
    if count > PARTS_MAX || parts.is_null() && count > 0 {
        return Err(libc::EINVAL);
    }
    let mut memory = vec![];
    for at in 0..count {
        // SAFETY: below `count`, so within what the caller promised.
        let place = unsafe { parts.add(at) };
        // SAFETY: the same.
        let part = unsafe { place.read() };
        // SAFETY: what the caller promised of each part.
        memory.push(unsafe { Memory::new(part.iov_base, part.iov_len) });
    }
    Ok(memory)
}

/// All bytes of a vector.
pub(super) fn gather(parts: &[Memory]) -> Vec<u8> {
    parts.iter().flat_map(Memory::read).collect()
}

/// Writes into one part after the other.
pub(super) fn scatter(parts: &[Memory], bytes: &[u8]) {
    let mut rest = bytes;
    for part in parts {
        let written = part.write(rest);
        rest = rest.get(written..).unwrap_or_default();
    }
}

/// `UIO_MAXIOV`.
const PARTS_MAX: usize = 1024;
