//! Two hosts on a wire that is a queue of bytes, and the loop that lets their time pass.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use super::pipe::Pipe;
use crate::addr::{Ip, Mac};
use crate::driver::{Capabilities, Driver, DriverError};
use crate::frame::{Frame, FramePool, PoolConfig};
use crate::lane::{EngineId, Lane, LaneConfig};
use crate::net::{InterfaceConfig, NetifId};
use crate::socket::{Host, Pump};
use crate::time::Instant;
use crate::watched::Watched;

/// What a test turns at one end of the wire.
pub(crate) struct End {
    pub(crate) inbox: VecDeque<Vec<u8>>,
    /// What the driver promises, and what it then takes at once.
    pub(crate) room: usize,
    pub(crate) takes: usize,
    pub(crate) up: bool,
    pub(crate) rx_fault: Option<DriverError>,
    pub(crate) tx_fault: Option<DriverError>,
    pub(crate) sent: usize,
}

pub(crate) struct Wire {
    host: u8,
    pool: FramePool,
    mine: Rc<RefCell<End>>,
    peer: Rc<RefCell<End>>,
    watched: Watched,
}

impl Driver for Wire {
    fn capabilities(&self) -> Capabilities {
        capabilities(self.host)
    }

    fn pool(&self) -> &FramePool {
        &self.pool
    }

    fn rx_burst(&mut self, frames: &mut Vec<Frame>, frames_max: usize) -> Result<(), DriverError> {
        let mut mine = self.mine.borrow_mut();
        if let Some(fault) = &mine.rx_fault {
            return Err(fault.clone());
        }
        for _ in 0..frames_max {
            let Some(bytes) = mine.inbox.pop_front() else { break };
            let Some(mut frame) = self.pool.alloc() else { break };
            assert!(frame.extend_from_slice(&bytes));
            frames.push(frame);
        }
        Ok(())
    }

    fn tx_room(&self) -> usize {
        self.mine.borrow().room
    }

    fn tx_burst(&mut self, frames: &mut Vec<Frame>) -> Result<(), DriverError> {
        let mut mine = self.mine.borrow_mut();
        if let Some(fault) = &mine.tx_fault {
            return Err(fault.clone());
        }
        let takes = frames.len().min(mine.takes);
        for frame in frames.drain(..takes) {
            self.watched.demand(&frame);
            self.peer.borrow_mut().inbox.push_back(frame.bytes().to_vec());
        }
        mine.sent += takes;
        Ok(())
    }

    fn is_up(&self) -> bool {
        self.mine.borrow().up
    }
}

fn capabilities(host: u8) -> Capabilities {
    Capabilities { mac: Mac([2, 0, 0, 0, 0, host]), ..Capabilities::default() }
}

/// One host: 10.0.0.n and fd77::n.
pub(crate) struct Side {
    pub(crate) host: Host,
    pub(crate) pipe: EngineId<Pipe<253>>,
    pub(crate) end: Rc<RefCell<End>>,
    pub(crate) pool: FramePool,
}

pub(crate) fn v4(host: u8) -> Ip {
    Ip::v4([10, 0, 0, host])
}

pub(crate) fn v6(host: u8) -> Ip {
    Ip::v6([0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host])
}

/// Two hosts, and a clock that jumps.
pub(crate) struct Pair {
    pub(crate) a: Side,
    pub(crate) b: Side,
    pub(crate) now: Cell<Instant>,
}

pub(crate) const WIRE: NetifId = NetifId(1);

pub(crate) fn pair() -> Rc<Pair> {
    let end = || {
        let end = End {
            inbox: VecDeque::new(),
            room: 64,
            takes: usize::MAX,
            up: true,
            rx_fault: None,
            tx_fault: None,
            sent: 0,
        };
        Rc::new(RefCell::new(end))
    };
    let (ea, eb) = (end(), end());
    let side = |host: u8, mine: &Rc<RefCell<End>>, peer: &Rc<RefCell<End>>| {
        let pool = FramePool::new(PoolConfig { slots: 512, ..PoolConfig::default() });
        let mut lane = Lane::new(LaneConfig::seeded(host.into()));
        let watched = Watched::new(&capabilities(host));
        let wire = Wire { host, pool: pool.clone(), mine: mine.clone(), peer: peer.clone(), watched };
        let addresses = vec![(v4(host), 24), (v6(host), 64)];
        let config = InterfaceConfig { addresses, ..InterfaceConfig::default() };
        assert_eq!(lane.add_interface(Box::new(wire), config), WIRE);
        let pipe = lane.add::<Pipe<253>>(()).unwrap();
        Side { host: Host::new(lane), pipe, end: mine.clone(), pool }
    };
    let pair = Rc::new(Pair { a: side(1, &ea, &eb), b: side(2, &eb, &ea), now: Cell::new(Instant::ZERO) });
    for side in [&pair.a, &pair.b] {
        let weak = Rc::downgrade(&pair);
        side.host.set_pump(Some(Rc::new(Turns(weak))));
    }
    pair
}

impl Side {
    pub(crate) fn turn(&self, now: Instant) -> usize {
        let moved = self.host.receive(now) + self.host.transmit(now);
        self.host.with(self.pipe, |core, _, _| core.check_invariants());
        moved
    }
}

impl Pair {
    /// Turns of both until nothing moves; returns how many it took.
    pub(crate) fn settle(&self) -> usize {
        let mut turns = 0;
        loop {
            let moved = self.a.turn(self.now.get()) + self.b.turn(self.now.get());
            let at_once = [&self.a, &self.b].iter().any(|side| side.host.next_deadline() == Some(Instant::ZERO));
            if moved == 0 && !at_once {
                return turns;
            }
            turns += 1;
            assert!(turns < 10_000, "this never ends");
        }
    }

    /// Nothing is left of anything once all handles are gone.
    pub(crate) fn assert_clear(&self) {
        self.settle();
        for side in [&self.a, &self.b] {
            let mut lane = side.host.lane();
            assert_eq!((lane.flows(), lane.remnants(), lane.buffer_bytes()), (0, 0, 0));
            assert_eq!(side.pool.in_use(), 0, "{:?}", lane.net().counters());
        }
    }
}

struct Turns(std::rc::Weak<Pair>);

impl Pump for Turns {
    fn pump(&self) -> io::Result<()> {
        let pair = self.0.upgrade().unwrap();
        if pair.a.turn(pair.now.get()) + pair.b.turn(pair.now.get()) > 0 {
            return Ok(());
        }
        let next = [&pair.a, &pair.b].iter().filter_map(|side| side.host.next_deadline()).min();
        let next = next.ok_or_else(|| io::Error::other("nothing will ever happen"))?;
        pair.now.set(pair.now.get().max(next));
        Ok(())
    }

    fn now(&self) -> Option<Instant> {
        Some(self.0.upgrade()?.now.get())
    }
}
