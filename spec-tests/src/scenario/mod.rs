//! A scenario: everything that decides over one run of two hosts. The same scenario gives the same packets at the same
//! instants, so it is what a property test draws, what shrinking makes smaller, and what a failure leaves behind.
//!
//! There are no probabilities in what shrinks: a fault is a thing that happens to one packet, or for a while, and an empty
//! list of faults is a perfect network.

mod fault;
pub mod file;
mod plan;
pub mod text;

pub use fault::{Fault, Mishap, Side, Span, Trouble};
pub use plan::{FlowPlan, Op, Reader, SidePlan};

use burstlane::time::{Duration, Instant};
use burstlane_sim::{Discipline, LinkConfig};

use crate::subject::Promises;

/// Most that all applications of a scenario file send together: each byte is sent, carried and checked, in one thread.
pub const BYTES_MAX: u64 = 256 << 20;

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
    /// Lanes of each host, 1 to 16. Flows are opened by one lane after the other.
    pub lanes: u16,
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
        let delay = Duration::from_millis(5);
        Self {
            transport: transport.to_owned(),
            planted: None,
            seed,
            is_v6: false,
            device: Device::Plain,
            lanes: 1,
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

impl Scenario {
    /// Time that the applications spend waiting on purpose, and the link with sending, if nothing goes wrong.
    #[must_use]
    pub fn undisturbed(&self) -> Duration {
        let each = self.flows.iter().map(|flow| {
            let reads = |side: Side| flow.side(side).idle(flow.side(side.other()).bytes());
            Duration::from_millis(flow.opens_ms.into()) + reads(Side::Left) + reads(Side::Right)
        });
        let idle: Duration = each.sum();
        let bytes = self.bytes(Side::Left) + self.bytes(Side::Right);
        // A protocol with one packet under way needs a round trip for each; one whose packets are lost, several.
        let packets = bytes / 1000
            + self.flows.iter().flat_map(|flow| &flow.sides).map(|side| side.ops.len() as u64).sum::<u64>();
        let trips = self.link.delay * 2 * u32::try_from(2 * packets + 20).unwrap_or(u32::MAX);
        let sending = self
            .link
            .rate_bits_per_s
            .map_or(Duration::ZERO, |rate| Duration::from_nanos(bytes.saturating_mul(4 * 8_000_000_000 / rate.max(1))));
        idle + trips + sending
    }

    /// When a partition that outlasts the transport's patience is to have ended every flow: its end.
    #[must_use]
    pub fn silent_until(&self, promises: &Promises) -> Option<Instant> {
        self.faults.iter().find_map(|fault| match fault {
            Fault::Spell { span, trouble: Trouble::Partition(None) }
                if Duration::from_millis(span.ms.into()) >= promises.gives_up_within =>
            {
                Some(span.ends_at())
            }
            _ => None,
        })
    }

    /// Whether the network falls silent for longer than the transport's patience.
    #[must_use]
    pub fn ends_in_silence(&self, promises: &Promises) -> bool {
        self.silent_until(promises).is_some()
    }

    /// Whether strangers send to the hosts.
    #[must_use]
    pub fn has_strangers(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault, Fault::Forged { .. } | Fault::Flood { .. }))
    }

    /// Whether strangers send to the hosts, and nothing else goes wrong.
    #[must_use]
    pub fn has_only_strangers(&self) -> bool {
        let strangers = |fault: &Fault| matches!(fault, Fault::Forged { .. } | Fault::Flood { .. });
        self.has_strangers() && self.faults.iter().all(strangers) && self.link_is_reliable()
    }

    /// Whether somebody on the way changes packets so that nobody can notice: then much may happen to the flow itself.
    #[must_use]
    pub fn has_an_enemy_on_the_way(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault, Fault::Packet { mishap: Mishap::Tamper { .. }, .. }))
    }

    /// Whether every damaged packet is one that its receiver must throw away. IPv6 has no checksum of its own, so some of its
    /// header may change and mean nothing.
    #[must_use]
    pub fn damage_is_certain(&self) -> bool {
        !self.is_v6
    }

    /// Whether the link does nothing by chance, so that only the listed faults strike.
    #[must_use]
    pub fn link_is_reliable(&self) -> bool {
        let link = &self.link;
        [link.loss, link.duplicate, link.reorder, link.corrupt].iter().all(|chance| *chance == 0.0)
            && link.jitter.is_zero()
            && link.queue_frames_max.is_none()
            && link.queue_bytes_max.is_none()
            && link.discipline == Discipline::DropTail
    }
}
