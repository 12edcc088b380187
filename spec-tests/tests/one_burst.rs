//! A burst has the effect of its packets coming one by one. All orders of opening, repeating, sending, closing, resetting
//! and opening anew are given to two equal hosts, to one as a burst, to the other one by one, and what can be seen of
//! them afterwards is compared.
//!
//! What may differ, and nothing else: acknowledgements without data (one may stand for several), and a SYN-ACK that a
//! later packet of the burst made moot or asked for again (the handshake it belongs to was completed, ended, or its SYN
//! came twice). All else that is sent must be equal, in number and in every field; so must everything that is sent from
//! then on, timers included; what the listener gives out, and what can be read of it; and the answers to a probe of each
//! flow, acknowledgements included. Between different flows of one burst no order is promised.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::driver::Driver;
use burstlane::frame::PoolConfig;
use burstlane::lane::{EngineId, Lane};
use burstlane::net::InterfaceConfig;
use burstlane::socket::{Host, Listener, Ready, Stream};
use burstlane::time::Instant;
use burstlane::transport::FlowError;
use burstlane_sim::{EndConfig, Ideal, Network, SimDriver};
use burstlane_spec::decode::CheckedDriver;
use burstlane_spec::packets::{ACK, FIN, RST, SYN, Tcp4, arp_reply};
use burstlane_tcp::{Config, Tcp};
use proptest::prelude::*;

/// A host that listens, and a peer that is us.
struct Rig {
    network: Network,
    host: Host,
    engine: EngineId<Tcp>,
    listener: Listener<Tcp>,
    peer: SimDriver,
    /// What the host sent, with the time.
    heard: Vec<(Instant, Tcp4)>,
}

impl Rig {
    fn new() -> Self {
        let network = Network::new();
        let small = |n| EndConfig { pool: PoolConfig { slots: 128, ..PoolConfig::default() }, ..EndConfig::host(n) };
        let (ours, peer) = network.link(small(1), small(2), Box::<Ideal>::default(), Box::<Ideal>::default());
        let mut lane = Lane::new(burstlane_spec::hosts::small_lane(1));
        let addresses = vec![(Ip::v4([10, 0, 0, 1]), 24)];
        lane.add_interface(
            CheckedDriver::boxed(Box::new(ours)),
            InterfaceConfig { addresses, ..InterfaceConfig::default() },
        );
        let engine = lane.add::<Tcp>(Config::default()).unwrap();
        let host = Host::new(lane);
        let listener = host.listen(engine, Endpoint::new(Ip::ANY, 80), 8).unwrap();
        let mut rig = Self { network, host, engine, listener, peer, heard: vec![] };
        // The host asks for its neighbour now, and not in the middle of a comparison.
        rig.each(&[segment(9, 1, 0, SYN, 0)]);
        rig.each(&[segment(9, 2, 0, RST, 0)]);
        rig.wait(Duration::from_millis(100));
        rig.heard.clear();
        rig
    }

    /// Turns until the host is silent, at the present instant.
    fn settle(&mut self) {
        let now = self.network.now();
        loop {
            let moved = self.host.receive(now) + self.host.transmit(now);
            let mut frames = vec![];
            self.peer.rx_burst(&mut frames, 1000).unwrap();
            for frame in &frames {
                match Tcp4::read(frame.bytes()) {
                    Some(segment) => self.heard.push((now, segment)),
                    None => self.send([arp_reply(frame.bytes(), 2)].into_iter().flatten()),
                }
            }
            if moved == 0 && frames.is_empty() {
                return;
            }
        }
    }

    fn send(&mut self, frames: impl Iterator<Item = Vec<u8>>) {
        let mut burst = frames
            .map(|bytes| {
                let mut frame = self.peer.pool().alloc().unwrap();
                assert!(frame.extend_from_slice(&bytes));
                frame
            })
            .collect();
        self.peer.tx_burst(&mut burst).unwrap();
        assert!(burst.is_empty());
    }

    fn burst(&mut self, segments: &[Tcp4]) {
        self.send(segments.iter().map(Tcp4::frame));
        self.settle();
    }

    fn each(&mut self, segments: &[Tcp4]) {
        for segment in segments {
            self.burst(std::slice::from_ref(segment));
        }
    }

    /// Lets `span` pass, serving each deadline when it is due.
    fn wait(&mut self, span: Duration) {
        let end = self.network.now() + span;
        while let Some(at) = self.host.next_deadline().filter(|at| *at <= end) {
            // A deadline may be due by now; the clock goes on all the same.
            self.network.advance(at.max(self.network.now() + Duration::from_nanos(1)));
            self.settle();
        }
        self.network.advance(end);
        self.settle();
    }

