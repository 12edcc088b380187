//! Simulated links in virtual time: the one link model of this project.
//!
//! A [`Network`] is a clock and any number of links; [`Network::link`] gives the two ends of one as ordinary drivers.
//! Frames move from host to host inside one thread, without copying. What happens to a frame on its way is decided by
//! a [`LinkModel`]: [`StandardLink`] draws rate, queue, loss, duplication, reordering and corruption from a seed, and
//! a test that wants a particular misfortune writes a model of its own (any closure will do).
//!
//! A [`World`] drives hosts and other nodes on a network: it gives turns until nothing moves and then lets the clock jump,
//! so that an hour takes what its packets take. A [`Switch`] joins many links, a [`MultiQueue`] gives each lane of a host a
//! queue, and [`LateDriver`] puts memory that behaves as AF_XDP's and DPDK's behind an end. Devices stall, go down and
//! run dry by their [`EndHandle`]s, and a host may live by a [`Clock`] of its own.
//!
//! The same seed and the same calls give the same frames at the same instants, always. Nothing here reads a clock,
//! sleeps, or needs an operating system.
//!
//! ```
//! use burstlane::driver::Driver;
//! use burstlane_sim::{EndConfig, LinkConfig, Network, StandardLink};
//! use std::time::Duration;
//!
//! let net = Network::new();
//! let slow = LinkConfig { delay: Duration::from_millis(20), loss: 0.01, ..LinkConfig::default() };
//! let there = StandardLink::boxed(slow.clone(), 1)?;
//! let back = StandardLink::boxed(slow, 2)?;
//! let (mut left, mut right) = net.link(EndConfig::host(1), EndConfig::host(2), there, back);
//!
//! let mut frame = left.pool().alloc().ok_or("the pool is dry")?;
//! assert!(frame.extend_from_slice(&[0; 60]));
//! left.tx_burst(&mut vec![frame])?;
//! net.advance(net.next_arrival().ok_or("lost")?);
//! let mut received = Vec::new();
//! right.rx_burst(&mut received, 32)?;
//! assert_eq!(received.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod clock;
mod config;
mod crossing;
mod dice;
mod discipline;
mod driver;
mod ecn;
mod faults;
mod header;
mod host;
mod late;
mod model;
mod multi_queue;
mod network;
mod queue;
mod standard;
mod steering;
mod switch;
mod world;

pub use clock::{Clock, Skewed};
pub use config::{LinkConfig, LinkConfigError};
pub use discipline::{CoDelConfig, Discipline, RedConfig, Signal, StepConfig};
pub use driver::{EndConfig, EndHandle, SimDriver};
pub use faults::Half;
pub use header::is_neighbour_traffic;
pub use host::Resident;
pub use late::{LateConfig, LateCounters, LateDriver};
pub use model::{Damage, Deliveries, Delivery, Fate, Ideal, LinkModel, Passing};
pub use multi_queue::{MultiQueue, MultiQueueStats, QueueDriver};
pub use network::{LinkStats, Network};
pub use standard::StandardLink;
pub use steering::SteeringConfig;
pub use switch::{Switch, SwitchConfig, SwitchCounters};
pub use world::{Node, RunError, Step, World};

#[cfg(test)]
mod tests;
