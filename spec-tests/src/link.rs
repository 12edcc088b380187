//! Links for tests that judge transports: the standard one, which spares the questions for neighbours.

use burstlane::time::{Duration, Instant};
use burstlane_sim::{Fate, LinkConfig, LinkModel, Passing, StandardLink};

/// A standard link on which neighbours always find each other. With a fifth of all frames lost, one in twenty questions
/// would go unanswered three times, and a transport that then says "unreachable" would be right.
#[derive(Clone)]
pub struct SparingLink {
    inner: Box<dyn LinkModel>,
    delay: Duration,
}

impl SparingLink {
    /// A link like this, its faults drawn from `seed`.
    ///
    /// # Panics
    /// If the configuration makes no sense.
    #[must_use]
    pub fn boxed(config: &LinkConfig, seed: u64) -> Box<dyn LinkModel> {
        let inner = StandardLink::boxed(config.clone(), seed).unwrap();
        Box::new(Self { inner, delay: config.delay })
    }
}

impl LinkModel for SparingLink {
    fn transit(&mut self, now: Instant, frame: &Passing<'_>) -> Fate {
        if is_neighbour_traffic(frame.bytes) {
            return Fate::after(self.delay);
        }
        self.inner.transit(now, frame)
    }
}

/// ARP (RFC 826), or a neighbour solicitation or advertisement (RFC 4861 4.3, 4.4) without extension headers.
#[must_use]
pub fn is_neighbour_traffic(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        Some([0x08, 0x06]) => true,
        Some([0x86, 0xdd]) => frame.get(20) == Some(&58) && matches!(frame.get(54), Some(135 | 136)),
        _ => false,
    }
}
