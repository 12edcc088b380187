//! Goodput (RFC 2647 3.17) as a figure: what applications receive of a bottleneck that loses by chance, by one flow or by
//! several that share it. In virtual time and from one seed, so that the same transport always gives the same figure.
//!
//! This measures; it judges nothing. What must hold of any transport is [`mod@crate::conformance`]'s.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use burstlane::frame::PoolConfig;
use burstlane::socket::{Host, Listener};
use burstlane::transport::Transport;
use burstlane_sim::{EndConfig, LinkConfig};

use crate::face::{Channel, Face, Handle};
use crate::world::{HostConfig, Link, NetworkConfig, SimWorld, WorldConfig};

/// A bottleneck of 100 Mbit/s, 50 ms long there and back, with a drop-tail queue of one bandwidth-delay product. What is lost
/// or reordered by chance are packets with data; acknowledgements come through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Path {
    /// Probability that a packet is lost, 0 to 1.
    pub loss: f64,
    /// Probability that a packet is held back by 10 ms, so that later ones overtake it, 0 to 1.
    pub reorder: f64,
}

impl Path {
    /// Loses this share of all packets.
    #[must_use]
    pub const fn losing(loss: f64) -> Self {
        Self { loss, reorder: 0.0 }
    }

    fn links(self) -> [Link; 2] {
        let back = LinkConfig {
            rate_bits_per_s: Some(RATE_BITS_PER_S),
            delay: ROUND_TRIP / 2,
            queue_bytes_max: Some(RATE_BITS_PER_S / 8 * ROUND_TRIP.as_millis() as u64 / 1000),
            mtu: 1500,
            ..LinkConfig::default()
        };
        let Self { loss, reorder } = self;
        let there = LinkConfig { loss, reorder, reorder_delay: Duration::from_millis(10), ..back.clone() };
        [there.into(), back.into()]
    }
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    /// From the start, not measured.
    pub warm_up: Duration,
    /// Behind it.
    pub measured: Duration,
}

/// What a measurement found.
#[derive(Clone, Debug, PartialEq)]
pub struct Goodput {
    /// Bits a second that each flow's application received.
    pub bits_per_s: Vec<f64>,
}

impl Goodput {
    /// Megabits a second of all flows together.
    #[must_use]
    pub fn mbit_per_s(&self) -> f64 {
        self.bits_per_s.iter().sum::<f64>() / 1e6
    }

    /// How fairly the flows shared: see [`jain`].
    #[must_use]
    pub fn fairness(&self) -> f64 {
        jain(&self.bits_per_s)
    }
}

/// Jain's index (RFC 5166 2.3.1): 1 where all have the same, 1/n where one of n has everything.
#[must_use]
pub fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = shares.iter().fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
    sum * sum / (shares.len() as f64 * squares)
}

/// Measures so many flows that begin together and always have something to send, over a path. Buffers are the configuration's:
/// less than two bandwidth-delay products (1.25 MB) and it is they that are measured.
///
/// # Panics
/// If a flow cannot be opened.
#[must_use]
pub fn measure<T: Transport>(config: &T::Config, path: Path, flows: u16, spans: Spans) -> Goodput
where
    T::Io: Face,
{
    let host = HostConfig { end: EndConfig { pool: POOL, ..EndConfig::host(1) }, ..HostConfig::default() };
    let cable = NetworkConfig::Cable { hosts: [0, 1], links: path.links() };
    let world = WorldConfig { seed: SEED, hosts: vec![host; 2], networks: vec![cable] }.build();
    let received = pour::<T>(&world, config, flows);
    world.world.run_for(spans.warm_up).unwrap();
    let before = received.borrow().clone();
    world.world.run_for(spans.measured).unwrap();
    let bytes = received.borrow().iter().zip(before).map(|(after, before)| after - before).collect::<Vec<_>>();
    world.stop_apps();
    Goodput { bits_per_s: bytes.iter().map(|bytes| *bytes as f64 * 8.0 / spans.measured.as_secs_f64()).collect() }
}

/// Opens the flows, and lets the first host send without end. Gives the bytes that each brought.
fn pour<T: Transport>(world: &SimWorld, config: &T::Config, flows: u16) -> Rc<RefCell<Vec<u64>>>
where
    T::Io: Face,
{
    let engines = world.add::<T>(config);
    let received = Rc::new(RefCell::new(vec![0; flows.into()]));
    for flow in 0..flows {
        let listener: Listener<T> = world.listen(&engines, 1, FIRST_PORT + flow, 1).remove(0);
        let (engine, received) = (engines[1][0], received.clone());
        let (mut from, mut room): (Option<Handle<T>>, _) = (None, vec![0; PIECE_BYTES]);
        world.add_app((1, 0), move |host: &Host| {
            let accept = || Some(<T::Io as Face>::handle(host, engine, listener.accept_flow()?));
            from = from.take().or_else(accept);
            let Some(channel) = &from else { return false };
            let mut moved = false;
            while let Ok(Some(bytes)) = channel.recv(&mut room) {
                received.borrow_mut()[usize::from(flow)] += bytes as u64;
                moved = true;
            }
            moved
        });
        let channel = world.open::<T>(&engines, (0, 0), world.at(1, FIRST_PORT + flow));
        let piece = vec![7; PIECE_BYTES];
        world.add_app((0, 0), move |_| {
            let mut moved = false;
            while channel.send(&piece).is_ok() {
                moved = true;
            }
            moved
        });
    }
    received
}

const RATE_BITS_PER_S: u64 = 100_000_000;
const ROUND_TRIP: Duration = Duration::from_millis(50);
/// Decides over what is lost, and over the hosts' numbers.
const SEED: u64 = 1;
/// Of a write, or a message.
const PIECE_BYTES: usize = 16_000;
const FIRST_PORT: u16 = 8000;
/// Packet memory of a host: all that can be under way, and what waits behind gaps.
const POOL: PoolConfig = PoolConfig { slots: 16_384, slot_bytes: 2048, headroom: 128 };

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sharing_is_measured_from_one_nth_to_one(shares in proptest::collection::vec(0.001..1e9_f64, 1..9)) {
            let (n, index) = (shares.len() as f64, jain(&shares));
            prop_assert!(index > 1.0 / n - 1e-9 && index < 1.0 + 1e-9, "{}", index);
            prop_assert!((jain(&vec![shares[0]; shares.len()]) - 1.0).abs() < 1e-9);
        }
    }
}
