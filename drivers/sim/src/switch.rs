//! An Ethernet switch (IEEE 802.1D 7, without the spanning tree: lay no loops): learns where stations are, sends on to where
//! they are, and to all ports what it does not know. A frame that came whole is sent on whole and at once; queues, rates and
//! their disciplines are the links' on its ports.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use burstlane::driver::Driver;
use burstlane::frame::Frame;
use burstlane::time::Instant;

use crate::driver::{EndHandle, SimDriver};
use crate::world::Node;

/// Bounds and times of a [`Switch`].
#[derive(Clone, Copy, Debug)]
pub struct SwitchConfig {
    /// Stations remembered, at least 1. For one more, the one not heard for longest is forgotten.
    pub stations_max: usize,
    /// How long a silent station is remembered.
    pub station_timeout: Duration,
}

impl Default for SwitchConfig {
    /// 1,024 stations, for five minutes (802.1D table 7-5).
    fn default() -> Self {
        Self { stations_max: 1024, station_timeout: Duration::from_secs(300) }
    }
}

/// What a [`Switch`] counted, as it stands.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct SwitchCounters {
    /// Frames that came.
    pub received: Cell<u64>,
    /// Frames sent on to the one port where their destination is.
    pub forwarded: Cell<u64>,
    /// Frames sent to all other ports.
    pub flooded: Cell<u64>,
    /// Dropped: the destination is where the frame came from, or the frame has no whole Ethernet header.
    pub filtered: Cell<u64>,
    /// Dropped: no packet memory for a copy.
    pub not_copied: Cell<u64>,
    /// Dropped: the port takes no more.
    pub no_room: Cell<u64>,
    /// Stations forgotten to make room.
    pub evicted: Cell<u64>,
}

/// The switch: a node whose ports are ends of links.
pub struct Switch {
    config: SwitchConfig,
    ports: Vec<Port>,
    stations: BTreeMap<[u8; 6], Station>,
    counters: Rc<SwitchCounters>,
    arrived: Vec<Frame>,
}

struct Port {
    end: SimDriver,
    handle: EndHandle,
    outbox: Vec<Frame>,
}

#[derive(Clone, Copy)]
struct Station {
    port: usize,
    heard_at: Instant,
}

impl Switch {
    /// A switch without ports.
    #[must_use]
    pub fn new(config: SwitchConfig) -> Self {
        let (ports, stations) = (Vec::new(), BTreeMap::new());
        Self { config, ports, stations, counters: Rc::default(), arrived: Vec::new() }
    }

    /// Adds a port: its end of a link, whose Ethernet address means nothing here.
    pub fn add_port(&mut self, end: SimDriver) {
        let handle = end.handle();
        self.ports.push(Port { end, handle, outbox: Vec::new() });
    }

    /// The counters, for whoever watches.
    #[must_use]
    pub fn counters(&self) -> Rc<SwitchCounters> {
        self.counters.clone()
    }

    /// Decides over a frame that came in at `port`.
    fn forward(&mut self, now: Instant, port: usize, frame: Frame) {
        bump(&self.counters.received);
        let Some((destination, source)) = addresses(&frame) else {
            bump(&self.counters.filtered);
            return;
        };
        self.learn(now, port, source);
        match self.find(now, destination) {
            Some(known) if known == port => bump(&self.counters.filtered),
            Some(known) => {
                bump(&self.counters.forwarded);
                if let Some(out) = self.ports.get_mut(known) {
                    out.outbox.push(frame);
                }
            }
            None => self.flood(port, frame),
        }
    }

    fn learn(&mut self, now: Instant, port: usize, source: [u8; 6]) {
        if is_group(source) {
            return;
        }
        let station = Station { port, heard_at: now };
        if let Some(known) = self.stations.get_mut(&source) {
            *known = station;
            return;
        }
        if self.stations.len() >= self.config.stations_max.max(1) {
            let oldest = self.stations.iter().min_by_key(|(_, station)| station.heard_at).map(|(mac, _)| *mac);
            oldest.map(|mac| self.stations.remove(&mac));
            bump(&self.counters.evicted);
        }
        self.stations.insert(source, station);
    }

