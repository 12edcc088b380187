//! Which engine gets which packets: the table of claimed IP protocol numbers. Ports of UDP are in `udp`.

use thiserror::Error;

use super::checksum::ChecksumSpec;
use super::udp::UDP;

/// Names an engine of a lane: its place in the order in which engines were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EngineIndex(pub u8);

/// What an engine wants to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// All packets of an IP protocol.
    Ip {
        /// Its number.
        protocol: u8,
        /// Where its header keeps the Internet checksum, if it has one.
        checksum: Option<ChecksumSpec>,
    },
    /// UDP datagrams to the ports that it claims in [`UdpPorts`](super::UdpPorts).
    Udp,
}

/// What an engine's packets travel in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    /// Directly in IP.
    Ip {
        /// The IP protocol number.
        protocol: u8,
        /// Where the header keeps the Internet checksum, if it has one.
        checksum: Option<ChecksumSpec>,
    },
    /// In UDP, with the ports of [`TxInfo`](super::TxInfo).
    Udp,
}

impl Encapsulation {
    /// The protocol number in the IP header.
    #[inline]
    #[must_use]
    pub const fn protocol(self) -> u8 {
        match self {
            Self::Ip { protocol, .. } => protocol,
            Self::Udp => UDP,
        }
    }
}

impl From<Claim> for Encapsulation {
    fn from(claim: Claim) -> Self {
        match claim {
            Claim::Ip { protocol, checksum } => Self::Ip { protocol, checksum },
            Claim::Udp => Self::Udp,
        }
    }
}

/// The claim cannot be had: another engine has the protocol, or it is one that the framework speaks itself (ICMP, UDP,
/// IPv6 extension headers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the protocol is claimed already")]
pub struct DuplicateClaim;

#[derive(Clone, Copy, Debug)]
pub(crate) struct IpClaim {
    pub(crate) engine: EngineIndex,
    pub(crate) checksum: Option<ChecksumSpec>,
}

pub(crate) struct Claims {
    ip: [Option<IpClaim>; 256],
}

impl Claims {
    pub(crate) fn new() -> Self {
        Self { ip: [None; 256] }
    }

    pub(crate) fn add(&mut self, engine: EngineIndex, claim: Claim) -> Result<(), DuplicateClaim> {
        let Claim::Ip { protocol, checksum } = claim else { return Ok(()) };
        let place = self.ip.get_mut(usize::from(protocol)).filter(|_| !OWN_PROTOCOLS.contains(&protocol));
        let place = place.filter(|place| place.is_none()).ok_or(DuplicateClaim)?;
        *place = Some(IpClaim { engine, checksum });
        Ok(())
    }

    #[inline]
    pub(crate) fn ip(&self, protocol: u8) -> Option<&IpClaim> {
        self.ip.get(usize::from(protocol))?.as_ref()
    }
}

/// ICMP, UDP, ICMPv6, and the extension headers of IPv6, "no next header" among them.
const OWN_PROTOCOLS: [u8; 8] = [1, UDP, 58, 0, 43, 44, 59, 60];
