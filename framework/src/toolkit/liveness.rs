//! [`Liveness`]: whether the peer is still there, for protocols that ask it by a *ping*: anything that it has to answer. A
//! peer that owes nothing is asked after some silence (as RFC 1122 4.2.3.6 has it), and one that stays silent for long is
//! held for gone. Who asks for other reasons (a window opened, the peer moved) owes a ping here, too.
//!
//! ```text
//!  ask ─► owes_ping ─► (sent) on_sent ─► is_expecting ─► on_heard, whatever came
//! ```
//!
//! Repeating a ping that was lost is left to the sender's timers: they know how long an answer takes.

use crate::time::{Duration, Instant};

/// How much silence there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivenessPolicy {
    /// After so much of it a peer that owes nothing is asked whether it is there.
    pub keep_alive: Duration,
    /// After so much of it the peer is held for gone. Longer than `keep_alive`.
    pub idle_timeout: Duration,
}

impl Default for LivenessPolicy {
    /// Asks after 15 seconds, gives up after a minute.
    fn default() -> Self {
        Self { keep_alive: Duration::from_secs(15), idle_timeout: Duration::from_secs(60) }
    }
}

/// What one flow knows of its peer's being there.
#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    policy: LivenessPolicy,
    heard_at: Instant,
    /// A ping is to be sent.
    owed: bool,
    /// One was sent, and nothing heard since.
    asked: bool,
}

impl Liveness {
    /// Nothing asked; the peer counts as heard now.
    #[must_use]
    pub const fn new(policy: LivenessPolicy, now: Instant) -> Self {
        Self { policy, heard_at: now, owed: false, asked: false }
    }

    /// The peer said something.
    #[inline]
    pub fn on_heard(&mut self, now: Instant) {
        (self.heard_at, self.asked) = (now, false);
    }

    /// The peer is to be asked, if there is a reason.
    #[inline]
    pub fn ask_if(&mut self, reason: bool) {
        self.owed |= reason;
    }

    /// Whether a ping is to be sent now.
    #[inline]
    #[must_use]
    pub const fn owes_ping(&self) -> bool {
        self.owed
    }

    /// Something left, with a ping if one was owed.
    #[inline]
    pub fn on_sent(&mut self) {
        (self.asked, self.owed) = (self.asked || self.owed, false);
    }

    /// Whether the peer owes an answer to a ping, or will.
    #[inline]
    #[must_use]
    pub const fn is_expecting(&self) -> bool {
        self.owed || self.asked
    }

    /// When [`on_deadline`](Self::on_deadline) has something to do. `is_expecting`: the peer owes an answer to anything,
    /// so there is no need to ask.
    #[inline]
    #[must_use]
    pub fn deadline(&self, is_expecting: bool) -> Instant {
        let patience = if is_expecting { self.policy.idle_timeout } else { self.policy.keep_alive };
        self.heard_at + patience.min(self.policy.idle_timeout)
    }

    /// Owes a ping if it is time. True if the peer is held for gone.
    #[must_use]
    pub fn on_deadline(&mut self, now: Instant, is_expecting: bool) -> bool {
        self.owed |= !is_expecting && self.deadline(false) <= now;
        self.heard_at + self.policy.idle_timeout <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: LivenessPolicy =
        LivenessPolicy { keep_alive: Duration::from_secs(15), idle_timeout: Duration::from_secs(60) };

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn silence_is_asked_about_once_and_then_given_up() {
        let mut peer = Liveness::new(POLICY, at(0));
        assert_eq!((peer.deadline(false), peer.deadline(true)), (at(15), at(60)));
        assert!(!peer.on_deadline(at(15), false) && peer.owes_ping());
        peer.on_sent();
        assert_eq!((peer.owes_ping(), peer.is_expecting()), (false, true));
        assert!(!peer.on_deadline(at(59), peer.is_expecting()) && !peer.owes_ping());
        assert!(peer.on_deadline(at(60), peer.is_expecting()));
        peer.on_heard(at(60));
        assert!(!peer.is_expecting() && !peer.on_deadline(at(60), false));
    }

    #[test]
    fn a_ping_that_is_owed_outlives_what_is_heard() {
        let mut peer = Liveness::new(POLICY, at(0));
        peer.ask_if(false);
        assert!(!peer.is_expecting());
        peer.ask_if(true);
        peer.on_heard(at(1));
        assert!(peer.owes_ping());
    }

    proptest! {
        /// Whoever sends what is owed, and looks at the clock when told to, learns of every silence in time, and of no other.
        #[test]
        fn a_peer_is_gone_if_and_only_if_it_was_silent(silences in prop::collection::vec(1u64..100, 1..20)) {
            let (mut peer, mut now) = (Liveness::new(POLICY, at(0)), at(0));
            for seconds in silences {
                let (heard_at, heard_next) = (now, now + Duration::from_secs(seconds));
                let mut pings = 0;
                loop {
                    let due = peer.deadline(peer.is_expecting());
                    prop_assert!(due > now, "time stands still");
                    now = due.min(heard_next);
                    let is_gone = now == due && peer.on_deadline(now, peer.is_expecting());
                    pings += u32::from(peer.owes_ping());
                    peer.on_sent();
                    prop_assert_eq!(is_gone, now == due && now.since(heard_at) >= POLICY.idle_timeout);
                    if is_gone || now == heard_next {
                        break;
                    }
                }
                prop_assert_eq!(pings, u32::from(now.since(heard_at) >= POLICY.keep_alive));
                peer.on_heard(now);
            }
        }
    }
}
