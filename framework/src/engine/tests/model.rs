//! Random operations on an engine, against a model that knows only what an application and a peer may expect.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::probe::{Left, REMAINS, key};
use super::*;
use crate::engine::demux::Place;
use crate::engine::listen::PortId;

#[derive(Clone, Debug)]
enum Op {
    Packet(char, u16),
    Connect(u16),
    LetGo(usize),
    Kill(usize),
    Accept,
    TakeEvents,
    Advance(u64),
    Transmit,
    Listen,
    Unlisten,
    Deadline(usize, u64),
    Owe(usize, u8),
    Settle(usize),
    Pace(usize, u64),
    Linger(usize),
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let which = 0usize..8;
    prop_oneof![
        12 => (prop::sample::select(vec!['O', 's', 'd', 'p', 'c', 'r', 'x', 'z']), 1u16..6).prop_map(|(l, p)| Op::Packet(l, p)),
        3 => (1u16..6).prop_map(Op::Connect),
        4 => which.clone().prop_map(Op::LetGo),
        1 => which.clone().prop_map(Op::Kill),
        4 => Just(Op::Accept),
        1 => Just(Op::TakeEvents),
        // No sum of these comes near a lifetime below, so that a wheel's tick decides nothing.
        3 => prop::sample::select(vec![131u64, 373, 719]).prop_map(Op::Advance),
        3 => Just(Op::Transmit),
        1 => Just(Op::Listen),
        1 => Just(Op::Unlisten),
        3 => (which.clone(), prop::sample::select(vec![45u64, 95, 333, u64::MAX])).prop_map(|(w, d)| Op::Deadline(w, d)),
        3 => (which.clone(), 0u8..3).prop_map(|(w, c)| Op::Owe(w, c)),
        1 => which.clone().prop_map(Op::Settle),
        1 => (which.clone(), prop::sample::select(vec![20u64, 500])).prop_map(|(w, d)| Op::Pace(w, d)),
        1 => which.prop_map(Op::Linger),
        1 => Just(Op::Clear),
    ]
}

#[derive(Debug)]
struct Flow {
    key: u16,
    open: bool,
    attached: bool,
    lingers: bool,
    /// It got a packet.
    got: bool,
    due: Option<Instant>,
}

struct Model {
    rig: Rig,
    flows: BTreeMap<FlowId, Flow>,
    keys: BTreeMap<u16, FlowId>,
    remnants: BTreeMap<u16, (Left, Instant)>,
    port: Option<PortId>,
    queue: VecDeque<FlowId>,
    gone: BTreeSet<FlowId>,
}

const FLOWS_MAX: usize = 5;
const REMNANTS_MAX: usize = 3;
const BACKLOG: usize = 2;

impl Model {
    fn new() -> Self {
        let rig = Rig::with(EngineLimits { flows_max: FLOWS_MAX, remnants_max: REMNANTS_MAX });
        Self {
            rig,
            flows: BTreeMap::new(),
            keys: BTreeMap::new(),
            remnants: BTreeMap::new(),
            port: None,
            queue: VecDeque::new(),
            gone: BTreeSet::new(),
        }
    }

    fn now(&self) -> Instant {
        self.rig.lane.now
    }

    fn end(&mut self, id: FlowId) {
        let flow = self.flows.get_mut(&id).unwrap();
        if std::mem::replace(&mut flow.open, false) {
            flow.due = None;
            self.keys.remove(&flow.key);
        }
        if !flow.attached {
            self.flows.remove(&id);
            self.gone.insert(id);
        }
    }

    fn let_go(&mut self, id: FlowId) {
        let flow = self.flows.get_mut(&id).unwrap();
        flow.attached = false;
        if !flow.open || !flow.lingers {
            self.end(id);
        }
    }

    fn leave(&mut self, k: u16, left: Left) {
        if self.remnants.len() < REMNANTS_MAX {
            self.remnants.insert(k, (left, self.now() + REMAINS));
        }
    }

    /// A flow by a packet, if there is room; the engine knows its name.
    fn accept(&mut self, k: u16, got: bool) {
        if self.queue.len() < BACKLOG && self.flows.len() < FLOWS_MAX {
            let Some(Place::Flow(id)) = self.rig.core.local.demux.get(&k) else { panic!("no flow for {k:x}") };
            assert!(!self.gone.contains(&id) && !self.flows.contains_key(&id), "a name is given once");
            self.flows.insert(id, Flow { key: k, open: true, attached: true, lingers: false, got, due: None });
            self.keys.insert(k, id);
            self.queue.push_back(id);
        }
    }

