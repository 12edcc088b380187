//! What the two IP families have in common once their headers are read, and the checks of addresses that both need
//! (RFC 1122 3.2.1.3, RFC 4291 2.5 to 2.7).
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use super::drops::DropReason;
use super::local::LocalAddresses;
use super::netif::NetifId;
use crate::addr::Ip;

/// A validated IP header, extensions of IPv6 included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpHeader {
    pub(crate) src: Ip,
    pub(crate) dst: Ip,
    /// Of what follows the header.
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    pub(crate) traffic_class: u8,
    pub(crate) header_bytes: usize,
    /// Header and payload; the frame may be longer.
    pub(crate) total_bytes: usize,
    pub(crate) fragment: Option<FragmentAt>,
}

/// Which part of its datagram a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FragmentAt {
    pub(crate) ident: u32,
    /// Bytes, a multiple of eight.
    pub(crate) offset: usize,
    pub(crate) more: bool,
}

/// A header that cannot be used. For some of IPv6's the sender is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: DropReason,
    pub(crate) problem: Option<ParameterProblem>,
}

/// Of an ICMPv6 parameter problem (RFC 4443 3.4): code, and offset of the octet complained about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParameterProblem {
    pub(crate) code: u8,
    pub(crate) pointer: u32,
}

impl From<DropReason> for Fault {
    fn from(reason: DropReason) -> Self {
        Self { reason, problem: None }
    }
}

/// Whether a packet from `netif` may come from `src`.
#[inline(always)]
pub(crate) fn check_source(locals: &LocalAddresses, netif: NetifId, src: Ip) -> Result<(), DropReason> {
    if netif == NetifId::LOOPBACK {
        return Ok(());
    }
    if src.is_multicast() {
        return Err(DropReason("ip: source is a multicast address"));
    }
    if src.is_loopback() {
        return Err(DropReason("ip: source is a loopback address"));
    }
    if src.is_v4() {
        match src.octets4() {
            [0, ..] => return Err(DropReason("ip: source is unspecified")),
            [255, 255, 255, 255] => return Err(DropReason("ip: source is a broadcast address")),
            _ => {}
        }
    }
    match locals.find(src) {
        None => Ok(()),
        Some(address) if address.broadcast => Err(DropReason("ip: source is a broadcast address")),
        Some(_) => Err(DropReason("ip: source is our own address")),
    }
}

/// Whether a packet from `netif` to `dst` is ours, and if so, whether it is for a group (`true`) or for us alone.
#[inline(always)]
pub(crate) fn check_destination(locals: &LocalAddresses, netif: NetifId, dst: Ip) -> Result<bool, DropReason> {
    match locals.find(dst) {
        // A link-local address means this host on its own link alone.
        Some(address)
            if dst.is_link_local() && !dst.is_v4() && address.netif != netif.0 && netif != NetifId::LOOPBACK =>
        {
            Err(DropReason("ip: not for us"))
        }
        Some(address) if dst.is_loopback() && netif != NetifId::LOOPBACK => {
            debug_assert!(!address.broadcast);
            Err(DropReason("ip: loopback address on a wire"))
        }
        Some(address) => Ok(address.broadcast),
        None if dst.is_multicast() || dst == LIMITED_BROADCAST => Ok(true),
        None if dst.is_loopback() && netif == NetifId::LOOPBACK => Ok(false),
        None if dst.is_loopback() => Err(DropReason("ip: loopback address on a wire")),
        None => Err(DropReason("ip: not for us")),
    }
}

pub(crate) const LIMITED_BROADCAST: Ip = Ip::v4([255; 4]);
