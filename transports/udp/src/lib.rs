//! UDP for applications (RFC 768): sockets bound to a port, or connected to one peer. Nothing is repeated, ordered or
//! throttled; what does not fit is dropped and counted. Checksums, IP fragments and ICMP are the network layer's work.
//! Not here: multicast membership, several sockets that share a port, the options of RFC 9868.
//!
//! A datagram is for the connected socket of its four addresses, else for the socket bound to its destination, else for
//! the one bound to its port, else it is refused by ICMP.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::Arc;

use burstlane::prelude::*;
use burstlane::toolkit::{FourTuple, MessageQueue};

/// Bounds of every socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct UdpConfig {
    /// What may wait for the application; what comes then is dropped.
    pub rx_limits: MessageLimits,
    /// What may wait to leave; then writing has to wait.
    pub tx_limits: MessageLimits,
}

/// UDP on one lane.
pub struct Udp {
    config: UdpConfig,
}

/// What a socket keeps beside its queues.
pub struct Socket {
    local: Endpoint,
    /// Unspecified unless connected.
    peer: Endpoint,
    /// Datagrams whose next hop is asked for, the oldest first. They hold up nobody else's.
    waiting: VecDeque<Waiting>,
    /// The application is gone; what it wrote still leaves.
    closing: bool,
}

struct Waiting {
    to: Endpoint,
    since: Instant,
    datagram: Vec<u8>,
}

impl Transport for Udp {
    burstlane::no_extras!();
    type Config = UdpConfig;
    type Key = FourTuple;
    type Meta = Endpoint;
    type Conn = Socket;
    type Io = MessageIo;
    const NAME: &'static str = "udp";

    fn new(config: UdpConfig, _: Arc<()>, _: LaneInfo) -> Self {
        Self { config }
    }

    fn parse(&self, packet: &Packet) -> Result<Parsed<FourTuple, Endpoint>, DropReason> {
        let key = FourTuple::new(packet.dst, packet.src);
        Ok(Parsed::new(key, packet.src, packet, 0))
    }

    fn fallback_keys(&self, key: &FourTuple) -> [Option<FourTuple>; 2] {
        let bound = |ip| Some(FourTuple::new(Endpoint::new(ip, key.local().port), Endpoint::default()));
        [bound(key.local().ip), bound(Ip::ANY)]
    }

    fn parse_quoted(&self, quote: &Quote) -> Option<FourTuple> {
        Some(FourTuple::from_parts(quote.src, quote.dst, quote.src_port, quote.dst_port))
    }

    fn tuple_key(&self, open: &Open) -> Option<FourTuple> {
        Some(FourTuple::new(open.local, open.remote))
    }

    fn endpoints(&self, key: &FourTuple, _: &Socket) -> (Endpoint, Endpoint) {
        (key.local(), key.remote())
    }

    fn connect(&mut self, _: &mut LaneCx<'_, Self>, open: &Open) -> Result<Opened<Self>, FlowError> {
        Ok(self.opened(open.local, open.remote))
    }

    fn bind(&mut self, _: &mut LaneCx<'_, Self>, open: &Open) -> Result<Opened<Self>, FlowError> {
        Ok(self.opened(open.local, Endpoint::default()))
    }

    fn on_unmatched(
        &mut self,
        _: &mut LaneCx<'_, Self>,
        _: &Endpoint,
        _: &Packet,
        _: Option<&Listener>,
    ) -> Unmatched<Self> {
        Unmatched::Refuse(DropReason("udp: no socket"))
    }

    fn on_run(&mut self, cx: &mut Context<'_, Self>, _: &mut Socket, io: &mut MessageIo, run: &mut Run<'_, Endpoint>) {
        while let Some(Segment { meta: &from, frame }) = run.take() {
            match io.rx.push_frame(cx.mem, from, 0, frame, &self.config.rx_limits) {
                Ok(()) => cx.emit(Ready::READABLE),
                Err(_) => cx.count(DropReason("udp: receive queue is full")),
            }
        }
    }

