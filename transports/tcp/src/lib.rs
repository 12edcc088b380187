//! TCP for Burstlane: RFC 9293 with window scaling and timestamps (RFC 7323), SACK (RFC 2018), time-based loss recovery
//! (RFC 8985) under any [`Controller`](burstlane::congestion::Controller), congestion notification (RFC 3168, RFC 9768), MTU
//! discovery (RFC 8899), and the defences of RFC 4987, RFC 5961, RFC 6528 and RFC 5927.
//!
//! [`Tcp`] is the transport that an engine runs; everything here is a pure state machine. The way of a segment:
//!
//! ```text
//!  wire, options ─► established (predicted) ─┬─► recovery, congestion ─► timers
//!                └► input (3.10.7.4) ────────┘
//!  handshake: LISTEN, half-open, SYN-SENT; cookie: LISTEN under a flood       close: FIN, reset, TIME-WAIT       output, window: all that leaves
//!  socket, op, settings: what an application chooses for one connection      slow_timers, urgent, orphans: what few connections have
//! ```
#![forbid(unsafe_code)]

#[macro_use]
mod planted;

mod answer;
mod close;
mod cold;
mod config;
mod congestion;
mod conn;
mod cookie;
mod ecn;
mod established;
mod gap;
mod handshake;
mod info;
mod input;
mod op;
pub mod options;
mod orphans;
mod output;
mod pacing;
mod path;
mod personality;
mod probe;
mod recovery;
mod remnant;
mod settings;
mod slow_timers;
mod socket;
mod spurious;
mod state;
mod timers;
mod tuning;
mod urgent;
mod window;
pub mod wire;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use burstlane::addr::Endpoint;
use burstlane::congestion::Interests;
use burstlane::net::{ChecksumSpec, Claim, DropReason, Packet, Quote, Trouble, TxBatch};
use burstlane::socket::{AppOp, StreamIo};
use burstlane::time::Instant;
use burstlane::toolkit::{FourTuple, InitialSequence, Mem, RttEstimator, SeqNum, Slab};
use burstlane::transport::{
    Class, Context, FlowError, LaneCx, LaneInfo, Listener, Open, Opened, Parsed, RemnantInput, Run, Transport,
    TroubleAnswer, TxStatus, Unmatched, Verdict,
};

pub use config::Config;
pub use conn::Conn;
pub use ecn::{Ecn, Feedback, Marks};
pub use info::TcpInfo;
pub use op::Op;
pub use personality::{Personality, QUICK_ACKS};
#[cfg(feature = "planted-bugs")]
pub use planted::PlantedBug;
pub use remnant::{HalfOpen, Remnant, TimeWait};
pub use settings::KeepAlive;
pub use socket::{TcpSettings, TcpSocket, UnknownController};
pub use state::State;

use answer::Answers;
use close::Close;
use cold::Cold;
use cookie::Cookies;
use orphans::Orphans;
use personality::TimestampClock;
use settings::Settings;
use wire::Header;

/// TCP on one lane.
pub struct Tcp {
    config: Config,
    /// What `config` says where an application chooses nothing.
    usual: Settings,
    shared: Arc<Shared>,
    cold: Slab<Cold>,
    answers: Answers,
    orphans: Orphans,
    /// What the controllers want to hear.
    interests: Interests,
    /// What each connection's estimator is at first.
    rtt: RttEstimator,
    /// For the SYN that is about to take the place of a TIME-WAIT: where its numbers begin.
    reopened_iss: Option<SeqNum>,
}

/// Secrets of a host.
#[derive(Debug)]
pub struct Shared {
    initial_sequence: InitialSequence,
    /// Instead of it, in tests.
    fixed_isn: Option<SeqNum>,
    timestamps: TimestampClock,
    cookies: Cookies,
}

impl Shared {
    /// RFC 6528.
    fn isn(&self, now: Instant, key: &FourTuple) -> SeqNum {
        match self.fixed_isn {
            Some(isn) => isn + (now.as_nanos() >> FIXED_ISN_SHIFT) as u32,
            None => self.initial_sequence.isn(key.local(), key.remote(), now),
        }
    }
}

impl Transport for Tcp {
    type Config = Config;
    type Shared = Shared;
    type Key = FourTuple;
    type Meta = Header;
    type Conn = Conn;
    type Io = StreamIo;
    type Remnant = Remnant;
    type Op = Box<Op>;
    type Notice = Infallible;

    const NAME: &'static str = "tcp";

    // RFC 9293: MUST-2, MUST-3.
    fn claim(_config: &Config) -> Claim {
        Claim::Ip { protocol: PROTOCOL, checksum: Some(ChecksumSpec { field: wire::CHECKSUM_FIELD }) }
    }

