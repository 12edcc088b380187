//! RUDP: reliable, ordered messages over UDP, as small as such a protocol can be and still be a good citizen. It
//! fragments messages, acknowledges selectively, measures round trips, detects loss by time, obeys any congestion
//! controller, grants windows, follows a peer to a new address once it has proven to be there, and closes in order.
//! Not here: encryption. Whoever reads a connection's packets can disturb it; whoever does not has to guess 64 bits.
//!
//! ```text
//!  client                                      server
//!  HELLO (own connection id, window)  ───────►  remembers nothing: its id is a cookie for the client's id and
//!                     ◄───────  HELLO (id, window)       address (and its answer no longer than the question)
//!  HELLO again, and anything else     ───────►  the id proves that the client is there: a connection
//! ```
//! `wire` has the format, `conn` a connection; this file answers for those that are not or not any more. What any such
//! protocol needs is the framework's toolkit.
#![forbid(unsafe_code)]

mod conn;
mod wire;

use std::rc::Rc;
use std::sync::Arc;

use burstlane::addr::Endpoint;
use burstlane::net::{DropReason, Packet, Quote, Trouble, TxBatch};
use burstlane::socket::{AppOp, MessageIo};
use burstlane::time::Duration;
use burstlane::toolkit::{AckBlock, Answers, ChannelConfig, CookieJar, FourTuple, Mem};
use burstlane::transport::{
    Class, Context, FlowError, LaneCx, LaneInfo, Listener, Open, Opened, Parsed, RemnantInput, Run, Transport,
    TroubleAnswer, TxStatus, Unmatched, Verdict,
};

pub use conn::Conn;
use wire::{Datagram, Hello};

/// What all connections have in common.
#[derive(Clone, Debug)]
pub struct RudpConfig {
    /// How messages are carried.
    pub channel: ChannelConfig,
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
            channel: ChannelConfig::default(),
            keep_alive: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            linger: Duration::from_secs(15),
        }
    }
}

/// RUDP on one lane.
pub struct Rudp {
    config: Rc<RudpConfig>,
    /// Makes a server's connection ids.
    jar: Arc<CookieJar>,
    answers: Answers,
}

/// What a datagram names its connection by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Key {
    /// Our connection id.
    Own(u64),
    /// The peer's, which ICMP errors quote.
    Peer(u64),
}

/// A datagram, and its way.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    datagram: Datagram,
    ends: FourTuple,
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

impl Transport for Rudp {
    type Config = RudpConfig;
    type Shared = CookieJar;
    type Key = Key;
    type Meta = Meta;
    type Conn = Conn;
    type Io = MessageIo;
    type Remnant = Remnant;
    type Op = std::convert::Infallible;
    type Notice = std::convert::Infallible;

    const NAME: &'static str = "rudp";

    fn shared(_: &RudpConfig, secret: &[u8; 32]) -> CookieJar {
        CookieJar::from_secret(secret, COOKIE_TIME)
    }

    fn new(config: RudpConfig, jar: Arc<CookieJar>, _: LaneInfo) -> Self {
        Self { config: Rc::new(config), jar, answers: Answers::new() }
    }

    fn endpoints(&self, _: &Key, conn: &Conn) -> (Endpoint, Endpoint) {
        (conn.ends().local(), conn.ends().remote())
    }

    fn parse(&self, packet: &Packet) -> Result<Parsed<Key, Meta>, DropReason> {
        let (datagram, header_bytes) = Datagram::parse(packet.frame.bytes())?;
        let (ends, bytes) = (FourTuple::new(packet.dst, packet.src), packet.frame.len());
        let (key, port) = (Key::Own(datagram.cid), packet.dst.port);
        Ok(Parsed { key, meta: Meta { datagram, ends, bytes }, port, header_bytes: header_bytes as u16 })
    }

    fn parse_quoted(&self, quote: &Quote) -> Option<Key> {
        wire::quoted(&quote.bytes)
    }

