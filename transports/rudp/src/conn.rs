//! One connection: what its datagrams carry besides the stream, what each of them means, its timers, its end. Messages are
//! the toolkit's `MessageChannel`; `Opening`, `PeerPath` and `Liveness` know of the peer who, where and whether it is.

use std::rc::Rc;

use burstlane::prelude::*;
use burstlane::toolkit::{
    AckBlock, AckRun, FourTuple, LastWord, Liveness, MessageChannel, Opening, PeerPath, StreamError,
};

use crate::wire::{Datagram, HEADER_BYTES, Hello};
use crate::{Key, Meta, Rudp, RudpConfig};

type Cx<'a> = Context<'a, Rudp>;

/// A connection's state.
pub struct Conn {
    config: Rc<RudpConfig>,
    pub(crate) opening: Opening,
    /// Messages both ways: round-trip times, congestion window.
    pub channel: MessageChannel,
    /// Where the peer is.
    pub path: PeerPath,
    liveness: Liveness,
    /// The end, without order: the peer is told, then it is over.
    reset: Option<FlowError>,
}

impl Conn {
    pub(crate) fn new(config: &Rc<RudpConfig>, opening: Opening, ends: FourTuple, now: Instant) -> Self {
        let (channel, path) = (MessageChannel::new(&config.channel), PeerPath::proven(ends));
        let mut liveness = Liveness::new(config.liveness, now);
        liveness.ask_if(!opening.is_answered());
        Self { config: config.clone(), opening, channel, path, liveness, reset: None }
    }

    pub(crate) fn on_run(&mut self, cx: &mut Cx<'_>, io: &mut MessageIo, run: &mut Run<'_, Meta>) {
        let mut acks = self.channel.sender.begin_run(cx.now);
        while let Some(Segment { meta, frame }) = run.take() {
            if meta.datagram.reset {
                return self.end(cx, Some(FlowError::Reset));
            }
            if self.on_datagram(cx, meta, frame, &mut acks).is_err() {
                self.abort(cx, FlowError::Protocol);
                break;
            }
        }
        io.open = self.opening.is_answered();
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
        let meta: Meta = planted!(self.config, counted(*meta));
        let Meta { datagram, ends, bytes } = &meta;
        self.liveness.on_heard(cx.now);
        if !self.channel.is_waiting() {
            self.channel.sender.on_progress();
        }
        let (now, may_move) = (cx.now, self.opening.is_confirmed() && !planted!(self.config, NeverFollows));
        if self.path.on_received(now, *ends, *bytes, &datagram.path, may_move, || cx.random_u64()) {
            self.channel.sender.on_new_path(now, self.config.channel.controller.clone());
        }
        if let Some(hello) = datagram.hello.filter(|_| *ends == self.path.ends()) {
            self.on_hello(cx, hello);
        }
        if let Some(ack) = &datagram.ack {
            self.channel.on_ack(cx.mem, acks, ack)?;
            self.opening.on_confirmed();
        }
        if datagram.is_eliciting() || planted!(self.config, AcksAcknowledgements) {
            self.channel.acks.on_received(now);
        }
        if let Some(at) = planted!(self.config, stream(datagram.stream, self.channel.rx.upto())) {
            self.channel.on_range(cx, at, frame)?;
        }
        Ok(())
    }

    /// To a server the client's window is news; a client learns that the server is there, and how it names the connection.
    fn on_hello(&mut self, cx: &mut Cx<'_>, hello: Hello) {
        self.channel.on_window(hello.window);
        if let Some(asked_at) = self.opening.on_answer(hello.cid) {
            self.channel.sender.on_opened(cx.now, asked_at);
            self.liveness.ask_if(true);
            cx.emit(Ready::OPEN | Ready::WRITABLE);
            // For ICMP errors, which quote the peer's. If another connection has the same, this one does without.
            let _ = cx.add_key(Key::Peer(hello.cid));
        }
    }

    /// The deadline has come: some of the timers have.
    pub(crate) fn on_deadline(&mut self, cx: &mut Cx<'_>, io: &mut MessageIo) {
        if self.liveness.on_deadline(cx.now, self.is_expecting()) {
            // If all but the end was acknowledged, nothing is missing but a farewell.
            return cx.close((!self.channel.lacks_only_end()).then_some(FlowError::TimedOut));
        }
        if self.channel.gives_up(cx.now) {
            self.reset = Some(FlowError::Aborted); // nobody reads it
        }
        if self.path.on_deadline(cx.now) {
            self.liveness.ask_if(true);
            self.channel.sender.on_progress();
        }
        let is_silent = self.channel.on_deadline(cx);
        let asks = self.opening.is_answered() || !planted!(self.config, NeverAsksAgain);
        self.liveness.ask_if(is_silent && self.is_expecting() && asks);
        self.go_on(cx, io);
    }

    /// It ends without order, and the peer is told.
    pub(crate) fn abort(&mut self, cx: &mut Cx<'_>, error: FlowError) {
        self.reset = Some(error);
        if !self.opening.is_answered() {
            cx.close(Some(error));
        }
    }

