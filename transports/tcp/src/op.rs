//! What an application asks of one connection: [`Op`], which the methods of [`TcpSocket`](crate::TcpSocket) send.

use burstlane::congestion::{Controller, initial_window};
use burstlane::socket::{Ready, StreamIo};
use burstlane::time::{Duration, Instant};
use burstlane::transport::{Class, Context};

use crate::Tcp;
use crate::conn::{Conn, Flag, Wish};
use crate::options::TIMESTAMPS_BYTES;
use crate::settings::KeepAlive;
use crate::state::State;

/// One wish. The methods of [`TcpSocket`](crate::TcpSocket) say what each means.
#[derive(Debug)]
#[non_exhaustive]
pub enum Op {
    /// Small segments do not wait for acknowledgements.
    NoDelay(bool),
    /// Only full segments leave.
    Cork(bool),
    /// So many acknowledgements wait for nothing.
    QuickAck(u32),
    /// A silent peer is asked whether it is there.
    KeepAlive(Option<KeepAlive>),
    /// The connection ends when what was sent is not acknowledged for so long.
    UserTimeout(Option<Duration>),
    /// What follows when the application lets go.
    Linger(Option<Duration>),
    /// This controller, from now on.
    Congestion(Box<dyn Controller>),
    /// Room for what is to be sent, bytes.
    SendBuffer(u32),
    /// Room for what was received, bytes.
    ReceiveBuffer(u32),
    /// No larger segments, bytes.
    Mss(u16),
    /// The differentiated services code point.
    Dscp(u8),
    /// No more than so many bytes wait to be sent for the first time.
    Unsent(u32),
    /// No more bytes per second than so many.
    Pacing(Option<u64>),
    /// What was written up to now is urgent.
    Urgent,
}

impl Tcp {
    /// Does what the application asks.
    #[cold]
    #[inline(never)]
    pub(crate) fn operate(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo, op: Op) {
        match op {
            Op::NoDelay(on) => {
                conn.wish(Wish::NoDelay, on);
                cx.want_tx(Class::Data);
            }
            Op::Cork(on) => {
                conn.wish(Wish::Cork, on);
                self.close_cork(conn);
                cx.want_tx(Class::Data);
            }
            Op::QuickAck(count) => self.set_quick_ack(cx, conn, count),
            Op::KeepAlive(keep_alive) => self.set_keep_alive(cx.now, conn, keep_alive),
            Op::UserTimeout(limit) => self.choose(conn, |settings| settings.user_timeout = limit),
            Op::Linger(time) => self.choose(conn, |settings| settings.linger = time),
            Op::Congestion(controller) => self.set_congestion(conn, controller),
            Op::Mss(bytes) => self.set_mss(cx.now, conn, bytes),
            Op::SendBuffer(bytes) => {
                self.choose(conn, |settings| settings.send_buffer_bytes = bytes);
                io.tx_max = self.settings(conn).send_buffer_bytes;
                conn.wish(Wish::Chosen, true);
                self.limit_unsent(cx, conn, io);
                cx.emit(Ready::WRITABLE);
            }
            Op::ReceiveBuffer(bytes) => {
                self.choose(conn, |settings| settings.receive_buffer_bytes = bytes);
                if let Some(cold) = self.cold.get_at_mut(conn.cold) {
                    cold.tuning.is_fixed = true;
                }
                conn.wish(Wish::Chosen, true);
                self.consumed(cx, conn, io);
            }
            Op::Dscp(dscp) => {
                self.choose(conn, |settings| settings.dscp = dscp);
                conn.wish(Wish::Chosen, true);
            }
            Op::Unsent(bytes) => {
                self.choose(conn, |settings| settings.unsent_bytes_max = bytes);
                conn.wish(Wish::Chosen, true);
                self.limit_unsent(cx, conn, io);
            }
            Op::Pacing(rate) => {
                self.choose(conn, |settings| settings.pacing_max = rate);
                self.mind_pacing(conn);
                cx.want_tx(Class::Data);
            }
            Op::Urgent => self.send_urgent(cx, conn, io),
        }
    }

    /// A connection begins: what the configuration says is in its flags.
    #[inline(always)]
    pub(crate) fn start_settings(&self, conn: &mut Conn) {
        conn.wish(Wish::NoDelay, !self.config.nagle);
        conn.wish(Wish::Paced, self.usual.pacing_max.is_some());
        conn.wish(Wish::Chosen, self.usual.dscp != 0 || self.usual.unsent_bytes_max != u32::MAX);
    }

    fn set_quick_ack(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, count: u32) {
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.quick_acks = count;
        }
        conn.wish(Wish::QuickAck, count > 0);
        if count > 0 && conn.has(Flag::AckLater) {
            conn.ack_now(cx);
        }
    }

    /// One of the acknowledgements that wait for nothing.
    #[cold]
    #[inline(never)]
    pub(crate) fn count_quick_ack(&mut self, conn: &mut Conn) {
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return };
        cold.quick_acks = cold.quick_acks.saturating_sub(1);
        if cold.quick_acks == 0 {
            conn.wish(Wish::QuickAck, false);
        }
    }

    // RFC 9293: MUST-24, MUST-27.
    fn set_keep_alive(&mut self, now: Instant, conn: &mut Conn, keep_alive: Option<KeepAlive>) {
        self.choose(conn, |settings| settings.keep_alive = keep_alive);
        conn.wish(Wish::KeepAlive, false);
        self.set_slow_timers(conn, |timers| timers.keep_alive_at = Instant::NEVER);
        self.start_keep_alive(now, conn);
    }

    /// The new controller begins anew: none takes over what another learned.
    fn set_congestion(&mut self, conn: &mut Conn, controller: Box<dyn Controller>) {
        self.interests = self.interests | controller.wants();
        self.choose(conn, |settings| settings.congestion = Some(controller));
        if let Some(cold) = self.cold.get_at_mut(conn.cold)
            && cold.controller.take().is_some()
        {
            cold.rate = None;
            conn.unset(Flag::Controlled);
            conn.cwnd = initial_window(conn.segment_bytes());
        }
        self.mind_pacing(conn);
    }

    fn set_mss(&mut self, now: Instant, conn: &mut Conn, bytes: u16) {
        self.choose(conn, |settings| settings.mss_max = bytes);
        let options = if conn.has(Flag::Timestamps) { TIMESTAMPS_BYTES as u16 } else { 0 };
        let most = self.settings(conn).mss_max.saturating_sub(options);
        if most < conn.smss {
            conn.smss = most;
            if conn.state() != State::SynSent {
                self.control_segment_size(now, conn);
            }
        }
    }

    /// What the send buffer takes ends so far behind what was sent, and the application is told when there is room again.
    #[cold]
    #[inline(never)]
    pub(crate) fn limit_unsent(&mut self, cx: &mut Context<'_, Self>, conn: &Conn, io: &mut StreamIo) {
        let settings = self.settings(conn);
        let had_room = io.tx_room() > 0;
        let most = (conn.sent_data() as u64).saturating_add(u64::from(settings.unsent_bytes_max));
        io.tx_max = most.min(u64::from(settings.send_buffer_bytes)) as u32;
        if !had_room && io.tx_room() > 0 {
            cx.emit(Ready::WRITABLE);
        }
    }
}
