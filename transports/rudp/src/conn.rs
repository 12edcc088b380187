//! One connection: what its datagrams carry besides the stream, what each of them means, its timers, its end. Messages are
//! the toolkit's `MessageChannel`, and `PeerPath` follows the peer.

use std::rc::Rc;

use burstlane::addr::Endpoint;
use burstlane::frame::Frame;
use burstlane::net::{PathId, SegmentAt, TxBatch, TxStop};
use burstlane::socket::{MessageIo, Ready};
use burstlane::time::{Duration, Instant};
use burstlane::toolkit::{AckRun, FourTuple, MessageChannel, Next, PeerPath, StreamError};
use burstlane::transport::{Class, Context, FlowError, Run, Segment, TxStatus};

use crate::wire::{Datagram, HEADER_BYTES, Hello, Stream};
use crate::{Key, Meta, Remnant, Rudp, RudpConfig};

type Cx<'a> = Context<'a, Rudp>;
type Sent = Result<TxStatus, TxStop>;

/// A connection's state.
pub struct Conn {
    config: Rc<RudpConfig>,
    /// By which the peer names the connection.
    cid: u64,
    /// By which we name it to the peer; 0 while unknown.
    peer_cid: u64,
    stage: Stage,
    path: PeerPath,
    /// The next datagram's.
    number: u64,
    /// The highest of the peer's.
    peer_number: u64,
    pub(crate) channel: MessageChannel,
    heard_at: Instant,
    /// Something is to be sent that the peer answers.
    ping: bool,
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
    /// Client: answered. Until the server confirms, each datagram has the question in it, which makes its connection.
    Confirming,
    Open,
}

impl Conn {
    pub(crate) fn client(config: &Rc<RudpConfig>, cid: u64, ends: FourTuple, now: Instant) -> Self {
        Self {
            cid,
            peer_cid: 0,
            stage: Stage::Opening,
            path: PeerPath::proven(ends),
            number: 1,
            peer_number: 0,
            channel: MessageChannel::new(&config.channel),
            heard_at: now,
            ping: true,
            pinged: false,
            response: None,
            reset: None,
            neighbour_failures: 0,
            leave_at: Instant::NEVER,
            config: config.clone(),
        }
    }

    pub(crate) fn server(config: &Rc<RudpConfig>, cid: u64, peer: Hello, ends: FourTuple, now: Instant) -> Self {
        let mut conn = Self::client(config, cid, ends, now);
        (conn.peer_cid, conn.stage, conn.ping) = (peer.cid, Stage::Open, false);
        conn.channel.on_window(peer.window);
        conn
    }

    /// Congestion window, bytes.
    #[must_use]
    pub fn cwnd(&self) -> u64 {
        self.channel.sender.controller().cwnd()
    }

    /// The round-trip time, smoothed; zero before the first sample.
    #[must_use]
    pub fn srtt(&self) -> Duration {
        self.channel.sender.rtt().smoothed()
    }

    /// Where the peer is now.
    #[must_use]
    pub fn peer(&self) -> Endpoint {
        self.ends().remote()
    }

    /// Whether the peer has proven to be there.
    #[must_use]
    pub fn peer_is_proven(&self) -> bool {
        self.path.is_proven()
    }

    pub(crate) fn ends(&self) -> FourTuple {
        self.path.ends()
    }

    pub(crate) fn is_opening(&self) -> bool {
        self.stage == Stage::Opening
    }

    /// The next hop did not answer. On a bad link that happens; several times in a row, before there was any answer, it is
    /// not there.
    pub(crate) fn gives_up_neighbour(&mut self) -> bool {
        self.neighbour_failures += 1;
        self.is_opening() && self.neighbour_failures >= NEIGHBOUR_FAILURES_MAX
    }

    pub(crate) fn on_run(&mut self, cx: &mut Cx<'_>, io: &mut MessageIo, run: &mut Run<'_, Meta>) {
        let mut acks = self.channel.sender.begin_run(cx.now);
        while let Some(Segment { meta, frame }) = run.take() {
            if meta.datagram.reset {
                return self.fail(cx, FlowError::Reset);
            }
            if self.on_datagram(cx, meta, frame, &mut acks).is_err() {
                self.abort(cx, FlowError::Protocol);
                break;
            }
        }
        io.open = !self.is_opening();
        self.channel.finish_run(cx, acks);
        self.go_on(cx, io);
    }

