//! RUDP: reliable, ordered messages over UDP, as small as such a protocol can be and still be a good citizen. It
//! fragments messages, acknowledges selectively, measures round trips, detects loss by time, obeys any congestion
//! controller, grants windows, follows a peer to a new address once it has proven to be there, and closes in order.
//! Not here: encryption. Whoever reads a connection's packets can disturb it; whoever does not has to guess 64 bits.
//!
//! ```text
//!  client                                      server
//!  OPEN (own connection id, window)  ───────►  remembers nothing: its id is a keyed hash of the client's
//!                  ◄───────  ACCEPT (id, window)      id and address (no longer than the OPEN)
//!  OPEN again, and anything else     ───────►  the id proves that the client is there: a connection
//! ```
//! `wire` has the format, `send` and `recv` the two halves of a connection, `path` the peer's address, `conn` the rest.
#![forbid(unsafe_code)]

mod conn;
mod path;
mod recv;
mod send;
mod wire;

use std::hash::Hasher;
use std::sync::Arc;

use burstlane::addr::Endpoint;
use burstlane::congestion::{Controller, NewReno};
use burstlane::net::{DropReason, Packet, Quote, Trouble, TxBatch, TxStop};
use burstlane::observe::Event;
use burstlane::socket::{AppOp, MessageIo, Ready};
use burstlane::time::Duration;
use burstlane::toolkit::{Mem, MessageLimits, RtoConfig};
use burstlane::transport::{
    Class, Context, FlowError, LaneCx, LaneInfo, Listener, Open, Opened, Parsed, RemnantInput, Run, Transport,
    TroubleAnswer, TxStatus, Unmatched, Verdict,
};
use siphasher::sip::SipHasher13;

pub use conn::Conn;
use path::Ends;
use wire::{Builder, Frame, Header, Hello};

/// What all connections have in common.
#[derive(Clone, Debug)]
pub struct RudpConfig {
    /// Cloned for each connection.
    pub controller: Box<dyn Controller>,
    /// Bounds of the retransmission timeout.
    pub rto: RtoConfig,
    /// Longest message, bytes. Both sides must agree; less than `window_bytes`.
    pub message_bytes_max: u32,
    /// Most bytes, of messages and their lengths, that the peer may send ahead of the application's reading.
    pub window_bytes: u32,
    /// Most messages that may wait for the application.
    pub rx_messages_max: u32,
    /// Most bytes sent and not acknowledged. What else the application wrote waits in its queue.
    pub stream_bytes_max: u32,
    /// Longest delay of an acknowledgement.
    pub ack_delay: Duration,
    /// After so much silence the peer is asked whether it is there.
    pub keep_alive: Duration,
    /// After so much silence it is held for gone. Longer than `keep_alive`.
    pub idle_timeout: Duration,
    /// How long a connection that is over answers a peer that missed the end, and ignores late duplicates.
    pub linger: Duration,
}

impl Default for RudpConfig {
    fn default() -> Self {
        Self {
            controller: Box::new(NewReno::new()),
            rto: RtoConfig::default(),
            message_bytes_max: 1 << 20,
            window_bytes: 2 << 20,
            rx_messages_max: 4096,
            stream_bytes_max: 2 << 20,
            ack_delay: Duration::from_millis(5),
            keep_alive: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            linger: Duration::from_secs(15),
        }
    }
}

impl RudpConfig {
    fn rx_limits(&self) -> MessageLimits {
        MessageLimits { messages_max: self.rx_messages_max as usize, bytes_max: self.window_bytes as usize }
    }

    fn io(&self, open: bool) -> MessageIo {
        let mut tx_limits = MessageLimits::default();
        tx_limits.bytes_max = tx_limits.bytes_max.max(self.message_bytes_max as usize);
        MessageIo { open, message_bytes_max: self.message_bytes_max, tx_limits, ..MessageIo::default() }
    }
}

/// RUDP on one lane.
pub struct Rudp {
    config: RudpConfig,
    secret: Arc<Secret>,
    /// Answers to strangers and for remnants.
    owed: Vec<Answer>,
}

/// From which a server derives its connection ids.
pub struct Secret([u8; 16]);

/// What a datagram names its connection by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Key {
    /// Our connection id.
    Own(u64),
    /// The peer's, which ICMP errors quote.
    Peer(u64),
}

/// A datagram's header and way.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    header: Header,
    ends: Ends,
    bytes: usize,
}

/// What is left of a connection that is over: it answers what the peer repeats, and keeps late duplicates of the first
/// datagrams from opening it again.
#[derive(Debug)]
pub struct Remnant {
    peer_cid: u64,
    number: u64,
    /// What it acknowledges; `None` if the connection ended without order, which it then says.
    upto: Option<u64>,
}

