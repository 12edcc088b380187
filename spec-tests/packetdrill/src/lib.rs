//! Burstlane's TCP behind the interface that packetdrill has for shared objects: the real packetdrill, unmodified, then runs
//! its scripts against it, in virtual time, without root and without a network. `README.md` has the command line.
//!
//! ```text
//!  packetdrill ──► ffi: C calls, made owned values ──► stack: one thread, who waits, what time it is
//!                                                        ├─ calls, options, tcp_info, epoll: descriptors as POSIX has them
//!                                                        └─ net: a host with one device, whose other end is packetdrill
//! ```
//!
//! It is a tool for tests and no library: nothing but the C face leaves it. The interface is Linux's.
#![deny(unsafe_code)]
#![cfg(target_os = "linux")]

mod address;
mod calls;
mod descriptors;
mod epoll;
#[allow(unsafe_code)]
mod ffi;
mod neighbours;
mod net;
mod options;
mod stack;
mod sysctl;
mod tcp_info;

/// What a call answers: a value, or the `errno` that POSIX has for it.
type Answer<T> = Result<T, libc::c_int>;