    fn stranger(&mut self, letter: char, k: u16) {
        match letter {
            _ if self.port.is_none() => {}
            's' => self.leave(k, Left::HalfOpen),
            'O' | 'x' => self.accept(k, true),
            _ => {}
        }
    }

    /// What a packet does, after the engine has done it.
    fn packet(&mut self, letter: char, k: u16) {
        if let Some(&id) = self.keys.get(&k) {
            let flow = self.flows.get_mut(&id).unwrap();
            let got = std::mem::replace(&mut flow.got, true);
            match letter {
                'c' => self.end(id),
                'r' => {
                    self.end(id);
                    self.leave(k, Left::Waiting);
                }
                'x' if got => {
                    self.end(id);
                    self.stranger(letter, k);
                }
                _ => {}
            }
        } else if let Some((left, _)) = self.remnants.remove(&k) {
            match (left, letter) {
                (_, 'c') => {}
                (Left::HalfOpen, 'd' | 'p') => self.accept(k, letter == 'd'),
                (Left::HalfOpen, 'x') | (Left::Waiting, 'O' | 's') => self.stranger(letter, k),
                (left, _) => self.leave(k, left),
            }
        } else {
            self.stranger(letter, k);
        }
    }

    fn advance(&mut self, millis: u64) {
        self.rig.calls();
        let now = self.now() + Duration::from_millis(millis);
        self.rig.expire(now);
        self.remnants.retain(|_, (_, until)| *until > now);
        let mut due = BTreeSet::new();
        for (id, flow) in &mut self.flows {
            if flow.due.is_some_and(|at| at <= now) {
                flow.due = None;
                due.insert(*id);
            }
        }
        let calls = self.rig.calls();
        assert_eq!(calls.len(), due.len(), "each deadline fires once: {calls:?} {due:?}");
        assert!(calls.iter().all(|(call, id)| *call == Call::Deadline && due.contains(id)));
    }

    fn nth(&self, n: usize) -> Option<FlowId> {
        let mine: Vec<_> = self.flows.iter().filter(|(id, f)| f.attached && !self.queue.contains(id)).collect();
        mine.get(n % mine.len().max(1)).map(|(id, _)| **id)
    }

    fn unlisten(&mut self) {
        let Some(port) = self.port.take() else { return };
        self.rig.core.unlisten(&mut self.rig.lane, &mut self.rig.net, port);
        self.remnants.retain(|_, (left, _)| *left == Left::Waiting);
        for id in std::mem::take(&mut self.queue) {
            self.flows.get_mut(&id).unwrap().lingers = false;
            self.let_go(id);
        }
    }

