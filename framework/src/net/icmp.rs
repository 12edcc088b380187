//! ICMP for both families (RFC 792, RFC 1122 3.2.2, RFC 4443): echo answered, errors about packets of ours handed to the
//! engine that sent them, errors about packets of others sent, at a limited rate. Neighbour discovery is `ndp`.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use arrayvec::ArrayVec;

use super::checksum::{self, addresses_sum, pseudo_sum};
use super::cut::FRAGMENT_HEADER;
use super::drops::DropReason;
use super::ethernet::Link;
use super::header::{IPV4_HEADER_BYTES, IPV6_HEADER_BYTES};
use super::input::{Arrival, ICMPV4, ICMPV6};
use super::ip::{self, Fault};
use super::packet::{Input, Packet, QUOTE_BYTES_MAX, Quote, Trouble, Unreachable};
use super::path::{IPV4_MTU_MIN, IPV6_MTU_MIN};
use super::udp::{UDP, UDP_HEADER_BYTES};
use super::{EngineIndex, Net, NetifId, ipv6};
use crate::addr::Ip;
use crate::frame::{Checksum, Frame};
use crate::simd;
use crate::time::Instant;

/// An error to send about a received packet.
pub(super) struct Complaint<'a> {
    /// Who sent the packet, and to whom.
    pub(super) src: Ip,
    pub(super) dst: Ip,
    pub(super) kind: u8,
    pub(super) code: u8,
    /// The second word of the ICMP header.
    pub(super) word: u32,
    /// The packet, from its IP header.
    pub(super) packet: &'a [u8],
}

impl Net {
    /// Tells the sender of `packet`, handed back as it was received, that it will not be taken. Nothing is sent for
    /// packets to groups, nor beyond the configured rate.
    pub fn reject(&mut self, now: Instant, packet: Packet, why: Unreachable) {
        let Packet { mut frame, src, dst, ip_header_bytes, .. } = packet;
        self.now = now;
        if frame.prepend(usize::from(ip_header_bytes)).is_some() {
            let group = !self.is_local(dst.ip);
            self.complain_unreachable(now, src.ip, dst.ip, group, &frame, why);
        }
    }

    /// The same for a packet that reached no engine.
    #[cold]
    pub(super) fn send_unreachable(&mut self, now: Instant, arrival: Arrival, why: Unreachable) {
        let Arrival { header, group, mut frame, .. } = arrival;
        if frame.prepend(header.header_bytes).is_some() {
            self.complain_unreachable(now, header.src, header.dst, group, &frame, why);
        }
    }

    fn complain_unreachable(&mut self, now: Instant, src: Ip, dst: Ip, group: bool, frame: &Frame, why: Unreachable) {
        if group {
            return;
        }
        let packet = frame.bytes();
        let (kind, code, word) = if dst.is_v4() {
            let code = match why {
                Unreachable::Network => 0,
                Unreachable::Host | Unreachable::Other => 1,
                Unreachable::Protocol => 2,
                Unreachable::Port => 3,
                Unreachable::SourceRoute => 5,
                Unreachable::Prohibited => 13,
            };
            (3, code, 0)
        } else {
            match why {
                // To IPv6 an unknown protocol is an unrecognized next header (RFC 4443 3.4). That it follows the fixed
                // header is true of nearly all, and else the pointer shows at least which packet it was.
                Unreachable::Protocol => (4, ipv6::UNRECOGNIZED_HEADER, 6),
                Unreachable::Network | Unreachable::SourceRoute => (1, 0, 0),
                Unreachable::Prohibited => (1, 1, 0),
                Unreachable::Host | Unreachable::Other => (1, 3, 0),
                Unreachable::Port => (1, 4, 0),
            }
        };
        self.complain(now, &Complaint { src, dst, kind, code, word, packet });
    }