struct Answer {
    ends: Ends,
    datagram: Builder,
}

impl Transport for Rudp {
    type Config = RudpConfig;
    type Shared = Secret;
    type Key = Key;
    type Meta = Meta;
    type Conn = Conn;
    type Io = MessageIo;
    type Remnant = Remnant;
    type Op = std::convert::Infallible;
    type Notice = std::convert::Infallible;

    const NAME: &'static str = "rudp";

    fn shared(_: &RudpConfig, secret: &[u8; 32]) -> Secret {
        Secret(secret.first_chunk().copied().unwrap_or_default())
    }

    fn new(config: RudpConfig, secret: Arc<Secret>, _: LaneInfo) -> Self {
        Self { config, secret, owed: Vec::new() }
    }

    fn endpoints(&self, _: &Key, conn: &Conn) -> (Endpoint, Endpoint) {
        conn.endpoints()
    }

    fn parse(&self, packet: &Packet) -> Result<Parsed<Key, Meta>, DropReason> {
        let bytes = packet.frame.bytes();
        let header = wire::parse(bytes)?;
        let ends = Ends { local: packet.dst, remote: packet.src };
        // A question finds the connection that it, or the same question before it, may have led to.
        let cid = match header.open {
            Some(hello) if header.cid == 0 => self.server_cid(hello.cid, ends),
            _ => header.cid,
        };
        let meta = Meta { header, ends, bytes: bytes.len() };
        let header_bytes = wire::HEADER_BYTES as u16;
        Ok(Parsed { key: Key::Own(cid), meta, port: packet.dst.port, header_bytes })
    }

    fn parse_quoted(&self, quote: &Quote) -> Option<Key> {
        Some(match wire::quoted(&quote.bytes)? {
            wire::Quoted::To(peer_cid) => Key::Peer(peer_cid),
            wire::Quoted::OpenBy(cid) => Key::Own(cid),
        })
    }

    fn connect(&mut self, cx: &mut LaneCx<'_, Self>, open: &Open) -> Result<Opened<Self>, FlowError> {
        let cid = cx.random_u64().max(1);
        let ends = Ends { local: open.local, remote: open.remote };
        let conn = Conn::client(&self.config, cid, ends, cx.now);
        Ok(Opened { key: Key::Own(cid), conn, io: self.config.io(false) })
    }

    fn on_unmatched(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        &Meta { header, ends, .. }: &Meta,
        _: &Packet,
        listener: Option<&Listener>,
    ) -> Unmatched<Self> {
        let Some(hello) = header.open else { return Unmatched::Drop(DropReason("rudp: unknown connection")) };
        let Some(listener) = listener else { return Unmatched::Refuse(DropReason("rudp: nobody listens")) };
        let cid = self.server_cid(hello.cid, ends);
        if header.cid == 0 {
            let mut datagram = Builder::new(hello.cid, 0);
            datagram.frame(&Frame::Accept(Hello { cid, window: u64::from(self.config.window_bytes) }));
            return self.owe(cx, Answer { ends, datagram });
        }
        if header.cid != cid {
            return Unmatched::Drop(DropReason("rudp: forged or outdated connection id"));
        }
        if !listener.has_room() {
            return Unmatched::Drop(DropReason("rudp: backlog is full"));
        }
        let conn = Conn::server(&self.config, cid, hello, ends, cx.now);
        let flow = Opened { key: Key::Own(cid), conn, io: self.config.io(true) };
        Unmatched::Accept { flow, consumed: false }
    }

    fn on_remnant(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        remnant: &mut Remnant,
        input: RemnantInput<'_, Self>,
        _: Option<&Listener>,
    ) -> Verdict<Self> {
        let RemnantInput::Packet(&Meta { header, ends, .. }, _) = input else { return Verdict::Gone };
        if header.eliciting && header.cid != 0 {
            let mut datagram = Builder::new(remnant.peer_cid, remnant.number);
            match remnant.upto {
                Some(upto) => datagram.ack(header.number, 0, upto, 0, std::iter::empty()),
                None => datagram.frame(&Frame::Reset),
            }
            remnant.number += 1;
            let _ = self.owe(cx, Answer { ends, datagram });
        }
        Verdict::Keep { until: cx.now + self.config.linger }
    }

