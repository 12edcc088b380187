//! One connection: opening, the frames that are not the stream's, timers, closing.

use burstlane::addr::Endpoint;
use burstlane::net::{TxBatch, TxInfo, TxStop, UDP_HEADER_BYTES};
use burstlane::observe::Event;
use burstlane::socket::{MessageIo, Ready};
use burstlane::time::Instant;
use burstlane::transport::{Class, Context, FlowError, TxStatus};

use crate::path::{Ends, PeerPath};
use crate::recv::RecvSide;
use crate::send::{Piece, SendSide};
use crate::wire::{self, Builder, Frame, HEADER_BYTES, Hello};
use crate::{Key, Meta, Remnant, Rudp, RudpConfig};

/// A connection's state.
pub struct Conn {
    /// By which the peer names the connection.
    cid: u64,
    /// By which we name it to the peer; 0 while unknown.
    peer_cid: u64,
    stage: Stage,
    path: PeerPath,
    /// The lane's path does not lead to `path` yet.
    moved: bool,
    /// The next packet number.
    number: u64,
    pub(crate) send: SendSide,
    pub(crate) recv: RecvSide,
    heard_at: Instant,
    /// Something is to be sent that the peer answers.
    pub(crate) ping: bool,
    /// That was sent, and nothing heard since.
    pinged: bool,
    /// The peer's token, to be sent back.
    response: Option<u64>,
    /// The end, without order: the peer is told, then it is over.
    reset: Option<FlowError>,
    neighbour_failures: u32,
    /// When the peer's half is given up, after the application let go and our half is done.
    leave_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Client: asked, no answer yet.
    Opening,
    /// Client: answered; until the server has confirmed, each datagram repeats the question, which makes its connection.
    Confirming,
    Open,
}

impl Conn {
    pub(crate) fn client(config: &RudpConfig, cid: u64, ends: Ends, now: Instant) -> Self {
        Self {
            cid,
            peer_cid: 0,
            stage: Stage::Opening,
            path: PeerPath::proven(ends),
            moved: false,
            number: 1,
            send: SendSide::new(config),
            recv: RecvSide::new(config.window_bytes),
            heard_at: now,
            ping: true,
            pinged: false,
            response: None,
            reset: None,
            neighbour_failures: 0,
            leave_at: Instant::NEVER,
        }
    }

    pub(crate) fn server(config: &RudpConfig, cid: u64, peer: Hello, ends: Ends, now: Instant) -> Self {
        let mut conn = Self::client(config, cid, ends, now);
        (conn.peer_cid, conn.stage, conn.ping) = (peer.cid, Stage::Open, false);
        conn.send.window = peer.window;
        conn
    }

    /// Congestion window, bytes.
    #[must_use]
    pub fn cwnd(&self) -> u64 {
        self.send.controller.cwnd()
    }

    /// The round-trip time, smoothed; zero before the first sample.
    #[must_use]
    pub fn srtt(&self) -> std::time::Duration {
        self.send.rtt.smoothed()
    }

    pub(crate) fn endpoints(&self) -> (Endpoint, Endpoint) {
        (self.path.ends.local, self.path.ends.remote)
    }

    /// Where the peer is now.
    #[must_use]
    pub fn peer(&self) -> Endpoint {
        self.path.ends.remote
    }

    /// Whether the peer has proven to be there.
    #[must_use]
    pub fn peer_is_proven(&self) -> bool {
        self.path.is_proven()
    }

    /// The next hop did not answer. On a bad link that happens; several times in a row, before there was any answer, it is
    /// not there.
    pub(crate) fn gives_up_neighbour(&mut self) -> bool {
        self.neighbour_failures += 1;
        self.is_opening() && self.neighbour_failures >= NEIGHBOUR_FAILURES_MAX
    }

    pub(crate) fn is_opening(&self) -> bool {
        self.stage == Stage::Opening
    }