    /// The SYN-ACK's sequence number if a flow were opened on `port` now.
    fn iss(&mut self, port: u8, seq: u32) -> Option<u32> {
        let before = self.heard.len();
        self.each(&[segment(port, seq, 0, SYN, 0)]);
        let answer =
            self.heard[before..].iter().find(|(_, s)| s.flags & SYN != 0 && s.destination_port == peer_port(port));
        answer.map(|(_, s)| s.seq)
    }

    /// Accepted flows: their peer, what can be read of them, how they are.
    fn accepted(&mut self) -> Vec<Accepted> {
        let mut all = vec![];
        while let Some(stream) = self.listener.accept() {
            let state = stream.inspect(|_, conn| conn.state().name());
            let ends = self.host.with(self.engine, |core, _, _| core.endpoints(stream.id()));
            let mut data = vec![0; 1000];
            let bytes = stream.read(&mut data).unwrap_or(0);
            data.truncate(bytes);
            let (ready, ended) = (stream.readiness(), stream.ended());
            all.push(Accepted { peer: ends.map(|ends| ends.1.port), state, data, ready, ended, _stream: stream });
        }
        // The order of flows that were opened at one instant is not promised.
        all.sort_by_key(|accepted| accepted.peer);
        all
    }
}

impl Rig {
    /// Lets go of everything and checks that nothing is left.
    fn assert_clean(mut self, what: &dyn Fn() -> String) {
        while self.listener.accept().is_some() {}
        self.wait(Duration::from_secs(2000));
        let Self { host, peer, listener, .. } = self;
        {
            let lane = host.lane();
            assert_eq!((lane.flows(), lane.remnants(), lane.buffer_bytes()), (0, 0, 0), "left over: {}", what());
        }
        drop((listener, host));
        assert_eq!(peer.handle().frames_out(), 0, "frames: {}", what());
    }
}

struct Accepted {
    peer: Option<u16>,
    state: Option<&'static str>,
    data: Vec<u8>,
    ready: Ready,
    ended: Option<Option<FlowError>>,
    /// Kept open for the probes.
    _stream: Stream<Tcp>,
}

impl std::fmt::Debug for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?} {:?} {:?} {:?}", self.peer, self.state, self.data, self.ready, self.ended)
    }
}

impl PartialEq for Accepted {
    fn eq(&self, other: &Self) -> bool {
        let key = |a: &Self| (a.peer, a.state, a.data.clone(), a.ready, a.ended);
        key(self) == key(other)
    }
}

fn peer_port(port: u8) -> u16 {
    10_000 + u16::from(port)
}

fn segment(port: u8, seq: u32, ack: u32, flags: u8, payload: usize) -> Tcp4 {
    let source_port = peer_port(port);
    let payload = (0..payload).map(|i| (seq as usize + i) as u8).collect();
    Tcp4 { from: 2, to: 1, source_port, destination_port: 80, seq, ack, flags, window: 8000, payload }
}

/// What the peer does next, on one of three ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The SYN of the first flow, or its retransmission.
    Syn,
    /// A SYN with another sequence number.
    NewSyn,
    /// The ACK that completes a handshake: of the first flow, or of the new one.
    Ack,
    NewAck,
    /// Eight bytes, then as many behind them.
    Data,
    MoreData,
    /// The end of the first flow, without data and behind `Data`.
    Fin,
    FinAfterData,
    /// A reset where it is expected (RFC 5961 3.2), one in the window, one far outside.
    Rst,
    RstInWindow,
    RstElsewhere,
    /// A reset of the new flow.
    NewRst,
    /// An acknowledgement of nothing that anybody sent.
    Stray,
}

const STEPS: [Step; 13] = [
    Step::Syn,
    Step::NewSyn,
    Step::Ack,
    Step::NewAck,
    Step::Data,
    Step::MoreData,
    Step::Fin,
    Step::FinAfterData,
    Step::Rst,
    Step::RstInWindow,
    Step::RstElsewhere,
    Step::NewRst,
    Step::Stray,
];

/// Those of which every sequence of three is tried.
const TELLING: [Step; 8] =
    [Step::Syn, Step::NewSyn, Step::Ack, Step::NewAck, Step::Data, Step::Fin, Step::Rst, Step::RstInWindow];

/// How things stand before the burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    HalfOpen,
    Established,
    /// The peer has closed, the application has not looked.
    CloseWait,
    /// The application has let go.
    FinWait,
    TimeWait,
}

const BEFORE: [Before; 6] =
    [Before::Nothing, Before::HalfOpen, Before::Established, Before::CloseWait, Before::FinWait, Before::TimeWait];

/// The peer's two initial sequence numbers. The second lies ahead, as RFC 9293 3.10.7.4 wants it of a SYN that may
/// take the place of a TIME-WAIT.
const ISN: u32 = 1_000_000;
const NEW_ISN: u32 = 900_000_000;

