//! [`MessageChannel`]: reliable, ordered messages both ways, all of it but the packets: messages to a stream and back, the
//! sending engine, what to acknowledge and when. A protocol lays out its packets, opens, closes, and finds its peer; this
//! does the rest of the work.
//!
//! ```text
//!  application ─► MessageStreamSender ─► ReliableSender ─► next, send ─►  packets
//!  application ◄─ MessageStreamReader ◄─ on_range        AckOwed ─► ack ─►
//! ```

use super::{
    AckBlock, AckOwed, AckRun, Mem, MessageLimits, MessageStreamLimits, MessageStreamReader, MessageStreamSender, Next,
    Piece, ReliableSender, RtoConfig, SenderPolicy, StreamError,
};
use crate::addr::Endpoint;
use crate::congestion::{AckSample, Controller, NewReno};
use crate::frame::Frame;
use crate::net::TxStop;
use crate::observe::Event;
use crate::socket::{MessageIo, Ready};
use crate::time::{Duration, Instant};
use crate::transport::{Class, Context, Transport};
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
    /// Longest delay of an acknowledgement, ours and the peer's.
    pub ack_delay: Duration,
}

impl Default for ChannelConfig {
    /// NewReno, messages up to 1 MiB, windows of 2 MiB, acknowledgements within 5 ms.
    fn default() -> Self {
        Self {
            controller: Box::new(NewReno::new()),
            rto: RtoConfig::default(),
            patience_max: Duration::from_secs(6),
            message_bytes_max: 1 << 20,
            window_bytes: 2 << 20,
            rx_messages_max: 4096,
            stream_bytes_max: 2 << 20,
            ack_delay: Duration::from_millis(5),
        }
    }
}

impl ChannelConfig {
    /// The application's side of a channel, which takes messages of the length that the channel carries.
    #[must_use]
    pub fn io(&self, open: bool) -> MessageIo {
        let mut tx_limits = MessageLimits::default();
        tx_limits.bytes_max = tx_limits.bytes_max.max(self.message_bytes_max as usize);
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
        let (flow, una) = (cx.flow_ref(), self.sender.una());
        if sample.acked_bytes > 0 {
            let bytes = self.tx.stop() - u64::from(self.tx.is_finished());
            cx.observe(|| Event::Acked { flow, offset: una.min(bytes) });
        }
        if sample.lost_bytes > 0 {
            cx.observe(|| Event::Lost { flow, offset: una, bytes: sample.lost_bytes as usize });
        }
    }

    /// A range of the peer's stream came: see [`MessageStreamReader::on_range`].
    ///
    /// # Errors
    /// It lies where it may not.
    pub fn on_range<T: Transport>(
        &mut self,
        cx: &mut Context<'_, T>,
        offset: u64,
        frame: Frame,
        end: bool,
    ) -> Result<(), StreamError> {
        let mut range = offset..offset.saturating_add(frame.len() as u64);
        if !self.rx.on_range(cx.mem, offset, frame, end)? {
            self.acks.hurry();
        }
        let flow = cx.flow_ref();
        while cx.is_observed()
            && let Some(held) = self.rx.first_held(cx.mem, &range)
        {
            range.start = held.end;
            let (offset, bytes) = (held.start, (held.end - held.start) as usize);
            cx.observe(|| Event::SegmentReceived { flow, offset, bytes });
        }
        Ok(())
    }

    /// Moves messages both ways, between streams and application, which is told. True if the peer's window opened, which
    /// may be all that the peer waits for: it should be made to confirm that it heard.
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
        Ok(self.acks.is_owed() && !had_news)
    }

    /// What to send next, in packets that carry `segment` bytes of it.
    pub fn next(&mut self, now: Instant, segment: usize) -> Next {
        self.sender.next(now, self.tx.stop_within(self.peer_window), segment as u64)
    }

    /// Whether there is something, now or when the pacer lets it.
    pub fn has_next(&mut self, now: Instant) -> bool {
        self.sender.has_next(now, self.tx.stop_within(self.peer_window))
    }

    /// Sends a piece, or as much of it as `packets` takes: that is given the bytes in parts, and whether the stream ends
    /// behind them, makes packets of them, and says how many bytes left. Returns the same, and whether that was all.
    ///
    /// # Errors
    /// Those of `packets`; nothing left then.
    pub fn send<T: Transport>(
        &mut self,
        cx: &mut Context<'_, T>,
        piece: &Piece,
        packets: impl FnOnce(&[&[u8]], bool) -> Result<usize, TxStop>,
    ) -> Result<(usize, bool), TxStop> {
        let (slices, bytes, end) = self.tx.slices(cx.mem, &piece.range);
        let taken = packets(&slices, end)?;
        drop(slices);
        self.sender.on_sent(cx.now, piece, taken as u64 + u64::from(end && taken == bytes));
        let (flow, offset, retransmission) = (cx.flow_ref(), piece.range.start, piece.again);
        cx.observe(|| Event::SegmentSent { flow, offset, bytes: taken, retransmission });
        Ok((taken, taken == bytes))
    }

    /// Sets the timer if the peer owes an answer, to anything, and puts the flow on the list of acknowledgements if
    /// one is urgent. Before [`deadline`](Self::deadline) is asked.
    pub fn arm<T: Transport>(&mut self, cx: &mut Context<'_, T>, is_expecting: bool) {
        self.sender.arm(cx.now, is_expecting);
        if self.acks.is_urgent() {
            cx.want_tx(Class::Ack);
        }
    }

    /// When [`on_deadline`](Self::on_deadline) has something to do.
    #[inline]
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.sender.deadline().min(self.acks.due_at())
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
        if let Next::Send(piece) = from.next(now, 1_000) {
            let (slices, bytes, end) = from.tx.slices(mem, &piece.range);
            let mut frame = pool.alloc().unwrap();
            assert!(frame.extend_from_slice(&slices.concat()));
            drop(slices);
            from.sender.on_sent(now, &piece, bytes as u64 + u64::from(end));
            to.acks.on_received(now);
            to.rx.on_range(mem, piece.range.start, frame, end).unwrap();
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
        assert_eq!((here.next(now, 1_000), here.is_waiting()), (Next::Nothing, true), "no window yet");
        for _ in 0..2 {
            say(&mut here, &mut there, &io, &mut mem, &pool);
            say(&mut there, &mut here, &far, &mut mem, &pool);
        }
        let ready = there.rx.deliver_to(&mut mem, &mut far, peer).unwrap();
        assert!(ready.contains(Ready::READABLE | Ready::PEER_FINISHED));
        let mut out = [0; 9];
        assert_eq!(far.rx.pop_into(&mut mem, &mut out).map(|(_, bytes)| bytes), Some(4));
        assert!(here.is_sent() && there.lacks_only_end() && there.is_over() && here.is_over());
        here.clear(&mut mem);
        there.clear(&mut mem);
        assert_eq!((mem.used_bytes(), pool.in_use()), (0, 0));
    }
}