    fn on_app(&mut self, cx: &mut Context<'_, Self>, socket: &mut Socket, io: &mut MessageIo, op: AppOp<Self::Op>) {
        io.tx_finished |= op.ends_sending();
        socket.closing |= op == AppOp::Close;
        match op {
            AppOp::Written => cx.want_tx(Class::Data),
            AppOp::Abort => cx.close(Some(FlowError::Aborted)),
            AppOp::Consumed(_) | AppOp::Shutdown | AppOp::Close | AppOp::Own(_) => {}
        }
        socket.close_if_drained(cx, io);
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Self>, _: &mut Socket, _: &mut MessageIo) {
        cx.want_tx(Class::Control);
    }

    /// Only connected sockets have the key of a quoted datagram (RFC 1122 4.1.3.3).
    fn on_trouble(
        &mut self,
        cx: &mut Context<'_, Self>,
        _: &mut Socket,
        io: &mut MessageIo,
        quote: Option<&Quote>,
        trouble: &Trouble,
    ) -> TroubleAnswer {
        match *trouble {
            // Ours of IPv4 may be cut on the way, so such a complaint about one is a lie.
            Trouble::TooBig { mtu } if quote.is_some_and(|quote| !quote.dst.is_v4()) => {
                return TroubleAnswer::LowerMtu(mtu);
            }
            Trouble::Unreachable(reason) if reason.is_hard() => fail(cx, io, FlowError::Refused),
            Trouble::Unreachable(_) => fail(cx, io, FlowError::Unreachable),
            _ => {}
        }
        TroubleAnswer::Ignore
    }

    fn poll_tx(
        &mut self,
        cx: &mut Context<'_, Self>,
        socket: &mut Socket,
        io: &mut MessageIo,
        class: Class,
        out: &mut TxBatch<'_>,
    ) -> TxStatus {
        let stopped = if class == Class::Data { socket.send(cx, io, out) } else { socket.send_waiting(cx, io, out) };
        // The socket waits for nobody: datagrams to other neighbours go on.
        let _ = out.blocked();
        socket.close_if_drained(cx, io);
        if stopped { TxStatus::More } else { TxStatus::Idle }
    }
}

impl Udp {
    fn opened(&self, local: Endpoint, peer: Endpoint) -> Opened<Self> {
        let conn = Socket { local, peer, waiting: VecDeque::new(), closing: false };
        let tx_limits = self.config.tx_limits;
        let message_bytes_max = DATAGRAM_BYTES_MAX.min(tx_limits.bytes_max as u32);
        let io = MessageIo { open: true, message_bytes_max, tx_limits, ..MessageIo::default() };
        Opened { key: FourTuple::new(local, peer), conn, io }
    }
}

impl Socket {
    /// What the application wrote, in order. True if there is more than leaves now.
    fn send(&mut self, cx: &mut Context<'_, Udp>, io: &mut MessageIo, out: &mut TxBatch<'_>) -> bool {
        while let Some(message) = io.tx.front(cx.mem) {
            let to = if self.peer == Endpoint::default() { message.endpoint } else { self.peer };
            match self.send_to(to, message.bytes, |room| copy_front(&io.tx, cx.mem, room), out) {
                Ok(()) => drop(io.tx.pop(cx.mem)),
                Err(Failed::Stop(TxStop::Full | TxStop::NoMemory)) => return true,
                Err(Failed::Stop(TxStop::Unresolved)) => self.set_aside(cx, io, to, message.bytes),
                Err(Failed::Stop(TxStop::TooBig { .. })) => {
                    io.tx.pop(cx.mem);
                    fail(cx, io, FlowError::TooLarge);
                }
                Err(Failed::Stop(TxStop::NoPath) | Failed::NoRoute) => {
                    io.tx.pop(cx.mem);
                    fail(cx, io, FlowError::Unreachable);
                }
            }
            cx.emit(Ready::WRITABLE);
        }
        false
    }

