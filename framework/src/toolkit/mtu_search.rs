//! Finding the size of packets that a path carries by trying (RFC 8899, RFC 4821), for when routers drop what is too large and say
//! nothing, or what they say is lost: an ICMP black hole.
//!
//! Until something points to one, the MTU that the path is known by is used (RFC 1191, RFC 8201). When large packets vanish again and
//! again, a size that practically every path carries is used, and larger ones are tried: first the one that vanished, for mostly it was
//! loss and no black hole; then by halving what is in between. Tried sizes travel in packets of the transport's own, of which only the
//! size differs, so nothing is sent in vain.
//!
//! ```text
//!  IDLE ── large packets vanish ──► SEARCHING ── they pass after all ──► IDLE
//!                                    │      ▲
//!                      nothing left to try  ten minutes
//!                                    ▼      │
//!                                   COMPLETE
//! ```

use crate::time::{Duration, Instant};

/// The search of one flow or path. Sizes are of IP packets, bytes, headers included. It holds no timer and sends nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MtuSearch {
    /// What is known to pass: PLPMTU of RFC 8899. While idle, the largest there is.
    size: u32,
    /// The smallest that is held not to pass.
    fails: u32,
    /// What is tried before anything between the two; zero if nothing is.
    suspect: u32,
    /// Times that the size under trial was lost.
    losses: u8,
    /// When the next trial may go.
    next_at: Instant,
}

impl MtuSearch {
    /// Idle.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: u32::MAX, fails: u32::MAX, suspect: 0, losses: 0, next_at: Instant::NEVER }
    }

    /// The largest packet to send; `u32::MAX` while idle.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.size
    }

    /// Whether packets are limited by it.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.size != u32::MAX
    }

    /// Packets of `size` bytes vanish, while the path says that it carries them (RFC 8899 4.3: a few losses in a row, with nothing
    /// acknowledged in between). Returns what to send instead, or `None` where nothing smaller makes sense: it is loss, then.
    pub fn on_black_hole(&mut self, now: Instant, size: u32, is_v4: bool) -> Option<u32> {
        let floor = if is_v4 { MTU_MIN_V4 } else { MTU_MIN_V6 };
        let base = BASE.max(floor);
        let next = if size > base { base } else { floor };
        if next >= size {
            return None;
        }
        *self = Self { size: next, fails: u32::MAX, suspect: size, losses: 0, next_at: now };
        Some(next)
    }

    /// The size of a packet to try now, if one is to be tried; `path_mtu` is what the path says that it carries.
    pub fn trial(&mut self, now: Instant, path_mtu: u32) -> Option<u32> {
        if !self.is_active() || now < self.next_at {
            return None;
        }
        if path_mtu <= self.size {
            // A router has spoken since.
            *self = Self::new();
            return None;
        }
        if self.suspect > 0 {
            return Some(self.suspect.min(path_mtu));
        }
        let most = path_mtu.min(self.fails.saturating_sub(1));
        if most < self.size.saturating_add(STEP) {
            // Paths change; later all of it is tried again (RFC 8899 5.1.1: PMTU_RAISE_TIMER).
            (self.suspect, self.fails, self.next_at) = (path_mtu, u32::MAX, now + RAISE_INTERVAL);
            return None;
        }
        Some(self.size + (most - self.size).div_ceil(2))
    }

    /// The packet of `size` bytes that was tried has arrived.
    pub fn on_trial_arrived(&mut self, size: u32) {
        if !self.is_active() || size <= self.size {
            return;
        }
        (self.size, self.losses) = (size, 0);
        if self.suspect > 0 {
            // What was suspected passes.
            *self = Self::new();
        }
    }

    /// It was lost; perhaps by chance. `retry_at` is when the next trial may go: a round trip later, that losses of ours are not
    /// too many (RFC 8899 5.1.1: MAX_PROBES).
    pub fn on_trial_lost(&mut self, size: u32, retry_at: Instant) {
        self.next_at = retry_at;
        self.losses = self.losses.saturating_add(1);
        if self.losses >= LOSSES_MAX && size > self.size {
            (self.fails, self.suspect, self.losses) = (size, 0, 0);
        }
    }
}

