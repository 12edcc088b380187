//! A scenario: everything that decides over one run of two hosts. The same scenario gives the same packets at the same
//! instants, so it is what a property test draws, what shrinking makes smaller, and what a failure leaves behind.
//!
//! There are no probabilities in what shrinks: a fault is a thing that happens to one packet, or for a while, and an empty
//! list of faults is a perfect network.

mod fault;
mod plan;
pub mod text;

pub use fault::{Fault, Mishap, Side, Span, Trouble};
pub use plan::{FlowPlan, Op, Reader, SidePlan};

use burstlane_sim::LinkConfig;

/// One run of a transport between two hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The transport's name.
    pub transport: String,
    /// A bug planted in it on purpose, by name.
    pub planted: Option<String>,
    /// Decides over what the hosts draw (sequence numbers, ports, secrets) and the link's own chances.
    pub seed: u64,
    /// IPv6 instead of IPv4.
    pub is_v6: bool,
    /// What both hosts' devices are like.
    pub device: Device,
    /// The link, the same both ways. Its chances are all zero in what property tests draw.
    pub link: LinkConfig,
    /// What the applications do, flow by flow.
    pub flows: Vec<FlowPlan>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// What a host's device is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// A packet is a frame, its checksums finished by the host.
    #[default]
    Plain,
    /// It cuts frames of up to 64 KiB into packets, joins packets, and finishes checksums.
    Offloading,
    /// It has memory of its own and completes transmission late, as AF_XDP and DPDK do.
    Late,
}

impl Scenario {
    /// Two hosts 5 ms apart that do nothing.
    #[must_use]
    pub fn new(transport: &str, seed: u64) -> Self {
        let delay = std::time::Duration::from_millis(5);
        Self {
            transport: transport.to_owned(),
            planted: None,
            seed,
            is_v6: false,
            device: Device::Plain,
            link: LinkConfig { delay, mtu: 1500, ..LinkConfig::default() },
            flows: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Bytes that a side's applications mean to send on all flows.
    #[must_use]
    pub fn bytes(&self, side: Side) -> u64 {
        self.flows.iter().map(|flow| flow.side(side).bytes()).sum()
    }

    /// Whether no application ends a flow early, so that everything is to arrive both ways.
    #[must_use]
    pub fn ends_in_order(&self) -> bool {
        self.flows.iter().all(|flow| Side::BOTH.iter().all(|side| !flow.side(*side).ends_early()))
    }
}
