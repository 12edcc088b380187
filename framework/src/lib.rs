//! Burstlane: a user-space transport framework. Packets arrive in bursts, are worked on in per-core lanes, and any
//! transport protocol plugs in by one trait.
//!
//! - To **write a transport**, implement [`transport::Transport`]; the crate `stop-and-wait` under `examples/` is a whole one in
//!   under 200 lines.
//! - To **use one**, build a [`lane::Lane`] from a driver, [`lane::Lane::add`] transports to it, and open sockets through
//!   [`socket::Host`].
//! - To **write a driver**, implement [`driver::Driver`].
//!
//! `ARCHITECTURE.md` at the root of the repository walks a frame through these modules.
#![deny(unsafe_code)]

pub mod addr;
pub mod congestion;
pub mod driver;
pub mod engine;
#[allow(unsafe_code)]
pub mod frame;
pub mod lane;
pub mod net;
pub mod observe;
pub mod prelude;
pub mod runtime;
#[allow(unsafe_code)]
pub mod simd;
pub mod socket;
pub mod time;
pub mod toolkit;
pub mod transport;
#[cfg(test)]
mod watched;
