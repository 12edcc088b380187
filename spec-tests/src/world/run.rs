//! A world that runs: its hosts and what tests do with them.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::lane::EngineId;
use burstlane::observe::Capture;
use burstlane::socket::{Host, Listener};
use burstlane::transport::Transport;
use burstlane_sim::{Clock, EndHandle, MultiQueue, SwitchCounters, World};

use super::clean::{self, SimLane};
use crate::face::{Face, Handle};
use crate::pattern::Dice;

/// A world that runs.
pub struct SimWorld {
    /// What makes its time pass.
    pub world: World,
    /// Its hosts.
    pub hosts: Vec<SimHost>,
    /// What its switches counted, for each network that has one.
    pub switches: Vec<Option<Rc<SwitchCounters>>>,
    pub(super) seed: u64,
}

/// A host.
pub struct SimHost {
    /// Its lanes.
    pub lanes: Vec<SimLane>,
    /// Its clock, to make it jump.
    pub clock: Clock,
    /// Its interfaces, in the order of the networks.
    pub interfaces: Vec<SimInterface>,
}

/// An interface of a host.
pub struct SimInterface {
    /// Its network.
    pub network: usize,
    /// Its addresses.
    pub v4: Ip,
    /// See [`v4`](Self::v4).
    pub v6: Ip,
    /// Its device: faults, counters, and the model of what it sends.
    pub end: EndHandle,
    /// The device's queues, where the host has several lanes.
    pub device: Option<MultiQueue>,
    /// The switch's port at the other end of the cable.
    pub port: Option<EndHandle>,
}

/// The engines of one transport: of each host, those of its lanes.
pub type Engines<T> = Vec<Vec<EngineId<T>>>;

impl SimWorld {
    /// Registers a transport on all hosts. Lanes of one host share what the transport shares.
    ///
    /// # Panics
    /// If one that claims the same is there.
    pub fn add<T: Transport>(&self, config: &T::Config) -> Engines<T> {
        let mut dice = Dice::new(self.seed);
        let hosts = self.hosts.iter().map(|host| {
            if let [only] = host.lanes.as_slice() {
                return vec![only.host.lane().add::<T>(config.clone()).unwrap()];
            }
            let mut secret = [0; 32];
            secret.fill_with(|| dice.next_u64() as u8);
            let shared = Arc::new(T::shared(config, &secret));
            let add = |lane: &SimLane| lane.host.lane().add_shared(config.clone(), shared.clone()).unwrap();
            host.lanes.iter().map(add).collect()
        });
        hosts.collect()
    }

    /// A port of a host, at its IPv4 address on the first of its networks.
    #[must_use]
    pub fn at(&self, host: usize, port: u16) -> Endpoint {
        Endpoint::new(self.hosts[host].interfaces[0].v4, port)
    }

    /// The same at its IPv6 address.
    #[must_use]
    pub fn at_v6(&self, host: usize, port: u16) -> Endpoint {
        Endpoint::new(self.hosts[host].interfaces[0].v6, port)
    }

    /// Listens at a port of a host, on all its lanes and addresses: new flows come to the lane to which they are steered.
    ///
    /// # Panics
    /// If the port is taken.
    #[must_use]
    pub fn listen<T: Transport>(&self, engines: &Engines<T>, host: usize, port: u16, backlog: u32) -> Vec<Listener<T>> {
        let lanes = self.hosts[host].lanes.iter().zip(&engines[host]);
        lanes.map(|(lane, engine)| lane.host.listen(*engine, Endpoint::new(Ip::ANY, port), backlog).unwrap()).collect()
    }

    /// Opens a flow from a lane of a host.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn open<T: Transport>(&self, engines: &Engines<T>, from: (usize, usize), remote: Endpoint) -> Handle<T>
    where
        T::Io: Face,
    {
        let (engine, host) = (engines[from.0][from.1], &self.hosts[from.0].lanes[from.1].host);
        let flow = host.open(engine, None, remote).unwrap();
        <T::Io as Face>::handle(host, engine, flow)
    }

    /// Adds an application to a lane of a host: called in its turns, and says whether it did anything.
    pub fn add_app(&self, (host, lane): (usize, usize), app: impl FnMut(&Host) -> bool + 'static) {
        self.hosts[host].lanes[lane].apps.borrow_mut().push(Box::new(app));
        self.world.network().wake_all();
    }

    /// Ends all applications, and what they hold.
    pub fn stop_apps(&self) {
        self.lanes().for_each(|(_, lane)| lane.apps.borrow_mut().clear());
    }

    /// Captures what all lanes send and receive, each its view.
    ///
    /// # Panics
    /// If `out` fails.
    pub fn capture<W: Write + 'static>(&self, out: W) -> Rc<RefCell<Capture<W>>> {
        let capture = Rc::new(RefCell::new(Capture::new(out).unwrap()));
        for (name, lane) in self.lanes() {
            // The lane counts its own loopback as interface 0.
            let interfaces = (0..=lane.ends.len()).map(|number| format!("{name} if{number}"));
            let names: Vec<String> = interfaces.collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            lane.host.lane().set_tap(Some(Box::new(Capture::tap(&capture, &names).unwrap())));
        }
        capture
    }

    /// Lets the world go on until `done`.
    ///
    /// # Panics
    /// If that does not come true within `limit` of virtual time.
    pub fn run_until(&self, limit: Duration, done: impl FnMut() -> bool) {
        if let Err(error) = self.world.run_until(limit, done) {
            panic!("seed {}: {error}; {}", self.seed, self.state());
        }
    }

    /// What is alive, for a person who looks for the reason of a failure.
    #[must_use]
    pub fn state(&self) -> String {
        self.lanes().map(|(name, lane)| format!("{name}: {}", lane.state())).collect::<Vec<_>>().join("\n  ")
    }

    /// Frames that have crossed a cable so far.
    #[must_use]
    pub fn frames_crossed(&self) -> u64 {
        let ends = self.hosts.iter().flat_map(|host| &host.interfaces);
        // Each direction is one end's to receive; what a host sends, a switch receives, or the other host.
        ends.map(|at| at.end.received().delivered + at.port.as_ref().map_or(0, |port| port.received().delivered)).sum()
    }

    /// Ends the applications, lets everything run out, and checks that nothing is left: no flow, no remnant, no byte of
    /// buffer memory, no frame of any pool in use or lent, on any lane, device or switch.
    ///
    /// # Panics
    /// If something is.
    pub fn assert_clean(self) {
        self.stop_apps();
        let Self { world, hosts, seed, .. } = self;
        let (mut lanes, mut wires) = (vec![], vec![]);
        for (number, host) in hosts.into_iter().enumerate() {
            for at in host.interfaces {
                wires.extend([Some(at.end), at.port].into_iter().flatten());
            }
            lanes.extend(host.lanes.into_iter().enumerate().map(|(lane, sim)| (name(number, lane), sim)));
        }
        clean::assert_clean(seed, world, lanes, wires);
    }

    fn lanes(&self) -> impl Iterator<Item = (String, &SimLane)> {
        let hosts = self.hosts.iter().enumerate();
        hosts.flat_map(|(number, host)| host.lanes.iter().enumerate().map(move |(i, lane)| (name(number, i), lane)))
    }
}

fn name(host: usize, lane: usize) -> String {
    format!("host {host} lane {lane}")
}
