//! The applications of a run: each end of each flow sends what its plan says and checks what it receives against what the
//! other end sent.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind;
use std::rc::Rc;

use burstlane::time::{Duration, Instant};
use burstlane::transport::FlowError;
use burstlane_sim::Network;

use super::content::Content;
use super::laws::Law;
use super::promptness;
use super::wakeups::Wait;
use super::witness::Witness;
use crate::face::Channel;
use crate::scenario::{Op, Reader, Side, SidePlan};

/// How far one end of a flow came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// It got its end of the flow.
    pub has_opened: bool,
    /// Bytes that its socket took.
    pub accepted: u64,
    /// How often its socket had no room.
    pub blocked: u64,
    /// Bytes that it received, each the right one.
    pub received: u64,
    /// Datagrams that its socket took, and different ones that it received.
    pub datagrams: [u64; 2],
    /// It has read all that there was.
    pub is_drained: bool,
    /// It will send no more: it finished or closed.
    pub has_finished: bool,
    /// It saw the peer's end.
    pub saw_end: bool,
    /// It did everything and saw the peer's end, or closed or aborted as planned.
    pub is_done: bool,
    /// The flow failed under it.
    pub failed: Option<FlowError>,
    /// It acts only when it is told to, or by its own time.
    pub waits_for_events: bool,
}

/// `opened, sent 20, received 100, finished; waits`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { has_opened, accepted, received, has_finished, saw_end, is_done, failed, waits_for_events, .. } =
            self;
        f.write_str(if *has_opened { "opened" } else { "never opened" })?;
        write!(f, ", sent {accepted}, received {received}")?;
        f.write_str(if *has_finished { ", finished" } else { "" })?;
        f.write_str(if *saw_end { ", saw the peer's end" } else { "" })?;
        match failed {
            Some(error) => write!(f, "; failed: {error}"),
            None if *is_done => f.write_str("; done"),
            None => f.write_str(if *waits_for_events { "; waits to be told" } else { "; waits" }),
        }
    }
}

impl Report {
    /// Nothing more is to come of it.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.is_done || self.failed.is_some()
    }
}

/// Where an end stands, and what it shares with its peer for comparison.
pub(super) struct App<C> {
    channel: Option<C>,
    place: Place,
    plan: SidePlan,
    content: Content,
    expected: Content,
    report: Rc<RefCell<Report>>,
    peer: Rc<RefCell<Report>>,
    /// The operation under way, and what is left of it.
    step: usize,
    left_bytes: u32,
    resumes_at: Instant,
    reads_at: Instant,
    is_reliable: bool,
    buffer: Vec<u8>,
    pub(super) wait: Wait,
}

/// Which end of which flow this is, and where it lives.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) flow: usize,
    pub(super) side: Side,
    pub(super) network: Network,
    pub(super) witness: Rc<RefCell<Witness>>,
}

impl Place {
    fn accuse(&self, law: Law, what: impl FnOnce() -> String) {
        let (flow, side) = (self.flow, self.side);
        self.witness.borrow_mut().accuse(self.network.now(), law, || format!("flow {flow}, {side}: {}", what()));
    }

    /// Nothing is left to read behind so many bytes.
    fn tell_drained(&self, received: u64) {
        promptness::on_drained(&mut self.witness.borrow_mut(), self.side, self.network.now(), self.flow, received);
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        self.witness.borrow_mut().on_app(self.side, self.network.now(), self.flow, what);
    }
}

impl<C: Channel> App<C> {
    pub(super) fn new(
        place: Place,
        plans: [&SidePlan; 2],
        seed: u64,
        reports: &[Rc<RefCell<Report>>; 2],
        is_reliable: bool,
        wait: Wait,
    ) -> Self {
        let side = place.side.index();
        reports[side].borrow_mut().waits_for_events = wait.is_for_events();
        let content = |side: usize| Content {
            seed: seed.wrapping_add(place.flow as u64 * 2 + side as u64),
            sizes: plans[side].sizes().collect(),
            next: 0,
            seen: BTreeSet::new(),
        };
        Self {
            channel: None,
            plan: plans[side].clone(),
            content: content(side),
            expected: content(1 - side),
            report: Rc::clone(&reports[side]),
            peer: Rc::clone(&reports[1 - side]),
            step: 0,
            left_bytes: 0,
            resumes_at: Instant::ZERO,
            reads_at: if let Reader::Late { from_ms } = plans[side].reader { at_ms(from_ms) } else { Instant::ZERO },
            is_reliable,
            buffer: vec![0; BUFFER_BYTES],
            place,
            wait,
        }
    }

