//! [`MessageChannel`]: reliable, ordered messages both ways, all of it but the packets: messages to a stream and back, the
//! sending engine, what to acknowledge and when. A protocol lays out its packets, opens, closes, and finds its peer; this
//! does the rest of the work.
//!
//! ```text
//!  application ─► MessageStreamSender ─► ReliableSender ─► send ─►  packets
//!  application ◄─ MessageStreamReader ◄─ on_range        AckOwed ─► ack ─►
//! ```

use super::{
    AckBlock, AckOwed, AckRun, FieldWriter, Mem, MessageLimits, MessageStreamLimits, MessageStreamReader,
    MessageStreamSender, Next, Piece, ReliableSender, RtoConfig, SenderPolicy, StreamAt, StreamError, Way,
};
use crate::addr::Endpoint;
use crate::congestion::{AckSample, Controller, NewReno};
use crate::frame::Frame;
use crate::net::{SegmentAt, TxBatch};
use crate::observe::Event;
use crate::socket::{AppOp, MessageIo, Ready};
use crate::time::{Duration, Instant};
use crate::transport::{Class, Context, Transport, TxStatus};
use arrayvec::ArrayVec;

/// What the channels of a transport have in common.
#[derive(Clone, Debug)]
pub struct ChannelConfig {
    /// Cloned for each channel, and for each new path of it.
    pub controller: Box<dyn Controller>,
    /// Bounds of the retransmission timeout.
    pub rto: RtoConfig,
    /// The longest wait between two timeouts: see [`SenderPolicy::patience_max`].
    pub patience_max: Duration,
    /// Longest message, bytes. Both sides must agree; less than `window_bytes`.
    pub message_bytes_max: u32,
    /// Most bytes, of messages and their lengths, that the peer may send ahead of the application's reading.
    pub window_bytes: u32,
    /// Most messages that may wait for the application.
    pub rx_messages_max: u32,
    /// Most bytes sent and not acknowledged. What else the application wrote waits in its queue.
    pub stream_bytes_max: u32,
    /// Most messages that wait there, at least one; then writing has to wait.
    pub tx_messages_max: u32,
    /// Longest delay of an acknowledgement, ours and the peer's.
    pub ack_delay: Duration,
    /// How long the peer may take to end its half after the application let go and all of ours was acknowledged; and how
    /// long what is left of a flow that is over should answer a peer that missed the end.
    pub linger: Duration,
}

impl Default for ChannelConfig {
    /// NewReno, messages up to 1 MiB, windows of 2 MiB, acknowledgements within 5 ms, 15 seconds for the end.
    fn default() -> Self {
        Self {
            controller: Box::new(NewReno::new()),
            rto: RtoConfig::default(),
            patience_max: Duration::from_secs(6),
            message_bytes_max: 1 << 20,
            window_bytes: 2 << 20,
            rx_messages_max: 4096,
            stream_bytes_max: 2 << 20,
            tx_messages_max: 1024,
            ack_delay: Duration::from_millis(5),
            linger: Duration::from_secs(15),
        }
    }
}

impl ChannelConfig {
    /// The application's side of a channel, which takes messages of the length that the channel carries.
    #[must_use]
    pub fn io(&self, open: bool) -> MessageIo {
        let mut tx_limits = MessageLimits::default();
        tx_limits.bytes_max = tx_limits.bytes_max.max(self.message_bytes_max as usize);
        tx_limits.messages_max = self.tx_messages_max.max(1) as usize;
        MessageIo { open, message_bytes_max: self.message_bytes_max, tx_limits, ..MessageIo::default() }
    }
}

/// Both halves of one flow. Give its memory back with [`clear`](Self::clear).
#[derive(Debug)]
pub struct MessageChannel {
    /// What the application wrote.
    pub tx: MessageStreamSender,
    /// How it gets over.
    pub sender: ReliableSender,
    /// What the peer wrote.
    pub rx: MessageStreamReader,
    /// What it is told of that.
    pub acks: AckOwed,
    /// What the peer takes up to.
    peer_window: u64,
    linger: Duration,
    /// When the peer's half is given up.
    deserted_at: Instant,
}

impl MessageChannel {
    /// Nothing sent, nothing received; the peer takes nothing before [`on_window`](Self::on_window).
    #[must_use]
    pub fn new(config: &ChannelConfig) -> Self {
        let &ChannelConfig { rto, patience_max, ack_delay, message_bytes_max, window_bytes, rx_messages_max, .. } =
            config;
        let policy = SenderPolicy { rto, ack_delay_max: ack_delay, patience_max };
        let limits = MessageStreamLimits { message_bytes_max, window_bytes, messages_max: rx_messages_max };
        Self {
            tx: MessageStreamSender::new(config.stream_bytes_max as usize),
            sender: ReliableSender::new(config.controller.clone(), policy),
            rx: MessageStreamReader::new(limits),
            acks: AckOwed::new(ack_delay),
            peer_window: 0,
            linger: config.linger,
            deserted_at: Instant::NEVER,
        }
    }

