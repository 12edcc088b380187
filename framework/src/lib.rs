//! Burstlane: a user-space transport framework.
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
#[allow(unsafe_code)]
pub mod simd;
pub mod socket;
pub mod time;
pub mod toolkit;
pub mod transport;