/// A host in this state on port 0, and what we know of its numbers: `(iss, new_iss)`.
fn prepare(before: Before, new_iss: u32) -> (Rig, u32, u32) {
    let mut rig = Rig::new();
    let mut iss = 0;
    if before != Before::Nothing {
        iss = rig.iss(0, ISN).unwrap();
    }
    if !matches!(before, Before::Nothing | Before::HalfOpen) {
        rig.each(&[segment(0, ISN + 1, iss + 1, ACK, 0)]);
    }
    match before {
        Before::Nothing | Before::HalfOpen | Before::Established => {}
        Before::CloseWait => rig.each(&[segment(0, ISN + 1, iss + 1, ACK | FIN, 0)]),
        Before::FinWait | Before::TimeWait => {
            drop(rig.listener.accept().unwrap());
            rig.settle();
            if before == Before::TimeWait {
                rig.each(&[segment(0, ISN + 1, iss + 2, ACK | FIN, 0)]);
            }
        }
    }
    rig.wait(Duration::from_millis(500));
    rig.heard.clear();
    if before == Before::Nothing {
        iss = new_iss;
    }
    (rig, iss, new_iss)
}

/// What the SYN-ACK of a new flow on port 0 would say after `prepare`: tried out in a world of its own, once.
fn new_iss_of(before: Before) -> u32 {
    static KNOWN: Mutex<Vec<(Before, u32)>> = Mutex::new(Vec::new());
    let known = KNOWN.lock().unwrap().iter().find(|known| known.0 == before).map(|known| known.1);
    known.unwrap_or_else(|| {
        let (mut probe, iss, _) = prepare(before, 0);
        if before != Before::TimeWait {
            probe.each(&[1, 2].map(|seq| segment(0, ISN + seq, iss + 1, RST | ACK, 0)));
        }
        let new_iss = probe.iss(0, if before == Before::Nothing { ISN } else { NEW_ISN }).unwrap();
        KNOWN.lock().unwrap().push((before, new_iss));
        new_iss
    })
}

fn make(step: Step, port: u8, iss: u32, new_iss: u32) -> Tcp4 {
    let (ack, new_ack) = (iss.wrapping_add(1), new_iss.wrapping_add(1));
    match step {
        Step::Syn => segment(port, ISN, 0, SYN, 0),
        Step::NewSyn => segment(port, NEW_ISN, 0, SYN, 0),
        Step::Ack => segment(port, ISN + 1, ack, ACK, 0),
        Step::NewAck => segment(port, NEW_ISN + 1, new_ack, ACK, 0),
        Step::Data => segment(port, ISN + 1, ack, ACK, 8),
        Step::MoreData => segment(port, ISN + 9, ack, ACK, 8),
        Step::Fin => segment(port, ISN + 1, ack, ACK | FIN, 0),
        Step::FinAfterData => segment(port, ISN + 9, ack, ACK | FIN, 0),
        Step::Rst => segment(port, ISN + 1, ack, RST, 0),
        Step::RstInWindow => segment(port, ISN + 50, ack, RST, 0),
        Step::RstElsewhere => segment(port, ISN - 100_000, ack, RST, 0),
        Step::NewRst => segment(port, NEW_ISN + 1, new_ack, RST, 0),
        Step::Stray => segment(port, 77, 77_777, ACK, 0),
    }
}

/// What was sent that is no bare acknowledgement, SYN-ACKs apart: sorted, and by peer port.
fn sort(heard: &[(Instant, Tcp4)]) -> (Vec<Tcp4>, BTreeMap<u16, Vec<Tcp4>>) {
    let (mut others, mut syn_acks) = (vec![], BTreeMap::<u16, Vec<Tcp4>>::new());
    for (_, segment) in heard {
        if segment.flags & SYN != 0 {
            syn_acks.entry(segment.destination_port).or_default().push(segment.clone());
        } else if segment.flags & (FIN | RST) != 0 || !segment.payload.is_empty() {
            others.push(segment.clone());
        }
    }
    others.sort();
    (others, syn_acks)
}

