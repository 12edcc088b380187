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
//! An acknowledged message has arrived at the peer's host. If the application there closes before it reads it, nobody is told.
//!
//! An open connection follows a client whose address a translator changes; one that is not confirmed yet does not. The server's id is
//! a cookie for the address that asked, so a client that is moved between answer and confirmation is not let in, and times out.
//!
//! `wire` has the format, `conn` a connection; this file answers for those that are not or not any more. What any such
//! protocol needs is the framework's toolkit.
#![forbid(unsafe_code)]

#[macro_use]
mod planted;

mod conn;
mod wire;

use std::rc::Rc;
use std::sync::Arc;

use burstlane::prelude::*;
use burstlane::toolkit::{
    AddressValidator, Answers, ChannelConfig, CookieJar, FourTuple, LastWord, LivenessPolicy, Opening, Validation,
};

pub use conn::Conn;
#[cfg(feature = "planted-bugs")]
pub use planted::PlantedBug;
use wire::{Datagram, Hello};

/// What all connections have in common.
#[derive(Clone, Debug, Default)]
pub struct RudpConfig {
    /// How messages are carried.
    pub channel: ChannelConfig,
    /// How much silence there may be.
    pub liveness: LivenessPolicy,
    /// A mistake made on purpose.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<PlantedBug>,
}

/// RUDP on one lane.
pub struct Rudp {
    config: Rc<RudpConfig>,
    validator: AddressValidator,
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

impl Transport for Rudp {
    type Config = RudpConfig;
    type Shared = CookieJar;
    type Key = Key;
    type Meta = Meta;
    type Conn = Conn;
    type Io = MessageIo;
    type Remnant = LastWord;
    type Op = std::convert::Infallible;
    type Notice = std::convert::Infallible;

    const NAME: &'static str = "rudp";

    fn shared(_: &RudpConfig, secret: &[u8; 32]) -> CookieJar {
        CookieJar::from_secret(secret, COOKIE_TIME)
    }

    fn new(config: RudpConfig, jar: Arc<CookieJar>, _: LaneInfo) -> Self {
        let config = planted!(config, config(config));
        Self { config: Rc::new(config), validator: AddressValidator::new(jar), answers: Answers::new() }
    }

    fn endpoints(&self, _: &Key, conn: &Conn) -> (Endpoint, Endpoint) {
        (conn.path.ends().local(), conn.path.ends().remote())
    }

    fn parse(&self, packet: &Packet) -> Result<Parsed<Key, Meta>, DropReason> {
        let (datagram, header_bytes) = Datagram::parse(packet.frame.bytes())?;
        let meta = Meta { datagram, ends: FourTuple::new(packet.dst, packet.src), bytes: packet.frame.len() };
        Ok(Parsed::new(Key::Own(datagram.cid), meta, packet, header_bytes))
    }

    fn parse_quoted(&self, quote: &Quote) -> Option<Key> {
        wire::quoted(&quote.bytes)
    }

    fn connect(&mut self, cx: &mut LaneCx<'_, Self>, open: &Open) -> Result<Opened<Self>, FlowError> {
        let guessable = planted!(self.config, GuessableIds).then_some(open.local.port.into());
        let cid = guessable.unwrap_or_else(|| cx.random_u64().max(1));
        let ends = FourTuple::new(open.local, open.remote);
        Ok(self.opened(cid, Opening::client(cid, cx.now), ends, cx.now))
    }

    fn on_unmatched(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        &Meta { datagram: Datagram { cid, hello, .. }, ends, .. }: &Meta,
        _: &Packet,
        listener: Option<&Listener>,
    ) -> Unmatched<Self> {
        let Some(peer) = hello else { return Unmatched::Drop(DropReason("rudp: unknown connection")) };
        match self.validator.validate(cx.now, &ends, cid, peer.cid, listener) {
            Validation::Retry(own) => {
                let hello = Some(Hello { cid: own, window: self.config.channel.window_bytes.into() });
                let answer = Datagram { cid: peer.cid, hello, ..Datagram::default() };
                let answered = self.answers.owe(cx, ends, answer.write().bytes());
                if planted!(self.config, TrustsAnyOpener) && !cx.has_key(&Key::Own(own)) {
                    let flow = self.opened(own, Opening::server(own, peer.cid, cx.now), ends, cx.now);
                    return Unmatched::Accept { flow, consumed: true };
                }
                answered
            }
            Validation::Valid => {
                let flow = self.opened(cid, Opening::server(cid, peer.cid, cx.now), ends, cx.now);
                Unmatched::Accept { flow, consumed: false }
            }
            Validation::Refuse(reason) => Unmatched::Refuse(reason),
            Validation::Drop(reason) => Unmatched::Drop(reason),
        }
    }

    fn on_remnant(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        word: &mut LastWord,
        input: RemnantInput<'_, Self>,
        _: Option<&Listener>,
    ) -> Verdict<Self> {
        let RemnantInput::Packet(Meta { datagram, ends, bytes }, _) = input else { return Verdict::Gone };
        let asks = datagram.is_eliciting() && !planted!(self.config, LastWordIsDeaf);
        word.on_packet(cx, &mut self.answers, *ends, *bytes, asks)
    }

    fn on_run(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut MessageIo, run: &mut Run<'_, Meta>) {
        conn.on_run(cx, io, run);
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut MessageIo) {
        conn.on_deadline(cx, io);
    }

    fn on_app(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut MessageIo, op: AppOp<Self::Op>) {
        conn.channel.on_app(io, &op);
        if op == AppOp::Abort || op == AppOp::Close && planted!(self.config, ClosesByReset) {
            conn.abort(cx, FlowError::Aborted);
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
        if let Some(error) = conn.opening.on_trouble(trouble) {
            cx.close(Some(error));
        }
        // The quote held 64 bits that only the path has seen (RFC 5927 4.1 asks for less).
        TroubleAnswer::believe(trouble)
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

    fn poll_lane_tx(&mut self, cx: &mut LaneCx<'_, Self>, out: &mut TxBatch<'_>) -> TxStatus {
        self.answers.poll_tx(cx, out)
    }

    fn release(&mut self, mem: &mut Mem, conn: &mut Conn) {
        if !planted!(self.config, LeaksBuffers) {
            conn.channel.clear(mem);
        }
    }
}

impl Rudp {
    fn opened(&self, cid: u64, opening: Opening, ends: FourTuple, now: Instant) -> Opened<Self> {
        let io = self.config.channel.io(opening.is_answered());
        Opened { key: Key::Own(cid), conn: Conn::new(&self.config, opening, ends, now), io }
    }
}

/// A server's answer is good for at least so long, and at most twice that: a client on a bad link repeats it for a while.
const COOKIE_TIME: Duration = Duration::from_secs(60);
