//! Building a world: cables are laid, devices are put into hosts, hosts get their turns.

use std::rc::Rc;

use burstlane::addr::Mac;
use burstlane::driver::Driver;
use burstlane::lane::{Lane, LaneConfig};
use burstlane::net::{InterfaceConfig, UdpPorts};
use burstlane::socket::Host;
use burstlane_sim::{
    Clock, EndConfig, EndHandle, LateDriver, MultiQueue, Network, Resident, SimDriver, Switch, SwitchCounters, World,
};

use super::clean::{App, LateMemory, SimLane};
use super::config::{HostConfig, Link, NetworkConfig, WorldConfig, v4, v6};
use super::run::{SimHost, SimInterface, SimWorld};
use crate::decode::CheckedDriver;

impl WorldConfig {
    /// Builds it.
    ///
    /// # Panics
    /// If a configuration makes no sense: a link's, a host that is not there, late devices with several lanes.
    #[must_use]
    pub fn build(&self) -> SimWorld {
        let mut site = Site::new(self);
        let mut switches = vec![];
        for (network, config) in self.networks.iter().enumerate() {
            switches.push(match config {
                NetworkConfig::Cable { hosts, links } => {
                    let [near, far] = [0, 1].map(|i| site.end_of(network, hosts[i]));
                    let (near, far) = site.cable(near, far, links);
                    site.plug(network, hosts[0], near, None);
                    site.plug(network, hosts[1], far, None);
                    None
                }
                NetworkConfig::Switch { ports, config } => {
                    let mut switch = Switch::new(*config);
                    for port in ports {
                        let near = site.end_of(network, port.host);
                        let far = EndConfig { rx_ring_frames: None, ..near.clone() };
                        let (near, far) = site.cable(near, far, &[port.up.clone(), port.down.clone()]);
                        site.plug(network, port.host, near, Some(far.handle()));
                        switch.add_port(far);
                    }
                    Some(site.add_switch(switch))
                }
            });
        }
        site.finish(switches)
    }
}

/// A world under construction.
struct Site<'a> {
    config: &'a WorldConfig,
    world: World,
    hosts: Vec<Shell>,
    /// Directions laid so far: each draws its faults from a seed of its own.
    directions: u64,
}

/// A host under construction.
struct Shell {
    lanes: Vec<(Lane, Vec<EndHandle>, Vec<LateMemory>)>,
    interfaces: Vec<SimInterface>,
}

impl<'a> Site<'a> {
    fn new(config: &'a WorldConfig) -> Self {
        let hosts = config.hosts.iter().enumerate().map(|(number, host)| {
            let ports = (host.lanes > 1).then(UdpPorts::new);
            let lanes = (0..host.lanes.max(1)).map(|lane| {
                let seed = config.seed.wrapping_mul(2).wrapping_add(number as u64).wrapping_add(u64::from(lane) << 32);
                let seed = LaneConfig::seeded(seed).seed;
                let mut lane = Lane::new(LaneConfig { seed, lane, lanes: host.lanes.max(1), ..host.lane.clone() });
                // The lanes of a host have one address, and so one set of ports.
                ports.iter().for_each(|ports| lane.net().set_udp_ports(ports.clone()));
                (lane, vec![], vec![])
            });
            Shell { lanes: lanes.collect(), interfaces: vec![] }
        });
        let hosts = hosts.collect();
        Self { config, world: World::new(Network::new()), hosts, directions: 0 }
    }

    /// A host's end of a cable.
    fn end_of(&self, network: usize, host: usize) -> EndConfig {
        let mut end = self.config.hosts[host].end.clone();
        let [high, low] = u16::try_from(host + 1).unwrap().to_be_bytes();
        end.capabilities.mac = Mac([2, 0, 0, u8::try_from(network).unwrap(), high, low]);
        end
    }

    fn cable(&mut self, near: EndConfig, far: EndConfig, links: &[Link; 2]) -> (SimDriver, SimDriver) {
        let [there, back] = links.each_ref().map(|link| {
            let seed = self.config.seed.wrapping_mul(2).wrapping_add(self.directions);
            self.directions += 1;
            link.model(seed)
        });
        self.world.network().link(near, far, there, back)
    }

    /// Puts a device into a host.
    fn plug(&mut self, network: usize, host: usize, end: SimDriver, port: Option<EndHandle>) {
        let config = &self.config.hosts[host];
        let shell = &mut self.hosts[host];
        let (v4, v6) = (v4(network, host), v6(network, host));
        let mut interface = SimInterface { network, v4, v6, end: end.handle(), device: None, port };
        let drivers: Vec<(Box<dyn Driver>, EndHandle)> = if let [(_, _, late)] = shell.lanes.as_mut_slice() {
            let handle = end.handle();
            vec![(late_or_not(config, end, late), handle)]
        } else {
            assert!(config.late.is_none(), "late devices have one queue");
            let queues = shell.lanes.len() as u16;
            let (device, queues) = MultiQueue::new(end, queues, &config.end, config.steering.clone());
            interface.device = Some(device);
            let drivers = queues.into_iter().map(|queue| {
                let handle = queue.handle();
                (Box::new(queue) as Box<dyn Driver>, handle)
            });
            drivers.collect()
        };
        for ((lane, ends, _), (driver, handle)) in shell.lanes.iter_mut().zip(drivers) {
            let addresses = vec![(v4, 16), (v6, 64)];
            lane.add_interface(
                CheckedDriver::boxed(driver),
                InterfaceConfig { addresses, ..InterfaceConfig::default() },
            );
            ends.push(handle);
        }
        shell.interfaces.push(interface);
    }

    fn add_switch(&self, switch: Switch) -> Rc<SwitchCounters> {
        let counters = switch.counters();
        self.world.add(switch);
        counters
    }

    /// Hosts begin to live.
    fn finish(self, switches: Vec<Option<Rc<SwitchCounters>>>) -> SimWorld {
        let Self { config, world, hosts, .. } = self;
        let hosts = hosts.into_iter().zip(&config.hosts).map(|(shell, config)| {
            let clock = Clock::skewed(config.clock_ppm, config.clock_ahead);
            let lanes = shell.lanes.into_iter().map(|(lane, ends, late)| {
                let lane = SimLane::new(Host::new(lane), ends, late);
                let run = lane.apps.clone();
                let resident = Resident::new(&lane.host, move |host| {
                    run.borrow_mut().iter_mut().fold(false, |moved, app: &mut App| app(host) | moved)
                });
                let resident = resident.by_clock(&clock);
                // A late device counts turns.
                let is_late = config.late.is_some();
                world.add_resident(if is_late { resident } else { resident.when_due(lane.ends.clone()) });
                lane
            });
            let lanes = lanes.collect();
            SimHost { lanes, clock, interfaces: shell.interfaces }
        });
        let hosts = hosts.collect();
        SimWorld { world, hosts, switches, seed: config.seed }
    }
}

fn late_or_not(config: &HostConfig, end: SimDriver, memory: &mut Vec<LateMemory>) -> Box<dyn Driver> {
    let Some(late) = config.late else { return Box::new(end) };
    let driver = LateDriver::new(end, late);
    memory.push(LateMemory { pool: driver.pool().clone(), counters: driver.counters(), rx_slots: late.rx_slots });
    Box::new(driver)
}
