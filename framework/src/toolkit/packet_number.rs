//! [`PacketNumbers`]: the numbers of one flow's packets, ours and the peer's. Each packet has its own, from 1 on, whatever
//! it carries; so the numbers tell which of two packets is newer, however the network reordered them (RFC 9000 12.3).

/// Numbers of packets both ways.
///
/// ```
/// use burstlane::toolkit::PacketNumbers;
///
/// let mut numbers = PacketNumbers::new();
/// assert_eq!((numbers.take(), numbers.take()), (1, 2));
/// assert!(numbers.is_newest(5), "what it says of now counts");
/// assert!(!numbers.is_newest(4), "it was overtaken");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketNumbers {
    next: u64,
    newest: u64,
}

impl PacketNumbers {
    /// Nothing sent, nothing received.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: 1, newest: 0 }
    }

    /// The number of a packet to be sent. One that is not used after all is missed by nobody.
    #[inline]
    pub fn take(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// A packet came. True if it is newer than all that came before.
    #[inline]
    #[must_use]
    pub fn is_newest(&mut self, number: u64) -> bool {
        let is_newest = number > self.newest;
        self.newest = self.newest.max(number);
        is_newest
    }
}

impl Default for PacketNumbers {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn newest_is_what_no_earlier_one_reaches(numbers in prop::collection::vec(1u64..50, 0..40)) {
            let mut seen = PacketNumbers::new();
            for (at, number) in numbers.iter().enumerate() {
                prop_assert_eq!(seen.is_newest(*number), numbers[..at].iter().all(|earlier| earlier < number));
            }
        }
    }
}
