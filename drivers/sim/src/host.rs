//! Hosts in the world: the stack's own lanes as nodes, with an application that runs within their turns; and the world as
//! what lets time pass for blocking calls.

use std::io;
use std::rc::{Rc, Weak};

use burstlane::socket::{Host, Pump};
use burstlane::time::Instant;

use crate::clock::{Clock, Skewed};
use crate::driver::EndHandle;
use crate::world::{Inner, Node, Step, World};

impl World {
    /// Adds a host whose application only makes calls from outside, in between: between steps, or blocking ones, for which
    /// the world lets time pass.
    ///
    /// # Panics
    /// If called from within a node's turn.
    pub fn add_host(&self, host: &Host) {
        self.add_app(host, |_| false);
    }

    /// Adds a host whose application runs in each turn, between receiving and sending. It returns whether it did anything.
    /// It must not block: its time is the world's. When it wants to be called later without a packet, it sets an
    /// [`alarm`](crate::Network::alarm).
    ///
    /// # Panics
    /// If called from within a node's turn.
    pub fn add_app(&self, host: &Host, app: impl FnMut(&Host) -> bool + 'static) {
        self.add_resident(Resident::new(host, app));
    }

    /// Adds a host as described.
    ///
    /// # Panics
    /// If called from within a node's turn.
    pub fn add_resident(&self, resident: Resident<impl FnMut(&Host) -> bool + 'static>) {
        let Resident { host, clock, .. } = &resident;
        host.set_pump(Some(Rc::new(WorldPump(Rc::downgrade(&self.0), clock.clone()))));
        let clock = clock.clone();
        self.add(Skewed::new(resident, clock));
    }
}

/// A host, to be added to a world by [`World::add_resident`].
pub struct Resident<F> {
    host: Host,
    app: F,
    clock: Clock,
    ends: Option<Vec<EndHandle>>,
}

impl<F: FnMut(&Host) -> bool> Resident<F> {
    /// A host whose application runs in each turn, as [`World::add_app`] has it.
    #[must_use]
    pub fn new(host: &Host, app: F) -> Self {
        Self { host: host.clone(), app, clock: Clock::default(), ends: None }
    }

    /// It lives by a clock of its own.
    #[must_use]
    pub fn by_clock(self, clock: &Clock) -> Self {
        Self { clock: clock.clone(), ..self }
    }

    /// It gets a turn only when there is something to do: a frame at one of `ends`, which are all that it has, or a
    /// deadline, and at alarms. So no device may count turns, as [`LateDriver`](crate::LateDriver) does, and whoever does
    /// something to the host within a run but outside of its own turns, in the condition of
    /// [`run_until`](World::run_until) or the turn of another, tells so by [`Network::wake_all`](crate::Network::wake_all):
    /// opening a flow, writing, letting its clock jump, setting what its application looks at.
    #[must_use]
    pub fn when_due(self, ends: Vec<EndHandle>) -> Self {
        Self { ends: Some(ends), ..self }
    }
}

impl<F: FnMut(&Host) -> bool> Node for Resident<F> {
    fn turn(&mut self, now: Instant) -> bool {
        let received = self.host.receive(now);
        let active = (self.app)(&self.host);
        let sent = self.host.transmit(now);
        received > 0 || active || sent > 0
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.host.next_deadline()
    }

    fn has_arrivals(&self) -> bool {
        self.ends.as_ref().is_none_or(|ends| ends.iter().any(EndHandle::has_due))
    }
}

/// Weak, because the world holds the hosts.
struct WorldPump(Weak<Inner>, Clock);

impl Pump for WorldPump {
    fn pump(&self) -> io::Result<()> {
        let world = self.0.upgrade().map(World).ok_or_else(|| io::Error::other("the simulated world is gone"))?;
        match world.step() {
            Step::Moved | Step::Advanced => Ok(()),
            Step::Quiet => Err(io::Error::other("nothing is under way and nobody waits for anything: this never ends")),
            Step::Nested => Err(io::Error::other("a blocking call within a turn: the world stands still there")),
        }
    }