    /// A datagram of this connection, checked by `parse`.
    pub(crate) fn on_datagram(
        &mut self,
        cx: &mut Context<'_, Rudp>,
        config: &RudpConfig,
        io: &mut MessageIo,
        meta: &Meta,
        frame: burstlane::frame::Frame,
        acks: &mut crate::send::AckRun,
    ) -> Result<(), FlowError> {
        if meta.header.cid == 0 {
            return Ok(()); // a late duplicate of the question
        }
        let asked_at = std::mem::replace(&mut self.heard_at, cx.now);
        self.pinged = false;
        if !self.send.is_waiting() {
            self.send.on_progress();
        }
        if self.recv.largest.is_none_or(|largest| meta.header.number > largest) {
            self.recv.largest = Some(meta.header.number);
            self.on_newest(cx, config, meta);
        }
        self.path.on_received(meta.ends, meta.bytes);
        if meta.header.eliciting {
            self.recv.on_eliciting(cx.now);
        }
        let mut stream = None;
        for frame in wire::frames(frame.bytes()) {
            match frame {
                Frame::Ping | Frame::Open(_) => {}
                Frame::Ack(ack) => {
                    self.send.on_ack(cx.mem, &ack, acks)?;
                    self.stage = if self.stage == Stage::Confirming { Stage::Open } else { self.stage };
                }
                Frame::Accept(hello) if self.is_opening() && meta.ends == self.path.ends => {
                    self.on_accepted(cx, io, hello, asked_at);
                }
                Frame::Accept(_) => {}
                Frame::Challenge(token) => self.response = Some(token),
                Frame::Response(token) => self.path.on_response(meta.ends, token),
                Frame::Reset => return Err(FlowError::Reset),
                Frame::Stream { offset, data, end } => stream = Some((offset, data.len(), end)),
            }
        }
        if let Some((offset, bytes, end)) = stream {
            let mut frame = frame;
            frame.trim_front(frame.len() - bytes);
            self.recv.on_stream(cx.mem, offset, frame, end, config)?;
        }
        Ok(())
    }

    fn on_newest(&mut self, cx: &mut Context<'_, Rudp>, config: &RudpConfig, meta: &Meta) {
        let before = self.path.ends;
        if meta.ends == before || self.stage != Stage::Open {
            return;
        }
        self.path.on_moved(meta.ends, cx.random_u64(), cx.now);
        self.moved = true;
        if before.remote.ip != meta.ends.remote.ip {
            self.send.on_moved(cx.now, config);
        }
    }

    fn on_accepted(&mut self, cx: &mut Context<'_, Rudp>, io: &mut MessageIo, peer: Hello, asked_at: Instant) {
        (self.peer_cid, self.stage, self.ping) = (peer.cid, Stage::Confirming, true);
        self.send.window = peer.window;
        self.send.on_answered(cx.now, asked_at);
        io.open = true;
        cx.emit(Ready::OPEN | Ready::WRITABLE);
        // For ICMP errors, which quote the peer's. If another connection has the same, this one does without.
        let _ = cx.add_key(Key::Peer(self.peer_cid));
    }

    /// The deadline has come: some of the timers have.
    pub(crate) fn on_deadline(&mut self, cx: &mut Context<'_, Rudp>, config: &RudpConfig) {
        let now = cx.now;
        if self.recv.ack_at(config.ack_delay) <= now {
            self.recv.urgent = true;
        }
        if self.send.recheck_at <= now {
            self.send.detect_loss(now);
        }
        if self.path.on_deadline(now) {
            // Back to where it was. It may have waited for us there.
            (self.moved, self.ping) = (true, true);
            self.send.on_progress();
        }
        if now.since(self.heard_at) >= config.idle_timeout {
            // If all but the end was acknowledged, nothing is missing but a farewell.
            let in_order = self.send.lacks_only_end() && self.recv.is_complete();
            return cx.close((!in_order).then_some(FlowError::TimedOut));
        }
        if self.leave_at <= now {
            self.reset = Some(FlowError::Aborted); // nobody reads it
        }
        if self.heard_at + config.keep_alive <= now && !self.is_expecting() {
            self.ping = true;
        }
        if self.send.retry_at <= now {
            let name = self.send.on_silence(now);
            let flow = cx.flow_ref();
            cx.observe(|| Event::TimerFired { flow, name });
            self.ping |= self.is_expecting() && self.send.sent.is_empty();
            self.send.retry_at = now + self.send.patience(config);
        }
    }

    /// Puts the flow on the lists where it has something to do, and sets its deadline. The end of every call but
    /// `poll_tx`.
    pub(crate) fn schedule(&mut self, cx: &mut Context<'_, Rudp>, config: &RudpConfig) {
        if cx.is_ended() {
            return;
        }
        if self.owes_control() {
            cx.want_tx(Class::Control);
        }
        if self.recv.urgent {
            cx.want_tx(Class::Ack);
        }
        if self.stage != Stage::Opening && self.send.next_piece().is_some() {
            cx.want_tx(Class::Data);
        }
        self.set_deadline(cx, config);
    }

