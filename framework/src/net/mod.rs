//! The network layer of one lane: from Ethernet to the transport header, and back. [`Net`] knows addresses, routes,
//! neighbours and paths, validates what comes in ([`Net::input`]) and is the one door out ([`TxBatch`]). It does no I/O:
//! frames come as arguments and leave through [`Net::outbox`], the time is what the caller says.
//!
//! Not here: which IP protocols mean what. A transport claims a number and says where its checksum stands; UDP is known
//! as an envelope for transports. Of the hosts' own protocols these are spoken: ARP (RFC 826), neighbour discovery of
//! IPv6 without router discovery, redirects and duplicate address detection (RFC 4861; routes are configured), ICMP
//! (RFC 792, RFC 4443), fragmentation and reassembly. Groups are neither joined nor reported (IGMP, MLD): a switch that
//! snoops on MLD may keep neighbour solicitations from us.

mod arp;
mod checksum;
mod claim;
mod control;
mod cut;
mod drops;
mod egress;
mod emit;
mod ethernet;
mod express;
mod fragment;
mod header;
mod icmp;
mod input;
mod ip;
mod ipv4;
mod ipv6;
mod local;
mod lru;
mod ndp;
mod neighbour;
mod netif;
mod packet;
mod path;
mod rate;
mod route;
mod udp;

pub use checksum::ChecksumSpec;
pub use claim::{Claim, DuplicateClaim, Encapsulation, EngineIndex};
pub use drops::{Counters, DropReason};
pub use egress::{SegmentAt, TxBatch, TxInfo, TxStop};
pub use fragment::FragmentLimits;
pub use neighbour::{NeighbourChange, NeighbourId};
pub use netif::{InterfaceConfig, NetifId};
pub use packet::{Input, Packet, QUOTE_BYTES_MAX, Quote, Trouble, Unreachable};
pub use path::{PathId, PathInfo};
pub use rate::TokenBucket;
pub use route::RouteError;
pub use udp::{PortTaken, UDP, UDP_HEADER_BYTES, UdpPorts};

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use crate::addr::{Ip, Mac};
use crate::driver::{Capabilities, ProtocolSet};
use crate::frame::{Frame, FramePool, PoolConfig};
use crate::time::{Duration, Instant};
use claim::Claims;
use control::{Next, Way};
use fragment::Reassembly;
use header::HeaderTemplate;
use local::{LocalAddress, LocalAddresses};
use neighbour::{NeighbourLimits, Neighbours, Solicit};
use netif::Netif;
use path::{Hop, NewPath, Paths};
use route::{Route, Routes};

/// Bounds and timers of a [`Net`].
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Neighbours known at once.
    pub neighbours_max: usize,
    /// Paths known at once: flows with different peers, and a cache of others.
    pub paths_max: usize,
    /// Bounds of reassembly.
    pub fragments: FragmentLimits,
    /// ICMP errors sent a second, and as many at once.
    pub icmp_per_second: u32,
    /// Time between two questions to a neighbour; it is asked three times.
    pub neighbour_retransmit: Duration,
    /// How long a neighbour's answer is believed without asking again.
    pub neighbour_reachable: Duration,
    /// Hop limit and time to live of packets for which the transport sets none. RFC 9293: MUST-49.
    pub hop_limit: u8,
    /// Largest IP packet on the own loopback, bytes.
    pub loopback_mtu: u32,
    /// Frames of the own loopback, waiting or in use.
    pub loopback_frames: u32,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            neighbours_max: 512,
            paths_max: 65_536,
            fragments: FragmentLimits::default(),
            icmp_per_second: 100,
            neighbour_retransmit: Duration::from_secs(1),
            neighbour_reachable: Duration::from_secs(30),
            hop_limit: 64,
            loopback_mtu: 16_384,
            loopback_frames: 512,
        }
    }
}

/// One lane's network layer. Like everything of a lane it stays on its thread.
pub struct Net {
    config: NetConfig,
    /// The latest time that a caller brought.
    now: Instant,
    netifs: Vec<Netif>,
    locals: LocalAddresses,
    routes: Routes,
    neighbours: Neighbours,
    paths: Paths,
    claims: Claims,
    udp_ports: UdpPorts,
    reassembly: Reassembly,
    drops: Counters,
    icmp_errors: TokenBucket,
    defence: TokenBucket,
    random: ChaCha8Rng,
    fragment_ident: u32,
    /// The path asked for last: a transport with many peers still mostly asks for the same one again.
    last_path: Option<(Option<Ip>, Ip, PathId)>,
    /// Kept for their capacity.
    scratch: Vec<u8>,
    control: Vec<Frame>,
    asked: Vec<Solicit>,
}

