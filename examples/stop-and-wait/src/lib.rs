//! How to write a transport: a whole one in one short file, on the public API of `burstlane` alone. Messages both ways,
//! reliably and in order, one per round trip, inside UDP, whose checksum finds damage. Each *item* (the opening, a
//! message, the end) has a number, and is repeated with growing patience until it is acknowledged.
//! ```text
//!  0       4         8        12         16
//!  | kind  | session | number | expected | message...
//! ```
//! `expected` is the item that the sender waits for, which acknowledges those before. Numbers have 32 bits and not one,
//! because networks reorder: a late duplicate must not pass for the next item.
#![forbid(unsafe_code)]
mod planted;
use burstlane::prelude::*;
pub use planted::*;
use std::sync::Arc;

/// The protocol on one lane. It keeps nothing outside of its flows.
pub struct StopAndWait(Config);

/// Names a flow: our end, the peer's, and a number drawn by the side that opened it, which tells it from older flows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(Endpoint, Endpoint, u32);

/// What a packet carries: nothing, or an item.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ack = 0x53_57_2d_41, // "SW-A", and so on
    Open = 0x53_57_2d_4f,
    Message = 0x53_57_2d_4d,
    End = 0x53_57_2d_45,
    Reset = 0x53_57_2d_52, // it is over, and not in order: said once
}

/// A header, read: key, kind, number, expected.
#[derive(Clone, Copy)]
pub struct Meta(Key, Kind, u32, u32);

/// What a flow keeps between two calls.
pub struct Conn {
    key: Key,
    item: Option<Kind>,        // under way
    number: u32,               // its number, or the next item's
    tries: u32,                // how often it was sent since the peer was heard
    expected: u32,             // the item that we wait for
    finished: bool,            // our end was acknowledged
    failed: Option<FlowError>, // why it is over: the peer is to be told
}

impl Transport for StopAndWait {
    burstlane::no_extras!();
    type Config = Config;
    type Key = Key;
    type Meta = Meta;
    type Conn = Conn;
    type Io = MessageIo;
    const NAME: &'static str = "stop-and-wait";

    fn new(config: Config, _: Arc<()>, _: LaneInfo) -> Self {
        Self(config)
    }

    fn parse(&self, packet: &Packet) -> Result<Parsed<Key, Meta>, DropReason> {
        let header: &[u8; HEADER_BYTES] = packet.frame.bytes().first_chunk().ok_or(NOT_OURS)?;
        let &[kind, session, number, expected] = header.as_chunks().0 else { return Err(NOT_OURS) };
        let [kind, session, number, expected] = [kind, session, number, expected].map(u32::from_be_bytes);
        let kinds = [Kind::Ack, Kind::Open, Kind::Message, Kind::End, Kind::Reset];
        let kind = kinds.into_iter().find(|known| *known as u32 == kind).ok_or(NOT_OURS)?;
        let key = Key(packet.dst, packet.src, session);
        Ok(Parsed::new(key, Meta(key, kind, number, expected), packet, HEADER_BYTES))
    }

    /// Opens a flow. Its first packet leaves in `poll_tx`, which the engine calls for a new flow.
    fn connect(&mut self, cx: &mut LaneCx<'_, Self>, open: &Open) -> Result<Opened<Self>, FlowError> {
        Ok(opened(Key(open.local, open.remote, cx.random_u64() as u32), Some(Kind::Open)))
    }

    /// The first packet of a new flow, or a late one of an old.
    fn on_unmatched(
        &mut self,
        _: &mut LaneCx<'_, Self>,
        &Meta(key, kind, number, _): &Meta,
        _: &Packet,
        listener: Option<&Listener>,
    ) -> Unmatched<Self> {
        match listener {
            // Not consumed: the packet begins the flow's first run, which acknowledges it.
            Some(listener) if kind == Kind::Open && number == 0 && listener.has_room() => {
                Unmatched::Accept { flow: opened(key, None), consumed: false }
            }
            Some(_) => Unmatched::Drop(DropReason("stop-and-wait: no such flow, or no room for one")),
            None => Unmatched::Refuse(DropReason("stop-and-wait: nobody listens")),
        }
    }

    fn endpoints(&self, &Key(local, remote, _): &Key, _: &Conn) -> (Endpoint, Endpoint) {
        (local, remote)
    }

