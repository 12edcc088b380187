//! Two hosts on a link, and applications that talk.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::lane::{EngineId, Lane, LaneConfig};
use burstlane::net::InterfaceConfig;
use burstlane::socket::{Host, MessageSocket};
use burstlane_rudp::{Rudp, RudpConfig};
use burstlane_sim::{EndConfig, EndHandle, LinkConfig, LinkModel, Network, StandardLink, World};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

pub const SERVER: Endpoint = Endpoint::new(Ip::v4([10, 0, 0, 2]), 4000);

pub struct Pair {
    pub world: World,
    pub hosts: [Host; 2],
    pub engines: [EngineId<Rudp>; 2],
    pub ends: [EndHandle; 2],
}

impl Pair {
    pub fn new(seed: u64, link: &LinkConfig) -> Self {
        let model = |n| StandardLink::boxed(link.clone(), 2 * seed + n).unwrap();
        Self::with_models(seed, &RudpConfig::default(), model(0), model(1))
    }

    pub fn with_models(seed: u64, config: &RudpConfig, there: Box<dyn LinkModel>, back: Box<dyn LinkModel>) -> Self {
        let world = World::new(Network::new());
        let (a, b) = world.network().link(EndConfig::host(1), EndConfig::host(2), there, back);
        let ends = [a.handle(), b.handle()];
        let host = |driver, n: u8| {
            let mut lane = Lane::new(LaneConfig::seeded(seed << 8 | u64::from(n)));
            let v6 = Ip::v6([0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n]);
            let addresses = vec![(Ip::v4([10, 0, 0, n]), 24), (Ip::v4([10, 0, 0, n + 10]), 24), (v6, 64)];
            lane.add_interface(Box::new(driver), InterfaceConfig { addresses, ..InterfaceConfig::default() });
            let engine = lane.add::<Rudp>(config.clone()).unwrap();
            (Host::new(lane), engine)
        };
        let ((left, e1), (right, e2)) = (host(a, 1), host(b, 2));
        Self { world, hosts: [left, right], engines: [e1, e2], ends }
    }

    /// A client that says `says[0]` to a server that says `says[1]`, both as applications of the world.
    pub fn talk(&self, says: [Vec<Vec<u8>>; 2]) -> [Shared; 2] {
        let [left, right] = &self.hosts;
        let [client, server] = says.map(Talker::shared);
        let listener = right.listen(self.engines[1], SERVER, 4).unwrap();
        client.borrow_mut().socket = Some(left.connect_messages(self.engines[0], SERVER).unwrap());
        let talker = client.clone();
        self.world.add_app(left, move |_| talker.borrow_mut().turn());
        let talker = server.clone();
        self.world.add_app(right, move |_| {
            let mut talker = talker.borrow_mut();
            if talker.socket.is_none() && !talker.gone {
                talker.socket = listener.accept_messages();
            }
            talker.turn()
        });
        [client, server]
    }

    /// No flow, key, buffer or frame is left, after the remnants' time.
    pub fn check_clean(&self, what: &str) {
        self.world.run_for(Duration::from_secs(200)).unwrap();
        for host in &self.hosts {
            let lane = host.lane();
            assert_eq!((lane.flows(), lane.remnants(), lane.buffer_bytes()), (0, 0, 0), "{what}: left behind");
        }
        assert_eq!(self.world.network().in_flight(), 0, "{what}");
        for end in &self.ends {
            assert_eq!(end.frames_out(), 0, "{what}: frames leaked");
        }
        assert_eq!(self.world.forced_advances(), 0, "{what}: an instant did not end");
    }
}

pub type Shared = Rc<RefCell<Talker>>;

/// One end: what it has to say, what it heard, and how it ended.
pub struct Talker {
    pub socket: Option<MessageSocket<Rudp>>,
    pub to_say: Vec<Vec<u8>>,
    pub said: usize,
    pub heard: Vec<Vec<u8>>,
    pub peer_ended: bool,
    pub error: Option<std::io::ErrorKind>,
    pub gone: bool,
    /// Finishes when it has said all.
    pub finishes: bool,
    /// Reads nothing while set.
    pub deaf: Rc<Cell<bool>>,
    buf: Vec<u8>,
}

impl Talker {
    pub fn shared(to_say: Vec<Vec<u8>>) -> Shared {
        Rc::new(RefCell::new(Self {
            socket: None,
            to_say,
            said: 0,
            heard: vec![],
            peer_ended: false,
            error: None,
            gone: false,
            finishes: true,
            deaf: Rc::default(),
            buf: vec![0; 1 << 20],
        }))
    }

    pub fn turn(&mut self) -> bool {
        let Some(socket) = &self.socket else { return false };
        let mut active = false;
        while let Some(message) = self.to_say.get(self.said)
            && socket.send(message).is_ok()
        {
            self.said += 1;
            active = true;
        }
        if self.said == self.to_say.len() && self.finishes {
            socket.shutdown();
        }
        while !self.deaf.get() {
            match socket.recv(&mut self.buf) {
                Ok(received) => self.heard.push(self.buf[..received.bytes].to_vec()),
                Err(error) => {
                    match error.kind() {
                        std::io::ErrorKind::WouldBlock => {}
                        std::io::ErrorKind::UnexpectedEof => self.peer_ended = true,
                        kind => self.error = Some(kind),
                    }
                    break;
                }
            }
            active = true;
        }
        active
    }
}

/// Messages of random sizes, most small, some large, some empty.
pub fn messages(seed: u64, bytes: usize) -> Vec<Vec<u8>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut left = bytes;
    std::iter::from_fn(|| {
        let size = match rng.next_u32() % 10 {
            0 => 0,
            1..5 => rng.next_u32() as usize % 200,
            5..9 => rng.next_u32() as usize % 5_000,
            _ => rng.next_u32() as usize % 200_000,
        };
        left = left.checked_sub(size + 1)?;
        let mut message = vec![0; size];
        rng.fill_bytes(&mut message);
        Some(message)
    })
    .collect()
}
