//! The kit that judges transports: hosts on simulated links in virtual time, applications that send known bytes and know
//! what they must get back, and the check that nothing is left behind. `tests/` is written with it.
//!
//! Everything fails by panicking, as tests do, and says with which seed. Nothing here reads a clock or sleeps.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's tool: what cannot be fails the test"
)]

pub mod anatomy;
pub mod conformance;
pub mod decode;
pub mod face;
pub mod failure;
pub mod goodput;
pub mod hosts;
pub mod judge;
pub mod link;
pub mod oracle;
pub mod packets;
pub mod pattern;
pub mod recording;
pub mod scenario;
pub mod script;
pub mod subject;
pub mod transfer;
pub mod world;

/// The chapter compiles, and what it shows is so.
#[cfg(doctest)]
#[doc = include_str!("../../docs/book/testing-your-own-transport.md")]
pub struct TestingYourOwnTransport;

pub use face::{Channel, Face};
pub use hosts::{Hosts, HostsConfig, PORT};
pub use pattern::Pattern;
pub use recording::Recording;
pub use scenario::{Scenario, Side};
pub use subject::{Opening, Promises, Subject};
pub use transfer::{Outcome, Transfer, TransferConfig};