    /// The peer takes so much; what it said once it cannot take back.
    #[inline]
    pub fn on_window(&mut self, window: u64) {
        self.peer_window = self.peer_window.max(window);
    }

    /// The peer acknowledged; `run` is that of [`ReliableSender::begin_run`].
    ///
    /// # Errors
    /// It acknowledged what was never sent.
    pub fn on_ack(&mut self, mem: &mut Mem, run: &mut AckRun, ack: &AckBlock) -> Result<(), StreamError> {
        self.sender.on_ack(run, ack.upto(), ack.ranges(), ack.delay()).map_err(|_| StreamError)?;
        self.tx.release(mem, ack.upto());
        self.on_window(ack.window());
        Ok(())
    }

    /// All of a run is in: looks for losses, and tells controller and observers.
    pub fn finish_run<T: Transport>(&mut self, cx: &mut Context<'_, T>, run: AckRun) {
        if let Some(sample) = self.sender.finish_run(run) {
            self.sender.observe(cx, &sample);
            self.observe_stream(cx, &sample);
        }
    }

    /// Tells observers what a run of acknowledgements did to the stream. The end, which takes a number, is no byte of it.
    fn observe_stream<T: Transport>(&self, cx: &mut Context<'_, T>, sample: &AckSample) {
        let una = self.sender.una();
        if sample.acked_bytes > 0 {
            let bytes = self.tx.stop() - u64::from(self.tx.is_finished());
            cx.observe_flow(|flow| Event::Acked { flow, offset: una.min(bytes) });
        }
        if sample.lost_bytes > 0 {
            cx.observe_flow(|flow| Event::Lost { flow, offset: una, bytes: sample.lost_bytes as usize });
        }
    }

    /// A range of the peer's stream came: see [`MessageStreamReader::on_range`].
    ///
    /// # Errors
    /// It lies where it may not.
    pub fn on_range<T: Transport>(
        &mut self,
        cx: &mut Context<'_, T>,
        at: StreamAt,
        frame: Frame,
    ) -> Result<(), StreamError> {
        let mut range = at.offset..at.offset.saturating_add(frame.len() as u64);
        if !self.rx.on_range(cx.mem, at, frame)? {
            self.acks.hurry();
        }
        while cx.is_observed()
            && let Some(held) = self.rx.first_held(cx.mem, &range)
        {
            range.start = held.end;
            let (offset, bytes) = (held.start, (held.end - held.start) as usize);
            cx.observe_flow(|flow| Event::SegmentReceived { flow, offset, bytes });
        }
        Ok(())
    }

    /// Moves messages both ways, between streams and application, which is told, and puts the flow on the list of
    /// acknowledgements if one is urgent. True if the peer's window opened, which may be all that the peer waits for: it
    /// should be made to confirm that it heard.
    ///
    /// # Errors
    /// The peer broke the rules of the stream.
    pub fn exchange<T: Transport>(
        &mut self,
        cx: &mut Context<'_, T>,
        io: &mut MessageIo,
        from: Endpoint,
    ) -> Result<bool, StreamError> {
        if self.tx.take_from(cx.mem, io) {
            cx.emit(Ready::WRITABLE);
        }
        let ready = self.rx.deliver_to(cx.mem, io, from)?;
        cx.emit(ready);
        let had_news = self.acks.is_owed();
        if self.rx.has_opened(io) {
            self.acks.hurry();
        }
        if self.acks.is_urgent() {
            cx.want_tx(Class::Ack);
        }
        Ok(self.acks.is_owed() && !had_news)
    }

    /// Whether there is something to send, now or when the pacer lets it.
    pub fn has_next(&mut self, now: Instant) -> bool {
        self.sender.has_next(now, self.tx.stop_within(self.peer_window))
    }

