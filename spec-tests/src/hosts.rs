//! Two hosts on one simulated link, with any transports, and the check that they were left as they were found.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::driver::Driver;
use burstlane::frame::{FramePool, PoolConfig};
use burstlane::lane::{EngineId, Lane, LaneConfig};
use burstlane::net::{InterfaceConfig, NetConfig};
use burstlane::observe::Capture;
use burstlane::socket::Host;
use burstlane::transport::Transport;
use burstlane_sim::{
    Clock, EndConfig, EndHandle, LateConfig, LateCounters, LateDriver, LinkConfig, Network, Resident, World,
};

use crate::decode::CheckedDriver;
use crate::face::{Face, Handle};
use crate::link::SparingLink;
pub use crate::world::App;
use crate::world::{LateMemory, SimLane, clean};

/// The port at which the second host listens, unless it is told another one.
pub const PORT: u16 = 4433;

/// What two hosts and their link are like.
#[derive(Clone, Debug)]
pub struct HostsConfig {
    /// Decides over everything that is random: faults, sequence numbers, ports.
    pub seed: u64,
    /// The link from the first host to the second, and the other way.
    pub links: [LinkConfig; 2],
    /// The two ends' devices.
    pub ends: [EndConfig; 2],
    /// Ends with foreign memory and late completion.
    pub late: [Option<LateConfig>; 2],
    /// Parts per million that each host's clock gains, or loses.
    pub clock_ppm: [i32; 2],
    /// Both lanes; the seed in it is not used.
    pub lane: LaneConfig,
    /// Where the second host listens.
    pub port: u16,
    /// IPv6 instead of IPv4 where [`Hosts::remote`] is asked.
    pub is_v6: bool,
}

impl HostsConfig {
    /// A link of 5 ms without faults.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let link = LinkConfig { delay: Duration::from_millis(5), ..LinkConfig::default() };
        Self {
            seed,
            links: [link.clone(), link],
            ends: [1, 2].map(|n| EndConfig { pool: SMALL_POOL, ..EndConfig::host(n) }),
            late: [None, None],
            clock_ppm: [0, 0],
            lane: small_lane(0),
            port: PORT,
            is_v6: false,
        }
    }

    /// Both directions like this.
    #[must_use]
    pub fn with_link(mut self, link: &LinkConfig) -> Self {
        self.links = [link.clone(), link.clone()];
        self
    }
}

/// One host.
pub struct Member {
    /// Its lane.
    pub host: Host,
    /// The wire's end of its interface.
    pub end: EndHandle,
    /// The device's own memory and counters, where it has them.
    pub late: Option<(FramePool, Rc<LateCounters>)>,
    /// Its clock, to make it jump.
    pub clock: Clock,
    apps: Rc<RefCell<Vec<App>>>,
}

/// Two hosts on one link.
pub struct Hosts {
    /// Where they live.
    pub world: World,
    /// The first connects, the second listens, where it matters.
    pub members: [Member; 2],
    config: HostsConfig,
}

impl Hosts {
    /// Builds the world.
    ///
    /// # Panics
    /// If the link's configuration makes no sense.
    #[must_use]
    pub fn new(config: HostsConfig) -> Self {
        let world = World::new(Network::new());
        let [there, back] =
            [0, 1].map(|i| SparingLink::boxed(&config.links[i], config.seed.wrapping_mul(2) + i as u64));
        let [left, right] = config.ends.clone();
        let (left, right) = world.network().link(left, right, there, back);
        let mut ends = [Some(left), Some(right)];
        let members = [0, 1].map(|i| {
            let sim = ends[i].take().unwrap();
            let end = sim.handle();
            let mut late = None;
            let driver: Box<dyn Driver> = match config.late[i] {
                None => Box::new(sim),
                Some(config) => {
                    let driver = LateDriver::new(sim, config);
                    late = Some((driver.pool().clone(), driver.counters()));
                    Box::new(driver)
                }
            };
            let seed = LaneConfig::seeded(config.seed.wrapping_mul(2) + i as u64).seed;
            let mut lane = Lane::new(LaneConfig { seed, ..config.lane.clone() });
            let addresses = vec![(Self::v4(i), 24), (Self::v6(i), 64)];
            let driver = CheckedDriver::boxed(driver);
            lane.add_interface(driver, InterfaceConfig { addresses, ..InterfaceConfig::default() });
            let host = Host::new(lane);
            let apps: Rc<RefCell<Vec<App>>> = Rc::default();
            let run = apps.clone();
            let clock = Clock::skewed(config.clock_ppm[i], Duration::ZERO);
            let run = move |host: &Host| run.borrow_mut().iter_mut().fold(false, |moved, app| app(host) | moved);
            world.add_resident(Resident::new(&host, run).by_clock(&clock));
            Member { host, end, late, clock, apps }
        });
        Self { world, members, config }
    }

