//! Controlled delay: RFC 8289 section 5, by its names. It decides when a packet comes to the head of the queue, so a queue
//! that uses it keeps its packets until then.
//!
//! The pseudo-code's `dequeue` takes packets until one may go. Here each head is judged by a call of its own, and
//! [`Resume`] says where in `dequeue` the call goes on.

use std::time::Duration;

use burstlane::time::{Instant, nanos};

use super::{CoDelConfig, Verdict};

/// The memory of a CoDel queue.
#[derive(Clone, Debug)]
pub(crate) struct CoDel {
    config: CoDelConfig,
    /// `first_above_time`: when a wait above the target, if it lasts, is reason to tell. `None` is the RFC's zero.
    first_above_at: Option<Instant>,
    drop_next_at: Instant,
    count: u32,
    last_count: u32,
    is_dropping: bool,
    resume: Resume,
    /// `maxpacket`: the largest that was seen.
    packet_bytes_max: u64,
}

/// What the packet before came to, if it came to the head at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Resume {
    /// It went out.
    #[default]
    Fresh,
    /// It was dropped on entering the drop state: this one goes.
    AfterEntry,
    /// It was dropped in the drop state: this one may be, too.
    InLoop,
}

impl CoDel {
    pub(crate) fn new(config: CoDelConfig) -> Self {
        Self {
            config,
            first_above_at: None,
            drop_next_at: Instant::ZERO,
            count: 0,
            last_count: 0,
            is_dropping: false,
            resume: Resume::Fresh,
            packet_bytes_max: 0,
        }
    }

    pub(crate) fn config(&self) -> &CoDelConfig {
        &self.config
    }

    /// A packet joins the queue.
    pub(crate) fn on_arrival(&mut self, bytes: u64) {
        self.packet_bytes_max = self.packet_bytes_max.max(bytes);
    }

    /// What becomes of the packet that comes to the head at `now` after `sojourn` in the queue, in which `backlog_bytes`
    /// stand behind it. To be told means `signal` for it. After a drop, the next is judged at the same time.
    pub(crate) fn judge(&mut self, now: Instant, sojourn: Duration, backlog_bytes: u64, signal: Verdict) -> Verdict {
        let ok_to_drop = self.is_above(now, sojourn, backlog_bytes);
        match std::mem::take(&mut self.resume) {
            Resume::AfterEntry => Verdict::Pass,
            Resume::InLoop | Resume::Fresh if self.is_dropping && !ok_to_drop => {
                self.is_dropping = false;
                Verdict::Pass
            }
            Resume::InLoop => {
                self.drop_next_at = self.control_law(self.drop_next_at);
                self.tell_if_due(now, signal)
            }
            Resume::Fresh if self.is_dropping => self.tell_if_due(now, signal),
            Resume::Fresh if ok_to_drop => self.enter(now, signal),
            Resume::Fresh => Verdict::Pass,
        }
    }

    /// The second half of `dodequeue`: whether waits have been above the target for an interval. A queue of no more than a
    /// packet is none.
    fn is_above(&mut self, now: Instant, sojourn: Duration, backlog_bytes: u64) -> bool {
        if sojourn < self.config.target || backlog_bytes <= self.packet_bytes_max {
            self.first_above_at = None;
            return false;
        }
        let first_above_at = *self.first_above_at.get_or_insert(now + self.config.interval);
        now >= first_above_at
    }

    /// One turn of the loop in the drop state.
    fn tell_if_due(&mut self, now: Instant, signal: Verdict) -> Verdict {
        if now < self.drop_next_at {
            return Verdict::Pass;
        }
        self.count = self.count.saturating_add(1);
        if signal == Verdict::Drop {
            self.resume = Resume::InLoop;
        } else {
            // A packet that is marked is sent, so the loop is over.
            self.drop_next_at = self.control_law(self.drop_next_at);
        }
        signal
    }

    /// Into the drop state, with the count of the last time if that was not long ago.
    fn enter(&mut self, now: Instant, signal: Verdict) -> Verdict {
        let delta = self.count.saturating_sub(self.last_count);
        let is_recent = now.since(self.drop_next_at) < 16 * self.config.interval;
        self.count = if delta > 1 && is_recent { delta } else { 1 };
        self.last_count = self.count;
        self.is_dropping = true;
        self.drop_next_at = self.control_law(now);
        if signal == Verdict::Drop {
            self.resume = Resume::AfterEntry;
        }
        signal
    }

    /// `t + INTERVAL / sqrt(count)`. A square root's bits are the same everywhere (IEEE 754).
    fn control_law(&self, from: Instant) -> Instant {
        let span = nanos(self.config.interval) as f64 / f64::from(self.count.max(1)).sqrt();
        from.plus_nanos(span as u64)
    }
}
