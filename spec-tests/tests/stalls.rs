//! How long a connection may stand still on a bad path: no longer than the timer's back-off says (RFC 6298 5.5), which begins anew
//! with each acknowledgement of something new.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use burstlane::observe::{Direction, FrameTap};
use burstlane::time::Instant;
use burstlane_sim::LinkConfig;
use burstlane_spec::oracle::segment::WireSegment;
use burstlane_spec::packets::{ACK, SYN};
use burstlane_spec::{Hosts, HostsConfig, Transfer, TransferConfig};
use burstlane_tcp::{Config, Tcp};

/// What the sender's wire shows.
#[derive(Debug, Default)]
struct Wire {
    una: Option<u32>,
    last_sent_at: Instant,
    /// Long waits since something new was acknowledged.
    timeouts: u32,
    /// Waits that were longer than the back-off says.
    stalls: Vec<(Duration, u32)>,
    worst: Duration,
}

struct Tap(Rc<RefCell<Wire>>);

impl FrameTap for Tap {
    fn frame(&mut self, now: Instant, _: u16, direction: Direction, bytes: &[u8], _: Option<&str>) {
        let Some(segment) = WireSegment::read(bytes) else { return };
        let mut wire = self.0.borrow_mut();
        match direction {
            Direction::Out if segment.header.has(SYN) => wire.last_sent_at = now,
            Direction::Out => wire.on_sent(now),
            Direction::In if segment.header.has(ACK) && wire.una.is_none_or(|una| ahead(segment.header.ack, una)) => {
                (wire.una, wire.timeouts) = (Some(segment.header.ack), 0);
            }
            Direction::In => {}
        }
    }
}

impl Wire {
    fn on_sent(&mut self, now: Instant) {
        let waited = now.since(self.last_sent_at);
        self.last_sent_at = now;
        self.worst = self.worst.max(waited);
        if waited > LONGEST_TIMEOUT * 2_u32.pow(self.timeouts) {
            self.stalls.push((waited, self.timeouts));
        }
        self.timeouts += u32::from(waited >= SHORTEST_TIMEOUT);
    }
}

fn ahead(number: u32, of: u32) -> bool {
    number.wrapping_sub(of) as i32 > 0
}

/// A tenth of all packets is lost, each way.
#[test]
fn with_a_tenth_lost_nothing_stands_still_for_longer_than_the_back_off_says() {
    let mut worst = Duration::ZERO;
    for seed in 0..12 {
        let link = LinkConfig { delay: Duration::from_millis(20), loss: 0.1, ..LinkConfig::default() };
        let hosts = Hosts::new(HostsConfig::new(seed).with_link(&link));
        let mut config = Config::default();
        config.sack = seed % 3 != 0;
        let engines = hosts.add::<Tcp>(config);
        let wire: Rc<RefCell<Wire>> = Rc::default();
        hosts.members[0].host.lane().set_tap(Some(Box::new(Tap(wire.clone()))));
        let config = TransferConfig { piece_bytes_max: 64 * 1024, ..TransferConfig::new(seed, [300_000, 0]) };
        Transfer::start(&hosts, engines, config).finish(&hosts, Duration::from_secs(600));
        drop(hosts);
        let wire = Rc::into_inner(wire).expect("the lane is gone").into_inner();
        assert_eq!(wire.stalls, [], "seed {seed}");
        worst = worst.max(wire.worst);
    }
    assert!(worst >= 2 * SHORTEST_TIMEOUT, "there were timeouts to judge, and back-off: {worst:?}");
}

/// The floor of the timeout.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(195);
/// SRTT + 4 RTTVAR on this path, 40 ms, is below the floor. But where acknowledgements are lost, later ones measure longer ones:
/// SRTT becomes 100 ms and RTTVAR as much.
const LONGEST_TIMEOUT: Duration = Duration::from_millis(500);