    fn now(&self) -> Option<Instant> {
        self.0.upgrade().map(|inner| self.1.at(World(inner).now()))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::time::Duration;

    use burstlane::addr::Ip;
    use burstlane::driver::Driver;
    use burstlane::lane::{Lane, LaneConfig};
    use burstlane::net::InterfaceConfig;
    use burstlane_spec::decode::CheckedDriver;

    use super::*;
    use crate::{EndConfig, LateConfig, LateDriver, LinkConfig, Network, SimDriver, StandardLink};

    const DELAY: Duration = Duration::from_millis(20);

    /// A host at 10.0.0.1, over 20 ms of wire.
    fn host(put: impl FnOnce(SimDriver) -> Box<dyn Driver>) -> (World, Host, SimDriver) {
        let world = World::new(Network::new());
        let model = || StandardLink::boxed(LinkConfig { delay: DELAY, ..LinkConfig::default() }, 1).unwrap();
        let (end, peer) = world.network().link(EndConfig::host(1), EndConfig::host(2), model(), model());
        let mut lane = Lane::new(LaneConfig::seeded(1));
        let addresses = vec![(Ip::v4([10, 0, 0, 1]), 24)];
        lane.add_interface(CheckedDriver::boxed(put(end)), InterfaceConfig { addresses, ..InterfaceConfig::default() });
        (world, Host::new(lane), peer)
    }

    /// RFC 826: 10.0.0.2 asks for 10.0.0.1.
    fn arp_request() -> Vec<u8> {
        let mut bytes = vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
        bytes.extend([2, 0, 0, 0, 0, 2, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1]);
        bytes
    }

    /// RFC 792: an echo request from 10.0.0.2, whose payload of `bytes` zeros adds nothing to the checksum.
    fn ping(bytes: u8) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        let mut header = [0x45, 0, 0, 28 + bytes, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1];
        let sum: u32 = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        frame.extend(header);
        frame.extend([8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
        frame.resize(frame.len() + usize::from(bytes), 0);
        frame
    }

    fn say(peer: &mut SimDriver, bytes: &[u8]) {
        let mut frame = peer.pool().alloc().unwrap();
        assert!(frame.extend_from_slice(bytes));
        peer.tx_burst(&mut vec![frame]).unwrap();
    }

    fn hear(world: &World, peer: &RefCell<SimDriver>) -> Vec<u8> {
        let mut frames = vec![];
        let arrived = || {
            peer.borrow_mut().rx_burst(&mut frames, 1).unwrap();
            !frames.is_empty()
        };
        world.run_until(Duration::from_secs(1), arrived).unwrap();
        frames[0].bytes().to_vec()
    }

    #[test]
    fn a_host_answers_after_a_round_trip() {
        let (world, host, peer) = host(|end| Box::new(end));
        let turns = Rc::new(Cell::new(0));
        let count = turns.clone();
        world.add_app(&host, move |_| {
            count.set(count.get() + 1);
            false
        });
        let peer = RefCell::new(peer);
        say(&mut peer.borrow_mut(), &arp_request());
        assert_eq!(hear(&world, &peer)[20..22], [0, 2]);
        assert_eq!(world.now(), Instant::ZERO + 2 * DELAY);
        say(&mut peer.borrow_mut(), &ping(8));
        assert_eq!(hear(&world, &peer)[34], 0, "an echo reply");
        assert_eq!(world.now(), Instant::ZERO + 4 * DELAY);
        assert!((1..20).contains(&turns.get()), "{turns:?} turns");
        assert_eq!(world.forced_advances(), 0);
    }

    #[test]
    fn a_host_on_foreign_memory_with_late_completion_loses_no_slot() {
        let counters = Rc::new(RefCell::new(None));
        let slot = counters.clone();
        let (world, host, peer) = host(move |end| {
            let late = LateDriver::new(end, LateConfig::default());
            *slot.borrow_mut() = Some((late.counters(), late.pool().clone()));
            Box::new(late)
        });
        world.add_host(&host);
        let peer = RefCell::new(peer);
        say(&mut peer.borrow_mut(), &arp_request());
        hear(&world, &peer);
        for bytes in 0..100 {
            say(&mut peer.borrow_mut(), &ping(bytes));
        }
        for _ in 0..100 {
            hear(&world, &peer);
        }
        world.run_for(Duration::from_secs(1)).unwrap();
        let (counters, pool) = counters.take().unwrap();
        // The host may ask about its neighbour, too.
        assert!(counters.taken.get() >= 101 && counters.overwritten.get() == 0);
        drop((world, host));
        assert_eq!((pool.in_use(), pool.lent()), (0, 0));
    }

    #[test]
    fn a_host_with_a_clock_of_its_own_shows_it() {
        let (world, host, _peer) = host(|end| Box::new(end));
        let clock = Clock::skewed(0, Duration::from_secs(5));
        world.add_resident(Resident::new(&host, |_| false).by_clock(&clock));
        world.step();
        assert_eq!((host.now(), host.lane().now()), (Instant::ZERO + Duration::from_secs(5), host.now()));
        clock.jump(world.now(), Duration::from_secs(2));
        assert_eq!(host.now(), Instant::ZERO + Duration::from_secs(7));
    }

    /// Of three hosts two talk, and the third is called at the beginning, for its alarm, and at the end.
    #[test]
    fn who_is_not_due_is_passed_over_and_still_knows_the_time() {
        let (world, host, peer) = host(|end| Box::new(end));
        world.add_host(&host);
        let idle = Host::new(Lane::new(LaneConfig::seeded(2)));
        let turns = Rc::new(Cell::new(0));
        let count = turns.clone();
        let resident = Resident::new(&idle, move |_| {
            count.set(count.get() + 1);
            false
        });
        world.add_resident(resident.when_due(vec![]));
        let peer = RefCell::new(peer);
        say(&mut peer.borrow_mut(), &arp_request());
        hear(&world, &peer);
        let turns_before = turns.get();
        let mut heard = 0;
        say(&mut peer.borrow_mut(), &ping(0));
        let echo = || {
            let mut frames = vec![];
            peer.borrow_mut().rx_burst(&mut frames, 8).unwrap();
            // What comes back is sent again, as a question.
            for frame in &frames {
                heard += 1;
                assert_eq!(frame.bytes()[34], 0);
                say(&mut peer.borrow_mut(), &ping(heard as u8));
            }
            heard == 50
        };
        world.run_until(Duration::from_secs(10), echo).unwrap();
        assert_eq!(idle.lane().now(), world.now());
        assert!(turns.get() - turns_before < 5, "{} turns", turns.get() - turns_before);
        world.network().alarm(world.now() + DELAY / 2);
        let before_alarm = turns.get();
        world.run_for(DELAY).unwrap();
        assert!(turns.get() >= before_alarm + 2, "at the beginning, and for the alarm");
    }

    #[test]
    fn a_blocking_call_that_can_never_end_says_so() {
        let (world, host, mut peer) = host(|end| Box::new(end));
        assert!(host.pump().is_err(), "nobody makes time pass yet");
        world.add_host(&host);
        assert!(host.pump().unwrap_err().to_string().contains("never ends"));
        say(&mut peer, &arp_request());
        host.pump().unwrap();
        assert_eq!(world.now(), Instant::ZERO + DELAY);
        drop(world);
        assert!(host.pump().is_err());
    }
}