    fn find(&self, now: Instant, destination: [u8; 6]) -> Option<usize> {
        if is_group(destination) {
            return None;
        }
        let station = self.stations.get(&destination)?;
        (now.since(station.heard_at) <= self.config.station_timeout).then_some(station.port)
    }

    /// A copy to each other port, and the frame itself to the last.
    fn flood(&mut self, from: usize, frame: Frame) {
        bump(&self.counters.flooded);
        let mut others = self.ports.iter_mut().enumerate().filter(|(port, _)| *port != from).map(|(_, port)| port);
        let Some(last) = others.next_back() else { return };
        for port in others {
            match port.end.pools().copy_of(&frame) {
                Some(copy) => port.outbox.push(copy),
                None => bump(&self.counters.not_copied),
            }
        }
        last.outbox.push(frame);
    }
}

impl Node for Switch {
    fn turn(&mut self, now: Instant) -> bool {
        let mut moved = false;
        for port in 0..self.ports.len() {
            let mut arrived = std::mem::take(&mut self.arrived);
            if let Some(Port { end, handle, .. }) = self.ports.get_mut(port)
                && handle.has_due()
            {
                // A port that is down gives nothing.
                let _ = end.rx_burst(&mut arrived, BURST_FRAMES);
            }
            moved |= !arrived.is_empty();
            for frame in arrived.drain(..) {
                self.forward(now, port, frame);
            }
            self.arrived = arrived;
        }
        for Port { end, outbox, .. } in self.ports.iter_mut().filter(|port| !port.outbox.is_empty()) {
            // A port that is down takes nothing.
            let _ = end.tx_burst(outbox);
            self.counters.no_room.set(self.counters.no_room.get() + outbox.len() as u64);
            outbox.clear();
        }
        moved
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn has_arrivals(&self) -> bool {
        self.ports.iter().any(|port| port.handle.has_due())
    }
}

/// Destination and source.
fn addresses(frame: &Frame) -> Option<([u8; 6], [u8; 6])> {
    let header = frame.bytes().first_chunk::<14>()?;
    let (destination, rest) = header.split_first_chunk()?;
    Some((*destination, *rest.first_chunk()?))
}

/// Several stations at once, or all.
fn is_group(mac: [u8; 6]) -> bool {
    mac.first().is_some_and(|first| first & 1 == 1)
}

fn bump(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

/// Frames taken from a port in a turn: the others are served in between.
const BURST_FRAMES: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{EndConfig, Ideal, Network, World};

    /// Stations on one switch, and what each has heard: (sender, number).
    struct Lan {
        world: World,
        stations: Vec<SimDriver>,
        counters: Rc<SwitchCounters>,
        ports: Vec<EndHandle>,
    }

    fn mac(station: usize) -> [u8; 6] {
        [2, 0, 0, 0, 0, station as u8]
    }

    const ALL: [u8; 6] = [0xff; 6];

    impl Lan {
        fn new(count: usize, config: SwitchConfig) -> Self {
            let world = World::new(Network::new());
            let mut switch = Switch::new(config);
            let (mut stations, mut ports) = (vec![], vec![]);
            for _ in 0..count {
                let ideal = || Box::<Ideal>::default();
                let (station, port) = world.network().link(EndConfig::host(1), EndConfig::host(2), ideal(), ideal());
                stations.push(station);
                ports.push(port.handle());
                switch.add_port(port);
            }
            let counters = switch.counters();
            world.add(switch);
            Self { world, stations, counters, ports }
        }

        fn say(&mut self, at: usize, source: [u8; 6], destination: [u8; 6], number: u8) {
            let end = &mut self.stations[at];
            let mut frame = end.pool().alloc().unwrap();
            assert!(frame.extend_from_slice(&[&destination[..], &source, &[0x88, 0xb5, number]].concat()));
            end.tx_burst(&mut vec![frame]).unwrap();
        }

        fn hear(&mut self) -> Vec<Vec<u8>> {
            self.world.run_for(Duration::from_micros(1)).unwrap();
            let heard = self.stations.iter_mut().map(|end| {
                let mut frames = vec![];
                end.rx_burst(&mut frames, 1000).unwrap();
                frames.iter().map(|frame| frame.bytes()[14]).collect()
            });
            heard.collect()
        }

        fn assert_nothing_leaked(&self) {
            let out: usize = self.ports.iter().map(EndHandle::frames_out).sum();
            assert_eq!(out + self.stations.iter().map(|end| end.handle().frames_out()).sum::<usize>(), 0);
        }
    }

    proptest! {
        /// Against a model of three lines: a frame goes to where its destination spoke last, or to all others.
        #[test]
        fn a_frame_goes_where_its_destination_was_heard_last(
            frames in proptest::collection::vec((0_usize..4, 0_usize..6, 0_usize..7), 1..100),
        ) {
            let mut lan = Lan::new(4, SwitchConfig::default());
            let mut places = BTreeMap::new();
            for (number, (at, source, destination)) in frames.into_iter().enumerate() {
                let number = number as u8;
                let group = destination == 6;
                lan.say(at, mac(source), if group { ALL } else { mac(destination) }, number);
                places.insert(source, at);
                let expected = match places.get(&destination).filter(|_| !group) {
                    Some(place) if *place == at => vec![],
                    Some(place) => vec![*place],
                    None => (0..4).filter(|port| *port != at).collect(),
                };
                let heard = lan.hear();
                let by: Vec<usize> = (0..4).filter(|port| !heard[*port].is_empty()).collect();
                prop_assert_eq!(by, expected);
                prop_assert!(heard.iter().flatten().all(|n| *n == number));
            }
            lan.assert_nothing_leaked();
        }
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_longest_silent() {
        let mut lan = Lan::new(3, SwitchConfig { stations_max: 2, ..SwitchConfig::default() });
        for station in [0, 1, 2] {
            lan.say(station, mac(station), ALL, 0);
            lan.hear();
        }
        lan.say(0, mac(9), mac(2), 1);
        let heard = lan.hear();
        assert_eq!((heard[1].len(), heard[2].len()), (0, 1), "the last one is known");
        lan.say(2, mac(2), mac(0), 2);
        assert_eq!(lan.hear(), [vec![2], vec![2], vec![]], "the first one is not any more");
        assert_eq!(lan.counters.evicted.get(), 2);
    }

    #[test]
    fn a_silent_station_is_forgotten_in_time() {
        let mut lan = Lan::new(3, SwitchConfig { station_timeout: Duration::from_secs(1), ..SwitchConfig::default() });
        lan.say(0, mac(0), ALL, 0);
        lan.hear();
        lan.say(1, mac(1), mac(0), 1);
        assert_eq!(lan.hear(), [vec![1], vec![], vec![]]);
        lan.world.run_for(Duration::from_secs(2)).unwrap();
        lan.say(1, mac(1), mac(0), 2);
        assert_eq!(lan.hear(), [vec![2], vec![], vec![2]]);
    }

    #[test]
    fn a_port_that_is_down_or_stuck_costs_its_frames_and_no_others() {
        let mut lan = Lan::new(3, SwitchConfig::default());
        lan.ports[1].set_up(false);
        lan.say(0, mac(0), ALL, 1);
        assert_eq!(lan.hear(), [vec![], vec![], vec![1]]);
        lan.ports[1].set_up(true);
        lan.ports[1].set_tx_room(0);
        lan.say(0, mac(0), ALL, 2);
        assert_eq!(lan.hear(), [vec![], vec![], vec![2]]);
        assert_eq!(lan.counters.no_room.get(), 2);
        lan.ports[1].exhaust_pool(Instant::NEVER);
        lan.say(0, mac(0), ALL, 3);
        assert_eq!(lan.hear(), [vec![], vec![], vec![3]]);
        assert_eq!(lan.counters.not_copied.get(), 1);
        lan.assert_nothing_leaked();
    }

    #[test]
    fn a_frame_without_a_header_goes_nowhere() {
        let mut lan = Lan::new(2, SwitchConfig::default());
        let mut frame = lan.stations[0].pool().alloc().unwrap();
        assert!(frame.extend_from_slice(&[0; 13]));
        lan.stations[0].tx_burst(&mut vec![frame]).unwrap();
        assert_eq!(lan.hear(), [vec![], vec![0; 0]]);
        assert_eq!(lan.counters.filtered.get(), 1);
    }
}
