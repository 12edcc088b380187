//! The shared object, loaded and called as packetdrill does it, by scripts of our own: every family, calls that wait, errors.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is missing fails it"
)]

mod blocking;
mod closing;
mod data;
mod errors;
mod ffi;
mod opening;
mod options;
mod readiness;
mod talk;