impl Net {
    /// A network layer with nothing but its own loopback. The same seed and calls give the same bytes.
    #[must_use]
    pub fn new(config: NetConfig, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut keys = || (random.next_u64(), random.next_u64());
        let limits = NeighbourLimits {
            entries_max: config.neighbours_max,
            retransmit: config.neighbour_retransmit,
            reachable: config.neighbour_reachable,
        };
        let (neighbours, paths) = (Neighbours::new(limits, keys()), Paths::new(config.paths_max, keys()));
        let mut net = Self {
            now: Instant::ZERO,
            netifs: Vec::new(),
            locals: LocalAddresses::new(),
            routes: Routes::default(),
            neighbours,
            paths,
            claims: Claims::new(),
            udp_ports: UdpPorts::new(),
            reassembly: Reassembly::new(config.fragments),
            drops: Counters::default(),
            icmp_errors: TokenBucket::new(config.icmp_per_second, config.icmp_per_second),
            defence: TokenBucket::new(1, 1),
            fragment_ident: random.next_u32(),
            random,
            last_path: None,
            scratch: Vec::new(),
            control: Vec::new(),
            asked: Vec::new(),
            config,
        };
        net.add_loopback();
        net
    }

    fn add_loopback(&mut self) {
        let NetConfig { loopback_mtu, loopback_frames, .. } = self.config;
        let mtu = loopback_mtu.clamp(path::IPV6_MTU_MIN, 65_535);
        let pool = FramePool::new(PoolConfig { slots: loopback_frames.max(1), slot_bytes: mtu + 256, headroom: 128 });
        // What leaves here arrives here: a checksum would be computed and verified by the same hands.
        let caps = Capabilities { mac: Mac::default(), mtu, tx_checksum: true, segments: ProtocolSet::NONE };
        let mut netif = Netif::new(caps, pool, None, &InterfaceConfig::default());
        netif.room = loopback_frames.max(1) as usize;
        self.netifs.push(netif);
        let mut v6 = [0; 16];
        v6[15] = 1;
        for (ip, prefix_bits) in [(Ip::v4([127, 0, 0, 1]), 8), (Ip::v6(v6), 128)] {
            self.locals.add(LocalAddress { ip, netif: NetifId::LOOPBACK.0, prefix_bits, broadcast: false });
        }
    }