    /// Packets of one flow, in the order of arrival. What they call for is noted; it leaves in `poll_tx`.
    fn on_run(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut MessageIo, run: &mut Run<'_, Meta>) {
        while let Some(Segment { meta, frame }) = run.take() {
            let Meta(_, kind, number, expected) = self.0.misread(conn, io, *meta);
            conn.tries *= u32::from(expected.wrapping_sub(conn.number) > 1); // heard, and not from an end of another flow
            if let Some(item) = conn.item.take_if(|_| expected == conn.number.wrapping_add(1)) {
                match item {
                    Kind::Message => drop(io.tx.pop(cx.mem)),
                    Kind::End => conn.finished = true,
                    _ => io.open = true,
                }
                conn.number = expected;
                cx.set_deadline(Instant::NEVER);
                cx.emit(Ready::OPEN | Ready::WRITABLE);
                cx.want_tx(Class::Data);
            }
            let taken = match kind {
                Kind::Ack => continue,
                Kind::Reset => return cx.close(Some(FlowError::Reset)),
                _ if number != conn.expected => false,
                _ if kind != Kind::Message || io.rx_finished => true, // or nobody waits for messages any more
                _ => io.rx.push_frame(cx.mem, conn.key.1, 0, frame, &MessageLimits::default()).is_ok(),
            };
            if taken {
                (conn.expected, io.rx_finished) = (number.wrapping_add(1), io.rx_finished || kind == Kind::End);
                cx.emit(self.0.mistold(Ready::READABLE));
            }
            cx.want_tx(Class::Ack); // also if it is old, or has no room yet: the peer is to know what we expect
        }
        if conn.finished && io.rx_finished {
            cx.set_deadline(cx.now + LINGER); // the peer may still repeat its end: somebody has to answer
        }
    }

    fn on_app(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut MessageIo, op: AppOp<Self::Op>) {
        io.tx_finished |= op.ends_sending();
        io.rx_finished |= op == AppOp::Close;
        conn.failed = conn.failed.or((op == AppOp::Abort).then_some(FlowError::Aborted));
        if conn.item.is_none() || conn.failed.is_some() {
            cx.want_tx(Class::Data);
        }
        if conn.finished && io.rx_finished {
            cx.set_deadline(cx.now + LINGER);
        }
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut MessageIo) {
        if conn.finished && io.rx_finished {
            return cx.close(None);
        }
        conn.failed = conn.failed.or((conn.tries >= TRIES_MAX).then_some(FlowError::TimedOut));
        cx.want_tx(Class::Data);
    }

    /// The only place where packets are made.
    fn poll_tx(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut MessageIo,
        class: Class,
        out: &mut TxBatch<'_>,
    ) -> TxStatus {
        if class != Class::Ack && conn.item.is_none() {
            let end = (io.tx_finished && !conn.finished).then_some(Kind::End);
            conn.item = if io.tx.is_empty() { end } else { Some(Kind::Message) };
        }
        let owed = conn.failed.map(|_| Kind::Reset).or((class == Class::Ack).then_some(Kind::Ack));
        let (Some(kind), Some(path)) = (owed.or(conn.item), cx.path()) else { return TxStatus::Idle };
        let Key(local, remote, session) = conn.key;
        let info = TxInfo { source_port: local.port, destination_port: remote.port, ..TxInfo::default() };
        let header = [kind as u32, session, conn.number, conn.expected].map(u32::to_be_bytes);
        let message = io.tx.slices(cx.mem, 0, if kind == Kind::Message { MESSAGE_BYTES_MAX } else { 0 });
        let sent = out.segments(path, &info, header.as_flattened(), &message, MESSAGE_BYTES_MAX, |_, _| ());
        drop(message);
        if let Err(TxStop::Full | TxStop::NoMemory) = sent {
            return TxStatus::More;
        }
        if kind == Kind::Reset {
            cx.close(conn.failed);
        } else if kind != Kind::Ack {
            cx.set_deadline(cx.deadline().min(cx.now + PATIENCE * 2u32.pow(conn.tries.min(DOUBLINGS_MAX))));
            conn.tries += 1;
            self.0.mistime(cx, conn);
        }
        TxStatus::Idle
    }
}

fn opened(key: Key, item: Option<Kind>) -> Opened<StopAndWait> {
    let conn = Conn { key, item, number: 0, tries: 0, expected: 0, finished: false, failed: None };
    let (open, message_bytes_max) = (item.is_none(), MESSAGE_BYTES_MAX as u32);
    Opened { key, conn, io: MessageIo { open, message_bytes_max, ..MessageIo::default() } }
}

const NOT_OURS: DropReason = DropReason("stop-and-wait: not this protocol");
const HEADER_BYTES: usize = 16;
const MESSAGE_BYTES_MAX: usize = 1280 - 40 - 8 - HEADER_BYTES; // fits every path that IPv6 takes (RFC 8200 5)
const PATIENCE: Duration = Duration::from_millis(250); // before the first repetition
const DOUBLINGS_MAX: u32 = 4; // of it
const TRIES_MAX: u32 = 16; // without any answer: the peer is gone
const LINGER: Duration = Duration::from_secs(15); // several of the longest waits
