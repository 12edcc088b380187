//! The engine with a transport that obeys: bursts against single packets, all operations against a model, and each
//! promise of `Core` on its own.

mod bursts;
mod edges;
mod model;
mod probe;
mod turns;

use super::{Core, Engine, EngineEvent, EngineLimits, FlowId};
use crate::addr::{Endpoint, Ip, Mac};
use crate::driver::Capabilities;
use crate::frame::{FramePool, PoolConfig};
use crate::net::{Counters, EngineIndex, InterfaceConfig, Net, NetConfig, NetifId, Packet};
use crate::observe::Observers;
use crate::socket::{AppOp, Ready};
use crate::time::{Duration, Instant};
use crate::toolkit::Mem;
use crate::transport::{Class, Context, LaneInfo, LaneParts};
use crate::watched::Watched;
use probe::{Call, Conn, Probe};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

/// An engine with what a lane would give it: 10.0.0.1 on one interface, and the own loopback.
struct Rig<const UDP: bool = false> {
    core: Core<Probe<UDP>>,
    lane: LaneParts,
    net: Net,
    pool: FramePool,
    /// Every name that was ever given.
    names: Vec<FlowId>,
    watched: Watched,
}

const WIRE: NetifId = NetifId(1);
const ENGINE: EngineIndex = EngineIndex(0);
const HOME: Ip = Ip::v4([127, 0, 0, 1]);
const NEIGHBOUR: Ip = Ip::v4([10, 0, 0, 2]);

impl<const UDP: bool> Rig<UDP> {
    fn with(limits: EngineLimits) -> Self {
        let info = LaneInfo { lane: 0, lanes: 1, seed: 7 };
        let mut core = Core::new((), std::sync::Arc::new(()), info, limits);
        core.set_index(ENGINE);
        let mut net = Net::new(NetConfig::default(), 7);
        let pool = FramePool::new(PoolConfig { slots: 256, ..PoolConfig::default() });
        let caps = Capabilities { mac: Mac([2, 0, 0, 0, 0, 1]), ..Capabilities::default() };
        let addresses = vec![(Ip::v4([10, 0, 0, 1]), 24)];
        let config = InterfaceConfig { addresses, ..InterfaceConfig::default() };
        let watched = Watched::new(&caps);
        assert_eq!(net.add_interface(caps, pool.clone(), None, config), WIRE);
        net.set_room(WIRE, 128);
        net.register(ENGINE, core.claim()).unwrap();
        let lane = LaneParts {
            now: Instant::ZERO,
            mem: Mem::new(1 << 20),
            rng: ChaCha8Rng::seed_from_u64(7),
            observers: Observers::default(),
            drops: Counters::default(),
        };
        Self { core, lane, net, pool, names: vec![], watched }
    }

    fn new() -> Self {
        Self::with(EngineLimits::default())
    }

    fn packet(&self, letter: char, key: u16, label: u8) -> Packet {
        let mut frame = self.pool.alloc().unwrap();
        let [port, peer] = key.to_be_bytes();
        assert!(frame.extend_from_slice(&[letter as u8, port, peer, label, label]));
        Packet {
            frame,
            src: Endpoint::new(HOME, 9),
            dst: Endpoint::new(HOME, port.into()),
            ecn: 0,
            hop_limit: 64,
            netif: 0,
            ip_header_bytes: 20,
        }
    }

    fn receive(&mut self, packets: &[(char, u16, u8)]) {
        let mut batch: Vec<_> = packets.iter().map(|&(l, k, n)| Some(self.packet(l, k, n))).collect();
        self.core.receive(&mut self.lane, &mut self.net, &mut batch);
        assert!(batch.is_empty());
        self.check();
    }

    fn check(&mut self) {
        self.core.check_invariants();
        assert_eq!(self.core.transport.conns, self.core.slots.iter().flatten().filter(|s| s.conn.is_some()).count());
    }

    /// Sets the time and serves the deadlines that have come.
    fn expire(&mut self, now: Instant) {
        self.lane.now = now;
        self.net.on_timers(now);
        self.core.expire(&mut self.lane, &mut self.net);
        self.tell_neighbours();
        self.check();
    }