    /// Sends some of the stream along `way`, if windows, pacer and device let it, in packets that begin with what `head`
    /// makes. It is called for each packet with where its data belongs, and once before that for a pattern; all of its
    /// headers are equally long. Returns the bytes of packets that left; call it again until it says why nothing does.
    ///
    /// # Errors
    /// What `poll_tx` is to answer with: nothing left.
    pub fn send<T: Transport, const N: usize>(
        &mut self,
        cx: &mut Context<'_, T>,
        way: &mut Way,
        out: &mut TxBatch<'_>,
        mut head: impl FnMut(StreamAt) -> FieldWriter<N>,
    ) -> Result<usize, TxStatus> {
        let pattern = head(StreamAt::default());
        let room = way.room_bytes(pattern.bytes().len());
        let piece = self.next_piece(cx.now, room, way.is_proven())?;
        let (slices, bytes, end) = self.tx.slices(cx.mem, &piece.range);
        if bytes == 0 && !end {
            return Err(TxStatus::Idle);
        }
        let mut head_bytes = 0;
        let patch = |place: &mut [u8], at: SegmentAt| {
            let header = head(StreamAt { offset: piece.range.start + at.offset as u64, end: end && at.last });
            debug_assert_eq!(header.bytes().len(), place.len(), "headers of a piece are equally long");
            if let Some(header) = header.bytes().get(..place.len()) {
                place.copy_from_slice(header);
            }
            head_bytes += place.len();
        };
        let taken = way.segments(out, pattern.bytes(), &slices, room, patch)?;
        drop(slices);
        way.spend(head_bytes + taken);
        self.sender.on_sent(cx.now, &piece, taken as u64 + u64::from(end && taken == bytes));
        let (flow, offset, retransmission) = (cx.flow_ref(), piece.range.start, piece.again);
        cx.observe(|| Event::SegmentSent { flow, offset, bytes: taken, retransmission });
        Ok(head_bytes + taken)
    }

    /// What goes next, in packets that carry `room` bytes of it; in one if the peer has not proven to be there.
    fn next_piece(&mut self, now: Instant, room: usize, proven: bool) -> Result<Piece, TxStatus> {
        match self.sender.next(now, self.tx.stop_within(self.peer_window), room as u64) {
            Next::Send(mut piece) if room > 0 => {
                let stop = if proven { piece.range.end } else { piece.range.start + room as u64 };
                piece.range.end = piece.range.end.min(stop);
                Ok(piece)
            }
            Next::PacedUntil(at) => Err(TxStatus::PacedUntil(at)),
            Next::Send(_) | Next::Nothing => Err(TxStatus::Idle),
        }
    }

    /// The end of every call of the transport's, before [`deadline`](Self::deadline) is asked: sets the timer if the peer
    /// owes an answer, to anything, and sees to it that the peer is told of the end at once.
    pub fn arm<T: Transport>(&mut self, cx: &mut Context<'_, T>, is_expecting: bool) {
        self.sender.arm(cx.now, is_expecting);
        if self.is_over() && self.acks.is_owed() && !self.acks.is_urgent() {
            self.acks.hurry();
            cx.want_tx(Class::Ack);
        }
        if self.rx.discards() && self.is_sent() && !self.is_over() {
            self.deserted_at = self.deserted_at.min(cx.now + self.linger);
        }
    }