    /// A header of IPv6 that could not be used; its sender is told where it should be (RFC 8200 4).
    #[cold]
    pub(super) fn ipv6_fault(&mut self, now: Instant, netif: NetifId, link: Link, frame: Frame, fault: Fault) -> Input {
        let packet = frame.bytes().get(link.bytes..).unwrap_or_default();
        if let (Some(problem), Some(header)) = (fault.problem, packet.first_chunk::<IPV6_HEADER_BYTES>()) {
            let (src, dst) = ipv6::addresses(header);
            let acceptable = ip::check_source(&self.locals, netif, src).is_ok() && !src.is_unspecified();
            let to_us = matches!(ip::check_destination(&self.locals, netif, dst), Ok(false));
            if acceptable && to_us && !link.group {
                self.complain(now, &Complaint { src, dst, kind: 4, code: problem.code, word: problem.pointer, packet });
            }
        }
        self.refuse(fault.reason)
    }

    /// Sends an ICMP error, at the limited rate. The packet was to one address of ours alone, from one address.
    pub(super) fn complain(&mut self, now: Instant, complaint: &Complaint<'_>) {
        let Complaint { src, dst, kind, code, word, packet } = *complaint;
        if src.is_unspecified() || is_icmp_error(packet) {
            return;
        }
        if !self.icmp_errors.take(now) {
            return self.drops.add(DropReason("icmp: too many errors to send"));
        }
        let Ok(way) = self.way(Some(dst), src) else {
            return self.drops.add(DropReason("icmp: no route for an error"));
        };
        // RFC 1812 4.3.2.3, RFC 4443 2.4 (c): as much of the packet as fits in what every link takes.
        let quote_max =
            if dst.is_v4() { ERROR4_BYTES_MAX - IPV4_HEADER_BYTES } else { ERROR6_BYTES_MAX - IPV6_HEADER_BYTES };
        let quote = packet.get(..quote_max.saturating_sub(ICMP_HEADER_BYTES)).unwrap_or(packet);
        let mut message = std::mem::take(&mut self.scratch);
        message.clear();
        message.extend_from_slice(&[kind, code, 0, 0]);
        message.extend_from_slice(&word.to_be_bytes());
        message.extend_from_slice(quote);
        let protocol = seal(dst, src, &mut message);
        self.send_ip(now, &way, protocol, self.config.hop_limit, &message);
        self.scratch = message;
    }

    #[cold]
    pub(super) fn icmp4_input(&mut self, now: Instant, arrival: Arrival) -> Input {
        let bytes = arrival.frame.bytes();
        let Some([kind, code, _, _, word @ ..]) = bytes.first_chunk::<ICMP_HEADER_BYTES>().copied() else {
            return self.refuse(DropReason("icmp: truncated"));
        };
        if arrival.frame.meta.checksum == Checksum::Unverified && !checksum::verifies(0, bytes) {
            return self.refuse(DropReason("icmp: checksum"));
        }
        let quote = bytes.get(ICMP_HEADER_BYTES..).unwrap_or_default();
        let trouble = match (kind, code) {
            (8, 0) if arrival.group => return self.refuse(DropReason("icmp: echo request to a group")),
            (8, 0) => return self.echo(now, &arrival, 0),
            (3, 4) => {
                let mtu = u32::from(u16::from_be_bytes([word[2], word[3]]));
                Trouble::TooBig { mtu: if mtu == 0 { plateau_below(quote) } else { mtu }.max(IPV4_MTU_MIN) }
            }
            (3, code) => Trouble::Unreachable(match code {
                0 | 6 | 11 => Unreachable::Network,
                1 | 7 | 8 | 12 => Unreachable::Host,
                2 => Unreachable::Protocol,
                3 => Unreachable::Port,
                5 => Unreachable::SourceRoute,
                9 | 10 | 13 => Unreachable::Prohibited,
                _ => Unreachable::Other,
            }),
            (11, _) => Trouble::TimeExceeded,
            (12, _) => Trouble::ParameterProblem,
            // Source quench is obsolete (RFC 6633), and redirects would let a neighbour choose our routes.
            _ => return self.refuse(DropReason("icmp: ignored type")),
        };
        match self.quoted4(arrival.header.dst, quote) {
            Ok((engine, quote)) => Input::Trouble(engine, quote, trouble),
            Err(reason) => self.refuse(reason),
        }
    }