    fn tell_neighbours(&mut self) {
        let mut changes = vec![];
        self.net.neighbour_changes(&mut changes);
        changes.iter().for_each(|change| self.core.neighbour(&mut self.lane, &mut self.net, change));
    }

    /// The second half of a turn; returns the frames that left, by interface.
    fn transmit(&mut self) -> [usize; 2] {
        self.core.settle(&mut self.lane, &mut self.net);
        for class in Class::ALL {
            self.core.transmit(&mut self.lane, &mut self.net, class);
        }
        self.check();
        [NetifId::LOOPBACK, WIRE].map(|netif| self.take_outbox(netif))
    }

    /// How many frames wait there, which are then gone. What leaves the house is looked at.
    fn take_outbox(&mut self, netif: NetifId) -> usize {
        let frames = std::mem::take(self.net.outbox(netif));
        if netif == WIRE {
            frames.iter().for_each(|frame| self.watched.demand(frame));
        }
        frames.len()
    }

    fn open_to(&mut self, ip: Ip, local: u16, remote: u16) -> FlowId {
        let local = (local != 0).then_some(Endpoint::new(Ip::ANY, local));
        let flow = self.core.connect(&mut self.lane, &mut self.net, local, Endpoint::new(ip, remote)).unwrap();
        self.names.push(flow);
        self.check();
        flow
    }

    fn open(&mut self, local: u16, remote: u16) -> FlowId {
        self.open_to(HOME, local, remote)
    }

    fn listen(&mut self, port: u16, backlog: u32) -> super::PortId {
        self.core.listen(&mut self.net, Endpoint::new(Ip::ANY, port), backlog).unwrap()
    }

    fn act(&mut self, flow: FlowId, deed: impl FnOnce(&mut Context<'_, Probe<UDP>>, &mut Conn) + 'static) -> bool {
        let done = self.core.app(&mut self.lane, &mut self.net, flow, AppOp::Own(Box::new(deed)));
        self.check();
        done
    }

    /// Lets a flow owe `packets` of `class`.
    fn owe(&mut self, flow: FlowId, class: Class, packets: u32) {
        assert!(self.act(flow, move |cx, conn| {
            conn.owed[class as usize] += packets;
            cx.want_tx(class);
        }));
    }

    fn let_go(&mut self, flow: FlowId) {
        self.core.let_go(&mut self.lane, &mut self.net, flow);
        self.check();
    }

    fn events(&mut self) -> Vec<EngineEvent<u32>> {
        let mut events = vec![];
        self.core.take_events(&mut events);
        self.check();
        events
    }

    fn ready(&mut self) -> Vec<(FlowId, Ready)> {
        let only_ready = |event| match event {
            EngineEvent::Ready(flow, ready) => Some((flow, ready)),
            EngineEvent::Acceptable(_) | EngineEvent::Notice(..) => None,
        };
        self.events().into_iter().filter_map(only_ready).collect()
    }

    fn calls(&mut self) -> Vec<(Call, FlowId)> {
        std::mem::take(&mut self.core.transport.calls)
    }

    fn sent(&mut self) -> Vec<(FlowId, Class)> {
        std::mem::take(&mut self.core.transport.sent)
    }

    /// Everything ends, and nothing is left anywhere.
    fn assert_clear(mut self) {
        self.core.clear(&mut self.lane, &mut self.net);
        self.check();
        assert_eq!((self.core.flows(), self.core.remnants(), self.core.keys()), (0, 0, 0));
        assert_eq!((self.core.has_events(), self.core.wheel.len(), self.core.pacing.len()), (false, 0, 0));
        assert_eq!(self.net.held_paths(), 0, "paths held by nobody");
        assert_eq!(self.lane.mem.used_bytes(), 0);
        for netif in [NetifId::LOOPBACK, WIRE] {
            self.take_outbox(netif);
        }
        assert_eq!(self.pool.in_use(), 0, "frames held by nobody");
    }

    /// The neighbour answers the question that it was asked.
    fn answer_arp(&mut self) {
        let mut arp = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2];
        arp.extend([2, 0, 0, 0, 0, 2, 10, 0, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
        let mut frame = self.pool.alloc().unwrap();
        assert!(frame.extend_from_slice(&arp));
        let _ = self.net.input(self.lane.now, WIRE, frame);
        self.tell_neighbours();
        self.check();
    }
}

fn ms(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}