    /// It is over. In good order, what is left acknowledges all; otherwise it says that there is nothing any more.
    fn end(&mut self, cx: &mut Cx<'_>, error: Option<FlowError>) {
        let ack = error.is_none().then(|| AckBlock::new(Duration::ZERO, self.channel.rx.upto(), 0, []));
        if planted!(self.config, LeavesNoLastWord) {
            return cx.close(error);
        }
        let (cid, path) = (self.opening.peer(), self.path.take_parts());
        let word = Datagram { cid, path, ack, reset: error.is_some(), ..Datagram::default() };
        LastWord::new(word.write().bytes(), self.config.channel.linger, cx.now).leave(cx, error);
    }

    /// After anything that happened: moves messages both ways, puts the flow on the lists where it has something to do, and
    /// sets its deadline.
    pub(crate) fn go_on(&mut self, cx: &mut Cx<'_>, io: &mut MessageIo) {
        if cx.is_ended() {
            return;
        }
        if planted!(self.config, ForgetsToWakeReaders) {
            let _ = self.channel.rx.deliver_to(cx.mem, io, self.path.ends().remote());
        }
        if planted!(self.config, ForgetsToWakeWriters) {
            self.channel.tx.take_from(cx.mem, io);
        }
        match self.channel.exchange(cx, io, self.path.ends().remote()) {
            // The larger window may be what the peer waits for: it is to confirm that it heard.
            Ok(has_opened) => self.liveness.ask_if(has_opened),
            Err(_) => self.abort(cx, FlowError::Protocol),
        }
        if self.owes(Class::Control) {
            cx.want_tx(Class::Control);
        }
        if self.owes(Class::Data) && self.channel.has_next(cx.now) {
            cx.want_tx(Class::Data);
        }
        self.settle(cx);
    }

    /// The end of every call: the connection's, if both sides are done with it, or the time of the next.
    fn settle(&mut self, cx: &mut Cx<'_>) {
        if cx.is_ended() {
            return;
        }
        let is_expecting = self.is_expecting();
        self.channel.arm(cx, is_expecting);
        let deadlines = [self.path.deadline(), self.channel.deadline(), self.liveness.deadline(is_expecting)];
        cx.set_deadline(deadlines.into_iter().fold(Instant::NEVER, Instant::min));
        if self.channel.has_parted() || planted!(self.config, HalfCloseIsClose) && self.channel.is_sent() {
            self.end(cx, None);
        }
    }

    /// Whether the peer owes any answer.
    fn is_expecting(&self) -> bool {
        !self.opening.is_confirmed() || self.channel.is_waiting() || self.liveness.is_expecting()
    }

    /// Whether something of this class is to be sent, as far as windows allow.
    fn owes(&self, class: Class) -> bool {
        match class {
            Class::Control => self.liveness.owes_ping() || self.path.owes_token() || self.reset.is_some(),
            Class::Ack => self.channel.acks.is_urgent(),
            Class::Data => self.opening.is_answered() && self.reset.is_none(),
        }
    }

    /// Sends what is owed, and says why it stopped.
    pub(crate) fn poll_tx(&mut self, cx: &mut Cx<'_>, io: &MessageIo, class: Class, out: &mut TxBatch<'_>) -> TxStatus {
        let stopped = self.send(cx, io, class, out);
        self.settle(cx);
        stopped.err().unwrap_or(TxStatus::Idle)
    }

    fn send(&mut self, cx: &mut Cx<'_>, io: &MessageIo, class: Class, out: &mut TxBatch<'_>) -> Result<(), TxStatus> {
        // Without a route: the peer moves again, or falls silent.
        let mut way = self.path.resolve(cx, out).ok_or(TxStatus::Idle)?;
        self.channel.sender.set_segment(cx.now, way.payload_bytes_max(HEADER_BYTES + 8) as u32);
        while self.owes(class) && !cx.is_ended() {
            let mut datagram = self.datagram(cx, io);
            let bytes = if class == Class::Data {
                self.channel.send(cx, &mut way, out, |at| {
                    datagram.stream = Some(planted!(self.config, fragment(at)));
                    datagram.path.number = self.path.take_number();
                    datagram.write()
                })?
            } else {
                way.send(out, datagram.write().bytes())?
            };
            self.on_left(cx, &datagram, bytes);
        }
        Ok(())
    }

    /// What every datagram carries, as far as it is owed.
    fn datagram(&mut self, cx: &Cx<'_>, io: &MessageIo) -> Datagram {
        let window = self.config.channel.window_bytes.into();
        Datagram {
            cid: self.opening.peer(),
            path: self.path.take_parts(),
            ping: self.liveness.owes_ping(),
            reset: self.reset.is_some(),
            hello: self.opening.introduction().map(|cid| Hello { cid, window }),
            ack: planted!(self.config, ack(self.channel.ack(cx.mem, io, cx.now))),
            stream: None,
        }
    }

    /// Datagrams like this one left, so many bytes in all.
    fn on_left(&mut self, cx: &mut Cx<'_>, datagram: &Datagram, bytes: usize) {
        self.liveness.on_sent();
        self.path.on_sent(bytes);
        if let Some(ack) = &datagram.ack {
            self.channel.on_ack_sent(ack);
        }
        if let Some(error) = self.reset {
            self.end(cx, Some(error));
        }
    }
}
