//! Paths: a route that was looked up once, with everything that packets along it share: interface, source address, next
//! hop, MTU (RFC 1191, RFC 8201) and finished headers. Flows hold the path they use; the others are a cache.

use std::collections::VecDeque;
use std::hash::Hasher;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::header::HeaderTemplate;
use super::lru::LruList;
use super::neighbour::NeighbourId;
use super::{NetifId, RouteError};
use crate::addr::Ip;
use crate::driver::ProtocolSet;
use crate::time::{Duration, Instant};

/// Names a path of one lane. Cheap to copy; a name whose path was evicted is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// What a transport may know of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// Our address.
    pub local: Ip,
    /// The peer's.
    pub remote: Ip,
    /// Largest IP packet, bytes, header included.
    pub mtu: u32,
    /// Bytes of the IP header that each packet gets.
    pub ip_header_bytes: u16,
    /// The interface that packets leave by.
    pub netif: NetifId,
    /// The next hop, where one has to be asked for; flows that wait wait for it.
    pub neighbour: Option<NeighbourId>,
    /// Whether packets can be sent now, without asking for the next hop first.
    pub resolved: bool,
    /// The IP protocols whose large frames the device cuts.
    pub device_segments: ProtocolSet,
    /// Whether it ends in this host.
    pub loopback: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Hop {
    /// The template has its address: a group, or ourselves.
    Fixed,
    Neighbour {
        ip: Ip,
        id: NeighbourId,
    },
}

/// For how long the next hop that a template has is the right one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HopKnown {
    /// Of the neighbours' table, when it was asked.
    pub(crate) epoch: u32,
    pub(crate) until: Instant,
}

impl HopKnown {
    #[inline]
    pub(crate) fn holds(self, epoch: u32, now: Instant) -> bool {
        now < self.until && (self.epoch == epoch || self.until == Instant::NEVER)
    }
}

pub(crate) struct Path {
    pub(crate) local: Ip,
    pub(crate) remote: Ip,
    pub(crate) hop: Hop,
    pub(crate) hop_known: HopKnown,
    pub(crate) template: HeaderTemplate,
    pub(crate) mtu: u32,
    pub(crate) netif: u16,
    /// IPv4 identification of the next packet: unique enough per address pair (RFC 6864 4).
    pub(crate) ident: u16,
    generation: u32,
    holds: u32,
    /// Without what errors said.
    pub(crate) link_mtu: u32,
    lowered: bool,
}

/// What a new path is made of.
pub(crate) struct NewPath {
    pub(crate) local: Ip,
    pub(crate) remote: Ip,
    pub(crate) hop: Hop,
    pub(crate) template: HeaderTemplate,
    pub(crate) mtu: u32,
    pub(crate) netif: u16,
    pub(crate) ident: u16,
}

pub(crate) struct Paths {
    entries: Vec<Path>,
    by_addresses: HashTable<u32>,
    keys: (u64, u64),
    idle: LruList,
    /// What `find` found last.
    found_last: u32,
    paths_max: usize,
    /// Lowered MTUs in the order in which they will be forgotten; at most one for each path.
    lowered: VecDeque<(Instant, PathId)>,
}

