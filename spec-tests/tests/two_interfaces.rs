//! One host, two interfaces: when one of them cannot send, because its neighbour is silent, its packet memory is used up,
//! or its device takes nothing, flows on the other do not notice. What waited goes on when it can, and nothing is lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::frame::{Frame, PoolConfig};
use burstlane::lane::{EngineId, Lane, LaneConfig};
use burstlane::net::InterfaceConfig;
use burstlane::socket::{Host, Stream};
use burstlane::time::Instant;
use burstlane_sim::{EndConfig, EndHandle, LinkConfig, Network, StandardLink, World};
use burstlane_spec::decode::CheckedDriver;
use burstlane_spec::transfer::End;
use burstlane_spec::{Outcome, TransferConfig};
use burstlane_tcp::{Config, Tcp};

type Seen = Rc<RefCell<Outcome>>;
type Apps = Rc<RefCell<Vec<Box<dyn FnMut() -> bool>>>>;

/// A host with links to two others, and a transfer with each.
struct Fork {
    world: World,
    host: Host,
    peers: [Host; 2],
    /// Our end and the peer's, of each link.
    ends: [(EndHandle, EndHandle); 2],
    outcomes: [[Seen; 2]; 2],
    config: [TransferConfig; 2],
    apps: Apps,
    engine: EngineId<Tcp>,
}

impl Fork {
    fn new(bytes: [u64; 2], pool: PoolConfig) -> Self {
        let world = World::new(Network::new());
        let link =
            LinkConfig { delay: Duration::from_millis(2), rate_bits_per_s: Some(100_000_000), ..Default::default() };
        let mut lane = Lane::new(LaneConfig::seeded(1));
        let engine = lane.add::<Tcp>(Config::default()).unwrap();
        let mut ends = vec![];
        let mut peers = vec![];
        for i in 0..2_u8 {
            let model = || StandardLink::boxed(link.clone(), 1).unwrap();
            let ours = EndConfig { pool, ..EndConfig::host(10 + u16::from(i)) };
            let (near, far) = world.network().link(ours, EndConfig::host(20 + u16::from(i)), model(), model());
            ends.push((near.handle(), far.handle()));
            let at = |host| InterfaceConfig { addresses: vec![(address(i, host), 24)], ..InterfaceConfig::default() };
            lane.add_interface(CheckedDriver::boxed(Box::new(near)), at(1));
            let mut peer = Lane::new(LaneConfig::seeded(u64::from(i) + 2));
            peer.add_interface(CheckedDriver::boxed(Box::new(far)), at(2));
            peers.push(peer);
        }
        let host = Host::new(lane);
        let apps: Apps = Rc::default();
        let run = apps.clone();
        world.add_app(&host, move |_| run.borrow_mut().iter_mut().fold(false, |moved, app| app() | moved));
        let config = [0, 1].map(|i| TransferConfig::new(i as u64, [bytes[i], bytes[i]]));
        let mut outcomes = vec![];
        let peers = [0, 1].map(|i| {
            let mut lane = peers.remove(0);
            let engine = lane.add::<Tcp>(Config::default()).unwrap();
            let peer = Host::new(lane);
            let (mut end, seen) = End::new(1, config[i], world.network());
            outcomes.push([Seen::default(), seen]);
            let listener = peer.listen(engine, Endpoint::new(Ip::ANY, 80), 4).unwrap();
            world.add_app(&peer, move |_| {
                end.channel = end.channel.take().or_else(|| listener.accept());
                end.turn()
            });
            peer
        });
        let [left, right] = <[(EndHandle, EndHandle); 2]>::try_from(ends).ok().unwrap();
        let outcomes = <[[Seen; 2]; 2]>::try_from(outcomes).unwrap();
        Self { world, host, peers, ends: [left, right], outcomes, config, apps, engine }
    }

    /// Opens to the peer behind interface `i` and transfers both ways.
    fn start(&mut self, i: usize) {
        let stream: Stream<Tcp> = self.host.connect(self.engine, Endpoint::new(address(i as u8, 2), 80)).unwrap();
        let (mut end, seen) = End::new(0, self.config[i], self.world.network());
        end.channel = Some(stream);
        self.outcomes[i][0] = seen;
        self.apps.borrow_mut().push(Box::new(move || end.turn()));
    }

    /// Takes away all packet memory of interface `i`, again and again, for as long as the answer says so.
    fn starve(&self, i: usize) -> Rc<Cell<bool>> {
        let pool = self.ends[i].0.pools().0.clone();
        let mut held: Vec<Frame> = vec![];
        let starving = Rc::new(Cell::new(true));
        let is_starving = starving.clone();
        let mut steal = move || {
            held.extend(std::iter::from_fn(|| pool.alloc()));
            if !is_starving.get() {
                held.clear();
            }
            false
        };
        steal();
        self.apps.borrow_mut().push(Box::new(steal));
        starving
    }

    fn is_done(&self, i: usize) -> bool {
        self.outcomes[i].iter().all(|seen| seen.borrow().is_done)
    }