    /// When [`on_deadline`](Self::on_deadline) has something to do.
    #[inline]
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.sender.deadline().min(self.acks.due_at()).min(self.deserted_at)
    }

    /// The timers of both halves. True if the peer is silent although nothing is in flight: what else it owes an answer to
    /// is the protocol's to repeat.
    pub fn on_deadline<T: Transport>(&mut self, cx: &mut Context<'_, T>) -> bool {
        if self.acks.due_at() <= cx.now {
            self.acks.hurry();
        }
        let Some(name) = self.sender.on_deadline(cx.now) else { return false };
        let flow = cx.flow_ref();
        cx.observe(|| Event::TimerFired { flow, name });
        self.sender.is_empty()
    }

    /// The acknowledgement that is owed, if one is.
    #[must_use]
    pub fn ack(&self, mem: &Mem, io: &MessageIo, now: Instant) -> Option<AckBlock> {
        let ranges = || -> ArrayVec<_, { AckBlock::RANGES_MAX }> { self.rx.recent_ranges(mem) };
        let block = || AckBlock::new(self.acks.waited(now), self.rx.upto(), self.rx.window(io), ranges());
        self.acks.is_owed().then(block)
    }

    /// It left.
    pub fn on_ack_sent(&mut self, ack: &AckBlock) {
        self.rx.on_granted(ack.window());
        self.acks.on_sent();
    }

    /// Whether the peer owes an answer to something of the stream, or a larger window.
    #[inline]
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.sender.una() < self.tx.stop()
    }

    /// Whether all that the application wrote, and that this was all, is acknowledged.
    #[inline]
    #[must_use]
    pub fn is_sent(&self) -> bool {
        self.tx.is_finished() && !self.is_waiting()
    }

    /// Whether both halves are over. What the peer may not know of that is its acknowledgement.
    #[inline]
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_sent() && self.rx.is_complete()
    }

    /// Whether both halves are over and the peer was told: the end, in good order.
    #[inline]
    #[must_use]
    pub fn has_parted(&self) -> bool {
        self.is_over() && !self.acks.is_owed()
    }

    /// Whether it is time to end without order: the application let go, our half is over, and the peer has not ended its
    /// own for long. Said once, and again after as long.
    #[inline]
    #[must_use]
    pub fn gives_up(&mut self, now: Instant) -> bool {
        let gives_up = self.deserted_at <= now;
        if gives_up {
            self.deserted_at = Instant::NEVER;
        }
        gives_up
    }

    /// The application did that: its half ends, or nobody is there any more to read. What it wrote moves by
    /// [`exchange`](Self::exchange), and an abort is the protocol's own.
    pub fn on_app<X>(&mut self, io: &mut MessageIo, op: &AppOp<X>) {
        match op {
            AppOp::Written | AppOp::Consumed(_) | AppOp::Abort | AppOp::Own(_) => {}
            AppOp::Shutdown => io.tx_finished = true,
            AppOp::Close => {
                io.tx_finished = true;
                self.rx.discard();
            }
        }
    }

    /// Whether both halves are over, as far as messages go: at most the peer's word that it knows of our end is missing.
    #[must_use]
    pub fn lacks_only_end(&self) -> bool {
        self.tx.is_finished() && self.sender.una() + 1 >= self.tx.stop() && self.rx.is_complete()
    }

    /// Gives all memory back.
    pub fn clear(&mut self, mem: &mut Mem) {
        self.tx.clear(mem);
        self.rx.clear(mem);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Ip;
    use crate::frame::{FramePool, PoolConfig};

    /// All that one has to say the other hears at once.
    fn say(from: &mut MessageChannel, to: &mut MessageChannel, io: &MessageIo, mem: &mut Mem, pool: &FramePool) {
        let now = Instant::ZERO;
        from.on_window(1 << 20);
        let mut run = to.sender.begin_run(now);
        if let Ok(piece) = from.next_piece(now, 1_000, true) {
            let (slices, bytes, end) = from.tx.slices(mem, &piece.range);
            let mut frame = pool.alloc().unwrap();
            assert!(frame.extend_from_slice(&slices.concat()));
            drop(slices);
            from.sender.on_sent(now, &piece, bytes as u64 + u64::from(end));
            to.acks.on_received(now);
            to.rx.on_range(mem, StreamAt { offset: piece.range.start, end }, frame).unwrap();
        }
        if let Some(ack) = from.ack(mem, io, now) {
            from.on_ack_sent(&ack);
            to.on_ack(mem, &mut run, &ack).unwrap();
        }
    }

    #[test]
    fn a_message_goes_over_and_both_halves_end() {
        let pool = FramePool::new(PoolConfig { slots: 8, slot_bytes: 2048, headroom: 64 });
        let (config, mut mem, now) = (ChannelConfig::default(), Mem::new(1 << 20), Instant::ZERO);
        let (mut here, mut there) = (MessageChannel::new(&config), MessageChannel::new(&config));
        let (mut io, mut far) = (config.io(true), config.io(true));
        let peer = Endpoint::new(Ip::v4([10, 0, 0, 2]), 2);
        io.tx.write_message(&mut mem, peer, 0, &[b"over"], &io.tx_limits).unwrap();
        (io.tx_finished, far.tx_finished) = (true, true);
        for channel in [&mut here, &mut there] {
            channel.sender.set_segment(now, 1_000);
        }
        assert!(here.tx.take_from(&mut mem, &mut io) && !there.tx.take_from(&mut mem, &mut far));
        assert_eq!(
            (here.next_piece(now, 1_000, true), here.is_waiting()),
            (Err(TxStatus::Idle), true),
            "no window yet"
        );
        for _ in 0..2 {
            say(&mut here, &mut there, &io, &mut mem, &pool);
            say(&mut there, &mut here, &far, &mut mem, &pool);
        }
        let ready = there.rx.deliver_to(&mut mem, &mut far, peer).unwrap();
        assert!(ready.contains(Ready::READABLE | Ready::PEER_FINISHED));
        let mut out = [0; 9];
        assert_eq!(far.rx.pop_into(&mut mem, &mut out).map(|(_, bytes)| bytes), Some(4));
        assert!(here.is_sent() && there.lacks_only_end() && there.has_parted() && here.has_parted());
        here.clear(&mut mem);
        there.clear(&mut mem);
        assert_eq!((mem.used_bytes(), pool.in_use()), (0, 0));
    }
}