impl Default for MtuSearch {
    fn default() -> Self {
        Self::new()
    }
}

/// BASE_PLPMTU of RFC 8899 5.1.2.
const BASE: u32 = 1_200;
/// Every IPv4 host takes so much (RFC 1122 3.3.2); paths that carry less are not known.
const MTU_MIN_V4: u32 = 576;
/// RFC 8200 5.
const MTU_MIN_V6: u32 = 1_280;
/// MAX_PROBES.
const LOSSES_MAX: u8 = 3;
/// What is not worth another trial, bytes.
const STEP: u32 = 16;
/// PMTU_RAISE_TIMER.
const RAISE_INTERVAL: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROUND_TRIP: Duration = Duration::from_millis(50);

    /// Lets a flow send over a path that silently carries `carries`, until nothing more is tried. Returns the trials that went.
    fn settle(
        search: &mut MtuSearch,
        now: &mut Instant,
        top: u32,
        carries: u32,
        mut is_lost: impl FnMut() -> bool,
    ) -> usize {
        let mut trials = 0;
        for _ in 0..200 {
            *now += ROUND_TRIP;
            if search.limit().min(top) > carries {
                search.on_black_hole(*now, search.limit().min(top), carries < 1280);
                continue;
            }
            let Some(size) = search.trial(*now, top) else { return trials };
            assert!(size > search.limit() && size <= top);
            trials += 1;
            if size <= carries && !is_lost() {
                search.on_trial_arrived(size);
            } else {
                search.on_trial_lost(size, *now + ROUND_TRIP);
                *now += ROUND_TRIP;
            }
        }
        panic!("no end: {search:?}");
    }

    proptest! {
        #[test]
        fn it_finds_what_the_path_carries(carries in 600_u32..9_100, top in 1_280_u32..9_100) {
            let (mut search, mut now) = (MtuSearch::new(), Instant::ZERO);
            let trials = settle(&mut search, &mut now, top, carries, || false);
            let found = search.limit().min(top);
            prop_assert!(found <= carries.min(top) && found + STEP > carries.min(top), "{} of {}", found, carries.min(top));
            prop_assert!(trials <= 3 * 14, "{}", trials);
            prop_assert_eq!(search.is_active(), carries < top);
        }

        /// Losses by chance make it find less at worst, and never more; ten minutes later it looks again.
        #[test]
        fn chance_does_not_fool_it_for_ever(carries in 1_300_u32..9_100, top in 1_300_u32..9_100, losses in 0..6) {
            let (mut search, mut now, mut left) = (MtuSearch::new(), Instant::ZERO, losses);
            let mut is_lost = || { left -= 1; left >= 0 };
            settle(&mut search, &mut now, top, carries, &mut is_lost);
            prop_assert!(search.limit().min(top) <= carries.min(top));
            for _ in 0..3 {
                now += RAISE_INTERVAL;
                settle(&mut search, &mut now, top, carries, || false);
            }
            prop_assert!(search.limit().min(top) + STEP > carries.min(top));
        }
    }

    #[test]
    fn mostly_it_was_loss() {
        let mut search = MtuSearch::new();
        assert_eq!(search.trial(Instant::ZERO, 1500), None);
        assert_eq!(search.on_black_hole(Instant::ZERO, 1500, true), Some(1200));
        assert_eq!(search.trial(Instant::ZERO, 1500), Some(1500), "the size that vanished comes first");
        search.on_trial_arrived(1500);
        assert_eq!(search, MtuSearch::new());
    }

    #[test]
    fn it_never_goes_below_what_all_paths_carry() {
        let mut search = MtuSearch::new();
        assert_eq!(search.on_black_hole(Instant::ZERO, 1500, true), Some(1200));
        assert_eq!(search.on_black_hole(Instant::ZERO, 1200, true), Some(576));
        assert_eq!(search.on_black_hole(Instant::ZERO, 576, true), None);
        assert_eq!(MtuSearch::new().on_black_hole(Instant::ZERO, 1280, false), None);
    }
}