    fn set_deadline(&mut self, cx: &mut Context<'_, Rudp>, config: &RudpConfig) {
        if !self.is_expecting() {
            self.send.retry_at = Instant::NEVER;
        } else if self.send.retry_at == Instant::NEVER {
            self.send.retry_at = cx.now + self.send.patience(config);
        }
        if self.recv.discards && self.send.is_done() && self.leave_at == Instant::NEVER {
            self.leave_at = cx.now + config.linger;
        }
        let quiet = !self.is_expecting();
        let alive_at = if quiet { self.heard_at + config.keep_alive } else { Instant::NEVER };
        let ack_at = if self.recv.urgent { Instant::NEVER } else { self.recv.ack_at(config.ack_delay) };
        let idle_at = self.heard_at + config.idle_timeout;
        let timers = [self.send.retry_at, self.send.recheck_at, self.path.deadline(), self.leave_at];
        let due = timers.into_iter().chain([ack_at, alive_at, idle_at]).min();
        cx.set_deadline(due.unwrap_or(Instant::NEVER));
    }

    /// Whether the peer owes an answer.
    fn is_expecting(&self) -> bool {
        self.stage != Stage::Open || self.send.is_waiting() || self.ping || self.pinged
    }

    fn owes_control(&self) -> bool {
        self.ping || self.response.is_some() || self.path.challenge().is_some() || self.reset.is_some()
    }

    /// Ends the connection in good order once both halves are done, and the peer knows what we know.
    pub(crate) fn finish_if_done(&mut self, cx: &mut Context<'_, Rudp>, config: &RudpConfig) {
        if cx.is_ended() || !self.send.is_done() || !self.recv.is_complete() {
            return;
        }
        if self.recv.has_news() {
            self.recv.urgent = true;
            return;
        }
        cx.retire(self.remnant(Some(self.recv.upto())), cx.now + config.linger);
    }

    /// Ends the connection without order.
    pub(crate) fn fail(&self, cx: &mut Context<'_, Rudp>, config: &RudpConfig, error: FlowError) {
        cx.retire_failed(self.remnant(None), cx.now + config.linger, error);
    }

    fn remnant(&self, upto: Option<u64>) -> Remnant {
        Remnant { peer_cid: self.peer_cid, number: self.number, upto }
    }

    /// The application ended it: the peer is told.
    pub(crate) fn abort(&mut self, cx: &mut Context<'_, Rudp>, error: FlowError) {
        if self.is_opening() {
            return cx.close(Some(error));
        }
        self.reset = Some(error);
    }

    pub(crate) fn poll_tx(
        &mut self,
        cx: &mut Context<'_, Rudp>,
        config: &RudpConfig,
        io: &mut MessageIo,
        class: Class,
        out: &mut TxBatch<'_>,
    ) -> TxStatus {
        if self.moved {
            let Ends { local, remote } = self.path.ends;
            match out.path(Some(local.ip), remote.ip) {
                Ok(path) => cx.set_path(path),
                Err(_) => return TxStatus::Idle, // the peer moves again, or falls silent
            }
            self.moved = false;
        }
        let Some(mtu) = cx.path().and_then(|path| out.mtu(path)) else { return TxStatus::Idle };
        let headers = UDP_HEADER_BYTES + if self.path.ends.remote.ip.is_v4() { 20 } else { 40 };
        let payload_max = (mtu as usize).saturating_sub(headers);
        self.send.set_segment_bytes(cx.now, payload_max.saturating_sub(HEADER_BYTES + 9).max(1) as u32);
        let sent = match class {
            Class::Control if self.owes_control() => self.send_bare(cx, config, io, out),
            Class::Ack if self.recv.urgent => self.send_bare(cx, config, io, out),
            Class::Control | Class::Ack => Ok(TxStatus::Idle),
            Class::Data => self.send_stream(cx, config, io, payload_max, out),
        };
        self.finish_if_done(cx, config);
        if cx.is_ended() {
            return TxStatus::Idle;
        }
        if self.recv.urgent && class != Class::Ack {
            cx.want_tx(Class::Ack);
        }
        self.set_deadline(cx, config);
        match sent {
            Ok(status) => status,
            // Too big: the timers try again, when the path is another.
            Err(TxStop::Unresolved | TxStop::TooBig { .. }) => TxStatus::Idle,
            Err(TxStop::Full | TxStop::NoMemory) => TxStatus::More,
            Err(TxStop::NoPath) => {
                self.moved = true;
                TxStatus::More
            }
        }
    }

