//! A transport that does what a test tells it, by packets of a few letters or by closures on a flow's context.
//!
//! ```text
//!  packet: letter, key (two bytes: our port, the peer's number), a label
//!          O open   s half-open   d data   c close   r retire   x end the flow without taking the packet   q take no more
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::net::{Claim, DropReason, Packet, PathId, Quote, Trouble, TxBatch, TxInfo, TxStop};
use crate::socket::{AppOp, Ready};
use crate::time::{Duration, Instant};
use crate::transport::{
    Class, Context, FlowError, FlowId, LaneCx, LaneInfo, Listener, Open, Opened, Parsed, RemnantInput, Run, Transport,
    TroubleAnswer, TxStatus, Unmatched, Verdict,
};

/// Over an IP protocol of its own, or inside UDP.
pub(super) struct Probe<const UDP: bool> {
    /// What flows got, by key: which flow of that key, and the packet's letter and label.
    pub(super) delivered: BTreeMap<u16, Vec<(u32, char, u8)>>,
    /// Calls, in order.
    pub(super) calls: Vec<(Call, FlowId)>,
    /// Polls that sent a packet, in order.
    pub(super) sent: Vec<(FlowId, Class)>,
    /// Conns that were not released yet.
    pub(super) conns: usize,
    pub(super) remnant_deadlines: usize,
    pub(super) lane_deadlines: usize,
    /// Packets owed by the lane, to this path.
    pub(super) lane_owed: Option<(PathId, u32)>,
    /// What an unmatched `u` belongs to.
    pub(super) deliver_to: Option<FlowId>,
    /// New flows have been dealt with once their first packet opened them.
    pub(super) consumes: bool,
    opens: HashMap<u16, u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Run,
    Deadline,
    Settle,
    Trouble,
    Close,
    Abort,
}

#[derive(Default)]
pub(super) struct Conn {
    /// Which flow of its key.
    pub(super) serial: u32,
    /// Packets owed, by class.
    pub(super) owed: [u32; 3],
    /// Has something more whenever it is asked, in this class.
    pub(super) always: Option<Class>,
    /// Nothing leaves before.
    pub(super) paced_until: Option<Instant>,
    /// Bytes of payload of each packet.
    pub(super) payload: usize,
    /// Does not end by `Close`: an application that let go leaves a flow behind.
    pub(super) lingers: bool,
    pub(super) trouble: Option<Trouble>,
    /// Tells of room when it is asked what it sends.
    pub(super) tells: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    HalfOpen,
    Waiting,
}