    fn on_datagram(
        &mut self,
        cx: &mut Cx<'_>,
        meta: &Meta,
        frame: Frame,
        acks: &mut AckRun,
    ) -> Result<(), StreamError> {
        let Meta { datagram, ends, bytes } = meta;
        let asked_at = std::mem::replace(&mut self.heard_at, cx.now);
        self.pinged = false;
        if !self.channel.is_waiting() {
            self.channel.sender.on_progress();
        }
        if datagram.number > self.peer_number {
            self.peer_number = datagram.number;
            let has_moved = *ends != self.ends() && self.stage == Stage::Open;
            if has_moved && self.path.on_moved(*ends, cx.random_u64(), cx.now) {
                self.channel.sender.on_new_path(cx.now, self.config.channel.controller.clone());
            }
        }
        self.path.on_received(*ends, *bytes);
        self.response = datagram.challenge.or(self.response);
        if let Some(token) = datagram.response {
            self.path.on_response(*ends, token);
        }
        if let Some(hello) = datagram.hello.filter(|_| self.is_opening() && *ends == self.ends()) {
            self.on_answered(cx, hello, asked_at);
        }
        if let Some(ack) = &datagram.ack {
            self.channel.on_ack(cx.mem, acks, ack)?;
            self.stage = if self.stage == Stage::Confirming { Stage::Open } else { self.stage };
        }
        if datagram.is_eliciting() {
            self.channel.acks.on_received(cx.now);
        }
        if let Some(Stream { offset, end }) = datagram.stream {
            self.channel.on_range(cx, offset, frame, end)?;
        }
        Ok(())
    }

    /// The server is there, and has given the connection its name.
    fn on_answered(&mut self, cx: &mut Cx<'_>, peer: Hello, asked_at: Instant) {
        (self.peer_cid, self.stage, self.ping) = (peer.cid, Stage::Confirming, true);
        self.channel.on_window(peer.window);
        self.channel.sender.on_opened(cx.now, asked_at);
        cx.emit(Ready::OPEN | Ready::WRITABLE);
        // For ICMP errors, which quote the peer's. If another connection has the same, this one does without.
        let _ = cx.add_key(Key::Peer(self.peer_cid));
    }

    /// The deadline has come: some of the timers have.
    pub(crate) fn on_deadline(&mut self, cx: &mut Cx<'_>, io: &mut MessageIo) {
        let now = cx.now;
        if now.since(self.heard_at) >= self.config.idle_timeout {
            // If all but the end was acknowledged, nothing is missing but a farewell.
            return cx.close((!self.channel.lacks_only_end()).then_some(FlowError::TimedOut));
        }
        if self.leave_at <= now {
            self.reset = Some(FlowError::Aborted); // nobody reads it
        }
        if self.path.on_deadline(now) {
            self.ping = true;
            self.channel.sender.on_progress();
        }
        self.ping |= self.alive_at() <= now;
        self.ping |= self.channel.on_deadline(cx) && self.is_expecting();
        self.go_on(cx, io);
    }

    /// It ends without order, and the peer is told.
    pub(crate) fn abort(&mut self, cx: &mut Cx<'_>, error: FlowError) {
        self.reset = Some(error);
        if self.is_opening() {
            cx.close(Some(error));
        }
    }

    /// It is over, without order.
    fn fail(&self, cx: &mut Cx<'_>, error: FlowError) {
        cx.retire_failed(self.remnant(None), cx.now + self.config.linger, error);
    }

    fn remnant(&self, upto: Option<u64>) -> Remnant {
        Remnant { peer_cid: self.peer_cid, number: self.number, upto }
    }

    /// After anything that happened: moves messages both ways, puts the flow on the lists where it has something to do, and
    /// sets its deadline.
    pub(crate) fn go_on(&mut self, cx: &mut Cx<'_>, io: &mut MessageIo) {
        if cx.is_ended() {
            return;
        }
        match self.channel.exchange(cx, io, self.path.ends().remote()) {
            // The larger window may be what the peer waits for: it is to confirm that it heard.
            Ok(has_opened) => self.ping |= has_opened,
            Err(_) => self.abort(cx, FlowError::Protocol),
        }
        if self.owes_control() {
            cx.want_tx(Class::Control);
        }
        if !self.is_opening() && self.channel.has_next(cx.now) {
            cx.want_tx(Class::Data);
        }
        self.settle(cx);
    }

    /// The end of every call: ends the connection in good order once both halves are done and the peer knows what we know,
    /// and otherwise sets the deadline.
    fn settle(&mut self, cx: &mut Cx<'_>) {
        if cx.is_ended() {
            return;
        }
        if self.channel.is_over() {
            if !self.channel.acks.is_owed() {
                return cx.retire(self.remnant(Some(self.channel.rx.upto())), cx.now + self.config.linger);
            }
            self.channel.acks.hurry();
        } else if self.channel.is_sent() && self.channel.rx.discards() {
            self.leave_at = self.leave_at.min(cx.now + self.config.linger);
        }
        self.channel.arm(cx, self.is_expecting());
        let idle_at = self.heard_at + self.config.idle_timeout;
        let timers = [self.path.deadline(), self.leave_at, self.alive_at(), idle_at];
        cx.set_deadline(timers.into_iter().fold(self.channel.deadline(), Instant::min));
    }

