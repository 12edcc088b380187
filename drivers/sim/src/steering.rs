//! Which queue of a device a packet goes to: a keyed hash of its addresses and ports, the same in both directions (receive
//! side scaling), and before that a table that learns from what each queue sends where its answers belong, as Intel's flow
//! director does (ATR). So a flow stays with the lane that opened it, whatever its port hashes to.

use burstlane::driver::ProtocolSet;

use crate::header::{IpAt, ip_header, is_neighbour_traffic};

/// How packets are steered.
#[derive(Clone, Debug)]
pub struct SteeringConfig {
    /// The key of the hash.
    pub key: u64,
    /// IP protocols whose headers begin with two ports, which the hash covers. TCP and UDP by default. Of others it covers
    /// the addresses.
    pub with_ports: ProtocolSet,
    /// Flows that the table holds, rounded up to a power of two; a new one may take an old one's place. 0: no table.
    pub learned_flows_max: usize,
}

impl Default for SteeringConfig {
    /// 8,192 flows, as the 82599 has.
    fn default() -> Self {
        Self { key: 0x6d5a_56da_255b_0ec2, with_ports: ProtocolSet::NONE.with(6).with(17), learned_flows_max: 8192 }
    }
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To this queue, as the hash says.
    Hashed(usize),
    /// To this queue, as the table says.
    Learned(usize),
    /// To the first queue: fragments, and what is not IP.
    First,
    /// To every queue: neighbours' questions and answers, because each lane keeps its own table of neighbours.
    Every,
}

/// The hash and the table of one device.
pub(crate) struct Steering {
    config: SteeringConfig,
    queues: usize,
    /// By the low bits of a flow's hash: the hash, and the queue. Another flow of the same hash shares its fate.
    learned: Vec<Option<(u64, usize)>>,
}

/// What a packet belongs to.
enum Flow {
    /// One with ports, by the hash of both ends.
    Ports(u64),
    /// All that these two hosts say otherwise, by the hash of their addresses.
    Hosts(u64),
}

impl Steering {
    /// For a device of `queues`, at least 1.
    pub(crate) fn new(config: SteeringConfig, queues: usize) -> Self {
        let entries = if config.learned_flows_max == 0 { 0 } else { config.learned_flows_max.next_power_of_two() };
        Self { config, queues: queues.max(1), learned: vec![None; entries] }
    }

    /// Where a packet from the wire goes.
    pub(crate) fn destination(&self, frame: &[u8]) -> Destination {
        if is_neighbour_traffic(frame) {
            return Destination::Every;
        }
        match self.flow(frame) {
            None => Destination::First,
            Some(Flow::Hosts(hash)) => Destination::Hashed(self.hashed(hash)),
            Some(Flow::Ports(hash)) => match self.learned.get(self.place(hash)) {
                Some(Some((learned, queue))) if *learned == hash => Destination::Learned(*queue),
                _ => Destination::Hashed(self.hashed(hash)),
            },
        }
    }

    /// `queue` sends this packet: its answers belong there.
    pub(crate) fn learn(&mut self, queue: usize, frame: &[u8]) {
        let Some(Flow::Ports(hash)) = self.flow(frame) else { return };
        let (place, hashed) = (self.place(hash), self.hashed(hash));
        let Some(entry) = self.learned.get_mut(place) else { return };
        let is_known = entry.is_some_and(|(learned, _)| learned == hash);
        if is_known || hashed != queue {
            *entry = Some((hash, queue));
        }
    }

    fn place(&self, hash: u64) -> usize {
        hash as usize & self.learned.len().saturating_sub(1)
    }

    /// The high half of the hash, spread over the queues.
    fn hashed(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.queues as u128) >> 64) as usize
    }

    /// `None`: a fragment, or no IP.
    fn flow(&self, frame: &[u8]) -> Option<Flow> {
        let (protocol, addresses, ports) = match ip_header(frame)? {
            IpAt::V4(at) => {
                // RFC 791 3.1: an offset, or more fragments.
                if [frame.get(at + 6)? & 0x3f, *frame.get(at + 7)?] != [0, 0] {
                    return None;
                }
                let header_bytes = usize::from(frame.get(at)? & 0x0f) * 4;
                let addresses = (frame.get(at + 12..at + 16)?, frame.get(at + 16..at + 20)?);
                (*frame.get(at + 9)?, addresses, frame.get(at + header_bytes..))
            }
            IpAt::V6(at) => {
                let next_header = *frame.get(at + 6)?;
                if next_header == FRAGMENT {
                    return None;
                }
                (next_header, (frame.get(at + 8..at + 24)?, frame.get(at + 24..at + 40)?), frame.get(at + 40..))
            }
        };
        let (source, destination) = addresses;
        if !self.config.with_ports.contains(protocol) {
            return Some(Flow::Hosts(self.hash((source, [0, 0]), (destination, [0, 0]))));
        }
        let [a, b, c, d] = *ports?.first_chunk()?;
        Some(Flow::Ports(self.hash((source, [a, b]), (destination, [c, d]))))
    }

    /// The same whichever end comes first.
    fn hash(&self, one: (&[u8], [u8; 2]), other: (&[u8], [u8; 2])) -> u64 {
        let end = |(address, port): (&[u8], [u8; 2])| {
            let seed = mix(self.config.key ^ u64::from(u16::from_be_bytes(port)));
            address.chunks(4).fold(seed, |hash, chunk| {
                let word = chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
                mix(hash ^ word)
            })
        };
        mix(end(one).wrapping_add(end(other)))
    }
}