    /// Adds an interface: a device's capabilities, the memory for its frames (`large` for frames beyond the slots of
    /// `pool`, if the device cuts segments), and our place in its network.
    pub fn add_interface(
        &mut self,
        caps: Capabilities,
        pool: FramePool,
        large: Option<FramePool>,
        config: InterfaceConfig,
    ) -> NetifId {
        let id = NetifId(u16::try_from(self.netifs.len()).unwrap_or(u16::MAX));
        let [a, b, c, d, e, f] = caps.mac.0;
        self.netifs.push(Netif::new(caps, pool, large, &config));
        // RFC 4291 appendix A: the universal bit turned over, ff:fe in the middle.
        let link_local = Ip::v6([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
        for (ip, prefix_bits) in config.addresses.into_iter().chain([(link_local, 64)]) {
            self.locals.add(LocalAddress { ip, netif: id.0, prefix_bits, broadcast: false });
            // A full table of networks leaves the address reachable by other routes.
            let _ = self.routes.add(Route { network: ip, prefix_bits, gateway: None, netif: id.0 });
            if ip.is_v4() && prefix_bits <= 30 {
                let host = u32::MAX.checked_shr(prefix_bits.into()).unwrap_or(0);
                let all_ones = Ip::v4((u32::from_be_bytes(ip.octets4()) | host).to_be_bytes());
                self.locals.add(LocalAddress { ip: all_ones, netif: id.0, prefix_bits, broadcast: true });
            }
        }
        id
    }

    /// Adds a route to `network` through `gateway`, a neighbour on one of our links. 0 bits make a default route. Paths
    /// that exist keep the route they have.
    ///
    /// # Errors
    /// [`RouteError::NoRoute`] if the gateway is on none of our links, [`RouteError::TableFull`].
    pub fn add_route(&mut self, network: Ip, prefix_bits: u8, gateway: Ip) -> Result<(), RouteError> {
        let on_link = self.routes.lookup(gateway, None).filter(|route| route.gateway.is_none());
        let netif = on_link.ok_or(RouteError::NoRoute)?.netif;
        self.routes.add(Route { network, prefix_bits, gateway: Some(gateway), netif })
    }

    /// Gives an engine what it claims from now on.
    ///
    /// # Errors
    /// [`DuplicateClaim`]. UDP may be claimed by many, each has its ports.
    pub fn register(&mut self, engine: EngineIndex, claim: Claim) -> Result<(), DuplicateClaim> {
        self.claims.add(engine, claim)
    }

    /// The UDP ports of this host.
    #[must_use]
    pub fn udp_ports(&self) -> &UdpPorts {
        &self.udp_ports
    }

    /// Shares the UDP ports of another lane of the same host. For before the first claim.
    pub fn set_udp_ports(&mut self, ports: UdpPorts) {
        self.udp_ports = ports;
    }

    /// Whether `ip` is an address of this host.
    #[must_use]
    pub fn is_local(&self, ip: Ip) -> bool {
        self.locals.contains(ip) || ip.is_loopback()
    }

    /// The path to `remote`, from `local` or from the address that suits best. The same question gives the same path for
    /// as long as somebody [holds](Self::hold) it; others may be forgotten.
    ///
    /// # Errors
    /// [`RouteError`].
    #[inline]
    pub fn path(&mut self, now: Instant, local: Option<Ip>, remote: Ip) -> Result<PathId, RouteError> {
        self.now = now;
        match self.last_path {
            Some((l, r, id)) if r == remote && l == local && self.paths.get(id).is_some() => Ok(id),
            _ => self.find_path(local, remote),
        }
    }

    fn find_path(&mut self, local: Option<Ip>, remote: Ip) -> Result<PathId, RouteError> {
        let known = local.and_then(|local| self.paths.find(local, remote));
        let id = match known {
            Some(id) => id,
            None => {
                let way = self.way(local, remote)?;
                match self.paths.find(way.local, remote) {
                    Some(id) => id,
                    None => self.make_path(&way)?,
                }
            }
        };
        self.last_path = Some((local, remote, id));
        Ok(id)
    }

    fn make_path(&mut self, way: &Way) -> Result<PathId, RouteError> {
        let Way { netif, local, remote, next } = *way;
        let interface = self.netifs.get(usize::from(netif)).ok_or(RouteError::NoRoute)?;
        let mut template = HeaderTemplate::new(interface.mac, interface.vlan, local, remote);
        let mtu = interface.mtu;
        let hop = match next {
            Next::Fixed(mac) => {
                template.set_destination(mac);
                Hop::Fixed
            }
            Next::Neighbour(ip) => {
                Hop::Neighbour { ip, id: self.neighbours.intern(netif, ip).ok_or(RouteError::TableFull)? }
            }
        };
        let ident = self.random.next_u32() as u16;
        self.paths.insert(NewPath { local, remote, hop, template, mtu, netif, ident })
    }

    /// Keeps a path, and its neighbour, from being forgotten. Each hold is [released](Self::release) once.
    pub fn hold(&mut self, path: PathId) {
        if let Some(Hop::Neighbour { id, .. }) = self.paths.hold(path) {
            self.neighbours.hold(id);
        }
    }

    /// Ends one hold.
    pub fn release(&mut self, path: PathId) {
        if let Some(Hop::Neighbour { id, .. }) = self.paths.release(path) {
            self.neighbours.release(id);
        }
    }

    /// What is known of a path; `None` if it is gone.
    #[must_use]
    pub fn path_info(&self, path: PathId) -> Option<PathInfo> {
        let path = self.paths.get(path)?;
        let netif = self.netifs.get(usize::from(path.netif))?;
        let neighbour = match path.hop {
            Hop::Fixed => None,
            Hop::Neighbour { id, .. } => Some(id),
        };
        Some(PathInfo {
            local: path.local,
            remote: path.remote,
            mtu: path.mtu,
            ip_header_bytes: path.template.ip_bytes() as u16,
            netif: NetifId(path.netif),
            neighbour,
            resolved: neighbour.is_none_or(|id| self.neighbours.is_resolved(id)),
            device_segments: netif.caps.segments,
            loopback: path.netif == NetifId::LOOPBACK.0,
        })
    }

    /// Believes for ten minutes that packets on `path` may have at most `mtu` bytes (RFC 1191, RFC 8201): at least 68
    /// for IPv4 and 1,280 for IPv6, and never more than before.
    pub fn lower_mtu(&mut self, path: PathId, mtu: u32) {
        self.paths.lower_mtu(path, mtu, self.now);
    }

    /// Opens the door out for one engine.
    pub fn batch(&mut self, now: Instant, encapsulation: Encapsulation) -> TxBatch<'_> {
        self.now = now;
        TxBatch::new(self, now, encapsulation)
    }

    /// The frames that wait for an interface's driver: what it takes from the front is sent.
    ///
    /// # Panics
    /// If there is no such interface.
    #[expect(clippy::indexing_slicing, reason = "the names of interfaces are made by `add_interface`; documented")]
    pub fn outbox(&mut self, netif: NetifId) -> &mut Vec<Frame> {
        &mut self.netifs[usize::from(netif.0)].outbox
    }

    /// Says how many frames an interface's outbox may hold: what its driver would take now. Until it is said, nothing is
    /// built.
    pub fn set_room(&mut self, netif: NetifId, frames: usize) {
        if let Some(netif) = self.netifs.get_mut(usize::from(netif.0)).filter(|_| netif != NetifId::LOOPBACK) {
            netif.room = frames;
        }
    }

    /// Says whether an interface's link is up. A link that goes down loses the frames that wait for it.
    pub fn set_link(&mut self, netif: NetifId, up: bool) {
        let Some(netif) = self.netifs.get_mut(usize::from(netif.0)).filter(|_| netif != NetifId::LOOPBACK) else {
            return;
        };
        netif.up = up;
        if !up {
            self.drops.add_many(DropReason("egress: link went down"), netif.outbox.len() as u64);
            netif.outbox.clear();
        }
    }

    /// Appends the frames that this host sent to itself, to be given to [`input`](Self::input) with
    /// [`NetifId::LOOPBACK`]. Once a turn: what is sent meanwhile comes the next time.
    pub fn loopback(&mut self, frames: &mut Vec<Frame>) {
        frames.append(self.outbox(NetifId::LOOPBACK));
    }

    /// Whether any device would take a frame: if none does, building packets is in vain, but for the own loopback, which
    /// counts only where there is nothing else.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let devices = self.netifs.get(1..).filter(|devices| !devices.is_empty()).unwrap_or(&self.netifs);
        devices.iter().any(Netif::has_room)
    }

