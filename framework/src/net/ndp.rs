//! Neighbour discovery of IPv6, the part about addresses (RFC 4861 7): solicitations answered and sent, advertisements
//! taken for neighbours already known. Nothing that was forwarded is believed (hop limit 255). Routers are not discovered:
//! their messages, and redirects, are counted and ignored.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use pnet_packet::icmpv6::ndp::{NdpOptionTypes, NeighborAdvertPacket, NeighborSolicitPacket};

use super::control::{Next, Way};
use super::drops::DropReason;
use super::ethernet::group_address;
use super::input::Arrival;
use super::neighbour::Solicit;
use super::{Net, NetifId, icmp};
use crate::addr::{Ip, Mac};
use crate::time::Instant;

impl Net {
    /// One message of types 133 to 137 whose checksum was verified.
    pub(super) fn ndp_input(&mut self, now: Instant, arrival: &Arrival, kind: u8, code: u8) -> Result<(), DropReason> {
        if arrival.header.hop_limit != HOP_LIMIT {
            return Err(DropReason("ndp: hop limit"));
        }
        if code != 0 {
            return Err(DropReason("ndp: code"));
        }
        match kind {
            SOLICITATION => self.solicitation(now, arrival),
            ADVERTISEMENT => self.advertisement(now, arrival),
            _ => Err(DropReason("ndp: ignored type")),
        }
    }

    fn solicitation(&mut self, now: Instant, arrival: &Arrival) -> Result<(), DropReason> {
        let bytes = arrival.frame.bytes();
        let message = NeighborSolicitPacket::new(bytes).ok_or(DropReason("ndp: truncated"))?;
        let link_address = link_address(bytes, NdpOptionTypes::SourceLLAddr.0)?;
        let (src, target) = (arrival.header.src, Ip::from(message.get_target_addr()));
        if target.is_multicast() {
            return Err(DropReason("ndp: target is a group"));
        }
        if self.locals.find(target).is_none_or(|a| a.netif != arrival.netif.0) {
            return Err(DropReason("ndp: not about us"));
        }
        let probe = src.is_unspecified();
        if probe && (link_address.is_some() || arrival.header.dst != solicited_node(target)) {
            // RFC 4861 7.1.1.
            return Err(DropReason("ndp: solicitation from nowhere"));
        }
        if !probe && let Some(mac) = link_address {
            if self.neighbours.intern(arrival.netif.0, src).is_none() {
                self.drops.add(DropReason("ndp: neighbour cache is full"));
            }
            self.learn(now, arrival.netif, src, mac, false);
        }
        // To one who has no address yet, everybody is told; he is not one who asked (RFC 4861 7.2.4).
        let (to, flags) = if probe { (ALL_NODES, OVERRIDE) } else { (src, SOLICITED | OVERRIDE) };
        self.send_ndp(
            now,
            arrival.netif,
            Message { kind: ADVERTISEMENT, flags, target, from: target, to, mac: link_address },
        );
        Ok(())
    }

    fn advertisement(&mut self, now: Instant, arrival: &Arrival) -> Result<(), DropReason> {
        let bytes = arrival.frame.bytes();
        let message = NeighborAdvertPacket::new(bytes).ok_or(DropReason("ndp: truncated"))?;
        let link_address = link_address(bytes, NdpOptionTypes::TargetLLAddr.0)?;
        let (target, flags) = (Ip::from(message.get_target_addr()), message.get_flags());
        let solicited = flags & SOLICITED != 0;
        if target.is_multicast() || (solicited && arrival.group) {
            return Err(DropReason("ndp: advertisement"));
        }
        if self.locals.contains(target) {
            return Err(DropReason("ndp: somebody has our address"));
        }
        let Some(id) = self.neighbours.find(arrival.netif.0, target) else {
            return Err(DropReason("ndp: advertisement of a stranger"));
        };
        let known = self.neighbours.mac(id);
        let Some(mac) = link_address.or(known) else { return Err(DropReason("ndp: advertisement without address")) };
        // RFC 4861 7.2.5: without the override flag, what is known is not replaced.
        if flags & OVERRIDE == 0 && known.is_some_and(|known| known != mac) {
            return Err(DropReason("ndp: advertisement would override"));
        }
        self.learn(now, arrival.netif, target, mac, solicited);
        Ok(())
    }

    /// Puts a question about an IPv6 neighbour on its link.
    pub(super) fn ndp_solicit(&mut self, now: Instant, solicit: Solicit) {
        let Solicit { netif, target, unicast } = solicit;
        let Some(from) = self.locals.source_for(netif, target) else { return };
        let to = if unicast.is_some() { target } else { solicited_node(target) };
        self.send_ndp(now, NetifId(netif), Message { kind: SOLICITATION, flags: 0, target, from, to, mac: unicast });
    }

    fn send_ndp(&mut self, now: Instant, netif: NetifId, message: Message) {
        let Some(interface) = self.netifs.get(usize::from(netif.0)) else { return };
        let next = match message.mac {
            Some(mac) => Next::Fixed(mac),
            None if message.to.is_multicast() => Next::Fixed(group_address(message.to)),
            None => Next::Neighbour(message.to),
        };
        let way = Way { netif: netif.0, local: message.from, remote: message.to, next };
        let [a, b, c, d, e, f] = interface.mac.0;
        let option =
            if message.kind == SOLICITATION { NdpOptionTypes::SourceLLAddr } else { NdpOptionTypes::TargetLLAddr };
        let mut bytes = [0; MESSAGE_BYTES];
        let parts = [
            &[message.kind, 0, 0, 0, message.flags, 0, 0, 0][..],
            &message.target.octets(),
            &[option.0, 1, a, b, c, d, e, f],
        ];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        let protocol = icmp::seal(way.local, way.remote, &mut bytes);
        self.send_ip(now, &way, protocol, HOP_LIMIT, &bytes);
    }
}

/// A solicitation or an advertisement to send.
struct Message {
    kind: u8,
    flags: u8,
    target: Ip,
    from: Ip,
    to: Ip,
    /// The neighbour's link address, if it is not to be looked up.
    mac: Option<Mac>,
}

/// The link-layer address among the options behind a 24-byte message. All options are checked (RFC 4861 7.1).
fn link_address(message: &[u8], kind: u8) -> Result<Option<Mac>, DropReason> {
    let mut rest = message.get(24..).ok_or(DropReason("ndp: truncated"))?;
    let mut found = None;
    while let [this, length, ..] = *rest {
        let bytes = usize::from(length) * 8;
        let option = rest.get(..bytes).filter(|option| !option.is_empty()).ok_or(DropReason("ndp: option length"))?;
        if let ([_, _, a, b, c, d, e, f], true) = (option, this == kind) {
            let mac = Mac([*a, *b, *c, *d, *e, *f]);
            if mac.is_multicast() {
                return Err(DropReason("ndp: link address is a group's"));
            }
            found = found.or(Some(mac));
        }
        rest = rest.get(bytes..).unwrap_or_default();
    }
    if rest.is_empty() { Ok(found) } else { Err(DropReason("ndp: option length")) }
}

/// The group that the owner of an address listens to for questions about it (RFC 4291 2.7.1).
fn solicited_node(ip: Ip) -> Ip {
    let [.., a, b, c] = ip.octets();
    Ip::v6([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

const ALL_NODES: Ip = Ip::v6([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Flags of an advertisement.
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
/// What no router has decremented.
const HOP_LIMIT: u8 = 255;
/// Header, target, one option.
const MESSAGE_BYTES: usize = 32;
