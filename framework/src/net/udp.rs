//! UDP as an envelope (RFC 768): which engine of this host has which port, and the eight bytes in front of a transport
//! that travels inside UDP. What such a transport does with them is not here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use thiserror::Error;

use super::EngineIndex;

/// The IP protocol number of UDP: the one protocol above IP that a host layer must know, because others travel in it.
pub const UDP: u8 = 17;

/// Bytes of a UDP header.
pub const UDP_HEADER_BYTES: usize = 8;

/// Offset of the checksum in a UDP header.
pub(crate) const UDP_CHECKSUM_FIELD: usize = 6;

/// The UDP ports of a host and the engines that have them. Cloning clones the handle: the lanes of a host share one.
/// Claims are rare; [`lookup`](Self::lookup), once a packet, only reads.
#[derive(Clone)]
pub struct UdpPorts(Arc<[AtomicU32; 65_536]>);

/// Another engine has the port already, or it is port 0, or no more users can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the UDP port is taken")]
pub struct PortTaken;

impl UdpPorts {
    /// All ports free.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers one more user of `port` in `engine`. How users of one engine share a port is the engine's affair.
    ///
    /// # Errors
    /// [`PortTaken`].
    pub fn claim(&self, port: u16, engine: EngineIndex) -> Result<(), PortTaken> {
        let tag = u32::from(engine.0) + 1;
        self.update(port, |entry| match entry {
            0 => Some(USER | tag),
            _ if entry & ENGINE == tag && entry / USER < USERS_MAX => Some(entry + USER),
            _ => None,
        })
    }

    /// Claims a free port of the dynamic range (RFC 6335: 49,152 to 65,535), the first from a place that `random`
    /// chooses (RFC 6056 3.3.1). `None` when all are taken.
    #[must_use]
    pub fn claim_any(&self, engine: EngineIndex, random: u16) -> Option<u16> {
        let tag = u32::from(engine.0) + 1;
        (0..DYNAMIC_PORTS)
            .map(|step| DYNAMIC_FIRST | (random.wrapping_add(step) & (DYNAMIC_PORTS - 1)))
            .find(|port| self.update(*port, |entry| (entry == 0).then_some(USER | tag)).is_ok())
    }

    /// Ends one use of `port` by `engine`; without effect if it has none.
    pub fn release(&self, port: u16, engine: EngineIndex) {
        let tag = u32::from(engine.0) + 1;
        // Only the users of another engine can refuse, and then there is nothing to release.
        let _ = self.update(port, |entry| match entry {
            _ if entry == 0 || entry & ENGINE != tag => None,
            _ if entry / USER <= 1 => Some(0),
            _ => Some(entry - USER),
        });
    }

    /// The engine that has `port`.
    #[inline]
    #[must_use]
    pub fn lookup(&self, port: u16) -> Option<EngineIndex> {
        let entry = self.0.get(usize::from(port))?.load(Ordering::Acquire);
        (entry & ENGINE).checked_sub(1).map(|engine| EngineIndex(engine as u8))
    }

    fn update(&self, port: u16, change: impl FnMut(u32) -> Option<u32>) -> Result<(), PortTaken> {
        let entry = self.0.get(usize::from(port)).filter(|_| port != 0).ok_or(PortTaken)?;
        entry.fetch_update(Ordering::AcqRel, Ordering::Acquire, change).map(|_| ()).map_err(|_| PortTaken)
    }
}

impl Default for UdpPorts {
    fn default() -> Self {
        Self(Arc::new([const { AtomicU32::new(0) }; 65_536]))
    }
}

impl std::fmt::Debug for UdpPorts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let taken = self.0.iter().filter(|entry| entry.load(Ordering::Relaxed) != 0).count();
        f.debug_struct("UdpPorts").field("taken", &taken).finish()
    }
}

/// An entry is the engine plus one in the low nine bits, and the number of users above.
const ENGINE: u32 = 0x1ff;
const USER: u32 = 0x200;
const USERS_MAX: u32 = u32::MAX / USER;
const DYNAMIC_FIRST: u16 = 49_152;
const DYNAMIC_PORTS: u16 = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_one_engines_until_its_last_user_leaves() {
        let ports = UdpPorts::new();
        let (a, b) = (EngineIndex(0), EngineIndex(255));
        assert_eq!(ports.claim(0, a), Err(PortTaken));
        assert_eq!((ports.claim(53, b), ports.claim(53, b), ports.claim(53, a)), (Ok(()), Ok(()), Err(PortTaken)));
        ports.release(53, a);
        ports.release(53, b);
        assert_eq!(ports.clone().lookup(53), Some(b));
        ports.release(53, b);
        ports.release(53, b);
        assert_eq!(ports.lookup(53), None);
        assert_eq!(ports.claim(53, a), Ok(()));
    }

    #[test]
    fn dynamic_ports_run_out_without_repeating() {
        let ports = UdpPorts::new();
        let first = ports.claim_any(EngineIndex(1), 65_000).unwrap();
        assert!(first >= DYNAMIC_FIRST);
        for n in 1..DYNAMIC_PORTS {
            assert!(ports.claim_any(EngineIndex(1), first.wrapping_add(n)).is_some());
        }
        assert_eq!(ports.claim_any(EngineIndex(1), 7), None);
    }
}
