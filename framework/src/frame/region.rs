//! The memory under a pool: one contiguous block of bytes that outlives the pool.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// A contiguous, initialised block of memory that stays where it is.
///
/// # Safety
/// For as long as the value lives, `base()` returns the same pointer, `len()` the same number, and the `len()` bytes
/// from `base()` are initialised and valid for reads and writes. No safe code of the implementor reads or writes them
/// while a `FramePool` built on the region exists, save through slots that the pool has lent, nor while a detached frame
/// of such a pool exists.
///
/// The last owner, which drops it, may be another thread: whoever holds a detached frame. Hence `Send` and `Sync`.
pub unsafe trait Region: Send + Sync {
    /// First byte, aligned to at least 64.
    fn base(&self) -> NonNull<u8>;
    /// Bytes.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Plain memory of the process, zeroed, aligned to a page. Untouched pages cost nothing.
pub struct HeapRegion {
    base: NonNull<u8>,
    bytes: usize,
    /// The allocation around it.
    block: NonNull<u8>,
    layout: Layout,
}

impl HeapRegion {
    /// Allocates `bytes` bytes (at least one page).
    ///
    /// # Panics
    /// If the size overflows `isize`. Like every Rust allocation, it aborts when memory is gone.
    #[must_use]
    #[expect(clippy::panic, reason = "a configuration that no machine can hold; documented")]
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.max(PAGE_BYTES).next_multiple_of(PAGE_BYTES);
        // One page more, and the first whole page found here: asked for a page's alignment, the allocator clears (so
        // touches) all of the block itself; asked for the usual one, it hands out untouched pages, which cost nothing.
        let Ok(layout) = Layout::from_size_align(bytes.saturating_add(PAGE_BYTES), MALLOC_ALIGN) else {
            panic!("packet memory of {bytes} bytes is larger than an address space")
        };
        // SAFETY: the layout has a non-zero size.
        let block = unsafe { alloc_zeroed(layout) };
        let Some(block) = NonNull::new(block) else { handle_alloc_error(layout) };
        let skipped = block.align_offset(PAGE_BYTES);
        debug_assert!(skipped < PAGE_BYTES);
        // SAFETY: at most a page is skipped, and the block has one more than is used.
        let base = unsafe { block.add(skipped) };
        Self { base, bytes, block, layout }
    }
}

// SAFETY: the block is allocated zeroed, freed only on drop, and never handed out by this type.
unsafe impl Region for HeapRegion {
    fn base(&self) -> NonNull<u8> {
        self.base
    }

    fn len(&self) -> usize {
        self.bytes
    }
}

// SAFETY: it owns a block of the global allocator, which any thread may free.
unsafe impl Send for HeapRegion {}

// SAFETY: shared, it gives out an address and a length and touches no bytes.
unsafe impl Sync for HeapRegion {}

impl Drop for HeapRegion {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this very layout, and dropped once.
        unsafe { dealloc(self.block.as_ptr(), self.layout) }
    }
}

const PAGE_BYTES: usize = 4096;
/// What every allocator gives without being asked.
const MALLOC_ALIGN: usize = 8;