    /// Its end of the flow.
    pub(super) fn accept(&mut self, channel: C) {
        self.report.borrow_mut().has_opened = true;
        self.channel = Some(channel);
    }

    pub(super) fn has_opened(&self) -> bool {
        self.report.borrow().has_opened
    }

    /// What the application does in its host's turn. Returns whether it did anything.
    pub(super) fn turn(&mut self) -> bool {
        let Some(channel) = self.channel.take() else { return false };
        if !self.wait.is_due(channel.id(), self.place.network.now(), self.resumes_at, self.reads_at) {
            if self.wait.is_forgotten(&channel) {
                self.place.accuse(Law::Progress, || "waits to be told that there is something to read".to_owned());
            }
            self.channel = Some(channel);
            return false;
        }
        let mut moved = self.receive(&channel);
        let has_failed = self.report.borrow().failed.is_some();
        match channel.ended() {
            _ if has_failed => {}
            Some(Some(error)) if self.may_read() => self.fail(error),
            _ => moved |= self.act(&channel),
        }
        let mut report = self.report.borrow_mut();
        let has_sent_all = self.step >= self.plan.ops.len() && report.has_finished;
        if has_sent_all && (report.saw_end || !self.is_reliable && report.is_done) {
            report.is_done = true;
        }
        // Nobody says that the last datagram came: a socket for them stays to the end.
        if report.is_over() && (self.is_reliable || self.plan.ends_early() || report.failed.is_some()) {
            return true; // and the handle is dropped
        }
        drop(report);
        self.channel = Some(channel);
        moved
    }

    fn fail(&self, error: FlowError) {
        self.report.borrow_mut().failed = Some(error);
        self.place.tell(|| format!("failed: {error}"));
    }

    /// Does the operations whose time has come, as far as the socket takes them.
    fn act(&mut self, channel: &C) -> bool {
        let mut moved = false;
        while self.place.network.now() >= self.resumes_at && !self.report.borrow().is_over() {
            let Some(&op) = self.plan.ops.get(self.step) else {
                if !self.report.borrow().has_finished {
                    self.finish(channel);
                    moved = true;
                }
                return moved;
            };
            match op {
                Op::Send { bytes } => {
                    if !self.send(channel, bytes) {
                        return moved;
                    }
                }
                Op::Pause { ms } => {
                    self.resumes_at = self.place.network.now() + Duration::from_millis(ms.into());
                    self.place.network.alarm(self.resumes_at);
                }
                Op::Finish => self.finish(channel),
                Op::Close | Op::Abort => {
                    self.place.tell(|| if op == Op::Close { "closes" } else { "aborts" }.to_owned());
                    if op == Op::Abort {
                        channel.abort();
                    } else {
                        self.report.borrow_mut().has_finished = true;
                    }
                    self.report.borrow_mut().is_done = true;
                }
            }
            self.step += 1;
            moved = true;
        }
        moved
    }

    fn finish(&self, channel: &C) {
        channel.shutdown();
        let mut report = self.report.borrow_mut();
        report.has_finished = true;
        report.is_done |= !self.is_reliable;
        drop(report);
        self.place.tell(|| "finishes".to_owned());
    }

