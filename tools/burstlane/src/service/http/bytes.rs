//! The body of `/bytes/N`: bytes that anyone can make again, from any position, and their SHA-256.
//!
//! Word `i` (eight bytes, little endian) is `splitmix64` of `i`, so no state is carried, `N` shorter is a prefix of `N`
//! longer, and two ends can check each other without sending a file first.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

use sha2::{Digest, Sha256};

/// Most that `/bytes/N` gives.
pub const BYTES_MAX: u64 = 10 << 30;
/// Up to here the answer carries `X-Sha256`; beyond, hashing first would take seconds.
pub const HASHED_BYTES_MAX: u64 = 256 << 20;

/// Fills `out` with the stream's bytes from `position` on.
pub fn fill(position: u64, out: &mut [u8]) {
    let skip = (position % 8) as usize;
    let mut word = position / 8;
    let (head, body) = out.split_at_mut(if skip == 0 { 0 } else { (8 - skip).min(out.len()) });
    if !head.is_empty() {
        let bytes = splitmix64(word).to_le_bytes();
        head.iter_mut().zip(bytes.iter().skip(skip)).for_each(|(to, from)| *to = *from);
        word += 1;
    }
    let mut words = body.chunks_exact_mut(8);
    for to in &mut words {
        to.copy_from_slice(&splitmix64(word).to_le_bytes());
        word += 1;
    }
    let tail = words.into_remainder();
    tail.iter_mut().zip(splitmix64(word).to_le_bytes()).for_each(|(to, from)| *to = from);
}

/// Hashes `/bytes/N` a slice at a time, so that a large `N` does not hold up other connections.
#[derive(Clone, Debug)]
pub struct Hashing {
    length: u64,
    done: u64,
    state: Sha256,
}

impl Hashing {
    /// For the first `length` bytes.
    pub fn new(length: u64) -> Self {
        Self { length, done: 0, state: Sha256::new() }
    }

    /// Hashes some more; the hexadecimal digest once all is done.
    pub fn step(&mut self) -> Option<String> {
        let mut block = [0; 4096];
        for _ in 0..BLOCKS_PER_STEP {
            let count = (self.length - self.done).min(block.len() as u64) as usize;
            if count == 0 {
                return Some(hex(&self.state.finalize_reset()));
            }
            let block = block.get_mut(..count).unwrap_or_default();
            fill(self.done, block);
            self.state.update(block);
            self.done += count as u64;
        }
        None
    }
}

/// Digests already made, shared by the connections of a server. The oldest goes when a new one needs its place.
#[derive(Clone, Debug, Default)]
pub struct Digests(Rc<RefCell<Vec<(u64, String)>>>);

impl Digests {
    /// The digest for `length`, if it was made lately.
    pub fn find(&self, length: u64) -> Option<String> {
        self.0.borrow().iter().find(|(l, _)| *l == length).map(|(_, digest)| digest.clone())
    }

    /// Remembers one.
    pub fn add(&self, length: u64, digest: &str) {
        let mut list = self.0.borrow_mut();
        if list.len() >= DIGESTS_MAX {
            list.remove(0);
        }
        list.push((length, digest.to_owned()));
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// One step of the generator of that name, from a counter: a bijection with good avalanche.
fn splitmix64(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// 4 MiB a step: a few milliseconds.
const BLOCKS_PER_STEP: usize = 1024;
const DIGESTS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_piece_equals_the_same_piece_of_the_whole(position in 0u64..500, length in 0usize..500) {
            let mut whole = vec![0; 1000];
            fill(0, &mut whole);
            let mut piece = vec![0; length];
            fill(position, &mut piece);
            prop_assert_eq!(&piece[..], &whole[position as usize..position as usize + length]);
        }

        #[test]
        fn the_digest_is_that_of_the_bytes(length in 0u64..20_000) {
            let mut whole = vec![0; length as usize];
            fill(0, &mut whole);
            prop_assert_eq!(Hashing::new(length).step().unwrap(), hex(&Sha256::digest(&whole)));
        }
    }

    #[test]
    fn a_large_digest_takes_several_steps_and_is_remembered() {
        let mut hashing = Hashing::new(9 << 20);
        assert_eq!((hashing.step(), hashing.step()), (None, None));
        let digest = hashing.step().unwrap();
        let digests = Digests::default();
        (0..DIGESTS_MAX as u64).for_each(|i| digests.add(i, "other"));
        digests.add(9 << 20, &digest);
        assert_eq!(digests.find(9 << 20), Some(digest));
        assert_eq!((digests.find(0), digests.find(1).as_deref()), (None, Some("other")));
    }
}
