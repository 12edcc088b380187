//! Linux TAP devices as packet sources: the kernel is the peer, one frame a system call, and frames of up to 64 KiB both
//! ways, because the kernel and we tell each other how to cut and what to sum (`IFF_VNET_HDR`).
//!
//! [`open_queues`] opens a device and gives a [`TapQueue`] for each lane, which can be sent there and becomes a [`Tap`],
//! the driver; [`Tap::open`] does both for one lane. On other systems than Linux opening answers
//! [`OpenError::Unsupported`], and the rest of a program compiles as it is.
#![deny(unsafe_code)]

mod config;
mod error;
#[cfg(any(target_os = "linux", test))]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))] // Elsewhere only its tests use it.
mod vnet;

#[cfg(target_os = "linux")]
mod driver;
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
mod ffi;
#[cfg(target_os = "linux")]
mod open;

#[cfg(not(target_os = "linux"))]
mod unsupported;

pub use config::{TapConfig, TapCounters, mac_from_seed};
pub use error::OpenError;

#[cfg(target_os = "linux")]
pub use driver::Tap;
#[cfg(target_os = "linux")]
pub use open::{TapQueue, open_queues};
#[cfg(not(target_os = "linux"))]
pub use unsupported::{Tap, TapQueue, open_queues};

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