/// Gives the steps to two equal hosts and compares.
fn compare(before: Before, steps: &[(Step, u8)]) {
    let (mut one, iss, new_iss) = prepare(before, new_iss_of(before));
    let (mut other, ..) = prepare(before, new_iss);
    // Other ports have no past: what would be the first flow's number there is not known, nor needed.
    let segments: Vec<Tcp4> = steps.iter().map(|(step, port)| make(*step, *port, iss, new_iss)).collect();
    one.burst(&segments);
    other.each(&segments);
    let what = || format!("{before:?}, then {steps:?}");
    let lanes = |rig: &Rig| {
        let lane = rig.host.lane();
        (lane.flows(), lane.remnants(), lane.buffer_bytes())
    };
    assert_eq!(lanes(&one), lanes(&other), "flows, remnants, bytes: {}", what());
    let ((others_one, syns_one), (others_other, syns_other)) = (sort(&one.heard), sort(&other.heard));
    assert_eq!(others_one, others_other, "what was sent: {}", what());
    for (port, answers) in &syns_one {
        let all = syns_other.get(port).cloned().unwrap_or_default();
        assert!(answers.iter().all(|answer| all.contains(answer)), "a SYN-ACK out of nothing: {}", what());
        assert!(answers.len() <= all.len(), "more SYN-ACKs than SYNs: {}", what());
    }
    // From here on, equal in everything but acknowledgements that were on their way.
    for rig in [&mut one, &mut other] {
        rig.heard.clear();
        rig.wait(Duration::from_millis(1600));
        rig.heard.retain(|(_, s)| s.flags & (SYN | FIN | RST) != 0 || !s.payload.is_empty());
        // Flows that have a deadline at one instant have no order among them.
        rig.heard.sort();
    }
    assert_eq!(one.heard, other.heard, "what followed: {}", what());
    for (_, again) in one.heard.iter().filter(|(_, s)| s.flags & SYN != 0) {
        // It is still half-open, for it repeats its SYN-ACK: then this was sent the first time, too.
        let last = |syns: &BTreeMap<u16, Vec<Tcp4>>| syns.get(&again.destination_port).and_then(|s| s.last().cloned());
        assert_eq!(last(&syns_one), last(&syns_other), "the SYN-ACK of a half-open flow: {}", what());
    }
    let (accepted_one, accepted_other) = (one.accepted(), other.accepted());
    assert_eq!(accepted_one, accepted_other, "what was accepted: {}", what());
    for rig in [&mut one, &mut other] {
        rig.heard.clear();
        for port in 0..=steps.iter().map(|(_, port)| *port).max().unwrap_or(0) {
            let probes = [Step::Stray, Step::Ack, Step::NewAck, Step::Data, Step::Fin, Step::NewSyn, Step::NewAck];
            rig.each(&probes.map(|step| make(step, port, iss, new_iss)));
        }
        rig.wait(Duration::from_secs(1));
    }
    assert_eq!(one.heard, other.heard, "what probes found: {}", what());
    drop((accepted_one, accepted_other));
    one.assert_clean(&what);
    other.assert_clean(&what);
}

/// Every sequence of three of the telling steps, and of two of all, on one flow.
fn every_sequence(before: Before) {
    let pairs = STEPS.into_iter().flat_map(|first| STEPS.map(|second| vec![(first, 0), (second, 0)]));
    let triples = TELLING
        .into_iter()
        .flat_map(|first| TELLING.map(|second| TELLING.map(|third| vec![(first, 0), (second, 0), (third, 0)])))
        .flatten();
    pairs.chain(triples).for_each(|steps| compare(before, &steps));
}

#[test]
fn packets_for_a_port_without_past_act_in_one_burst_as_one_by_one() {
    every_sequence(Before::Nothing);
}

#[test]
fn packets_for_a_half_open_flow_act_in_one_burst_as_one_by_one() {
    every_sequence(Before::HalfOpen);
}

#[test]
fn packets_for_an_open_flow_act_in_one_burst_as_one_by_one() {
    every_sequence(Before::Established);
    every_sequence(Before::CloseWait);
}

#[test]
fn packets_for_a_closing_flow_act_in_one_burst_as_one_by_one() {
    every_sequence(Before::FinWait);
    every_sequence(Before::TimeWait);
}

/// The words of the requirement: a SYN, its retransmission, the close, and a new SYN, within one burst.
#[test]
fn a_syn_its_retransmission_the_close_and_a_new_syn_act_in_one_burst_as_one_by_one() {
    for close in [Step::Rst, Step::Fin, Step::FinAfterData] {
        for last in [Step::NewSyn, Step::Syn] {
            let steps = [Step::Syn, Step::Syn, Step::Ack, Step::Data, close, last, Step::NewAck];
            for from in 0..steps.len() {
                for to in from + 1..=steps.len() {
                    let steps: Vec<_> = steps[from..to].iter().map(|step| (*step, 0)).collect();
                    BEFORE.into_iter().for_each(|before| compare(before, &steps));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_packets_for_several_flows_act_in_one_burst_as_one_by_one(
        before in proptest::sample::select(&BEFORE[..]),
        steps in proptest::collection::vec((proptest::sample::select(&STEPS[..]), 0_u8..3), 0..30),
    ) {
        compare(before, &steps);
    }
}
