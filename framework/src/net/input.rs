//! The way in: from a received frame to the engine that its packet is for. Packets to us alone without options go
//! straight down this file; whatever else there is branches off.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use super::checksum::{self, ChecksumSpec};
use super::claim::{EngineIndex, IpClaim};
use super::drops::DropReason;
use super::ethernet::{self, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Link};
use super::ip::{self, IpHeader};
use super::packet::{Input, Packet, Unreachable};
use super::udp::{UDP, UDP_HEADER_BYTES};
use super::{Net, NetifId, ipv4, ipv6};
use crate::addr::Endpoint;
use crate::frame::{Checksum, Frame};
use crate::time::Instant;

/// What is known of a packet whose IP header was read: its frame begins at the transport header.
pub(super) struct Arrival {
    pub(super) netif: NetifId,
    pub(super) header: IpHeader,
    /// To a multicast or broadcast address.
    pub(super) group: bool,
    pub(super) frame: Frame,
}

impl Net {
    /// Takes in one frame as it was received, Ethernet header first. Whatever is wrong with it, it is dropped and
    /// counted; ARP, neighbour discovery and echo are answered inside.
    pub fn input(&mut self, now: Instant, netif: NetifId, frame: Frame) -> Input {
        let mut straight = None;
        match self.input_to(now, netif, frame, |engine, packet| straight = Some((engine, packet))) {
            Input::Done => straight.map_or(Input::Done, |(engine, packet)| Input::Packet(engine, packet)),
            other => other,
        }
    }

    /// The same, but a packet that goes straight down is handed to `deliver`, which puts it where it stays: it is large, and
    /// moved twice it would cost more than all that is looked at in it.
    #[inline]
    pub(crate) fn input_to(
        &mut self,
        now: Instant,
        netif: NetifId,
        frame: Frame,
        deliver: impl FnOnce(EngineIndex, Packet),
    ) -> Input {
        self.now = now;
        let Some(interface) = self.netifs.get(usize::from(netif.0)) else {
            return self.refuse(DropReason("input: no such interface"));
        };
        let link = match ethernet::parse(frame.bytes(), interface.mac, interface.vlan) {
            Ok(link) => link,
            Err(reason) => return self.refuse(reason),
        };
        match link.ethertype {
            ETHERTYPE_IPV4 => match ipv4::parse(frame.bytes().get(link.bytes..).unwrap_or_default()) {
                Ok(header) => self.ip_input(now, netif, link, header, frame, deliver),
                Err(reason) => self.refuse(reason),
            },
            ETHERTYPE_IPV6 => match ipv6::parse(frame.bytes().get(link.bytes..).unwrap_or_default()) {
                Ok(header) => self.ip_input(now, netif, link, header, frame, deliver),
                Err(fault) => self.ipv6_fault(now, netif, link, frame, fault),
            },
            ETHERTYPE_ARP => {
                self.arp_input(now, netif, link, &frame);
                Input::Done
            }
            _ => self.refuse(DropReason("ethernet: unknown type")),
        }
    }

    #[inline(always)] // Twice: each family's checks of addresses fold to their own.
    fn ip_input(
        &mut self,
        now: Instant,
        netif: NetifId,
        link: Link,
        header: IpHeader,
        mut frame: Frame,
        deliver: impl FnOnce(EngineIndex, Packet),
    ) -> Input {
        // RFC 9293: MUST-57, MUST-63.
        if let Err(reason) = ip::check_source(&self.locals, netif, header.src) {
            return self.refuse(reason);
        }
        let group = match ip::check_destination(&self.locals, netif, header.dst) {
            Ok(group) => group,
            Err(reason) => return self.refuse(reason),
        };
        if link.group && !group {
            // RFC 1122 3.3.6: it went to everybody on the link, and each would answer.
            return self.refuse(DropReason("ip: to us alone in a frame to a group"));
        }
        // An IPv6 node without an address may ask whether anybody has the one that it wants (RFC 4862 5.4.2).
        if header.src.is_unspecified() && header.protocol != ICMPV6 {
            return self.refuse(DropReason("ip: source is unspecified"));
        }
        frame.truncate(link.bytes.saturating_add(header.total_bytes));
        frame.trim_front(link.bytes.saturating_add(header.header_bytes));
        // Two arrivals, because the one that goes straight down then need not be put into memory.
        match self.claims.ip(header.protocol) {
            Some(&claim) if header.fragment.is_none() => {
                let arrival = Arrival { netif, header, group, frame };
                match arrival.check(claim.checksum) {
                    Ok(()) => deliver(claim.engine, arrival.into_packet(0, 0, 0)),
                    Err(reason) => return self.refuse(reason),
                }
                Input::Done
            }
            _ => self.branch_off(now, Arrival { netif, header, group, frame }),
        }
    }

    /// What does not go straight down.
    #[inline(never)]
    fn branch_off(&mut self, now: Instant, arrival: Arrival) -> Input {
        if arrival.header.fragment.is_some() { self.fragment_input(now, arrival) } else { self.deliver(now, arrival) }
    }