    /// Runs until the transfer of interface `i` is done, and says when that was.
    fn finish(&self, i: usize) -> Instant {
        if let Err(error) = self.world.run_until(Duration::from_secs(600), || self.is_done(i)) {
            panic!("interface {i}: {error}: {:?}", self.outcomes);
        }
        self.world.now()
    }

    fn assert_clean(self) {
        self.apps.borrow_mut().clear();
        // Past TIME-WAIT.
        self.world.run_for(Duration::from_secs(300)).unwrap();
        assert_eq!(self.world.forced_advances(), 0);
        for host in self.peers.iter().chain([&self.host]) {
            let lane = host.lane();
            assert_eq!((lane.flows(), lane.remnants(), lane.buffer_bytes()), (0, 0, 0));
        }
        for (near, far) in &self.ends {
            assert_eq!((near.frames_out(), far.frames_out()), (0, 0));
        }
    }
}

fn address(link: u8, host: u8) -> Ip {
    Ip::v4([10, 0, link, host])
}

/// When the good transfer ends if there is nothing beside it, and turns of the world until then.
fn alone() -> (Instant, u64) {
    let mut fork = Fork::new([GOOD_BYTES, 0], PoolConfig::default());
    fork.start(0);
    let at = fork.finish(0);
    let turns = fork.world.turns();
    fork.assert_clean();
    (at, turns)
}

/// The good transfer runs beside a bad interface: it ends when it would have ended alone.
fn check_unhindered(fork: &Fork) {
    let (alone, turns) = alone();
    let beside = fork.finish(0);
    assert_eq!(beside, alone, "hindered by the other interface");
    // What cannot leave is tried again about once a millisecond, not without end.
    let most = turns * 3 + beside.as_nanos() / 200_000;
    assert!(fork.world.turns() < most, "{} turns beside, {turns} alone", fork.world.turns());
}

#[test]
fn a_silent_neighbour_hinders_only_its_own_flows_and_they_go_on_when_it_answers() {
    let mut fork = Fork::new([GOOD_BYTES, 100_000], PoolConfig::default());
    fork.ends[1].1.set_stalled(true);
    fork.start(1);
    fork.start(0);
    check_unhindered(&fork);
    assert!(!fork.is_done(1) && fork.outcomes[1][0].borrow().error.is_none());
    fork.ends[1].1.set_stalled(false);
    fork.finish(1);
    fork.assert_clean();
}

#[test]
fn used_up_packet_memory_hinders_only_its_own_interface_and_its_flows_recover() {
    let mut fork = Fork::new([GOOD_BYTES, 100_000], PoolConfig { slots: 256, ..PoolConfig::default() });
    // The neighbour is known, and the flow open, before memory goes.
    fork.start(1);
    fork.world.run_for(Duration::from_millis(9)).unwrap();
    let held = fork.starve(1);
    fork.world.run_for(Duration::from_millis(9)).unwrap();
    assert!(!fork.is_done(1));
    let before = fork.outcomes[1][0].borrow().received;
    fork.start(0);
    let started = fork.world.now();
    let (alone, _) = alone();
    let took = fork.finish(0).since(started);
    assert_eq!(took, alone.since(Instant::ZERO), "hindered by the other interface");
    let stuck = fork.outcomes[1][0].borrow().received;
    assert!(
        !fork.is_done(1) && stuck - before < 50_000,
        "{before}, then {stuck} bytes without memory to acknowledge them"
    );
    held.set(false);
    fork.finish(1);
    fork.assert_clean();
}

#[test]
fn no_packet_memory_from_the_start_delays_and_loses_nothing() {
    let mut fork = Fork::new([GOOD_BYTES, 100_000], PoolConfig { slots: 256, ..PoolConfig::default() });
    let held = fork.starve(1);
    fork.start(1);
    fork.start(0);
    fork.world.run_for(Duration::from_millis(500)).unwrap();
    assert_eq!(fork.ends[1].0.sent().sent, 0);
    held.set(false);
    fork.finish(1);
    fork.finish(0);
    fork.assert_clean();
}

/// Stops or starts the second interface's device.
fn stop(fork: &Fork, goes_down: bool, stop: bool) {
    let end = &fork.ends[1].0;
    if goes_down { end.set_up(!stop) } else { end.set_tx_room(if stop { 0 } else { 64 }) }
}

#[test]
fn a_device_that_takes_nothing_hinders_only_itself() {
    for goes_down in [false, true] {
        let mut fork = Fork::new([GOOD_BYTES, 100_000], PoolConfig::default());
        fork.start(1);
        fork.world.run_for(Duration::from_millis(9)).unwrap();
        stop(&fork, goes_down, true);
        fork.start(0);
        let started = fork.world.now();
        let (alone, _) = alone();
        let took = fork.finish(0).since(started);
        assert_eq!(took, alone.since(Instant::ZERO), "hindered by the other interface");
        assert!(!fork.is_done(1));
        stop(&fork, goes_down, false);
        fork.finish(1);
        fork.assert_clean();
    }
}

const GOOD_BYTES: u64 = 400_000;