/// What a test does to a flow.
pub(super) type Deed<const UDP: bool> = Box<dyn FnOnce(&mut Context<'_, Probe<UDP>>, &mut Conn)>;

impl<const UDP: bool> Probe<UDP> {
    fn opened(&mut self, key: u16) -> Opened<Self> {
        let serial = self.opens.entry(key).or_default();
        *serial += 1;
        self.conns += 1;
        Opened { key, conn: Conn { serial: *serial, ..Conn::default() }, io: () }
    }
}

pub(super) fn key(local: u16, remote: u16) -> u16 {
    local << 8 | remote & 0xff
}

pub(super) const REMAINS: Duration = Duration::from_secs(1);

impl<const UDP: bool> Transport for Probe<UDP> {
    type Config = ();
    type Shared = ();
    type Key = u16;
    type Meta = (char, u8);
    type Conn = Conn;
    type Io = ();
    type Remnant = Left;
    type Op = Deed<UDP>;
    type Notice = u32;

    const NAME: &'static str = "probe";

    fn claim(_config: &()) -> Claim {
        if UDP { Claim::Udp } else { Claim::Ip { protocol: 253, checksum: None } }
    }

    fn shared(_config: &(), _secret: &[u8; 32]) {}

    fn new(_config: (), _shared: Arc<()>, _lane: LaneInfo) -> Self {
        Self {
            delivered: BTreeMap::new(),
            calls: vec![],
            sent: vec![],
            conns: 0,
            remnant_deadlines: 0,
            lane_deadlines: 0,
            lane_owed: None,
            deliver_to: None,
            consumes: false,
            opens: HashMap::new(),
        }
    }

    fn parse(&self, packet: &Packet) -> Result<Parsed<u16, (char, u8)>, DropReason> {
        let Some([letter, port, peer, label]) = packet.frame.bytes().first_chunk() else {
            return Err(DropReason("probe: short"));
        };
        let meta = (char::from(*letter), *label);
        Ok(Parsed { key: key((*port).into(), (*peer).into()), meta, port: (*port).into(), header_bytes: 4 })
    }

    fn fallback_keys(&self, key: &u16) -> [Option<u16>; 2] {
        [Some(key & 0xff00), None]
    }

    fn parse_quoted(&self, quote: &Quote) -> Option<u16> {
        quote.bytes.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    fn tuple_key(&self, open: &Open) -> Option<u16> {
        Some(key(open.local.port, open.remote.port))
    }

    fn connect(&mut self, _cx: &mut LaneCx<'_, Self>, open: &Open) -> Result<Opened<Self>, FlowError> {
        if open.remote.port == 99 {
            return Err(FlowError::Unsupported);
        }
        Ok(self.opened(key(open.local.port, open.remote.port)))
    }

    fn bind(&mut self, _cx: &mut LaneCx<'_, Self>, open: &Open) -> Result<Opened<Self>, FlowError> {
        Ok(self.opened(key(open.local.port, 0)))
    }

    fn on_unmatched(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        meta: &(char, u8),
        packet: &Packet,
        listener: Option<&Listener>,
    ) -> Unmatched<Self> {
        let bytes = packet.frame.bytes();
        let key = u16::from_be_bytes([bytes[1], bytes[2]]);
        match (meta.0, listener) {
            ('u', _) => self.deliver_to.map_or(Unmatched::Owed, Unmatched::Deliver),
            ('R', _) => Unmatched::Refuse(DropReason("probe: refused")),
            (_, None) => Unmatched::Drop(DropReason("probe: nobody listens")),
            ('s', Some(_)) => Unmatched::Remnant { key, remnant: Left::HalfOpen, until: cx.now + REMAINS },
            ('O' | 'x', Some(_)) => Unmatched::Accept { flow: self.opened(key), consumed: self.consumes },
            _ => Unmatched::Drop(DropReason("probe: stray")),
        }
    }

    fn on_remnant(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        left: &mut Left,
        input: RemnantInput<'_, Self>,
        _listener: Option<&Listener>,
    ) -> Verdict<Self> {
        let RemnantInput::Packet((letter, _), packet) = input else {
            self.remnant_deadlines += 1;
            return Verdict::Gone;
        };
        let bytes = packet.frame.bytes();
        match (*left, letter) {
            (_, 'c') => Verdict::Gone,
            (Left::HalfOpen, 'd' | 'p') => {
                let Opened { conn, io, .. } = self.opened(u16::from_be_bytes([bytes[1], bytes[2]]));
                Verdict::Promote { conn, io, consumed: *letter == 'p' }
            }
            (Left::HalfOpen, 'x') | (Left::Waiting, 'O' | 's') => Verdict::Reopen,
            (Left::HalfOpen | Left::Waiting, _) => Verdict::Keep { until: cx.now + REMAINS },
        }
    }

    fn on_run(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, _io: &mut (), run: &mut Run<'_, (char, u8)>) {
        self.calls.push((Call::Run, cx.id()));
        while let Some(&(letter, label)) = run.peek() {
            match letter {
                // A flow that just opened by it stays: it would be opened and ended for ever.
                'x' if self
                    .delivered
                    .get(&cx.key())
                    .is_some_and(|got| got.last().is_some_and(|l| l.0 == conn.serial)) =>
                {
                    return cx.close(None);
                }
                'q' => return,
                _ => {}
            }
            let segment = run.take().unwrap();
            assert_eq!(*segment.meta, (letter, label));
            assert_eq!(segment.frame.bytes(), [label], "the header is trimmed");
            self.delivered.entry(cx.key()).or_default().push((conn.serial, letter, label));
            match letter {
                'c' => return cx.close(None),
                'r' => {
                    let until = cx.now + REMAINS;
                    return cx.retire(Left::Waiting, until);
                }
                _ => {}
            }
        }
    }

    fn on_deadline(&mut self, cx: &mut Context<'_, Self>, _conn: &mut Conn, _io: &mut ()) {
        assert_eq!(cx.deadline(), Instant::NEVER);
        self.calls.push((Call::Deadline, cx.id()));
    }

    fn on_app(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, _io: &mut (), op: AppOp<Deed<UDP>>) {
        match op {
            AppOp::Own(deed) => deed(cx, conn),
            AppOp::Close => {
                self.calls.push((Call::Close, cx.id()));
                if !conn.lingers {
                    cx.close(None);
                }
            }
            AppOp::Abort => {
                self.calls.push((Call::Abort, cx.id()));
                cx.close(Some(FlowError::Aborted));
            }
            AppOp::Written | AppOp::Consumed(_) | AppOp::Shutdown => {}
        }
    }

    fn on_trouble(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        _io: &mut (),
        _quote: Option<&Quote>,
        trouble: &Trouble,
    ) -> TroubleAnswer {
        self.calls.push((Call::Trouble, cx.id()));
        conn.trouble = Some(*trouble);
        match trouble {
            Trouble::TooBig { mtu } => TroubleAnswer::LowerMtu(*mtu),
            _ => TroubleAnswer::Ignore,
        }
    }

    fn settle(&mut self, cx: &mut Context<'_, Self>, _conn: &mut Conn, _io: &mut ()) {
        self.calls.push((Call::Settle, cx.id()));
    }

    fn poll_tx(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        _io: &mut (),
        class: Class,
        out: &mut TxBatch<'_>,
    ) -> TxStatus {
        if conn.tells {
            cx.emit(Ready::WRITABLE);
        }
        if let Some(at) = conn.paced_until.filter(|at| *at > cx.now) {
            return TxStatus::PacedUntil(at);
        }
        let Some(path) = cx.path() else { return TxStatus::Idle };
        let header = [class as u8, conn.serial as u8];
        let payload = vec![0; conn.payload];
        let owed = &mut conn.owed[class as usize];
        if conn.always == Some(class) {
            *owed = (*owed).max(1);
        }
        while *owed > 0 {
            match out.segments(path, &INFO, &header, &[&payload], 1 << 16, |_, _| ()) {
                Ok(_) => {}
                Err(TxStop::TooBig { .. } | TxStop::NoPath) => return TxStatus::Idle,
                Err(TxStop::Full | TxStop::NoMemory | TxStop::Unresolved) => return TxStatus::More,
            }
            self.sent.push((cx.id(), class));
            *owed -= 1;
            if conn.always == Some(class) {
                return TxStatus::More;
            }
        }
        TxStatus::Idle
    }

    fn on_lane_deadline(&mut self, _cx: &mut LaneCx<'_, Self>) {
        self.lane_deadlines += 1;
    }

    fn poll_lane_tx(&mut self, _cx: &mut LaneCx<'_, Self>, out: &mut TxBatch<'_>) -> TxStatus {
        let Some((path, owed)) = &mut self.lane_owed else { return TxStatus::Idle };
        while *owed > 0 {
            if out.packet(*path, &INFO, 2, |_| 2).is_err() {
                return TxStatus::More;
            }
            *owed -= 1;
        }
        TxStatus::Idle
    }

    fn release(&mut self, _mem: &mut crate::toolkit::Mem, _conn: &mut Conn) {
        self.conns -= 1;
    }
}

const INFO: TxInfo = TxInfo {
    ecn: 0,
    dscp: 0,
    flow_label: 0,
    dont_fragment: true,
    hop_limit: None,
    source_port: 7,
    destination_port: 7,
};