    /// Whether [`loopback`](Self::loopback) has something.
    #[must_use]
    pub fn has_loopback(&self) -> bool {
        self.netifs.first().is_some_and(|netif| !netif.outbox.is_empty())
    }

    /// Appends what became of neighbours since the last call. Flows that wait for one are woken by it.
    pub fn neighbour_changes(&mut self, out: &mut Vec<NeighbourChange>) {
        self.neighbours.take_changes(out);
    }

    /// Does what is due: questions repeated, waiting given up, fragments and MTUs forgotten.
    pub fn on_timers(&mut self, now: Instant) {
        self.now = now;
        let mut asked = std::mem::take(&mut self.asked);
        let lost = self.neighbours.on_timers(now, &mut asked);
        self.drops.add_many(DropReason("control: neighbour did not answer"), lost);
        for solicit in asked.drain(..) {
            self.solicit(now, solicit);
        }
        self.asked = asked;
        self.paths.on_timers(now);
        self.fragment_timers(now);
    }

    /// When [`on_timers`](Self::on_timers) has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let all = [self.neighbours.next_deadline(), self.paths.next_deadline(), self.reassembly.next_deadline()];
        all.into_iter().flatten().min()
    }

    /// Paths that somebody holds.
    #[cfg(test)]
    pub(crate) fn held_paths(&self) -> usize {
        self.paths.held()
    }

    /// Drops, by reason.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.drops
    }
}

#[cfg(test)]
mod tests;