    /// Hands a whole packet to whoever has claimed it.
    pub(super) fn deliver(&mut self, now: Instant, arrival: Arrival) -> Input {
        match self.claims.ip(arrival.header.protocol) {
            Some(&IpClaim { engine, checksum }) => match arrival.check(checksum) {
                Ok(()) => Input::Packet(engine, arrival.into_packet(0, 0, 0)),
                Err(reason) => self.refuse(reason),
            },
            None => self.deliver_own(now, arrival),
        }
    }

    /// The protocols that the framework knows: UDP as an envelope, and ICMP.
    #[inline]
    fn deliver_own(&mut self, now: Instant, arrival: Arrival) -> Input {
        match (arrival.header.protocol, arrival.header.dst.is_v4()) {
            (UDP, _) => self.udp_input(now, arrival),
            (ICMPV4, true) => self.icmp4_input(now, arrival),
            (ICMPV6, false) => self.icmp6_input(now, arrival),
            // RFC 8200 4.7: nothing follows, and nobody is to be told so.
            (NO_NEXT_HEADER, false) => self.refuse(DropReason("ipv6: no next header")),
            _ => {
                self.drops.add(DropReason("ip: nobody claims the protocol"));
                self.send_unreachable(now, arrival, Unreachable::Protocol);
                Input::Done
            }
        }
    }

    #[inline]
    fn udp_input(&mut self, now: Instant, mut arrival: Arrival) -> Input {
        let Some(udp) = arrival.frame.bytes().first_chunk::<UDP_HEADER_BYTES>() else {
            return self.refuse(DropReason("udp: truncated"));
        };
        let (source, destination) = (u16::from_be_bytes([udp[0], udp[1]]), u16::from_be_bytes([udp[2], udp[3]]));
        let bytes = usize::from(u16::from_be_bytes([udp[4], udp[5]]));
        let no_checksum = [udp[6], udp[7]] == [0, 0];
        if bytes < UDP_HEADER_BYTES || bytes > arrival.frame.len() {
            return self.refuse(DropReason("udp: length"));
        }
        arrival.frame.truncate(bytes);
        if no_checksum {
            // RFC 768: none was computed. RFC 8200 8.1: over IPv6 that is not allowed.
            if !arrival.header.src.is_v4() {
                return self.refuse(DropReason("udp: no checksum over IPv6"));
            }
        } else if !arrival.checksum_holds() {
            return self.refuse(DropReason("udp: checksum"));
        }
        let Some(engine) = self.udp_ports.lookup(destination) else {
            self.drops.add(DropReason("udp: nobody has the port"));
            self.send_unreachable(now, arrival, Unreachable::Port);
            return Input::Done;
        };
        Input::Packet(engine, arrival.into_packet(source, destination, UDP_HEADER_BYTES))
    }

    #[cold]
    pub(super) fn refuse(&mut self, reason: DropReason) -> Input {
        self.drops.add(reason);
        Input::Done
    }
}

impl Arrival {
    /// Whether an engine takes it that keeps its checksum there.
    #[inline(always)]
    fn check(&self, checksum: Option<ChecksumSpec>) -> Result<(), DropReason> {
        if self.group {
            return Err(DropReason("ip: transport packet to a group"));
        }
        if let Some(ChecksumSpec { field }) = checksum {
            if self.frame.len() < usize::from(field) + 2 {
                return Err(DropReason("transport: truncated"));
            }
            if !self.checksum_holds() {
                return Err(DropReason("transport: checksum"));
            }
        }
        Ok(())
    }

    /// Whether the transport checksum is right, or need not be looked at: a device did, or no wire was crossed.
    #[inline(always)]
    pub(super) fn checksum_holds(&self) -> bool {
        match self.frame.meta.checksum {
            Checksum::Good | Checksum::Partial => true,
            Checksum::Unverified => {
                let IpHeader { src, dst, protocol, .. } = self.header;
                let addresses = checksum::addresses_sum(src, dst);
                checksum::verifies(checksum::pseudo_sum(addresses, protocol, self.frame.len()), self.frame.bytes())
            }
        }
    }

    #[inline(always)]
    fn into_packet(self, source: u16, destination: u16, envelope_bytes: usize) -> Packet {
        let Self { netif, header, mut frame, .. } = self;
        frame.trim_front(envelope_bytes);
        Packet {
            frame,
            src: Endpoint::new(header.src, source),
            dst: Endpoint::new(header.dst, destination),
            ecn: header.traffic_class & 3,
            hop_limit: header.hop_limit,
            netif: netif.0,
            ip_header_bytes: header.header_bytes.saturating_add(envelope_bytes) as u16,
        }
    }
}

pub(crate) const ICMPV4: u8 = 1;
pub(crate) const ICMPV6: u8 = 58;
const NO_NEXT_HEADER: u8 = 59;