    /// Whether the peer owes any answer.
    fn is_expecting(&self) -> bool {
        self.stage != Stage::Open || self.channel.is_waiting() || self.ping || self.pinged
    }

    /// When a peer that owes nothing is asked whether it is there.
    fn alive_at(&self) -> Instant {
        if self.is_expecting() { Instant::NEVER } else { self.heard_at + self.config.keep_alive }
    }

    fn owes_control(&self) -> bool {
        self.ping || self.response.is_some() || self.path.challenge().is_some() || self.reset.is_some()
    }

    pub(crate) fn poll_tx(&mut self, cx: &mut Cx<'_>, io: &MessageIo, class: Class, out: &mut TxBatch<'_>) -> TxStatus {
        // Without a route: the peer moves again, or falls silent.
        let Some((path, payload_max)) = self.path.resolve(cx, out) else { return TxStatus::Idle };
        self.channel.sender.set_segment(cx.now, payload_max.saturating_sub(HEADER_BYTES + 8) as u32);
        let sent = match class {
            Class::Control if self.owes_control() => self.send_bare(cx, io, path, out),
            Class::Ack if self.channel.acks.is_urgent() => self.send_bare(cx, io, path, out),
            Class::Control | Class::Ack => Ok(TxStatus::Idle),
            Class::Data => self.send_stream(cx, io, (path, payload_max), out),
        };
        self.settle(cx);
        sent.unwrap_or_else(TxStatus::from)
    }

    /// A datagram with all that is owed, and without stream data.
    fn send_bare(&mut self, cx: &mut Cx<'_>, io: &MessageIo, path: PathId, out: &mut TxBatch<'_>) -> Sent {
        let datagram = self.datagram(cx, io);
        let head = datagram.write();
        if head.bytes().len() <= self.path.allowance_bytes() {
            out.segments(path, &self.ends().udp_info(), head.bytes(), &[], 1, |_, _| ())?;
            self.number += 1;
            self.on_left(cx, &datagram, head.bytes().len());
        }
        Ok(TxStatus::Idle)
    }

    /// As much of the stream as the windows, the path's proof and the device allow.
    fn send_stream(&mut self, cx: &mut Cx<'_>, io: &MessageIo, way: (PathId, usize), out: &mut TxBatch<'_>) -> Sent {
        let (path, payload_max) = way;
        while !self.is_opening() && !cx.is_ended() {
            let mut datagram = self.datagram(cx, io);
            datagram.stream = Some(Stream { offset: 0, end: false });
            let head = datagram.write();
            let room = payload_max.min(self.path.allowance_bytes()).saturating_sub(head.bytes().len());
            let mut piece = match self.channel.next(cx.now, room) {
                Next::Send(piece) if room > 0 => piece,
                Next::PacedUntil(at) => return Ok(TxStatus::PacedUntil(at)),
                Next::Send(_) | Next::Nothing => break,
            };
            if !self.path.is_proven() {
                piece.range.end = piece.range.end.min(piece.range.start + room as u64);
            }
            let (mut head_bytes, info) = (0, self.ends().udp_info());
            let (data_bytes, is_all) = self.channel.send(cx, &piece, |slices, ends| {
                let patch = |head: &mut [u8], at: SegmentAt| {
                    let offset = piece.range.start + at.offset as u64;
                    datagram.stream = Some(Stream { offset, end: ends && at.last });
                    datagram.number = self.number;
                    head.copy_from_slice(datagram.write().bytes());
                    self.number += 1;
                    head_bytes += head.len();
                };
                out.segments(path, &info, head.bytes(), slices, room, patch)
            })?;
            self.on_left(cx, &datagram, head_bytes + data_bytes);
            if !is_all {
                return Err(TxStop::Full);
            }
        }
        Ok(TxStatus::Idle)
    }

    /// What every datagram carries, as far as it is owed.
    fn datagram(&self, cx: &Cx<'_>, io: &MessageIo) -> Datagram {
        let hello = Hello { cid: self.cid, window: self.config.channel.window_bytes.into() };
        Datagram {
            cid: self.peer_cid,
            number: self.number,
            ping: self.ping,
            reset: self.reset.is_some(),
            hello: (self.stage != Stage::Open).then_some(hello),
            ack: self.channel.ack(cx.mem, io, cx.now),
            challenge: self.path.challenge(),
            response: self.response,
            stream: None,
        }
    }

    /// Datagrams like this one left, so many bytes in all.
    fn on_left(&mut self, cx: &mut Cx<'_>, datagram: &Datagram, bytes: usize) {
        (self.pinged, self.ping, self.response) = (self.pinged || self.ping, false, None);
        self.path.on_sent(bytes);
        if let Some(ack) = &datagram.ack {
            self.channel.on_ack_sent(ack);
        }
        if let Some(error) = self.reset {
            self.fail(cx, error);
        }
    }
}

/// The network layer asks three times before each.
const NEIGHBOUR_FAILURES_MAX: u32 = 4;
