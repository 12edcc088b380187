//! One step in which the two differ, and what rules ask of it.

use super::host::Heard;
use super::reply::Reply;
use super::script::{FIN, RST, SYN, Say, Stamp, Step};

/// One step in which the hosts differ. Ours is the first of each two.
pub(crate) struct Difference<'s> {
    pub(crate) step: &'s Step,
    /// Their states before it and behind it.
    pub(crate) before: [&'static str; 2],
    pub(crate) after: [&'static str; 2],
    pub(crate) replies: [&'s [Reply]; 2],
    pub(crate) heard: [&'s Heard; 2],
    /// The peer's segment, if the step was one.
    pub(crate) said: Option<Said>,
    pub(crate) past: &'s Past,
}

/// A segment of the peer's, seen from where our host stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) say: Say,
    /// SEG.SEQ.
    pub(crate) number: u32,
    /// SEG.SEQ - RCV.NXT.
    pub(crate) seq: i32,
    /// RCV.WND.
    pub(crate) window: u32,
    /// The same of smoltcp, from our RCV.NXT on.
    pub(crate) their_window: u32,
    /// SEG.ACK is before SND.UNA.
    pub(crate) has_old_ack: bool,
}

/// What of earlier steps still matters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Past {
    /// smoltcp has sent an acknowledgement by itself.
    pub(crate) has_acknowledged: bool,
    /// The window that the peer last offered.
    pub(crate) window: u16,
    /// What the host has outstanding leaves no room in it.
    pub(crate) is_full: bool,
    /// It came with a segment in front of another whose window was taken: SND.WL1 forbids to take it.
    pub(crate) has_stale_window: bool,
    /// The peer has sent text behind its FIN.
    pub(crate) has_text_behind_fin: bool,
    /// A FIN came with a gap before it.
    pub(crate) has_early_fin: bool,
    /// Both sides use timestamps.
    pub(crate) has_timestamps: bool,
}

impl Difference<'_> {
    pub(crate) fn is_same_state(&self) -> bool {
        self.before[0] == self.before[1] && self.after[0] == self.after[1]
    }

    pub(crate) fn ours(&self) -> &[Reply] {
        self.replies[0]
    }

    pub(crate) fn theirs(&self) -> &[Reply] {
        self.replies[1]
    }

    pub(crate) fn ours_is(&self, flags: u8) -> bool {
        matches!(self.ours(), [reply] if reply.is(flags))
    }

    /// smoltcp's connection is no more.
    pub(crate) fn is_over_for_smoltcp(&self) -> bool {
        ["CLOSED", "LISTEN"].contains(&self.after[1])
    }

    /// We acknowledge, smoltcp says nothing.
    pub(crate) fn ours_only_acknowledges(&self) -> bool {
        matches!(self.ours(), [reply] if reply.is_bare_ack()) && self.theirs().is_empty()
    }

    /// Both said the same, these options aside.
    pub(crate) fn is_alike_but(&self, without: &[usize]) -> bool {
        let strip = |side: usize| self.replies[side].iter().map(|reply| reply.but(without)).collect::<Vec<_>>();
        self.is_same_state() && strip(0) == strip(1)
    }

    pub(crate) fn were(&self, state: &str) -> bool {
        self.before == [state; 2]
    }

    pub(crate) fn spoke(&self, test: impl Fn(&Said) -> bool) -> bool {
        self.said.as_ref().is_some_and(test)
    }

    pub(crate) fn theirs_is(&self, flags: u8) -> bool {
        matches!(self.theirs(), [reply] if reply.is(flags))
    }

    pub(crate) fn ours_acknowledges(&self) -> bool {
        matches!(self.ours(), [reply] if reply.is_bare_ack())
    }

    /// One acknowledges, the other says nothing.
    pub(crate) fn one_only_acknowledges(&self) -> bool {
        self.ours_only_acknowledges()
            || self.ours().is_empty() && matches!(self.theirs(), [reply] if reply.is_bare_ack())
    }

    /// Of the same text one sends more than the other.
    pub(crate) fn one_sends_more(&self) -> bool {
        let text = |side: usize| self.replies[side].iter().flat_map(|reply| &reply.text).copied().collect::<Vec<u8>>();
        let (ours, theirs) = (text(0), text(1));
        ours != theirs && (ours.starts_with(&theirs) || theirs.starts_with(&ours))
    }

    pub(crate) fn peer_had_finished(&self) -> bool {
        ["CLOSE-WAIT", "CLOSING", "LAST-ACK"].iter().any(|state| self.were(state))
    }

    /// What a synchronized host answers by an ACK that says where it stands.
    pub(crate) fn deserves_challenge(&self) -> bool {
        self.said.is_some_and(|said| !said.is_acceptable() || said.is(SYN) || said.is(RST) || said.say.ack > 0)
    }
}

impl Said {
    pub(crate) fn is(&self, flags: u8) -> bool {
        self.say.flags & flags == flags
    }

    /// A timestamp is not what it should be, where it matters.
    pub(crate) fn lacks(&self, stamp: Stamp) -> bool {
        self.say.stamp == stamp && !self.is(SYN) && !self.is(RST)
    }

    /// It is, in part, inside of one window and outside of the other.
    pub(crate) fn is_between_edges(&self) -> bool {
        let [low, high] = [self.window.min(self.their_window), self.window.max(self.their_window)].map(i64::from);
        let (start, end) = (i64::from(self.seq), i64::from(self.seq) + self.len());
        low != high && start <= high && end >= low
    }

    /// SEG.LEN.
    pub(crate) fn len(&self) -> i64 {
        i64::from(self.say.bytes) + i64::from(self.say.flags & (SYN | FIN) != 0)
    }

    /// The test of RFC 9293 3.10.7.4, first step.
    pub(crate) fn is_acceptable(&self) -> bool {
        let (seq, window, len) = (i64::from(self.seq), i64::from(self.window), self.len());
        let is_in = |at: i64| (0..window).contains(&at);
        match (len, window) {
            (0, 0) => seq == 0,
            (0, _) => is_in(seq),
            (_, 0) => false,
            (_, _) => is_in(seq) || is_in(seq + len - 1),
        }
    }
}
