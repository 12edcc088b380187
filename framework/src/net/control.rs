//! What the network layer sends on its own account: questions to neighbours, and IP packets of its own (ICMP). All of it
//! is bounded: so many frames beyond the driver's room, so many parked for a neighbour.

use super::drops::DropReason;
use super::header::{HeaderTemplate, IpFields};
use super::ip::LIMITED_BROADCAST;
use super::neighbour::{NeighbourId, Solicit};
use super::netif::CONTROL_FRAMES_MAX;
use super::path::{Hop, PathId};
use super::{Net, NetifId, RouteError, TxStop, cut, ethernet};
use crate::addr::{Ip, Mac};
use crate::frame::Frame;
use crate::time::Instant;

/// A way to an address: what a path is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) netif: u16,
    pub(super) local: Ip,
    pub(super) remote: Ip,
    pub(super) next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A group of the link, or ourselves: there is nobody to ask for.
    Fixed(Mac),
    /// This neighbour.
    Neighbour(Ip),
}

impl Net {
    /// Finds the way to `remote`, from `local` if that is given.
    pub(super) fn way(&self, local: Option<Ip>, remote: Ip) -> Result<Way, RouteError> {
        let local = local.filter(|ip| !ip.is_unspecified());
        let home = match local {
            Some(ip) if ip.is_v4() != remote.is_v4() => return Err(RouteError::NotLocal),
            Some(ip) => match self.locals.find(ip).filter(|a| !a.broadcast) {
                Some(address) => Some(address.netif),
                None if ip.is_loopback() => Some(NetifId::LOOPBACK.0),
                None => return Err(RouteError::NotLocal),
            },
            None => None,
        };
        if self.locals.contains(remote) || remote.is_loopback() {
            let netif = NetifId::LOOPBACK.0;
            return Ok(Way { netif, local: local.unwrap_or(remote), remote, next: Next::Fixed(Mac::default()) });
        }
        if remote.is_unspecified() || local.is_some_and(Ip::is_loopback) {
            return Err(RouteError::NoRoute);
        }
        let source = |netif| local.or_else(|| self.locals.source_for(netif, remote)).ok_or(RouteError::NoSource);
        if let Some(address) = self.locals.find(remote) {
            let netif = address.netif;
            return Ok(Way { netif, local: source(netif)?, remote, next: Next::Fixed(Mac::BROADCAST) });
        }
        if remote.is_multicast() || remote == LIMITED_BROADCAST {
            let first = (1..self.netifs.len() as u16).find(|netif| source(*netif).is_ok());
            let netif = home.or(first).ok_or(RouteError::NoSource)?;
            return Ok(Way {
                netif,
                local: source(netif)?,
                remote,
                next: Next::Fixed(ethernet::group_address(remote)),
            });
        }
        // A link-local address says which link is meant, on whichever side it stands.
        let scoped = remote.is_link_local() || local.is_some_and(Ip::is_link_local);
        let route = self.routes.lookup(remote, home.filter(|_| scoped)).ok_or(RouteError::NoRoute)?;
        let next = Next::Neighbour(route.gateway.unwrap_or(remote));
        Ok(Way { netif: route.netif, local: source(route.netif)?, remote, next })
    }

    /// Sends an IP packet of our own, in fragments if it is large; it waits if its neighbour has to be asked for.
    /// `payload` is complete, checksum included.
    pub(super) fn send_ip(&mut self, now: Instant, way: &Way, protocol: u8, hop_limit: u8, payload: &[u8]) {
        let (mac, neighbour) = match way.next {
            Next::Fixed(mac) => (Some(mac), None),
            Next::Neighbour(ip) => {
                let Some(id) = self.neighbours.intern(way.netif, ip) else {
                    return self.drops.add(DropReason("control: neighbour cache is full"));
                };
                (self.resolve(now, id), Some(id))
            }
        };
        let Some(netif) = self.netifs.get(usize::from(way.netif)).filter(|netif| netif.up) else {
            return self.drops.add(DropReason("control: interface is down"));
        };
        let mut template = HeaderTemplate::new(netif.mac, netif.vlan, way.local, way.remote);
        template.set_destination(mac.unwrap_or_default());
        self.fragment_ident = self.fragment_ident.wrapping_add(1);
        let (ident, mtu) = (self.fragment_ident, netif.mtu as usize);
        let fields = IpFields { protocol, hop_limit, ..IpFields::default() };
        let mut frames = std::mem::take(&mut self.control);
        if !cut::cut(&template, &fields, ident, mtu, payload, &netif.pool, &mut frames) {
            self.drops.add(DropReason("control: no packet memory"));
        }
        for frame in frames.drain(..) {
            let parked = match (mac, neighbour) {
                (None, Some(id)) => self.neighbours.park(id, frame).is_ok(),
                _ => self.push_control(NetifId(way.netif), frame),
            };
            if !parked {
                self.drops.add(DropReason("control: no room to send"));
            }
        }
        self.control = frames;
    }

    /// The neighbour's address if it is known; asks for it if that is due.
    pub(super) fn resolve(&mut self, now: Instant, id: NeighbourId) -> Option<Mac> {
        let (mac, solicit) = self.neighbours.resolve(id, now);
        if let Some(solicit) = solicit {
            self.solicit(now, solicit);
        }
        mac
    }

    /// The rest of opening a path whose neighbour is not simply there: asks, and finds the neighbour again if it was
    /// evicted since.
    #[cold]
    pub(super) fn resolve_slowly(
        &mut self,
        now: Instant,
        path: PathId,
        ip: Ip,
        found: (Option<Mac>, Option<Solicit>),
    ) -> Result<Mac, TxStop> {
        let (mac, solicit) = found;
        if let Some(solicit) = solicit {
            self.solicit(now, solicit);
        }
        if let Some(mac) = mac {
            return Ok(mac);
        }
        let held = self.paths.is_held(path);
        let path = self.paths.get_mut(path).ok_or(TxStop::NoPath)?;
        // A table full of neighbours in use: nobody would ever say that this one changed, so nobody may wait for it.
        let id = self.neighbours.intern(path.netif, ip).ok_or(TxStop::NoMemory)?;
        if let Hop::Neighbour { id: old, .. } = &mut path.hop
            && *old != id
        {
            *old = id;
            if held {
                self.neighbours.hold(id);
            }
        }
        self.resolve(now, id).ok_or(TxStop::Unresolved)
    }

    pub(super) fn solicit(&mut self, now: Instant, solicit: Solicit) {
        if solicit.target.is_v4() { self.arp_solicit(solicit) } else { self.ndp_solicit(now, solicit) }
    }

    /// Takes up what a neighbour said of itself, and sends what waited for it.
    pub(super) fn learn(&mut self, now: Instant, netif: NetifId, ip: Ip, mac: Mac, answers: bool) {
        let Some(id) = self.neighbours.learn(netif.0, ip, mac, answers, now) else { return };
        while let Some((mut frame, mac)) = self.neighbours.take_parked(id) {
            if let Some(destination) = frame.bytes_mut().first_chunk_mut() {
                *destination = mac.0;
            }
            if !self.push_control(netif, frame) {
                self.drops.add(DropReason("control: no room to send"));
            }
        }
    }

    fn push_control(&mut self, netif: NetifId, frame: Frame) -> bool {
        let Some(netif) = self.netifs.get_mut(usize::from(netif.0)) else { return false };
        let room = netif.up && netif.outbox.len() < netif.room.saturating_add(CONTROL_FRAMES_MAX);
        if room {
            netif.outbox.push(frame);
        }
        room
    }
}