    fn connect(&mut self, cx: &mut LaneCx<'_, Self>, open: &Open) -> Result<Opened<Self>, FlowError> {
        let cid = cx.random_u64().max(1);
        let conn = Conn::client(&self.config, cid, FourTuple::new(open.local, open.remote), cx.now);
        Ok(Opened { key: Key::Own(cid), conn, io: self.config.channel.io(false) })
    }

    fn on_unmatched(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        &Meta { datagram: Datagram { cid, hello, .. }, ends, .. }: &Meta,
        _: &Packet,
        listener: Option<&Listener>,
    ) -> Unmatched<Self> {
        let Some(peer) = hello else { return Unmatched::Drop(DropReason("rudp: unknown connection")) };
        let Some(listener) = listener else { return Unmatched::Refuse(DropReason("rudp: nobody listens")) };
        let (local, remote) = (ends.local(), ends.remote());
        if cid == 0 {
            let cid = self.jar.make64(local, remote, peer.cid, cx.now);
            let hello = Some(Hello { cid, window: self.config.channel.window_bytes.into() });
            let answer = Datagram { cid: peer.cid, hello, ..Datagram::default() };
            return self.answers.owe(cx, ends, answer.write().bytes());
        }
        if !self.jar.check64(cid, local, remote, peer.cid, cx.now) {
            return Unmatched::Drop(DropReason("rudp: forged or outdated connection id"));
        }
        if !listener.has_room() {
            return Unmatched::Drop(DropReason("rudp: backlog is full"));
        }
        let conn = Conn::server(&self.config, cid, peer, ends, cx.now);
        let flow = Opened { key: Key::Own(cid), conn, io: self.config.channel.io(true) };
        Unmatched::Accept { flow, consumed: false }
    }

    fn on_remnant(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        remnant: &mut Remnant,
        input: RemnantInput<'_, Self>,
        _: Option<&Listener>,
    ) -> Verdict<Self> {
        let RemnantInput::Packet(&Meta { datagram, ends, .. }, _) = input else { return Verdict::Gone };
        if datagram.is_eliciting() {
            let &mut Remnant { peer_cid: cid, number, upto } = remnant;
            let ack = upto.map(|upto| AckBlock::new(Duration::ZERO, upto, 0, []));
            let answer = Datagram { cid, number, ack, reset: upto.is_none(), ..Datagram::default() };
            remnant.number += 1;
            let _ = self.answers.owe(cx, ends, answer.write().bytes());
        }
        Verdict::Keep { until: cx.now + self.config.linger }
    }

    fn on_run(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut MessageIo, run: &mut Run<'_, Meta>) {
        conn.on_run(cx, io, run);
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut MessageIo) {
        conn.on_deadline(cx, io);
    }

    fn on_app(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut MessageIo, op: AppOp<Self::Op>) {
        match op {
            AppOp::Written | AppOp::Consumed(_) => {}
            AppOp::Shutdown => io.tx_finished = true,
            AppOp::Close => {
                io.tx_finished = true;
                conn.channel.rx.discard();
            }
            AppOp::Abort => conn.abort(cx, FlowError::Aborted),
            AppOp::Own(never) => match never {},
        }
        conn.go_on(cx, io);
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
        conn.poll_tx(cx, io, class, out)
    }

    fn poll_lane_tx(&mut self, _: &mut LaneCx<'_, Self>, out: &mut TxBatch<'_>) -> TxStatus {
        self.answers.poll_tx(out)
    }

    fn release(&mut self, mem: &mut Mem, conn: &mut Conn) {
        conn.channel.clear(mem);
    }
}

/// No path is believed to be narrower (RFC 1122 3.3.3).
const MTU_MIN: u32 = 576;
/// A server's answer is good for at least so long, and at most twice that: a client on a bad link repeats it for a while.
const COOKIE_TIME: Duration = Duration::from_secs(60);
