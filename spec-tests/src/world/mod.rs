//! Worlds of any size: hosts with any number of lanes, each a real stack, on cables and switches, in virtual time, and the
//! check that they were left as they were found. [`WorldConfig`] says what there is, [`SimWorld`] runs it.
//!
//! One seed decides over everything that is random, and everything happens in an order that is given: the same
//! configuration and the same calls give the same bytes at the same instants.
//!
//! An application is called when its lane has something to do (a frame, a deadline), when an
//! [alarm](burstlane_sim::Network::alarm) goes off, and at the beginning of each run. One that waits for anything else, such
//! as a flag of another host's application, asks for it by [`Network::wake_all`](burstlane_sim::Network::wake_all).
//!
//! ```
//! use std::time::Duration;
//!
//! use burstlane_sim::{Discipline, LinkConfig, RedConfig};
//! use burstlane_spec::world::{HostConfig, WorldConfig};
//!
//! let link = LinkConfig {
//!     rate_bits_per_s: Some(100_000_000),
//!     discipline: Discipline::Red(RedConfig::default()),
//!     delay: Duration::from_millis(1),
//!     ..LinkConfig::default()
//! };
//! let mut config = WorldConfig::star(7, 8, link);
//! config.hosts[0] = HostConfig { lanes: 4, clock_ppm: 200, ..HostConfig::default() };
//! let world = config.build();
//! assert_eq!(world.hosts[0].lanes.len(), 4);
//! world.assert_clean();
//! ```

pub(crate) mod clean;
mod config;
mod lay;
mod run;
mod transfer;

pub use clean::{App, LateMemory, SimLane};
pub use config::{HostConfig, Link, NetworkConfig, PortConfig, WorldConfig};
pub use run::{Engines, SimHost, SimInterface, SimWorld};
