//! Why a TAP device did not open, in words that say what to do next.

use std::io;

use thiserror::Error;

/// A TAP device did not open.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Not on this system.
    #[error("TAP devices exist on Linux only; use the simulated driver here")]
    Unsupported,
    /// Not an interface name.
    #[error("{name:?} is no interface name: it has 1 to 15 bytes, without spaces, '/' and ':'")]
    Name {
        /// What was given.
        name: String,
    },
    /// Not an MTU.
    #[error("an MTU of {mtu} bytes is out of range: it is 576 to 65535")]
    Mtu {
        /// What was given.
        mtu: u32,
    },
    /// The device file is missing.
    #[error(
        "/dev/net/tun is missing, so the kernel has no TAP devices to give. Load the module (sudo modprobe tun); in a \
         container, pass the device in (--device /dev/net/tun)"
    )]
    Missing,
    /// The device file may not be opened.
    #[error(
        "/dev/net/tun may not be opened by this user. Run as root, or let everyone open it, as most distributions do \
         (sudo chmod 0666 /dev/net/tun): making an interface needs its own permission anyway"
    )]
    FileForbidden,
    /// The interface may not be made or joined.
    #[error(
        "this user may not make or join the interface {name}. Run inside `burstlane lab`, which needs no root; or have \
         one made for you: sudo ip tuntap add dev {name} mode tap vnet_hdr user $USER"
    )]
    Forbidden {
        /// The interface.
        name: String,
    },
    /// Somebody has it.
    #[error(
        "the interface {name} is in use by another process, or was until a moment ago. Stop that one, wait a second, or \
         use another name"
    )]
    Busy {
        /// The interface.
        name: String,
    },
    /// It is something else.
    #[error(
        "{name} exists and cannot be used as a TAP device in this way: it is another kind of interface, or was made with \
         other flags (ip -d link show {name}). Use another name, or remove it (sudo ip link del {name})"
    )]
    OtherKind {
        /// The interface.
        name: String,
    },
    /// The interface would not take this MTU.
    #[error("the MTU of {name} could not be set to {mtu}: {source}. Leave the MTU out to use the interface's own")]
    SetMtu {
        /// The interface.
        name: String,
        /// The MTU wanted.
        mtu: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// Anything else that the kernel says.
    #[error("{call} failed for {name}: {source}")]
    Kernel {
        /// The interface.
        name: String,
        /// The request that failed.
        call: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}
