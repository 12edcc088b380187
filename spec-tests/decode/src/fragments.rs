//! Fragments of one sender, put together again to be judged as a whole. We send the pieces of a packet one after another
//! and in order, so whatever is not the next piece is a flaw. (A receiver has to be more patient; this is none.)

use super::{Flaw, IpHeader, content};

/// A piece of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'f> {
    /// Which packet it is a piece of. IPv4 uses 16 bits.
    pub ident: u32,
    /// Bytes in front of it.
    pub offset: usize,
    /// Others follow.
    pub more: bool,
    /// The piece.
    pub bytes: &'f [u8],
}

/// The packet whose pieces are being sent.
#[derive(Debug, Default)]
pub struct Fragments {
    of: Option<(IpHeader, u32)>,
    bytes: Vec<u8>,
}

impl Fragments {
    /// Takes the next piece.
    ///
    /// # Errors
    /// It is not the next one, or the whole, which it completes, is flawed.
    pub fn take(&mut self, header: &IpHeader, fragment: &Fragment<'_>) -> Result<(), Flaw> {
        if fragment.offset == 0 {
            ensure!(self.of.is_none(), "the first piece of a packet before the last of another");
            self.of = Some((*header, fragment.ident));
            self.bytes.clear();
        }
        ensure!(self.of == Some((*header, fragment.ident)), "a piece of a packet that was not begun");
        ensure!(fragment.offset == self.bytes.len(), "a piece at {}, not {}", fragment.offset, self.bytes.len());
        self.bytes.extend_from_slice(fragment.bytes);
        if fragment.more {
            return Ok(());
        }
        self.of = None;
        ensure!(fragment.offset > 0, "a fragment that is all of its packet");
        content(header, &self.bytes).map(|_| ())
    }
}