    fn shared(config: &Config, secret: &[u8; 32]) -> Shared {
        let word = |at: usize| u64::from_le_bytes(secret.as_chunks().0.get(at).copied().unwrap_or_default());
        let key = (word(0), word(1));
        let timestamps = TimestampClock::new(config.personality, (word(2) ^ word(3)) as u32);
        let fixed_isn = config.fixed_isn.map(SeqNum);
        // One key for both: what they hash is of different lengths.
        let (initial_sequence, cookies) = (InitialSequence::new(key), Cookies::new(key, config.ecn));
        Shared { initial_sequence, fixed_isn, timestamps, cookies }
    }

    fn new(config: Config, shared: Arc<Shared>, _lane: LaneInfo) -> Self {
        let config = config.in_range();
        let interests = config.congestion.wants();
        let rtt = RttEstimator::new(&config.rto);
        Self {
            usual: Settings::of(&config),
            config,
            shared,
            cold: Slab::with_limit(u32::MAX),
            answers: Answers::default(),
            orphans: Orphans::default(),
            interests,
            rtt,
            reopened_iss: None,
        }
    }

    #[inline]
    fn parse(&self, packet: &Packet) -> Result<Parsed<FourTuple, Header>, DropReason> {
        let (mut meta, header_bytes, ports) = Header::parse(packet.frame.bytes())?;
        meta.marks = meta.marks.with_codepoint(packet.ecn);
        let key = FourTuple::from_parts(packet.dst.ip, packet.src.ip, ports.destination, ports.source);
        Ok(Parsed { key, meta, port: ports.destination, header_bytes: header_bytes as u16 })
    }

    fn parse_quoted(&self, quote: &Quote) -> Option<FourTuple> {
        let (local_port, remote_port) = wire::quoted_ports(&quote.bytes)?;
        Some(FourTuple::from_parts(quote.src, quote.dst, local_port, remote_port))
    }

    fn tuple_key(&self, open: &Open) -> Option<FourTuple> {
        Some(FourTuple::new(open.local, open.remote))
    }

    fn endpoints(&self, key: &FourTuple, _conn: &Conn) -> (Endpoint, Endpoint) {
        (key.local(), key.remote())
    }

    fn connect(&mut self, cx: &mut LaneCx<'_, Self>, open: &Open) -> Result<Opened<Self>, FlowError> {
        self.open(cx, open)
    }

    fn on_unmatched(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        header: &Header,
        packet: &Packet,
        listener: Option<&Listener>,
    ) -> Unmatched<Self> {
        self.on_stranger(cx, header, packet, listener)
    }

    fn on_remnant(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        remnant: &mut Remnant,
        input: RemnantInput<'_, Self>,
        listener: Option<&Listener>,
    ) -> Verdict<Self> {
        self.on_remnant_input(cx, remnant, input, listener)
    }

    #[inline]
    fn on_run(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo, run: &mut Run<'_, Header>) {
        self.run(cx, conn, io, run);
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo) {
        self.deadline(cx, conn, io);
    }

    #[inline]
    fn on_app(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo, op: AppOp<Box<Op>>) {
        self.app(cx, conn, io, op);
    }

    fn on_trouble(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        _io: &mut StreamIo,
        quote: Option<&Quote>,
        trouble: &Trouble,
    ) -> TroubleAnswer {
        self.trouble(cx, conn, quote, trouble)
    }

    #[inline]
    fn settle(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, _io: &mut StreamIo) {
        self.settle_ack(cx, conn);
    }

    #[inline]
    fn poll_tx(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        class: Class,
        out: &mut TxBatch<'_>,
    ) -> TxStatus {
        self.poll(cx, conn, io, class, out)
    }

    fn poll_lane_tx(&mut self, cx: &mut LaneCx<'_, Self>, out: &mut TxBatch<'_>) -> TxStatus {
        self.answers.transmit(&self.config, self.shared.timestamps, cx.now, out)
    }

    fn release(&mut self, mem: &mut Mem, conn: &mut Conn) {
        if !planted!(self.config, LeaksWhatIsBehindGap) {
            self.clear_reassembly(mem, conn);
        }
        self.bury(conn);
        self.cold.remove_at(conn.cold);
    }
}

/// Bytes that a connection has beside its flow's place in the engine, its congestion controller not counted.
pub const COLD_BYTES: usize = size_of::<Cold>();
/// Where numbers are fixed for a test they still rise, by one each 2^14 ns: an old connection's packets must not fit a new one
/// (RFC 9293 3.4.1).
const FIXED_ISN_SHIFT: u32 = 14;
/// TCP's number in the IP header.
pub const PROTOCOL: u8 = 6;