    #[cold]
    pub(super) fn icmp6_input(&mut self, now: Instant, arrival: Arrival) -> Input {
        let bytes = arrival.frame.bytes();
        let Some([kind, code, _, _, word @ ..]) = bytes.first_chunk::<ICMP_HEADER_BYTES>().copied() else {
            return self.refuse(DropReason("icmp: truncated"));
        };
        if !arrival.checksum_holds() {
            return self.refuse(DropReason("icmp: checksum"));
        }
        if (133..=137).contains(&kind) {
            return match self.ndp_input(now, &arrival, kind, code) {
                Ok(()) => Input::Done,
                Err(reason) => self.refuse(reason),
            };
        }
        if arrival.header.src.is_unspecified() {
            return self.refuse(DropReason("ip: source is unspecified"));
        }
        let trouble = match (kind, code) {
            (128, 0) => return self.echo(now, &arrival, 129),
            (2, _) => Trouble::TooBig { mtu: u32::from_be_bytes(word).clamp(IPV6_MTU_MIN, 65_535) },
            (1, code) => Trouble::Unreachable(match code {
                0 => Unreachable::Network,
                1 | 5 | 6 => Unreachable::Prohibited,
                3 => Unreachable::Host,
                4 => Unreachable::Port,
                7 => Unreachable::SourceRoute,
                _ => Unreachable::Other,
            }),
            (3, _) => Trouble::TimeExceeded,
            (4, ipv6::UNRECOGNIZED_HEADER) => Trouble::Unreachable(Unreachable::Protocol),
            (4, _) => Trouble::ParameterProblem,
            _ => return self.refuse(DropReason("icmp: ignored type")),
        };
        let quote = bytes.get(ICMP_HEADER_BYTES..).unwrap_or_default();
        match self.quoted6(arrival.header.dst, quote) {
            Ok((engine, quote)) => Input::Trouble(engine, quote, trouble),
            Err(reason) => self.refuse(reason),
        }
    }

    /// Sends an echo request back as it came, with `kind` for its type.
    fn echo(&mut self, now: Instant, arrival: &Arrival, kind: u8) -> Input {
        let (src, dst) = (arrival.header.src, arrival.header.dst);
        let Ok(way) = self.way((!arrival.group).then_some(dst), src) else {
            return self.refuse(DropReason("icmp: no route for an echo reply"));
        };
        let mut message = std::mem::take(&mut self.scratch);
        message.clear();
        message.extend_from_slice(&[kind, 0, 0, 0]);
        message.extend_from_slice(arrival.frame.bytes().get(4..).unwrap_or_default());
        let protocol = seal(way.local, src, &mut message);
        self.send_ip(now, &way, protocol, self.config.hop_limit, &message);
        self.scratch = message;
        Input::Done
    }

    /// Reads the packet that an ICMPv4 error sent to `us` quotes.
    fn quoted4(&self, us: Ip, quote: &[u8]) -> Result<(EngineIndex, Quote), DropReason> {
        let ip = quote.first_chunk::<IPV4_HEADER_BYTES>().ok_or(DropReason("icmp: quote truncated"))?;
        let header_bytes = usize::from(ip[0] & 0xf) * 4;
        if ip[0] >> 4 != 4 || header_bytes < IPV4_HEADER_BYTES {
            return Err(DropReason("icmp: quote is no IP packet"));
        }
        if (ip[6] & 0x1f, ip[7]) != (0, 0) {
            return Err(DropReason("icmp: quote of a later fragment"));
        }
        let (src, dst) = (Ip::v4([ip[12], ip[13], ip[14], ip[15]]), Ip::v4([ip[16], ip[17], ip[18], ip[19]]));
        self.quoted(us, (src, dst, ip[9]), quote.get(header_bytes..).unwrap_or_default())
    }

