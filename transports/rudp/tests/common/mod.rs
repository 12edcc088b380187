//! Two hosts on a link, and applications that talk.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::driver::Driver;
use burstlane::lane::{EngineId, Lane, LaneConfig};
use burstlane::net::InterfaceConfig;
use burstlane::socket::{Host, MessageSocket};
use burstlane::time::Instant;
use burstlane_rudp::{Rudp, RudpConfig};
use burstlane_sim::{EndConfig, EndHandle, LinkConfig, LinkModel, Network, Node, SimDriver, StandardLink, World};
use burstlane_spec::decode::CheckedDriver;
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
        let ends = world.network().link(EndConfig::host(1), EndConfig::host(2), there, back);
        Self::with_ends(seed, config, world, ends.into())
    }

    /// The link leads through somebody who may do anything with the frames.
    pub fn through(seed: u64, config: &RudpConfig, link: &LinkConfig, hand: impl Hand + 'static) -> Self {
        let world = World::new(Network::new());
        let model = |n| StandardLink::boxed(link.clone(), 2 * seed + n).unwrap();
        let (a, near) = world.network().link(EndConfig::host(1), EndConfig::host(9), model(0), model(1));
        let ideal = || StandardLink::boxed(LinkConfig::default(), 0).unwrap();
        let (far, b) = world.network().link(EndConfig::host(9), EndConfig::host(2), ideal(), ideal());
        world.add(Middle { ends: [near, far], hand: Box::new(hand) });
        Self::with_ends(seed, config, world, [a, b])
    }

    fn with_ends(seed: u64, config: &RudpConfig, world: World, [a, b]: [SimDriver; 2]) -> Self {
        let ends = [a.handle(), b.handle()];
        let host = |driver, n: u8| {
            let mut lane = Lane::new(LaneConfig::seeded(seed << 8 | u64::from(n)));
            let v6 = Ip::v6([0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n]);
            let addresses = vec![(Ip::v4([10, 0, 0, n]), 24), (Ip::v4([10, 0, 0, n + 10]), 24), (v6, 64)];
            let driver = CheckedDriver::boxed(Box::new(driver));
            lane.add_interface(driver, InterfaceConfig { addresses, ..InterfaceConfig::default() });
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
        let mut listener = Some(right.listen(self.engines[1], SERVER, 4).unwrap());
        client.borrow_mut().socket = Some(left.connect_messages(self.engines[0], SERVER).unwrap());
        let talker = client.clone();
        self.world.add_app(left, move |_| talker.borrow_mut().turn());
        let talker = server.clone();
        self.world.add_app(right, move |_| {
            let mut talker = talker.borrow_mut();
            if talker.gone {
                listener = None;
            }
            if let (Some(listener), None) = (&listener, &talker.socket) {
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

/// What a frame from one side (0: the client's) becomes: frames, each to a side. The bytes begin with Ethernet.
pub trait Hand: FnMut(Instant, usize, Vec<u8>, &mut Vec<(usize, Vec<u8>)>) {}
impl<F: FnMut(Instant, usize, Vec<u8>, &mut Vec<(usize, Vec<u8>)>)> Hand for F {}

struct Middle {
    ends: [SimDriver; 2],
    hand: Box<dyn Hand>,
}

impl Node for Middle {
    fn turn(&mut self, now: Instant) -> bool {
        let mut out = vec![];
        let mut any = false;
        for side in 0..2 {
            let mut frames = vec![];
            self.ends[side].rx_burst(&mut frames, 64).unwrap();
            for frame in frames {
                any = true;
                (self.hand)(now, side, frame.bytes().to_vec(), &mut out);
            }
        }
        for (side, bytes) in out {
            let end = &mut self.ends[side];
            let mut frame = end.pool().alloc().unwrap();
            assert!(frame.extend_from_slice(&bytes));
            end.tx_burst(&mut vec![frame]).unwrap();
        }
        any
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }
}

/// Where in a frame a datagram of RUDP over IPv4 begins, if it is one.
pub const PAYLOAD: usize = 14 + 20 + 8;

pub fn is_udp(frame: &[u8]) -> bool {
    frame.len() > PAYLOAD && frame[12..14] == [8, 0] && frame[14] == 0x45 && frame[23] == 17
}

/// Changes an end of a datagram (0: the source, 1: the destination), and mends the checksums.
pub fn readdress(frame: &mut [u8], end: usize, ip: Option<[u8; 4]>, port: Option<u16>) {
    if let Some(ip) = ip {
        frame[26 + 4 * end..][..4].copy_from_slice(&ip);
    }
    if let Some(port) = port {
        frame[34 + 2 * end..][..2].copy_from_slice(&port.to_be_bytes());
    }
    frame[40..42].fill(0); // UDP over IPv4 may do without
    frame[24..26].fill(0);
    let sum: u32 = frame[14..34].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
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
