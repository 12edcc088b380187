//! What a TAP device should be like, and what it counts.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use burstlane::addr::Mac;
use burstlane::frame::PoolConfig;

use crate::error::OpenError;

/// A TAP device, and how to use it.
#[derive(Clone, Debug)]
pub struct TapConfig {
    /// The interface's name, 1 to 15 bytes. An existing one is joined, otherwise it is made; `%d` in it is replaced by
    /// the kernel with a free number.
    pub name: String,
    /// The MTU to give the interface, bytes, 576 to 65,535. `None` takes the one it has.
    pub mtu: Option<u32>,
    /// Our Ethernet address on it (the kernel's end has its own). `None` draws a locally administered one.
    pub mac: Option<Mac>,
    /// Whether large frames and unfinished checksums cross, both ways. Without, each packet is a frame.
    pub offloads: bool,
    /// Whether the kernel may also hand over several UDP datagrams of one flow merged into a frame. For a framework that
    /// cuts them again; off by default, because whoever does not would take them for one datagram.
    pub merged_datagrams: bool,
    /// Memory for frames of up to an MTU. Slots grow where the MTU demands it.
    pub pool: PoolConfig,
    /// Memory for larger frames; slots that hold less than 64 KiB and their headers grow.
    pub large_pool: PoolConfig,
    /// Frames that the kernel queues for us (its `txqueuelen`), where we may say so. The usual 1,000 lose frames.
    pub queue_frames: u32,
}

impl TapConfig {
    /// The device `name` with offloads, its own MTU, and a random address.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            mtu: None,
            mac: None,
            offloads: true,
            merged_datagrams: false,
            pool: PoolConfig::default(),
            large_pool: PoolConfig { slots: 256, slot_bytes: 0, headroom: 128 },
            queue_frames: 10_000,
        }
    }

    /// Checks what can be checked without the kernel.
    ///
    /// # Errors
    /// The name or the MTU makes no sense.
    pub fn validate(&self) -> Result<(), OpenError> {
        let fits = (1..=NAME_BYTES_MAX).contains(&self.name.len()) && self.name != "." && self.name != "..";
        if !fits || self.name.bytes().any(|b| b == b'/' || b == b':' || b == 0 || b.is_ascii_whitespace()) {
            return Err(OpenError::Name { name: self.name.clone() });
        }
        match self.mtu {
            Some(mtu) if !(MTU_MIN..=MTU_MAX).contains(&mtu) => Err(OpenError::Mtu { mtu }),
            _ => Ok(()),
        }
    }

    /// The address given, or a random one.
    #[must_use]
    pub fn mac_or_random(&self) -> Mac {
        self.mac.unwrap_or_else(|| mac_from_seed(RandomState::new().hash_one(&self.name)))
    }
}

/// A locally administered unicast address, the same for the same seed.
#[must_use]
pub fn mac_from_seed(seed: u64) -> Mac {
    // The finaliser of splitmix64: neighbouring seeds give unlike addresses.
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let [a, b, c, d, e, f, ..] = (x ^ (x >> 31)).to_be_bytes();
    // Bit 0 is "group", bit 1 "locally administered".
    Mac([a & !1 | 2, b, c, d, e, f])
}

/// What a driver counted, as it stands. Read by the lane's thread.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct TapCounters {
    /// Frames received.
    pub rx_frames: Cell<u64>,
    /// Bytes of those.
    pub rx_bytes: Cell<u64>,
    /// Received and dropped: the kernel's description did not fit the frame.
    pub rx_bad_description: Cell<u64>,
    /// Received and dropped: no slot was free that would have held it.
    pub rx_no_room: Cell<u64>,
    /// Frames sent.
    pub tx_frames: Cell<u64>,
    /// Bytes of those.
    pub tx_bytes: Cell<u64>,
    /// Not sent and dropped: what was asked of the device cannot be said to it.
    pub tx_bad_description: Cell<u64>,
    /// Not sent and dropped: the kernel refused the frame.
    pub tx_refused: Cell<u64>,
}

/// The kernel's limit, `IFNAMSIZ` less the terminating zero.
pub(crate) const NAME_BYTES_MAX: usize = 15;
const MTU_MIN: u32 = 576;
const MTU_MAX: u32 = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_mtus_are_checked_before_the_kernel_sees_them() {
        for name in ["", "a-name-of-sixteen", "a/b", "a b", "..", "nul\0"] {
            assert!(matches!(TapConfig::new(name).validate(), Err(OpenError::Name { .. })), "{name:?}");
        }
        assert!(TapConfig::new("burstlane%d").validate().is_ok());
        let wrong = TapConfig { mtu: Some(100), ..TapConfig::new("t0") };
        assert!(matches!(wrong.validate(), Err(OpenError::Mtu { mtu: 100 })));
    }

    #[test]
    fn drawn_addresses_are_local_and_unicast() {
        for seed in 0..1000 {
            let mac = mac_from_seed(seed);
            assert_eq!((mac.0[0] & 3, mac), (2, mac_from_seed(seed)));
        }
        assert_ne!(mac_from_seed(1), mac_from_seed(2));
    }
}