    fn act(
        &mut self,
        n: usize,
        deed: impl FnOnce(&mut Context<'_, Probe<false>>, &mut Conn) + 'static,
    ) -> Option<&mut Flow> {
        let id = self.nth(n)?;
        let done = self.rig.act(id, deed);
        let flow = self.flows.get_mut(&id).unwrap();
        assert_eq!(done, flow.open);
        Some(flow).filter(|_| done)
    }

    fn connect(&mut self, peer: u16) {
        let k = key(7, peer);
        let (local, remote) = (Endpoint::new(Ip::ANY, 7), Endpoint::new(HOME, peer));
        let opened = self.rig.core.connect(&mut self.rig.lane, &mut self.rig.net, Some(local), remote);
        let free = !self.keys.contains_key(&k) && !self.remnants.contains_key(&k);
        assert_eq!(opened.is_ok(), free && self.flows.len() < FLOWS_MAX, "{opened:?}");
        if let Ok(id) = opened {
            let flow = Flow { key: k, open: true, attached: true, lingers: false, got: false, due: None };
            assert!(self.flows.insert(id, flow).is_none() && !self.gone.contains(&id));
            self.keys.insert(k, id);
        }
    }

    fn clear(&mut self) {
        self.rig.core.clear(&mut self.rig.lane, &mut self.rig.net);
        self.gone.extend(self.flows.keys().copied());
        self.flows.clear();
        self.keys.clear();
        self.remnants.clear();
        self.queue.clear();
        self.port = None;
    }

    fn run(&mut self, op: Op) {
        let now = self.now();
        match op {
            Op::Packet(letter, peer) => {
                self.rig.receive(&[(letter, key(7, peer), 0)]);
                self.packet(letter, key(7, peer));
            }
            Op::Connect(peer) => self.connect(peer),
            Op::LetGo(n) => {
                if let Some(id) = self.nth(n) {
                    self.rig.let_go(id);
                    self.let_go(id);
                }
            }
            Op::Kill(n) => {
                if let Some(id) = self.nth(n) {
                    self.rig.core.kill(&mut self.rig.lane, &mut self.rig.net, id);
                    self.end(id);
                }
            }
            Op::Accept => {
                if let Some(port) = self.port {
                    assert_eq!(self.rig.core.accept(port), self.queue.pop_front());
                }
            }
            Op::TakeEvents => {
                for (flow, _) in self.rig.ready() {
                    assert!(self.flows[&flow].attached && !self.queue.contains(&flow));
                }
                assert!(!self.rig.core.has_events());
            }
            Op::Advance(millis) => self.advance(millis),
            Op::Transmit => {
                self.rig.transmit();
            }
            Op::Listen if self.port.is_none() => self.port = Some(self.rig.listen(7, BACKLOG as u32)),
            Op::Listen => {}
            Op::Unlisten => self.unlisten(),
            Op::Deadline(n, millis) => {
                let at = if millis == u64::MAX { Instant::NEVER } else { now + Duration::from_millis(millis) };
                if let Some(flow) = self.act(n, move |cx, _| cx.set_deadline(at)) {
                    flow.due = (at != Instant::NEVER).then_some(at);
                }
            }
            Op::Owe(n, class) => {
                let class = Class::ALL[usize::from(class)];
                self.act(n, move |cx, conn| {
                    conn.owed[class as usize] += 1;
                    cx.want_tx(class);
                    cx.emit(Ready::WRITABLE);
                });
            }
            Op::Settle(n) => {
                self.act(n, |cx, _| cx.request_settle());
            }
            Op::Pace(n, millis) => {
                self.act(n, move |cx, conn| conn.paced_until = Some(cx.now + Duration::from_millis(millis)));
            }
            Op::Linger(n) => {
                if let Some(flow) = self.act(n, |_, conn| conn.lingers = true) {
                    flow.lingers = true;
                }
            }
            Op::Clear => self.clear(),
        }
    }

    fn compare(&mut self) {
        self.rig.check();
        let core = &mut self.rig.core;
        let is: BTreeMap<FlowId, (bool, bool)> = core
            .slots
            .iter()
            .enumerate()
            .filter_map(|(index, slot)| Some((index as u32, slot.as_ref()?)))
            .map(|(index, s)| (FlowId { index, generation: s.head.generation }, (s.conn.is_some(), s.head.attached)))
            .collect();
        assert!(
            is.iter().map(|(id, x)| (*id, *x)).eq(self.flows.iter().map(|(id, f)| (*id, (f.open, f.attached)))),
            "flows: {is:?} {:?}",
            self.flows
        );
        assert_eq!(core.keys(), self.keys.len() + self.remnants.len());
        let remnants: BTreeMap<u16, Left> = core.remnants.iter().map(|(_, slot)| (slot.key, slot.remnant)).collect();
        assert!(remnants.iter().map(|(k, l)| (*k, *l)).eq(self.remnants.iter().map(|(k, l)| (*k, l.0))), "remnants");
        if let Some(port) = self.port {
            let half_open = self.remnants.values().filter(|(left, _)| *left == Left::HalfOpen).count();
            let listener = core.listener(port).unwrap();
            assert_eq!((listener.half_open as usize, listener.queued as usize), (half_open, self.queue.len()));
        }
        for id in &self.gone {
            assert!(core.io(*id).is_none(), "{id:?} is gone");
        }
        let held = usize::from(!self.keys.is_empty());
        assert_eq!(self.rig.net.held_paths(), held, "all flows are on one path");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn an_engine_is_what_its_application_and_its_peers_expect(ops in prop::collection::vec(op(), 1..120)) {
        let mut model = Model::new();
        model.run(Op::Listen);
        for op in ops {
            model.run(op);
            model.compare();
        }
        model.rig.assert_clear();
    }
}
