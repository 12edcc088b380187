//! Two hosts on one simulated link, and what tests ask of them.

use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::lane::{EngineId, Lane, LaneConfig};
use burstlane::net::InterfaceConfig;
use burstlane::socket::{Host, Listener, Stream};
use burstlane_sim::{EndConfig, EndHandle, LinkConfig, Network, StandardLink, World};
use burstlane_spec::decode::CheckedDriver;

use crate::{Config, State, Tcp};

pub(super) struct Pair {
    pub(super) world: World,
    pub(super) client: Host,
    pub(super) server: Host,
    pub(super) client_tcp: EngineId<Tcp>,
    pub(super) server_tcp: EngineId<Tcp>,
    pub(super) ends: [EndHandle; 2],
    v6: bool,
}

pub(super) const PORT: u16 = 80;

impl Pair {
    pub(super) fn new(seed: u64, link: &LinkConfig) -> Self {
        Self::with(seed, link, Config::default(), Config::default())
    }

    pub(super) fn with(seed: u64, link: &LinkConfig, client: Config, server: Config) -> Self {
        let ends = (EndConfig::host(1), EndConfig::host(2));
        Self::with_ends(seed, link, client, server, ends)
    }

    pub(super) fn with_ends(
        seed: u64,
        link: &LinkConfig,
        client: Config,
        server: Config,
        ends: (EndConfig, EndConfig),
    ) -> Self {
        let world = World::new(Network::new());
        let model = |seed| StandardLink::boxed(link.clone(), seed).unwrap();
        let (a, b) = world.network().link(ends.0, ends.1, model(seed * 2), model(seed * 2 + 1));
        let ends = [a.handle(), b.handle()];
        let host = |end, number: u8, config| {
            let mut lane = Lane::new(LaneConfig::seeded(seed * 10 + u64::from(number)));
            let addresses = vec![(address(false, number), 24), (address(true, number), 64)];
            let driver = CheckedDriver::boxed(Box::new(end));
            lane.add_interface(driver, InterfaceConfig { addresses, ..InterfaceConfig::default() });
            let tcp = lane.add::<Tcp>(config).unwrap();
            (Host::new(lane), tcp)
        };
        let (client, client_tcp) = host(a, 1, client);
        let (server, server_tcp) = host(b, 2, server);
        world.add_host(&client);
        world.add_host(&server);
        Self { world, client, server, client_tcp, server_tcp, ends, v6: false }
    }

    pub(super) fn over_v6(mut self) -> Self {
        self.v6 = true;
        self
    }

    pub(super) fn server_address(&self) -> Endpoint {
        Endpoint::new(address(self.v6, 2), PORT)
    }

    pub(super) fn listen(&self, backlog: u32) -> Listener<Tcp> {
        self.server.listen(self.server_tcp, Endpoint::new(Ip::ANY, PORT), backlog).unwrap()
    }

    pub(super) fn connect(&self) -> Stream<Tcp> {
        self.client.connect(self.client_tcp, self.server_address()).unwrap()
    }

    /// The same from a port of the client's.
    pub(super) fn connect_from(&self, port: u16) -> Stream<Tcp> {
        let local = Endpoint::new(address(self.v6, 1), port);
        let flow = self.client.with(self.client_tcp, |core, lane, net| {
            core.connect(lane, net, Some(local), self.server_address()).unwrap()
        });
        Stream::new(self.client.clone(), self.client_tcp, flow)
    }

    /// Each end connects to the other's port, at the same instant.
    pub(super) fn connect_both(&self) -> (Stream<Tcp>, Stream<Tcp>) {
        let (a, b) = (Endpoint::new(address(self.v6, 1), PORT), self.server_address());
        let open = |host: &Host, tcp, local, remote| {
            let flow = host.with(tcp, |core, lane, net| core.connect(lane, net, Some(local), remote).unwrap());
            Stream::new(host.clone(), tcp, flow)
        };
        (open(&self.client, self.client_tcp, a, b), open(&self.server, self.server_tcp, b, a))
    }

    /// A connection that stands: the client's end, the server's end, the listener.
    pub(super) fn open(&self) -> (Stream<Tcp>, Stream<Tcp>, Listener<Tcp>) {
        let listener = self.listen(16);
        let mut client = self.connect();
        let mut accepted = None;
        self.until(600, || {
            if client.ended().is_some() {
                // A bad link loses questions for neighbours, too.
                client = self.connect();
            }
            accepted = accepted.take().or_else(|| listener.accept());
            accepted.is_some() && state(&client) == Some(State::Established)
        });
        (client, accepted.unwrap(), listener)
    }

    /// Lets time pass until `done`, at most so many seconds.
    #[track_caller]
    pub(super) fn until(&self, seconds: u64, done: impl FnMut() -> bool) {
        if let Err(error) = self.world.run_until(Duration::from_secs(seconds), done) {
            panic!("{error}; drops: {:?} {:?}", self.client.lane().drops(), self.server.lane().drops());
        }
    }

    pub(super) fn pass(&self, time: Duration) {
        self.world.run_for(time).unwrap();
    }

    /// Nothing is left of anything: connections, remnants, buffers, frames.
    #[track_caller]
    pub(super) fn assert_clean(&self) {
        self.pass(Duration::from_secs(400));
        for (host, end) in [(&self.client, &self.ends[0]), (&self.server, &self.ends[1])] {
            let lane = host.lane();
            assert_eq!((lane.flows(), lane.remnants(), lane.buffer_bytes()), (0, 0, 0), "flows, remnants, bytes");
            drop(lane);
            assert_eq!(end.frames_out(), 0, "frames out");
        }
        assert_eq!(self.world.forced_advances(), 0, "somebody asked for turns without using them");
    }
}

fn address(v6: bool, number: u8) -> Ip {
    let mut octets = [0; 16];
    (octets[0], octets[1], octets[15]) = (0xfd, 0x77, number);
    if v6 { Ip::v6(octets) } else { Ip::v4([10, 77, 0, number]) }
}

pub(super) fn state(stream: &Stream<Tcp>) -> Option<State> {
    stream.inspect(|_, conn| conn.state())
}

/// Bytes that can be told apart by their place.
pub(super) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed | 1;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x as u8
        })
        .collect()
}

/// One direction of a transfer, step by step.
pub(super) struct Transfer<'a> {
    from: &'a Stream<Tcp>,
    to: &'a Stream<Tcp>,
    data: Vec<u8>,
    sent: usize,
    finished: bool,
    pub(super) received: Vec<u8>,
    pub(super) ended: bool,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(from: &'a Stream<Tcp>, to: &'a Stream<Tcp>, data: Vec<u8>) -> Self {
        Self { from, to, data, sent: 0, finished: false, received: vec![], ended: false }
    }

    /// Writes and reads what is possible; true when the receiver saw the end.
    pub(super) fn step(&mut self) -> bool {
        while self.sent < self.data.len() {
            match self.from.write(&self.data[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("write: {error}"),
            }
        }
        if self.sent == self.data.len() && !self.finished {
            self.finished = true;
            self.from.shutdown();
        }
        let mut buf = [0; 4096];
        while !self.ended {
            match self.to.read(&mut buf) {
                Ok(0) => self.ended = true,
                Ok(n) => self.received.extend_from_slice(&buf[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("read: {error} after {} bytes", self.received.len()),
            }
        }
        self.ended
    }

    #[track_caller]
    pub(super) fn check(&self) {
        assert_eq!(self.received.len(), self.data.len());
        assert!(self.received == self.data, "the bytes differ");
    }
}
