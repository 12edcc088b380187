//! One interface of a lane, from the network layer's side: what its device can do, its memory, and the frames that wait
//! to be handed to its driver.

use super::drops::{Counters, DropReason};
use super::ethernet::{ETHERNET_HEADER_BYTES, VLAN_TAG_BYTES};
use super::path::IPV4_MTU_MIN;
use crate::addr::{Ip, Mac};
use crate::driver::Capabilities;
use crate::frame::{Frame, FramePool};

/// Names an interface of a lane: 0 is the [own loopback](Self::LOOPBACK), others count from 1 as they are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetifId(pub u16);

impl NetifId {
    /// The interface on which a host talks to itself. It has no driver: [`Net::loopback`](super::Net::loopback).
    pub const LOOPBACK: Self = Self(0);
}

/// How an interface takes part in its network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceConfig {
    /// Our addresses there, each with the bits of its network's prefix. The link-local address of IPv6 (`fe80::` and the
    /// Ethernet address, RFC 4291 appendix A) is added by itself. Duplicate address detection (RFC 4862 5.4) is not done.
    pub addresses: Vec<(Ip, u8)>,
    /// The IEEE 802.1Q tag that all frames have, 1 to 4,094; `None`: no tag, or one that gives only a priority.
    pub vlan: Option<u16>,
    /// Largest IP packet in bytes, if it is to be smaller than what the device can.
    pub mtu: Option<u32>,
}

pub(crate) struct Netif {
    pub(crate) mac: Mac,
    pub(crate) caps: Capabilities,
    pub(crate) pool: FramePool,
    pub(crate) large: Option<FramePool>,
    pub(crate) vlan: Option<u16>,
    pub(crate) mtu: u32,
    pub(crate) outbox: Vec<Frame>,
    /// Frames that `outbox` may hold for the driver to take them all.
    pub(crate) room: usize,
    pub(crate) up: bool,
}

impl Netif {
    pub(crate) fn new(caps: Capabilities, pool: FramePool, large: Option<FramePool>, config: &InterfaceConfig) -> Self {
        let link_bytes = ETHERNET_HEADER_BYTES + config.vlan.map_or(0, |_| VLAN_TAG_BYTES);
        let fits = u32::try_from(pool.frame_bytes_max().saturating_sub(link_bytes)).unwrap_or(u32::MAX);
        let mtu = config.mtu.unwrap_or(caps.mtu).min(caps.mtu).min(fits).clamp(IPV4_MTU_MIN, MTU_MAX);
        Self { mac: caps.mac, caps, pool, large, vlan: config.vlan, mtu, outbox: Vec::new(), room: 0, up: true }
    }

    /// Whether the driver has room for another frame.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.up && self.outbox.len() < self.room
    }

    /// Memory for a frame that the network layer itself sends, as long as not too many wait already: a stranger's
    /// questions may not fill the queue.
    pub(crate) fn control_frame(&self, drops: &mut Counters) -> Option<Frame> {
        if !self.up || self.outbox.len() >= self.room.saturating_add(CONTROL_FRAMES_MAX) {
            drops.add(DropReason("control: no room to send"));
            return None;
        }
        let frame = self.pool.alloc();
        if frame.is_none() {
            drops.add(DropReason("control: no packet memory"));
        }
        frame
    }
}

/// Frames of the network layer itself (ARP, NDP, ICMP) that may wait beyond the driver's room.
pub(crate) const CONTROL_FRAMES_MAX: usize = 64;
/// A length field of IPv4.
const MTU_MAX: u32 = 65_535;
