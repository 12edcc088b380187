//! A stream over an IP protocol of its own, for wires that lose nothing: open, data, end, reset.
//!
//! ```text
//!  letter (O open, A accepted, D data, F no more, R reset), our port, the peer's, payload
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use crate::addr::Endpoint;
use crate::net::{ChecksumSpec, Claim, DropReason, Packet, TxBatch, TxInfo, TxStop};
use crate::socket::{AppOp, Ready, StreamIo};
use crate::toolkit::FourTuple;
use crate::transport::{
    Class, Context, FlowError, LaneCx, LaneInfo, Listener, Open, Opened, Parsed, Run, Transport, TxStatus, Unmatched,
};

/// Over IP protocol `P`.
pub(crate) struct Pipe<const P: u8> {
    /// Resets owed to strangers.
    resets: VecDeque<FourTuple>,
}

pub(crate) struct Conn {
    tuple: FourTuple,
    /// A packet of this letter is owed.
    owed: Option<u8>,
    finished: bool,
    let_go: bool,
}

const HEADER: usize = 8;
const DATA_MAX: usize = 1000;
pub(crate) const TX_MAX: u32 = 100_000;

fn header(letter: u8, tuple: &FourTuple) -> [u8; HEADER] {
    let [a, b, c, d] = tuple.port_bytes();
    [letter, 0, a, b, c, d, 0, 0]
}

impl<const P: u8> Transport for Pipe<P> {
    type Config = ();
    type Key = FourTuple;
    type Meta = u8;
    type Conn = Conn;
    type Io = StreamIo;

    const NAME: &'static str = "pipe";

    crate::no_extras!();

    fn claim(_config: &()) -> Claim {
        Claim::Ip { protocol: P, checksum: Some(ChecksumSpec { field: 6 }) }
    }

    fn new(_config: (), _shared: Arc<()>, _lane: LaneInfo) -> Self {
        Self { resets: VecDeque::new() }
    }

    fn parse(&self, packet: &Packet) -> Result<Parsed<FourTuple, u8>, DropReason> {
        let Some([letter, _, a, b, c, d, _, _]) = packet.frame.bytes().first_chunk() else {
            return Err(DropReason("pipe: short"));
        };
        let (remote, local) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
        let key = FourTuple::from_parts(packet.dst.ip, packet.src.ip, local, remote);
        Ok(Parsed { key, meta: *letter, port: local, header_bytes: HEADER as u16 })
    }

    fn tuple_key(&self, open: &Open) -> Option<FourTuple> {
        Some(FourTuple::new(open.local, open.remote))
    }

    fn connect(&mut self, _cx: &mut LaneCx<'_, Self>, open: &Open) -> Result<Opened<Self>, FlowError> {
        Ok(opened(FourTuple::new(open.local, open.remote), b'O'))
    }

    fn on_unmatched(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        letter: &u8,
        packet: &Packet,
        listener: Option<&Listener>,
    ) -> Unmatched<Self> {
        let Ok(Parsed { key, .. }) = self.parse(packet) else { return Unmatched::Drop(DropReason("pipe: short")) };
        match letter {
            b'O' if listener.is_some_and(Listener::has_room) => {
                let mut flow = opened(key, b'A');
                flow.io.open = true;
                Unmatched::Accept { flow, consumed: true }
            }
            b'R' => Unmatched::Drop(DropReason("pipe: reset of nobody")),
            _ => {
                self.resets.push_back(key);
                cx.want_lane_tx();
                Unmatched::Owed
            }
        }
    }

    fn on_run(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo, run: &mut Run<'_, u8>) {
        while let Some(segment) = run.take() {
            match segment.meta {
                b'A' => {
                    io.open = true;
                    cx.emit(Ready::OPEN | Ready::WRITABLE);
                    cx.want_tx(Class::Data);
                }
                b'D' => {
                    assert!(io.rx.push(cx.mem, segment.frame).is_ok());
                    cx.emit(Ready::READABLE);
                }
                b'F' => {
                    io.rx_finished = true;
                    cx.emit(Ready::READABLE | Ready::PEER_FINISHED);
                    if conn.finished {
                        return cx.close(None);
                    }
                }
                _ => return cx.close(Some(if io.open { FlowError::Reset } else { FlowError::Refused })),
            }
        }
    }

    fn on_app(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        op: AppOp<std::convert::Infallible>,
    ) {
        match op {
            AppOp::Abort => {
                conn.owed = Some(b'R');
                cx.want_tx(Class::Control);
            }
            AppOp::Close => {
                (conn.let_go, io.tx_finished) = (true, true);
                cx.want_tx(Class::Data);
            }
            AppOp::Written | AppOp::Shutdown => cx.want_tx(Class::Data),
            AppOp::Consumed(_) => {}
        }
    }

    fn poll_tx(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        class: Class,
        out: &mut TxBatch<'_>,
    ) -> TxStatus {
        let Some(path) = cx.path() else { return TxStatus::Idle };
        let mut control = |letter| out.segments(path, &INFO, &header(letter, &conn.tuple), &[], 1, |_, _| ()).is_ok();
        if let Some(letter) = conn.owed {
            if !control(letter) {
                return TxStatus::More;
            }
            conn.owed = None;
            match letter {
                b'R' => cx.close(Some(FlowError::Aborted)),
                _ => cx.want_tx(Class::Data),
            }
            return TxStatus::Idle;
        }
        if class != Class::Data || !io.open {
            return TxStatus::Idle;
        }
        while !io.tx.is_empty() {
            let len = io.tx.len();
            let slices = io.tx.slices(cx.mem, 0, len);
            let sent = out.segments(path, &INFO, &header(b'D', &conn.tuple), &slices, DATA_MAX, |_, _| ());
            drop(slices);
            match sent {
                Ok(taken) => io.tx.release_front(cx.mem, taken),
                Err(TxStop::NoPath | TxStop::TooBig { .. }) => return TxStatus::Idle,
                Err(_) => return TxStatus::More,
            }
            cx.emit(Ready::WRITABLE);
        }
        if io.tx_finished && !conn.finished {
            if out.segments(path, &INFO, &header(b'F', &conn.tuple), &[], 1, |_, _| ()).is_err() {
                return TxStatus::More;
            }
            conn.finished = true;
            if io.rx_finished || conn.let_go {
                cx.close(None);
            }
        }
        TxStatus::Idle
    }

    fn poll_lane_tx(&mut self, _cx: &mut LaneCx<'_, Self>, out: &mut TxBatch<'_>) -> TxStatus {
        while let Some(tuple) = self.resets.front() {
            let Ok(path) = out.path(Some(tuple.local().ip), tuple.remote().ip) else { return TxStatus::Idle };
            match out.segments(path, &INFO, &header(b'R', tuple), &[], 1, |_, _| ()) {
                Ok(_) => self.resets.pop_front(),
                Err(_) => return TxStatus::More,
            };
        }
        TxStatus::Idle
    }

    fn endpoints(&self, key: &FourTuple, _conn: &Conn) -> (Endpoint, Endpoint) {
        (key.local(), key.remote())
    }
}

fn opened<const P: u8>(tuple: FourTuple, letter: u8) -> Opened<Pipe<P>> {
    let conn = Conn { tuple, owed: Some(letter), finished: false, let_go: false };
    Opened { key: tuple, conn, io: StreamIo::new(TX_MAX) }
}

const INFO: TxInfo = TxInfo {
    ecn: 0,
    dscp: 0,
    flow_label: 0,
    dont_fragment: true,
    hop_limit: None,
    source_port: 0,
    destination_port: 0,
};