/// SplitMix64's output function.
fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// RFC 8200 4.5.
const FRAGMENT: u8 = 44;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An IPv4 or IPv6 packet in a frame.
    fn packet(is_v6: bool, protocol: u8, from: ([u8; 4], u16), to: ([u8; 4], u16)) -> Vec<u8> {
        let mut frame = vec![0; 12];
        if is_v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, protocol, 64]);
            for (address, _) in [from, to] {
                frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                frame.extend(address);
            }
        } else {
            frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
            frame.extend(from.0);
            frame.extend(to.0);
        }
        frame.extend(from.1.to_be_bytes());
        frame.extend(to.1.to_be_bytes());
        frame.extend([0; 16]);
        frame
    }

    proptest! {
        #[test]
        fn both_directions_of_a_flow_go_to_one_queue(
            key: u64, queues in 1_usize..9, is_v6: bool, protocol: u8,
            a: ([u8; 4], u16), b: ([u8; 4], u16),
        ) {
            let steering = Steering::new(SteeringConfig { key, ..SteeringConfig::default() }, queues);
            let there = steering.destination(&packet(is_v6, protocol, a, b));
            prop_assert_eq!(there, steering.destination(&packet(is_v6, protocol, b, a)));
            if let Destination::Hashed(queue) = there {
                prop_assert!(queue < queues);
            }
        }

        #[test]
        fn answers_go_to_the_queue_that_asked(
            queues in 1_usize..9, is_v6: bool, a: ([u8; 4], u16), b: ([u8; 4], u16), asks in 0_usize..9, asks_again in 0_usize..9,
        ) {
            let mut steering = Steering::new(SteeringConfig::default(), queues);
            for queue in [asks % queues, asks_again % queues] {
                steering.learn(queue, &packet(is_v6, 6, a, b));
                let answer = steering.destination(&packet(is_v6, 6, b, a));
                let (Destination::Hashed(to) | Destination::Learned(to)) = answer else { panic!("{answer:?}") };
                prop_assert_eq!(to, queue);
            }
        }

        #[test]
        fn no_bytes_are_trouble(mut frame in proptest::collection::vec(any::<u8>(), 0..80), kind in 0_usize..5) {
            if let Some(room) = frame.get_mut(12..15) {
                room.copy_from_slice(&[[8, 0, 0x45], [0x86, 0xdd, 0x60], [0x81, 0, 0], [8, 6, 0], [8, 0, 0x4f]][kind]);
            }
            let mut steering = Steering::new(SteeringConfig { learned_flows_max: 1, ..SteeringConfig::default() }, 3);
            steering.learn(2, &frame);
            steering.destination(&frame);
        }
    }

    #[test]
    fn flows_spread_over_the_queues_and_ports_count_only_where_there_are_some() {
        let steering = Steering::new(SteeringConfig::default(), 4);
        let mut counts = [0_u32; 4];
        let from =
            |protocol, port| steering.destination(&packet(false, protocol, ([10, 0, 0, 1], port), ([10, 0, 0, 2], 80)));
        for port in 0..4000 {
            let Destination::Hashed(queue) = from(6, port) else { panic!() };
            counts[queue] += 1;
            assert_eq!(from(1, port), from(1, 0));
        }
        // Four deviations.
        assert!(counts.iter().all(|count| count.abs_diff(1000) < 110), "{counts:?}");
    }

    #[test]
    fn fragments_go_to_the_first_queue_and_neighbours_to_all() {
        let steering = Steering::new(SteeringConfig::default(), 4);
        let mut fragment = packet(false, 6, ([1; 4], 1), ([2; 4], 2));
        for (at, value) in [(20, 0x20), (20, 0x01), (21, 0x01)] {
            fragment[20..22].fill(0);
            fragment[at] = value;
            assert_eq!(steering.destination(&fragment), Destination::First);
        }
        assert_eq!(steering.destination(&packet(true, FRAGMENT, ([1; 4], 1), ([2; 4], 2))), Destination::First);
        assert_eq!(steering.destination(&[0; 60]), Destination::First);
        let mut solicitation = packet(true, 58, ([1; 4], 0), ([2; 4], 0));
        solicitation[54] = 135;
        assert_eq!(steering.destination(&solicitation), Destination::Every);
        let mut arp = vec![0; 60];
        arp[12..14].copy_from_slice(&[8, 6]);
        assert_eq!(steering.destination(&arp), Destination::Every);
        let tagged = [&arp[..12], &[0x81, 0, 0, 1], &arp[12..]].concat();
        assert_eq!(steering.destination(&tagged), Destination::Every);
    }

    #[test]
    fn the_table_is_bounded_and_without_one_the_hash_decides() {
        let mut small = Steering::new(SteeringConfig { learned_flows_max: 3, ..SteeringConfig::default() }, 4);
        let mut none = Steering::new(SteeringConfig { learned_flows_max: 0, ..SteeringConfig::default() }, 4);
        for port in 0..100 {
            let frame = packet(false, 6, ([1; 4], port), ([2; 4], 2));
            small.learn(3, &frame);
            let hashed = none.destination(&frame);
            none.learn(3, &frame);
            assert_eq!(none.destination(&frame), hashed);
        }
        assert_eq!((small.learned.len(), none.learned.len()), (4, 0));
    }
}
