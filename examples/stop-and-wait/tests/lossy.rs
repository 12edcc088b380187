//! Two hosts on a bad link, hundreds of times: what is sent arrives once and in order, and both sides end.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test, all of it

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::lane::{EngineId, Lane, LaneConfig};
use burstlane::net::InterfaceConfig;
use burstlane::socket::{Host, Listener, MessageSocket};
use burstlane_sim::{EndConfig, EndHandle, LinkConfig, Network, StandardLink, World};
use burstlane_spec::decode::CheckedDriver;
use stop_and_wait::StopAndWait;

const SERVER: Endpoint = Endpoint::new(Ip::v4([10, 0, 0, 2]), 4000);

/// One end: what it has to say, what it heard, and whether the peer ended.
struct Talker {
    socket: Option<MessageSocket<StopAndWait>>,
    to_say: Vec<Vec<u8>>,
    said: usize,
    heard: Vec<Vec<u8>>,
    peer_ended: bool,
}

impl Talker {
    fn new(to_say: Vec<Vec<u8>>) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { socket: None, to_say, said: 0, heard: vec![], peer_ended: false }))
    }

    fn turn(&mut self) -> bool {
        let Some(socket) = &self.socket else { return false };
        let mut active = false;
        while let Some(message) = self.to_say.get(self.said) {
            match socket.send(message) {
                Ok(()) => self.said += 1,
                Err(_) => break,
            }
            active = true;
        }
        if self.said == self.to_say.len() {
            socket.shutdown();
        }
        let mut buf = [0; 2000];
        loop {
            match socket.recv(&mut buf) {
                Ok(received) => self.heard.push(buf[..received.bytes].to_vec()),
                Err(error) => {
                    self.peer_ended |= error.kind() == std::io::ErrorKind::UnexpectedEof;
                    return active;
                }
            }
            active = true;
        }
    }
}

struct Pair {
    world: World,
    hosts: [Host; 2],
    engines: [EngineId<StopAndWait>; 2],
    ends: [EndHandle; 2],
}

fn pair(seed: u64, config: &LinkConfig) -> Pair {
    let world = World::new(Network::new());
    let link = |n| StandardLink::boxed(config.clone(), 2 * seed + n).unwrap();
    let (a, b) = world.network().link(EndConfig::host(1), EndConfig::host(2), link(0), link(1));
    let ends = [a.handle(), b.handle()];
    let host = |driver, n: u8| {
        let mut lane = Lane::new(LaneConfig::seeded(seed << 8 | u64::from(n)));
        let addresses = vec![(Ip::v4([10, 0, 0, n]), 24)];
        let driver = CheckedDriver::boxed(Box::new(driver));
        lane.add_interface(driver, InterfaceConfig { addresses, ..InterfaceConfig::default() });
        let engine = lane.add::<StopAndWait>(stop_and_wait::Config::default()).unwrap();
        (Host::new(lane), engine)
    };
    let ((left, e1), (right, e2)) = (host(a, 1), host(b, 2));
    Pair { world, hosts: [left, right], engines: [e1, e2], ends }
}

fn talk(seed: u64, config: &LinkConfig) {
    let Pair { world, hosts: [left, right], engines, ends } = pair(seed, config);
    let says =
        |n: u64, count| (0..count).map(|i| format!("{n}: {i} {}", "x".repeat(i * 37 % 1100)).into_bytes()).collect();
    let (client, server) = (Talker::new(says(1, seed as usize % 30)), Talker::new(says(2, 20)));
    let listener: Listener<StopAndWait> = right.listen(engines[1], SERVER, 4).unwrap();
    client.borrow_mut().socket = Some(left.connect_messages(engines[0], SERVER).unwrap());
    let talker = client.clone();
    world.add_app(&left, move |_| talker.borrow_mut().turn());
    let talker = server.clone();
    world.add_app(&right, move |_| {
        let mut talker = talker.borrow_mut();
        if talker.socket.is_none() {
            talker.socket = listener.accept_messages();
        }
        talker.turn()
    });
    world
        .run_until(Duration::from_secs(3600), || client.borrow().peer_ended && server.borrow().peer_ended)
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert_eq!(client.borrow().heard, server.borrow().to_say, "seed {seed}");
    assert_eq!(server.borrow().heard, client.borrow().to_say, "seed {seed}");
    world.run_for(Duration::from_secs(120)).unwrap();
    for talker in [&client, &server] {
        assert_eq!(talker.borrow().socket.as_ref().unwrap().ended(), Some(None), "seed {seed}: ends in order");
        talker.borrow_mut().socket = None;
    }
    world.run_for(Duration::from_secs(1)).unwrap();
    for host in [&left, &right] {
        let lane = host.lane();
        assert_eq!((lane.flows(), lane.buffer_bytes()), (0, 0), "seed {seed}");
    }
    assert_eq!(world.network().in_flight(), 0);
    for end in &ends {
        assert_eq!(end.frames_out(), 0, "seed {seed}: frames leaked");
    }
}

#[test]
fn messages_arrive_in_order_over_a_perfect_link() {
    talk(7, &LinkConfig { delay: Duration::from_millis(1), ..LinkConfig::default() });
}

#[test]
fn messages_arrive_in_order_whatever_the_link_does() {
    for seed in 0..200 {
        let config = LinkConfig {
            delay: Duration::from_millis(10),
            loss: (seed % 5) as f64 * 0.05,
            duplicate: 0.1,
            reorder: 0.2,
            reorder_delay: Duration::from_millis(700),
            corrupt: 0.02,
            ..LinkConfig::default()
        };
        talk(seed, &config);
    }
}