    /// Takes the first message out of the way, until its next hop answers (RFC 1122 2.3.2.2).
    fn set_aside(&mut self, cx: &mut Context<'_, Udp>, io: &mut MessageIo, to: Endpoint, bytes: usize) {
        let mut datagram = vec![0; bytes];
        let _ = io.tx.pop_into(cx.mem, &mut datagram);
        if self.waiting.len() >= WAITING_DATAGRAMS_MAX {
            self.waiting.pop_front();
            cx.count(UNRESOLVED);
        }
        self.waiting.push_back(Waiting { to, since: cx.now, datagram });
        cx.set_deadline(cx.deadline().min(cx.now + RETRY_MIN));
    }

    /// Tries those again that were set aside. True if there is more than leaves now.
    fn send_waiting(&mut self, cx: &mut Context<'_, Udp>, io: &mut MessageIo, out: &mut TxBatch<'_>) -> bool {
        let mut retry_at = Instant::NEVER;
        for _ in 0..self.waiting.len() {
            let Some(waiting) = self.waiting.pop_front() else { break };
            let datagram = &waiting.datagram;
            match self.send_to(waiting.to, datagram.len(), |room| room.copy_from_slice(datagram), out) {
                Ok(()) => {}
                Err(Failed::Stop(TxStop::Full | TxStop::NoMemory)) => {
                    self.waiting.push_front(waiting);
                    return true;
                }
                Err(Failed::Stop(TxStop::Unresolved)) if cx.now.since(waiting.since) < WAIT_MAX => {
                    let age = cx.now.since(waiting.since);
                    retry_at = retry_at.min(cx.now + (age / 2).clamp(RETRY_MIN, RETRY_MAX));
                    self.waiting.push_back(waiting);
                }
                Err(_) => {
                    cx.count(UNRESOLVED);
                    fail(cx, io, FlowError::Unreachable);
                }
            }
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        cx.set_deadline(retry_at);
        false
    }

    fn send_to(
        &self,
        to: Endpoint,
        bytes: usize,
        copy: impl FnOnce(&mut [u8]),
        out: &mut TxBatch<'_>,
    ) -> Result<(), Failed> {
        if to.port == 0 || to.ip.is_unspecified() {
            return Err(Failed::NoRoute);
        }
        let local = (!self.local.ip.is_unspecified()).then_some(self.local.ip);
        let path = out.path(local, to.ip).map_err(|_| Failed::NoRoute)?;
        let info = TxInfo { source_port: self.local.port, destination_port: to.port, ..TxInfo::default() };
        let fill = |room: &mut [u8]| {
            copy(room);
            bytes
        };
        out.packet(path, &info, bytes, fill).map_err(Failed::Stop)
    }

    fn close_if_drained(&self, cx: &mut Context<'_, Udp>, io: &MessageIo) {
        if self.closing && io.tx.is_empty() && self.waiting.is_empty() {
            cx.close(None);
        }
    }
}

/// Why a datagram did not leave.
enum Failed {
    NoRoute,
    Stop(TxStop),
}

/// Copies the whole first message of a queue.
fn copy_front(queue: &MessageQueue, mem: &Mem, to: &mut [u8]) {
    let mut copied = 0;
    while let Some(room) = to.get_mut(copied..).filter(|room| !room.is_empty()) {
        let slices = queue.slices(mem, copied, room.len());
        let Some(slice) = slices.first() else { return };
        room.split_at_mut(slice.len()).0.copy_from_slice(slice);
        copied += slice.len();
    }
}

/// The application's next call learns of it; the socket goes on.
fn fail(cx: &mut Context<'_, Udp>, io: &mut MessageIo, error: FlowError) {
    io.error = Some(error);
    cx.emit(Ready::READABLE | Ready::WRITABLE);
}

/// Of IPv4: 65,535 less the headers. IPv6 takes no more here.
const DATAGRAM_BYTES_MAX: u32 = 65_507;
const UNRESOLVED: DropReason = DropReason("udp: next hop does not answer");
/// Datagrams of a socket that wait for next hops.
const WAITING_DATAGRAMS_MAX: usize = 16;
/// As long as the network layer asks for a neighbour.
const WAIT_MAX: Duration = Duration::from_secs(3);
const RETRY_MIN: Duration = Duration::from_millis(1);
const RETRY_MAX: Duration = Duration::from_millis(100);