    /// Whether all of it was taken.
    fn send(&mut self, channel: &C, bytes: u32) -> bool {
        if self.left_bytes == 0 {
            self.left_bytes = bytes;
        }
        while self.left_bytes > 0 {
            let room =
                if C::HAS_MESSAGES { self.left_bytes as usize } else { (self.left_bytes as usize).min(BUFFER_BYTES) };
            let piece = &mut self.buffer[..room];
            let at = self.report.borrow().accepted;
            self.content.fill(at, piece, self.is_reliable);
            match channel.send(piece) {
                Ok(taken) => {
                    self.left_bytes -= taken as u32;
                    self.report.borrow_mut().accepted += taken as u64;
                    let side = self.place.side.index();
                    self.place.witness.borrow_mut().silence[side].on_said();
                    self.place.tell(|| format!("sends {taken}"));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.report.borrow_mut().blocked += 1;
                    return false;
                }
                Err(error) => {
                    self.fail(flow_error(&error));
                    return false;
                }
            }
        }
        self.content.next += 1;
        self.report.borrow_mut().datagrams[0] += 1;
        true
    }

    fn may_read(&self) -> bool {
        self.place.network.now() >= self.reads_at || self.report.borrow().failed.is_some()
    }

    fn receive(&mut self, channel: &C) -> bool {
        if !self.may_read() {
            self.place.network.alarm(self.reads_at);
            return false;
        }
        let mut budget = usize::MAX;
        if let Reader::Slow { bytes, every_ms } = self.plan.reader {
            budget = bytes.max(1) as usize;
            self.reads_at = self.place.network.now() + Duration::from_millis(every_ms.max(1).into());
            self.place.network.alarm(self.reads_at);
        }
        let mut moved = false;
        self.report.borrow_mut().is_drained = false;
        while budget > 0 {
            let room = if C::HAS_MESSAGES { BUFFER_BYTES } else { budget.min(BUFFER_BYTES) };
            match channel.recv(&mut self.buffer[..room]) {
                Ok(Some(bytes)) => {
                    moved = true;
                    budget = budget.saturating_sub(bytes.max(1));
                    self.check(bytes);
                }
                Ok(None) => {
                    moved |= self.see_end();
                    break;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.report.borrow_mut().is_drained = true;
                    self.place.tell_drained(self.report.borrow().received);
                    self.wait.for_data();
                    break;
                }
                Err(error) => {
                    self.fail(flow_error(&error));
                    return true;
                }
            }
        }
        moved
    }

    /// So many bytes came, and stand in the buffer.
    fn check(&mut self, bytes: usize) {
        let (at, saw_end) = (self.report.borrow().received, self.report.borrow().saw_end);
        let sent = self.peer.borrow().accepted;
        let fault = match self.expected.check::<C>(at, &self.buffer[..bytes], self.is_reliable) {
            None if self.is_reliable && at + bytes as u64 > sent => {
                Some(format!("{bytes} bytes at {at}, but the peer sent only {sent}"))
            }
            fault => fault,
        };
        if let Some(fault) = fault {
            self.place.accuse(Law::RightBytes, || fault);
        }
        if saw_end {
            self.place.accuse(Law::NothingBehindTheEnd, || format!("{bytes} bytes behind the peer's end"));
        }
        let mut report = self.report.borrow_mut();
        report.received += bytes as u64;
        report.datagrams[1] = self.expected.seen.len() as u64;
        drop(report);
        self.place.tell(|| format!("receives {bytes}"));
    }

    fn see_end(&self) -> bool {
        if std::mem::replace(&mut self.report.borrow_mut().saw_end, true) {
            return false;
        }
        self.place.tell(|| "sees the peer's end".to_owned());
        let (peer, received) = (*self.peer.borrow(), self.report.borrow().received);
        if self.is_reliable && !peer.has_finished {
            self.place.accuse(Law::HonestEnd, || "sees an end that the peer has not set".to_owned());
        } else if self.is_reliable && received != peer.accepted {
            let sent = peer.accepted;
            self.place.accuse(Law::HonestEnd, || format!("sees the end after {received} of {sent} bytes"));
        }
        true
    }
}

fn at_ms(ms: u32) -> Instant {
    Instant::ZERO + Duration::from_millis(ms.into())
}

fn flow_error(error: &std::io::Error) -> FlowError {
    error.get_ref().and_then(|inner| inner.downcast_ref()).copied().unwrap_or(FlowError::Closed)
}

/// Holds any message.
const BUFFER_BYTES: usize = 64 * 1024;