    /// The same for ICMPv6. Of extension headers we send at most a fragment header.
    fn quoted6(&self, us: Ip, quote: &[u8]) -> Result<(EngineIndex, Quote), DropReason> {
        let (ip, mut rest) =
            quote.split_first_chunk::<IPV6_HEADER_BYTES>().ok_or(DropReason("icmp: quote truncated"))?;
        if ip[0] >> 4 != 6 {
            return Err(DropReason("icmp: quote is no IP packet"));
        }
        let (src, dst) = ipv6::addresses(ip);
        let mut protocol = ip[6];
        if protocol == FRAGMENT_HEADER {
            let ([next, _, offset_hi, offset_lo, ..], behind) =
                rest.split_first_chunk::<8>().ok_or(DropReason("icmp: quote truncated"))?;
            if (*offset_hi, offset_lo & !7) != (0, 0) {
                return Err(DropReason("icmp: quote of a later fragment"));
            }
            (protocol, rest) = (*next, behind);
        }
        self.quoted(us, (src, dst, protocol), rest)
    }

    fn quoted(&self, us: Ip, header: (Ip, Ip, u8), transport: &[u8]) -> Result<(EngineIndex, Quote), DropReason> {
        let (src, dst, protocol) = header;
        if src != us {
            return Err(DropReason("icmp: quote of a packet that is not ours"));
        }
        let head = transport.first_chunk::<8>().ok_or(DropReason("icmp: quote truncated"))?;
        let (engine, ports, bytes) = match self.claims.ip(protocol) {
            Some(claim) => (Some(claim.engine), (0, 0), transport),
            None if protocol == UDP => {
                let (source, destination) =
                    (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
                let inside = transport.get(UDP_HEADER_BYTES..).unwrap_or_default();
                (self.udp_ports.lookup(source), (source, destination), inside)
            }
            None => (None, (0, 0), transport),
        };
        let engine = engine.ok_or(DropReason("icmp: quote of what nobody sent"))?;
        let bytes: ArrayVec<u8, QUOTE_BYTES_MAX> = bytes.iter().take(QUOTE_BYTES_MAX).copied().collect();
        Ok((engine, Quote { src, dst, src_port: ports.0, dst_port: ports.1, bytes }))
    }
}

/// Fills in the checksum of a message whose own is zero, and returns the family's protocol number.
pub(super) fn seal(src: Ip, dst: Ip, message: &mut [u8]) -> u8 {
    let v4 = src.is_v4();
    let protocol = if v4 { ICMPV4 } else { ICMPV6 };
    let pseudo = if v4 { 0 } else { pseudo_sum(addresses_sum(src, dst), protocol, message.len()) };
    let sum = checksum::finish(simd::add(pseudo, simd::sum(message)));
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&sum);
    }
    protocol
}

/// Whether `packet` is an ICMP error, or may be one: none is sent about it (RFC 1122 3.2.2, RFC 4443 2.4 (e)).
fn is_icmp_error(packet: &[u8]) -> bool {
    match packet.first().map(|first| first >> 4) {
        Some(4) => {
            let header_bytes = usize::from(packet.first().unwrap_or(&0) & 0xf) * 4;
            let kind = packet.get(header_bytes).copied().unwrap_or(0);
            packet.get(9) == Some(&ICMPV4) && !matches!(kind, 0 | 8 | 13..=18)
        }
        Some(6) => {
            let mut protocol = packet.get(6).copied().unwrap_or(0);
            let mut at = IPV6_HEADER_BYTES;
            if ipv6::is_extension(protocol)
                && let Ok(chain) = ipv6::walk(protocol, packet.get(at..).unwrap_or_default(), true)
            {
                (protocol, at) = (chain.protocol, at.saturating_add(chain.bytes));
            }
            // Informational messages have the top bit.
            protocol == ICMPV6 && packet.get(at).is_none_or(|kind| kind & 0x80 == 0)
        }
        _ => true,
    }
}

/// A guess for routers older than RFC 1191, which give no MTU: the next smaller of the usual ones (RFC 1191 7).
fn plateau_below(quote: &[u8]) -> u32 {
    let total = quote.get(2..4).and_then(|b| b.first_chunk::<2>()).map_or(0, |b| u32::from(u16::from_be_bytes(*b)));
    PLATEAUS.into_iter().find(|mtu| *mtu < total).unwrap_or(IPV4_MTU_MIN)
}

const ICMP_HEADER_BYTES: usize = 8;
const ERROR4_BYTES_MAX: usize = 576;
const ERROR6_BYTES_MAX: usize = 1280;
const PLATEAUS: [u32; 8] = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508];