impl Paths {
    pub(crate) fn new(paths_max: usize, keys: (u64, u64)) -> Self {
        Self {
            entries: Vec::new(),
            by_addresses: HashTable::new(),
            keys,
            idle: LruList::default(),
            found_last: 0,
            paths_max,
            lowered: VecDeque::new(),
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: PathId) -> Option<&Path> {
        self.entries.get(id.index as usize).filter(|path| path.generation == id.generation)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: PathId) -> Option<&mut Path> {
        self.entries.get_mut(id.index as usize).filter(|path| path.generation == id.generation)
    }

    /// The path between two addresses, if it is known; an idle one becomes the last to be evicted.
    pub(crate) fn find(&mut self, local: Ip, remote: Ip) -> Option<PathId> {
        let same = |i: &u32| self.entries.get(*i as usize).is_some_and(|p| p.remote == remote && p.local == local);
        // Connections come and go between the same hosts: mostly it is the path of last time.
        let index = if same(&self.found_last) {
            self.found_last
        } else {
            *self.by_addresses.find(hash(self.keys, local, remote), same)?
        };
        self.found_last = index;
        let path = self.entries.get(index as usize)?;
        if path.holds == 0 {
            self.idle.touch(index);
        }
        Some(PathId { index, generation: path.generation })
    }

    /// Adds a path that is not known yet, in the place of the one unused for longest if there are too many.
    pub(crate) fn insert(&mut self, new: NewPath) -> Result<PathId, RouteError> {
        let index = if self.entries.len() < self.paths_max {
            self.entries.len() as u32
        } else {
            self.evict().ok_or(RouteError::TableFull)?
        };
        let generation = self.entries.get(index as usize).map_or(0, |old| old.generation.wrapping_add(1));
        let NewPath { local, remote, hop, template, mtu, netif, ident } = new;
        let until = match hop {
            Hop::Fixed => Instant::NEVER,
            Hop::Neighbour { .. } => Instant::ZERO,
        };
        let path = Path {
            local,
            remote,
            hop,
            hop_known: HopKnown { epoch: 0, until },
            template,
            mtu,
            netif,
            ident,
            generation,
            holds: 0,
            link_mtu: mtu,
            lowered: false,
        };
        match self.entries.get_mut(index as usize) {
            Some(place) => *place = path,
            None => self.entries.push(path),
        }
        let (entries, keys) = (&self.entries, self.keys);
        self.by_addresses.insert_unique(hash(keys, local, remote), index, |i| {
            entries.get(*i as usize).map_or(0, |p| hash(keys, p.local, p.remote))
        });
        self.idle.touch(index);
        Ok(PathId { index, generation })
    }

    /// One more flow uses it. Returns the hop if this is the first.
    pub(crate) fn hold(&mut self, id: PathId) -> Option<Hop> {
        let path = self.get_mut(id)?;
        path.holds = path.holds.saturating_add(1);
        let first = (path.holds == 1).then_some(path.hop);
        self.idle.remove(id.index);
        first
    }

    /// One flow less uses it. Returns the hop if that was the last.
    pub(crate) fn release(&mut self, id: PathId) -> Option<Hop> {
        let path = self.get_mut(id).filter(|path| path.holds > 0)?;
        path.holds = path.holds.saturating_sub(1);
        let last = (path.holds == 0).then_some(path.hop);
        if last.is_some() {
            self.idle.touch(id.index);
        }
        last
    }

    pub(crate) fn is_held(&self, id: PathId) -> bool {
        self.get(id).is_some_and(|path| path.holds > 0)
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.entries.iter().filter(|path| path.holds > 0).count()
    }

    /// Believes a smaller MTU for ten minutes.
    pub(crate) fn lower_mtu(&mut self, id: PathId, mtu: u32, now: Instant) {
        let Some(path) = self.get_mut(id) else { return };
        let floor = if path.template.is_v4() { IPV4_MTU_MIN } else { IPV6_MTU_MIN };
        let mtu = mtu.max(floor);
        if mtu >= path.mtu {
            return;
        }
        path.mtu = mtu;
        if !std::mem::replace(&mut path.lowered, true) {
            self.lowered.push_back((now + MTU_LOWERED, id));
        }
    }

    /// Forgets lowered MTUs whose time is over, so that a larger one is tried again (RFC 1191 6.3, RFC 8201 4).
    pub(crate) fn on_timers(&mut self, now: Instant) {
        while let Some((_, id)) = self.lowered.pop_front_if(|(until, _)| *until <= now) {
            if let Some(path) = self.get_mut(id) {
                path.mtu = path.link_mtu;
                path.lowered = false;
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.lowered.front().map(|(until, _)| *until)
    }

    fn evict(&mut self) -> Option<u32> {
        let index = self.idle.oldest()?;
        self.idle.remove(index);
        let path = self.entries.get(index as usize)?;
        let hash = hash(self.keys, path.local, path.remote);
        if let Ok(found) = self.by_addresses.find_entry(hash, |i| *i == index) {
            found.remove();
        }
        if path.lowered {
            self.lowered.retain(|(_, id)| id.index != index);
        }
        Some(index)
    }
}

fn hash(keys: (u64, u64), local: Ip, remote: Ip) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(keys.0, keys.1);
    hasher.write(&local.octets());
    hasher.write(&remote.octets());
    hasher.finish()
}

/// RFC 791 3.2: every link carries 68 bytes.
pub(crate) const IPV4_MTU_MIN: u32 = 68;
/// RFC 8200 5: every link carries 1,280 bytes.
pub(crate) const IPV6_MTU_MIN: u32 = 1280;
/// RFC 1191 6.3 and RFC 8201 4: ten minutes.
const MTU_LOWERED: Duration = Duration::from_secs(600);
