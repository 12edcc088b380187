//! Timers that few connections have, outside of the hot part: keep-alive (RFC 9293 3.8.4), a cork's patience, lingering.
//! Those that most have are in [`timers`](crate::timers).

use burstlane::observe::Event;
use burstlane::socket::StreamIo;
use burstlane::time::{Duration, Instant};
use burstlane::transport::{Class, Context, FlowError};

use crate::conn::{Conn, Flag, Wish};
use crate::state::State;
use crate::{Close, Tcp};

/// When they fire; never, if they are not set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlowTimers {
    pub(crate) keep_alive_at: Instant,
    pub(crate) cork_at: Instant,
    pub(crate) linger_at: Instant,
}

impl SlowTimers {
    pub(crate) const NONE: Self =
        Self { keep_alive_at: Instant::NEVER, cork_at: Instant::NEVER, linger_at: Instant::NEVER };

    fn next_at(&self) -> Instant {
        self.keep_alive_at.min(self.cork_at).min(self.linger_at)
    }
}

/// What is known of a peer's silence, if `Wish::KeepAlive`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    /// The last acceptable segment.
    pub(crate) heard_at: Instant,
    /// Questions since.
    pub(crate) probes: u8,
}

impl Tcp {
    /// Tells the engine when to call. Every call into the connection ends with it.
    #[inline]
    pub(crate) fn set_deadline(&self, cx: &mut Context<'_, Self>, conn: &Conn) {
        let at = conn.timer_at.min(conn.delayed_ack_at);
        cx.set_deadline(if conn.wishes(Wish::SlowTimer) { at.min(self.slow_timers(conn).next_at()) } else { at });
    }

    #[cold]
    #[inline(never)]
    fn slow_timers(&self, conn: &Conn) -> SlowTimers {
        self.cold.get_at(conn.cold).map_or(SlowTimers::NONE, |cold| cold.slow_timers)
    }

    /// Sets or clears some of them.
    pub(crate) fn set_slow_timers(&mut self, conn: &mut Conn, set: impl FnOnce(&mut SlowTimers)) {
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return };
        set(&mut cold.slow_timers);
        if cold.slow_timers.next_at() == Instant::NEVER {
            conn.wish(Wish::SlowTimer, false);
        } else {
            conn.wish(Wish::SlowTimer, true);
        }
    }

    /// Those that are due.
    #[cold]
    #[inline(never)]
    pub(crate) fn slow_timers_fired(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &StreamIo) {
        let (now, due) = (cx.now, self.slow_timers(conn));
        if due.linger_at <= now {
            return self.end(cx, conn, Close::Reset(FlowError::Aborted));
        }
        if due.cork_at <= now {
            self.set_slow_timers(conn, |timers| timers.cork_at = Instant::NEVER);
            self.open_cork(conn);
            cx.want_tx(Class::Data);
        }
        if due.keep_alive_at <= now {
            self.keep_alive_fired(cx, conn, io);
        }
    }

    /// From now on silence is measured.
    pub(crate) fn start_keep_alive(&mut self, now: Instant, conn: &mut Conn) {
        let Some(keep_alive) = self.settings(conn).keep_alive else { return };
        self.note_heard(now, conn);
        conn.wish(Wish::KeepAlive, true);
        self.set_slow_timers(conn, |timers| timers.keep_alive_at = now + keep_alive.idle);
    }

    /// The peer is there. The timer is not moved: it looks when it fires.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_heard(&mut self, now: Instant, conn: &Conn) {
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.silence = Silence { heard_at: now, probes: 0 };
        }
    }

    /// Asks, waits on, or gives up (RFC 9293 3.8.4). Only where nothing is outstanding: otherwise other timers find out
    /// (MUST-26).
    /// RFC 9293: MAY-5.
    fn keep_alive_fired(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &StreamIo) {
        let settings = self.settings(conn);
        let (Some(keep_alive), user_timeout) = (settings.keep_alive, settings.user_timeout) else { return };
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return };
        let Silence { heard_at, probes } = cold.silence;
        let is_idle = conn.state().is_synchronized() && conn.ledger.is_empty() && !conn.has_unsent(io);
        let next = if !is_idle {
            cx.now + keep_alive.idle
        } else if probes == 0 && heard_at + keep_alive.idle > cx.now {
            heard_at + keep_alive.idle
        } else {
            let is_overdue = user_timeout.is_some_and(|limit| cx.now.since(heard_at) >= limit);
            if probes >= keep_alive.probes || probes > 0 && is_overdue {
                return self.end(cx, conn, Close::Reset(FlowError::TimedOut));
            }
            cold.silence.probes = probes + 1;
            cx.observe_flow(|flow| Event::TimerFired { flow, name: "keep-alive" });
            conn.set(Flag::ControlOwed);
            cx.want_tx(Class::Control);
            cx.now + keep_alive.interval
        };
        self.set_slow_timers(conn, |timers| timers.keep_alive_at = next);
    }

    /// The application let go, and gives what it wrote this long to arrive.
    pub(crate) fn start_linger(&mut self, cx: &Context<'_, Self>, conn: &mut Conn, time: Duration) {
        let at = cx.now + time;
        self.set_slow_timers(conn, |timers| timers.linger_at = at);
    }

    /// Whether less than a segment, the last of what was written, waits for more.
    #[cold]
    #[inline(never)]
    pub(crate) fn is_corked(&self, conn: &Conn) -> bool {
        self.cold.get_at(conn.cold).is_some_and(|cold| !cold.cork_open)
    }

    /// What the cork held may go, once.
    fn open_cork(&mut self, conn: &Conn) {
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.cork_open = true;
        }
    }

    /// Something left, and what follows is held anew.
    #[cold]
    #[inline(never)]
    pub(crate) fn close_cork(&mut self, conn: &mut Conn) {
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.cork_open = false;
        }
        self.set_slow_timers(conn, |timers| timers.cork_at = Instant::NEVER);
    }

    /// Nothing may leave. Whether that is the cork's doing, which then runs out of patience some time.
    #[cold]
    #[inline(never)]
    pub(crate) fn is_held_by_cork(&mut self, now: Instant, conn: &mut Conn, io: &StreamIo) -> bool {
        let unsent = io.tx.len().saturating_sub(conn.outstanding_data()) as u64;
        let window = (conn.snd_una() + u64::from(conn.snd_wnd)).saturating_sub(conn.snd_nxt());
        let is_held = self.is_corked(conn) && unsent > 0 && unsent <= window && conn.state() != State::SynSent;
        if is_held && self.slow_timers(conn).cork_at == Instant::NEVER {
            self.set_slow_timers(conn, |timers| timers.cork_at = now + CORK_TIME_MAX);
        }
        is_held
    }
}

/// How long a cork holds the last of what was written.
const CORK_TIME_MAX: Duration = Duration::from_millis(200);