    fn on_run(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut MessageIo, run: &mut Run<'_, Meta>) {
        let config = &self.config;
        let mut acks = conn.send.begin_acks(cx.now);
        while let Some(segment) = run.take() {
            if let Err(error) = conn.on_datagram(cx, config, io, &segment.meta, segment.frame, &mut acks) {
                if error == FlowError::Reset {
                    return conn.fail(cx, config, error);
                }
                conn.abort(cx, error);
                break;
            }
        }
        if let Some(sample) = conn.send.finish_acks(acks) {
            let (flow, rtt) = (cx.flow_ref(), &conn.send.rtt);
            if let Some(sample) = sample.rtt {
                let (srtt, rto) = (rtt.smoothed(), rtt.rto());
                cx.observe(|| Event::RttSample { flow, rtt: sample, srtt, rto });
            }
            let (cwnd, ssthresh) = (conn.cwnd(), conn.send.controller.ssthresh());
            cx.observe(|| Event::Congestion { flow, cwnd, ssthresh, in_flight: sample.in_flight });
        }
        self.go_on(cx, conn, io);
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut MessageIo) {
        conn.on_deadline(cx, &self.config);
        self.go_on(cx, conn, io);
    }

    fn on_app(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut MessageIo, op: AppOp<Self::Op>) {
        match op {
            AppOp::Written | AppOp::Consumed(_) => {}
            AppOp::Shutdown => io.tx_finished = true,
            AppOp::Close => (io.tx_finished, conn.recv.discards) = (true, true),
            AppOp::Abort => conn.abort(cx, FlowError::Aborted),
            AppOp::Own(never) => match never {},
        }
        self.go_on(cx, conn, io);
    }

    fn on_trouble(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        _: &mut MessageIo,
        _: Option<&Quote>,
        trouble: &Trouble,
    ) -> TroubleAnswer {
        match *trouble {
            // The quote held 64 bits that only the path has seen (RFC 5927 4.1 asks for less).
            Trouble::TooBig { mtu } => return TroubleAnswer::LowerMtu(mtu.max(MTU_MIN)),
            Trouble::Unreachable(reason) if reason.is_hard() && conn.is_opening() => cx.close(Some(FlowError::Refused)),
            Trouble::NeighbourFailed if conn.gives_up_neighbour() => cx.close(Some(FlowError::Unreachable)),
            _ => {}
        }
        TroubleAnswer::Ignore
    }

    fn poll_tx(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut MessageIo,
        class: Class,
        out: &mut TxBatch<'_>,
    ) -> TxStatus {
        conn.poll_tx(cx, &self.config, io, class, out)
    }

    fn poll_lane_tx(&mut self, _: &mut LaneCx<'_, Self>, out: &mut TxBatch<'_>) -> TxStatus {
        while let Some(Answer { ends, datagram }) = self.owed.last() {
            let sent = out
                .path(Some(ends.local.ip), ends.remote.ip)
                .map(|path| out.segments(path, &conn::tx_info(*ends), datagram.bytes(), &[], 1, |_, _| ()));
            if let Ok(Err(TxStop::Full | TxStop::NoMemory)) = sent {
                return TxStatus::More;
            }
            // Without a way, or while a neighbour is asked for, it is lost as on the way.
            self.owed.pop();
        }
        TxStatus::Idle
    }

    fn release(&mut self, mem: &mut Mem, conn: &mut Conn) {
        conn.send.release(mem);
        conn.recv.release(mem);
    }
}

impl Rudp {
    /// The server's connection id for a client's, from where it is.
    fn server_cid(&self, client_cid: u64, ends: Ends) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.secret.0);
        for Endpoint { ip, port } in [ends.local, ends.remote] {
            hasher.write(&ip.octets());
            hasher.write_u16(port);
        }
        hasher.write_u64(client_cid);
        hasher.finish().max(1)
    }

    fn owe(&mut self, cx: &mut LaneCx<'_, Self>, answer: Answer) -> Unmatched<Self> {
        if self.owed.len() >= OWED_MAX {
            return Unmatched::Drop(DropReason("rudp: too many answers owed"));
        }
        self.owed.push(answer);
        cx.want_lane_tx();
        Unmatched::Owed
    }

    /// After anything that happened: moves messages both ways and records what is owed.
    fn go_on(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut MessageIo) {
        if cx.is_ended() {
            return;
        }
        let config = &self.config;
        if conn.send.take_messages(cx.mem, io, config) {
            cx.emit(Ready::WRITABLE);
        }
        let had_news = conn.recv.has_news();
        match conn.recv.deliver(cx.mem, io, conn.peer(), config) {
            Ok(Ready::NONE) => {}
            Ok(ready) => cx.emit(ready),
            Err(error) => conn.abort(cx, error),
        }
        // A window that opens may be what the peer waits for: it is to confirm that it heard.
        conn.ping |= conn.recv.urgent && !had_news;
        conn.finish_if_done(cx, config);
        conn.schedule(cx, config);
    }
}

/// Answers owed at a time on a lane.
const OWED_MAX: usize = 1024;
/// No path is believed to be narrower (RFC 1122 3.3.3).
const MTU_MIN: u32 = 576;
