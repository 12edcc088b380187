//! Known bytes: a pseudo-random stream that can be written and checked at any place, so that a byte lost, doubled, moved
//! or changed shows where it happened.

/// An endless stream of bytes, given by a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern(u64);

impl Pattern {
    /// The stream of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x5e_ed0f_ba11))
    }

    /// Writes the bytes from `offset` on.
    pub fn fill(&self, offset: u64, out: &mut [u8]) {
        let mut at = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let word = self.word(at / 8);
            let skip = (at % 8) as usize;
            let count = rest.len().min(8 - skip);
            let (here, behind) = rest.split_at_mut(count);
            here.copy_from_slice(&word[skip..skip + count]);
            at += count as u64;
            rest = behind;
        }
    }

    /// Where `bytes`, which should be those from `offset` on, first differ.
    #[must_use]
    pub fn mismatch(&self, offset: u64, bytes: &[u8]) -> Option<u64> {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let word = self.word(at / 8);
            let skip = (at % 8) as usize;
            let count = rest.len().min(8 - skip);
            let (here, behind) = rest.split_at(count);
            if here != &word[skip..skip + count] {
                return here.iter().zip(&word[skip..]).zip(at..).find(|((a, b), _)| a != b).map(|(_, at)| at);
            }
            at += count as u64;
            rest = behind;
        }
        None
    }

    fn word(&self, index: u64) -> [u8; 8] {
        mix(self.0.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15))).to_le_bytes()
    }
}

/// SplitMix64's output function: a small generator for choices that need no more.
#[must_use]
pub const fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Draws, one after another, from a seed.
#[derive(Clone, Copy, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The draws of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0xd1ce))
    }

    /// The next draw.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from `low` to `high`, both included.
    ///
    /// # Panics
    /// If `low` is above `high`.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next_u64() % (high - low + 1)
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        (self.next_u64() >> 11) as f64 / ((1_u64 << 53) as f64) < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_piece_is_a_piece_of_the_whole_and_any_flip_is_found() {
        let pattern = Pattern::new(7);
        let mut whole = [0; 100];
        pattern.fill(0, &mut whole);
        for (start, end) in [(0, 100), (3, 4), (5, 61), (8, 16), (99, 100), (50, 50)] {
            let mut piece = vec![0; end - start];
            pattern.fill(start as u64, &mut piece);
            assert_eq!(piece, whole[start..end]);
            assert_eq!(pattern.mismatch(start as u64, &piece), None);
        }
        for at in 0..100 {
            let mut wrong = whole;
            wrong[at] ^= 1;
            assert_eq!(pattern.mismatch(0, &wrong), Some(at as u64));
        }
        assert_ne!(Pattern::new(8).mismatch(0, &whole), None);
    }
}