    /// A datagram without stream data.
    fn send_bare(
        &mut self,
        cx: &mut Context<'_, Rudp>,
        config: &RudpConfig,
        io: &MessageIo,
        out: &mut TxBatch<'_>,
    ) -> Result<TxStatus, TxStop> {
        let (mut prefix, granted) = self.prefix(cx, config, io);
        if self.ping {
            prefix.frame(&Frame::Ping);
        }
        if self.reset.is_some() {
            prefix.frame(&Frame::Reset);
        }
        let path = cx.path().ok_or(TxStop::NoPath)?;
        if prefix.bytes().len() > self.path.allowance_bytes() {
            return Ok(TxStatus::Idle);
        }
        out.segments(path, &tx_info(self.path.ends), prefix.bytes(), &[], 1, |_, _| ())?;
        (self.pinged, self.ping) = (self.pinged || self.ping, false);
        self.on_left(prefix.bytes().len(), 1, granted);
        if let Some(error) = self.reset {
            self.fail(cx, config, error);
        }
        Ok(TxStatus::Idle)
    }

    /// As much of the stream as the windows, the path's proof and the device allow.
    fn send_stream(
        &mut self,
        cx: &mut Context<'_, Rudp>,
        config: &RudpConfig,
        io: &MessageIo,
        payload_max: usize,
        out: &mut TxBatch<'_>,
    ) -> Result<TxStatus, TxStop> {
        let path = cx.path().ok_or(TxStop::NoPath)?;
        while self.stage != Stage::Opening
            && let Some(mut piece) = self.send.next_piece()
        {
            let (mut prefix, granted) = self.prefix(cx, config, io);
            let offset = piece.range.start;
            prefix.frame(&Frame::Stream { offset, data: &[], end: false });
            let prefix = prefix.bytes();
            let segment_bytes = payload_max.saturating_sub(prefix.len()).max(1);
            let allowance = self.path.allowance_bytes().checked_sub(prefix.len());
            let Some(allowance) = allowance.filter(|bytes| *bytes > 0) else { return Ok(TxStatus::Idle) };
            match self.send.paced(cx.now) {
                Ok(bytes) => piece.range.end = piece.range.end.min(offset.saturating_add(bytes)),
                Err(at) => return Ok(TxStatus::PacedUntil(at)),
            }
            if !self.path.is_proven() {
                piece.range.end = piece.range.end.min(offset + allowance.min(segment_bytes) as u64);
            }
            let piece = self.send.in_full_datagrams(piece, segment_bytes as u64);
            self.send.on_resume(cx.now);
            let (slices, bytes, end) = self.send.bytes(cx.mem, &piece);
            let mut datagrams = 0;
            let patch = |head: &mut [u8], at: burstlane::net::SegmentAt| {
                wire::renumber(head, self.number + datagrams, offset + at.offset as u64, end && at.last);
                datagrams += 1;
            };
            let taken = out.segments(path, &tx_info(self.path.ends), prefix, &slices, segment_bytes, patch)?;
            drop(slices);
            self.on_left(prefix.len() * datagrams as usize + taken, datagrams, granted);
            self.on_stream_sent(cx, &piece, taken as u64 + u64::from(end && taken == bytes));
            if taken < bytes {
                return Err(TxStop::Full);
            }
        }
        Ok(TxStatus::Idle)
    }

    fn on_stream_sent(&mut self, cx: &mut Context<'_, Rudp>, piece: &Piece, units: u64) {
        self.send.on_sent(cx.now, piece, units);
        let (flow, offset) = (cx.flow_ref(), piece.range.start);
        cx.observe(|| Event::SegmentSent { flow, offset, bytes: units as usize, retransmission: piece.again });
    }

    /// What every datagram carries, as far as it is owed, and what it grants.
    fn prefix(&self, cx: &Context<'_, Rudp>, config: &RudpConfig, io: &MessageIo) -> (Builder, Option<u64>) {
        let mut prefix = Builder::new(self.peer_cid, self.number);
        if self.stage != Stage::Open {
            prefix.frame(&Frame::Open(Hello { cid: self.cid, window: u64::from(config.window_bytes) }));
        }
        if let Some(token) = self.path.challenge() {
            prefix.frame(&Frame::Challenge(token));
        }
        if let Some(token) = self.response {
            prefix.frame(&Frame::Response(token));
        }
        let granted = self.recv.has_news().then(|| self.recv.write_ack(cx.mem, io, cx.now, config, &mut prefix));
        (prefix, granted)
    }

    /// Datagrams left that began with a [`prefix`](Self::prefix).
    fn on_left(&mut self, bytes: usize, datagrams: u64, granted: Option<u64>) {
        self.number += datagrams;
        self.response = None;
        self.path.on_sent(bytes);
        if let Some(window) = granted {
            self.recv.on_acked(window);
        }
    }
}

/// The network layer asks three times before each.
const NEIGHBOUR_FAILURES_MAX: u32 = 4;

pub(crate) fn tx_info(ends: Ends) -> TxInfo {
    let (source_port, destination_port) = (ends.local.port, ends.remote.port);
    TxInfo { source_port, destination_port, dont_fragment: true, ..TxInfo::default() }
}
