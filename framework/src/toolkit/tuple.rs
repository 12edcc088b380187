//! [`FourTuple`]: the name of a flow in protocols whose headers begin with two ports.

use std::fmt;

use crate::addr::{Endpoint, Ip};
use crate::net::TxInfo;

/// Local and remote address and port, as one small key: 40 bytes, hashed as four words and the ports.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourTuple {
    local: Ip,
    remote: Ip,
    /// Local port in the upper half, remote port in the lower.
    ports: u32,
}

impl FourTuple {
    /// The flow between two endpoints.
    #[inline]
    #[must_use]
    pub const fn new(local: Endpoint, remote: Endpoint) -> Self {
        Self::from_parts(local.ip, remote.ip, local.port, remote.port)
    }

    /// The same from its parts.
    #[inline]
    #[must_use]
    pub const fn from_parts(local: Ip, remote: Ip, local_port: u16, remote_port: u16) -> Self {
        Self { local, remote, ports: (local_port as u32) << 16 | remote_port as u32 }
    }

    /// Our end.
    #[inline]
    #[must_use]
    pub const fn local(&self) -> Endpoint {
        Endpoint::new(self.local, (self.ports >> 16) as u16)
    }

    /// The peer's end.
    #[inline]
    #[must_use]
    pub const fn remote(&self) -> Endpoint {
        Endpoint::new(self.remote, self.ports as u16)
    }

    /// The four bytes that a header of a packet that *we* send begins with: our port, then the peer's.
    #[inline]
    #[must_use]
    pub const fn port_bytes(&self) -> [u8; 4] {
        self.ports.to_be_bytes()
    }

    /// How a datagram of ours inside UDP travels between the two: it finds out what the path carries.
    #[must_use]
    pub fn udp_info(&self) -> TxInfo {
        let (source_port, destination_port) = (self.local().port, self.remote().port);
        TxInfo { source_port, destination_port, dont_fragment: true, ..TxInfo::default() }
    }

    /// The same flow as the other end names it.
    #[must_use]
    pub const fn reversed(&self) -> Self {
        Self { local: self.remote, remote: self.local, ports: self.ports.rotate_left(16) }
    }
}

/// `local -> remote`.
impl fmt::Display for FourTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.local(), self.remote())
    }
}

impl fmt::Debug for FourTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_and_the_other_end_sees_it_mirrored() {
        let local = Endpoint::new(Ip::v4([10, 0, 0, 1]), 0x1234);
        let remote = Endpoint::new(Ip::v4([10, 0, 0, 2]), 80);
        let tuple = FourTuple::new(local, remote);
        assert_eq!((tuple.local(), tuple.remote()), (local, remote));
        assert_eq!(tuple.port_bytes(), [0x12, 0x34, 0, 80]);
        assert_eq!(tuple.reversed(), FourTuple::new(remote, local));
        assert_eq!(tuple.reversed().reversed(), tuple);
        assert_eq!(tuple.to_string(), "10.0.0.1:4660 -> 10.0.0.2:80");
        assert_eq!(size_of::<FourTuple>(), 40);
    }
}
