//! Socket addresses as C has them: the bytes of `sockaddr_in` and `sockaddr_in6`.

use burstlane::addr::{Endpoint, Ip};

use crate::Answer;

/// The family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(domain: i32) -> Answer<Self> {
        match domain {
            libc::AF_INET => Ok(Self::V4),
            libc::AF_INET6 => Ok(Self::V6),
            _ => Err(libc::EAFNOSUPPORT),
        }
    }

    pub(crate) fn number(self) -> i32 {
        match self {
            Self::V4 => libc::AF_INET,
            Self::V6 => libc::AF_INET6,
        }
    }

    /// Reads an address. One of IPv4 in its mapped form is that of IPv4; either family's wildcard is any address.
    pub(crate) fn read(self, bytes: &[u8]) -> Answer<Endpoint> {
        let family = bytes.first_chunk().map(|family| u16::from_ne_bytes(*family)).ok_or(libc::EINVAL)?;
        if i32::from(family) != self.number() {
            return Err(libc::EAFNOSUPPORT);
        }
        let port = bytes.get(2..).and_then(|rest| rest.first_chunk()).ok_or(libc::EINVAL)?;
        let ip = match self {
            Self::V4 => Ip::v4(*bytes.get(4..).and_then(|rest| rest.first_chunk()).ok_or(libc::EINVAL)?),
            Self::V6 => Ip::v6(*bytes.get(8..).and_then(|rest| rest.first_chunk()).ok_or(libc::EINVAL)?),
        };
        Ok(Endpoint::new(if ip.is_unspecified() { Ip::ANY } else { ip }, u16::from_be_bytes(*port)))
    }

    /// The bytes of an address; one of IPv4 in its mapped form for a socket of IPv6.
    pub(crate) fn write(self, end: Endpoint) -> Vec<u8> {
        let family = (self.number() as u16).to_ne_bytes();
        let port = end.port.to_be_bytes();
        match self {
            Self::V4 => [&family[..], &port, &end.ip.octets4(), &[0; 8]].concat(),
            Self::V6 => [&family[..], &port, &[0; 4], &end.ip.octets(), &[0; 4]].concat(),
        }
    }
}
