//! The oracle on a host: it sees the frames that cross its lane's interfaces, and hears its events.

use std::cell::RefCell;
use std::rc::Rc;

use burstlane::observe::{Direction, Event, FrameTap, Observer};
use burstlane::socket::Host;
use burstlane::time::Instant;

use super::TcpOracle;

/// One side's view: a tap for frames, and an observer of events.
#[derive(Clone, Debug)]
pub struct OracleTap {
    oracle: Rc<RefCell<TcpOracle>>,
    side: usize,
}

impl OracleTap {
    /// The view of `side`, 0 or 1.
    #[must_use]
    pub fn new(oracle: &Rc<RefCell<TcpOracle>>, side: usize) -> Self {
        Self { oracle: oracle.clone(), side }
    }

    /// Shows the oracle what both hosts send, receive and tell. A host has one tap: this takes its place.
    pub fn attach(oracle: &Rc<RefCell<TcpOracle>>, hosts: [&Host; 2]) {
        for (side, host) in hosts.into_iter().enumerate() {
            let mut lane = host.lane();
            lane.set_tap(Some(Box::new(Self::new(oracle, side))));
            lane.set_observer(Self::new(oracle, side));
        }
    }
}

impl FrameTap for OracleTap {
    fn frame(&mut self, now: Instant, netif: u16, direction: Direction, bytes: &[u8], _comment: Option<&str>) {
        // A lane counts its own loopback as interface 0; what a host says to itself has no sides.
        if netif == 0 {
            return;
        }
        let mut oracle = self.oracle.borrow_mut();
        match direction {
            Direction::Out => oracle.on_sent(self.side, now, bytes),
            Direction::In => oracle.on_delivered(self.side, now, bytes),
        }
    }
}

impl Observer for OracleTap {
    fn event(&mut self, now: Instant, event: &Event<'_>) {
        self.oracle.borrow_mut().on_event(self.side, now, event);
    }
}
