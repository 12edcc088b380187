//! What a world is like: its hosts, and the cables and switches between them.

use std::fmt;
use std::time::Duration;

use burstlane::addr::Ip;
use burstlane::lane::LaneConfig;
use burstlane_sim::{EndConfig, LateConfig, LinkConfig, LinkModel, StandardLink, SteeringConfig, SwitchConfig};

use crate::hosts::{SMALL_POOL, small_lane};
use crate::link::SparingLink;

/// A world, to be built.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// Decides over everything that is random: faults, sequence numbers, ports.
    pub seed: u64,
    /// The hosts. Their places here are their names.
    pub hosts: Vec<HostConfig>,
    /// The networks, at most 256. A host has an interface, and addresses, in each one that names it.
    pub networks: Vec<NetworkConfig>,
}

/// A host.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Its lanes, at least 1. With more than one its devices have a queue for each.
    pub lanes: u16,
    /// Its devices, each queue of them; the world gives them Ethernet addresses.
    pub end: EndConfig,
    /// Devices with foreign memory and late completion, where there is one lane.
    pub late: Option<LateConfig>,
    /// Its lanes; the seed and the numbers in it are not used.
    pub lane: LaneConfig,
    /// How devices with several queues steer.
    pub steering: SteeringConfig,
    /// Parts per million that its clock gains, or loses.
    pub clock_ppm: i32,
    /// How far its clock is ahead at the start.
    pub clock_ahead: Duration,
}

impl Default for HostConfig {
    /// One lane, little memory, a ring of 1,024 frames, and the right time.
    fn default() -> Self {
        let end = EndConfig { pool: SMALL_POOL, rx_ring_frames: Some(1024), ..EndConfig::host(1) };
        let steering = SteeringConfig::default();
        Self { lanes: 1, end, late: None, lane: small_lane(0), steering, clock_ppm: 0, clock_ahead: Duration::ZERO }
    }
}

/// One network.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there are a few a world")]
pub enum NetworkConfig {
    /// A cable between two hosts: from the first to the second, and back.
    Cable {
        /// The hosts.
        hosts: [usize; 2],
        /// Its directions.
        links: [Link; 2],
    },
    /// A switch.
    Switch {
        /// A port for each host.
        ports: Vec<PortConfig>,
        /// Its table.
        config: SwitchConfig,
    },
}

/// A port of a switch, and the cable to it.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// The host at the other end.
    pub host: usize,
    /// From the host to the switch.
    pub up: Link,
    /// From the switch to the host: the port's queue, its rate and its discipline.
    pub down: Link,
}

/// One direction of a cable.
#[derive(Clone)]
pub enum Link {
    /// The standard link.
    Standard(LinkConfig),
    /// The same, on which neighbours always find each other: [`SparingLink`].
    Sparing(LinkConfig),
    /// Any model.
    Model(Box<dyn LinkModel>),
}

impl Link {
    /// The model, its faults drawn from `seed` where it is not given.
    ///
    /// # Panics
    /// If the configuration makes no sense.
    #[must_use]
    pub fn model(&self, seed: u64) -> Box<dyn LinkModel> {
        match self {
            Self::Standard(config) => StandardLink::boxed(config.clone(), seed).unwrap(),
            Self::Sparing(config) => SparingLink::boxed(config, seed),
            Self::Model(model) => model.clone(),
        }
    }
}

impl From<LinkConfig> for Link {
    /// Neighbours are spared.
    fn from(config: LinkConfig) -> Self {
        Self::Sparing(config)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard(config) | Self::Sparing(config) => config.fmt(f),
            Self::Model(_) => f.write_str("a model of its own"),
        }
    }
}

impl WorldConfig {
    /// Two hosts on a cable that is the same in both directions.
    #[must_use]
    pub fn pair(seed: u64, link: impl Into<Link>) -> Self {
        let link = link.into();
        let cable = NetworkConfig::Cable { hosts: [0, 1], links: [link.clone(), link] };
        Self { seed, hosts: vec![HostConfig::default(); 2], networks: vec![cable] }
    }

    /// So many hosts on one switch, all cables the same.
    #[must_use]
    pub fn star(seed: u64, hosts: usize, link: impl Into<Link>) -> Self {
        let link = link.into();
        let ports = (0..hosts).map(|host| PortConfig { host, up: link.clone(), down: link.clone() }).collect();
        let switch = NetworkConfig::Switch { ports, config: SwitchConfig::default() };
        Self { seed, hosts: vec![HostConfig::default(); hosts], networks: vec![switch] }
    }
}

/// The IPv4 address of a host on a network: 10.`network`.0.1 is the first's.
///
/// # Panics
/// If there are no such numbers: networks to 255, hosts to 65,533.
#[must_use]
pub(super) fn v4(network: usize, host: usize) -> Ip {
    let [high, low] = u16::try_from(host + 1).unwrap().to_be_bytes();
    Ip::v4([10, u8::try_from(network).unwrap(), high, low])
}

/// The IPv6 address of a host on a network: fd00:0:0:`network`::1 is the first's.
///
/// # Panics
/// As [`v4`].
#[must_use]
pub(super) fn v6(network: usize, host: usize) -> Ip {
    let [high, low] = u16::try_from(host + 1).unwrap().to_be_bytes();
    Ip::v6([0xfd, 0, 0, 0, 0, 0, 0, u8::try_from(network).unwrap(), 0, 0, 0, 0, 0, 0, high, low])
}
