//! What the applications of a run say, and whether what came is what was said.

use std::collections::BTreeSet;

use crate::face::Channel;
use crate::pattern::Pattern;

/// What one end sends: bytes given by a seed, in pieces whose sizes the plan gives.
pub(super) struct Content {
    pub(super) seed: u64,
    pub(super) sizes: Vec<u32>,
    /// The piece that is due.
    pub(super) next: usize,
    /// Datagrams that came.
    pub(super) seen: BTreeSet<u32>,
}

impl Content {
    /// Writes the bytes from `at` on; where messages may be lost, the message that is due, which begins with its number.
    pub(super) fn fill(&self, at: u64, out: &mut [u8], is_reliable: bool) {
        if is_reliable {
            return Pattern::new(self.seed).fill(at, out);
        }
        Pattern::new(self.seed ^ (self.next as u64) << 32).fill(0, out);
        let number = (self.next as u32).to_le_bytes();
        let head = out.len().min(number.len());
        out[..head].copy_from_slice(&number[..head]);
    }

    /// What is wrong with bytes that came, if anything is.
    pub(super) fn check<C: Channel>(&mut self, at: u64, bytes: &[u8], is_reliable: bool) -> Option<String> {
        if !is_reliable {
            return self.check_datagram(bytes);
        }
        if C::HAS_MESSAGES {
            let size = self.sizes.get(self.next).copied();
            self.next += 1;
            if size != Some(bytes.len() as u32) {
                return Some(format!("message {} has {} bytes, not {size:?}", self.next - 1, bytes.len()));
            }
        }
        let wrong = Pattern::new(self.seed).mismatch(at, bytes)?;
        Some(format!("of {} bytes at {at} that at {wrong} is wrong", bytes.len()))
    }

    fn check_datagram(&mut self, bytes: &[u8]) -> Option<String> {
        let number = bytes.first_chunk().map(|number| u32::from_le_bytes(*number));
        let Some(known) = number.filter(|number| self.sizes.get(*number as usize) == Some(&(bytes.len() as u32)))
        else {
            return Some(format!("a datagram of {} bytes that nobody sent", bytes.len()));
        };
        self.seen.insert(known);
        let wrong = Pattern::new(self.seed ^ u64::from(known) << 32).mismatch(4, &bytes[4..])?;
        Some(format!("datagram {known}: byte {wrong} is wrong"))
    }
}