    /// The IPv4 address of a host.
    #[must_use]
    pub fn v4(host: usize) -> Ip {
        Ip::v4([10, 0, 0, host as u8 + 1])
    }

    /// The IPv6 address of a host.
    #[must_use]
    pub fn v6(host: usize) -> Ip {
        Ip::v6([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host as u8 + 1])
    }

    /// Where the second host listens.
    #[must_use]
    pub fn remote(&self) -> Endpoint {
        self.at(1, self.config.port)
    }

    /// A port of a host.
    #[must_use]
    pub fn at(&self, host: usize, port: u16) -> Endpoint {
        Endpoint::new(if self.config.is_v6 { Self::v6(host) } else { Self::v4(host) }, port)
    }

    /// Registers a transport on both hosts.
    ///
    /// # Panics
    /// If one that claims the same is there.
    pub fn add<T: Transport>(&self, config: T::Config) -> [EngineId<T>; 2] {
        [0, 1].map(|i| self.members[i].host.lane().add::<T>(config.clone()).unwrap())
    }

    /// Adds an application to a host.
    pub fn add_app(&self, host: usize, app: impl FnMut(&Host) -> bool + 'static) {
        self.members[host].apps.borrow_mut().push(Box::new(app));
    }

    /// Ends all applications, and what they hold.
    pub fn stop_apps(&self) {
        self.members.iter().for_each(|member| member.apps.borrow_mut().clear());
    }

    /// Opens a flow from the first host to the second.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn connect<T: Transport>(&self, engines: [EngineId<T>; 2]) -> Handle<T>
    where
        T::Io: Face,
    {
        let host = &self.members[0].host;
        let flow = host.open(engines[0], None, self.remote()).unwrap();
        <T::Io as Face>::handle(host, engines[0], flow)
    }

    /// Captures what both hosts send and receive, each its view.
    ///
    /// # Panics
    /// If `out` fails.
    pub fn capture<W: Write + 'static>(&self, out: W) -> Rc<RefCell<Capture<W>>> {
        let capture = Rc::new(RefCell::new(Capture::new(out).unwrap()));
        for (member, name) in self.members.iter().zip(["left", "right"]) {
            // The lane counts its own loopback as interface 0.
            let tap = Capture::tap(&capture, &[&format!("{name}-lo"), name]).unwrap();
            member.host.lane().set_tap(Some(Box::new(tap)));
        }
        capture
    }

    /// Lets the world go on until `done`.
    ///
    /// # Panics
    /// If that does not come true within `limit` of virtual time.
    pub fn run_until(&self, limit: Duration, done: impl FnMut() -> bool) {
        if let Err(error) = self.world.run_until(limit, done) {
            panic!("seed {}: {error}; {}", self.config.seed, self.state());
        }
    }

    /// What is alive, for a person who looks for the reason of a failure.
    #[must_use]
    pub fn state(&self) -> String {
        self.lanes().iter().map(SimLane::state).collect::<Vec<_>>().join("\n  ")
    }

    /// Ends the applications, lets everything run out, and checks that nothing is left: no flow, no remnant, no byte of
    /// buffer memory, no frame of any pool in use or lent.
    ///
    /// # Panics
    /// If something is.
    pub fn assert_clean(self) {
        self.stop_apps();
        let [left, right] = self.lanes();
        let Self { world, members, config } = self;
        drop(members);
        clean::assert_clean(config.seed, world, vec![("host 0".into(), left), ("host 1".into(), right)], vec![]);
    }

    /// The two as lanes of any world.
    fn lanes(&self) -> [SimLane; 2] {
        [0, 1].map(|i| {
            let Member { host, end, late, apps, .. } = &self.members[i];
            let rx_slots = self.config.late[i].map_or(0, |late| late.rx_slots);
            let late = late.iter().map(|(pool, counters)| {
                let (pool, counters) = (pool.clone(), counters.clone());
                LateMemory { pool, counters, rx_slots }
            });
            SimLane { host: host.clone(), ends: vec![end.clone()], late: late.collect(), apps: apps.clone() }
        })
    }
}

/// A lane that costs little to make, because worlds are made by the thousand: its own loopback has few frames.
#[must_use]
pub fn small_lane(seed: u64) -> LaneConfig {
    let net = NetConfig { loopback_frames: 8, ..NetConfig::default() };
    LaneConfig { net, ..LaneConfig::seeded(seed) }
}

/// Packet memory of a host, for the same reason.
pub(crate) const SMALL_POOL: PoolConfig = PoolConfig { slots: 512, slot_bytes: 2048, headroom: 128 };
