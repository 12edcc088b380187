//! Two hosts, the link between them, and virtual time: the smallest world there is.

use std::cell::RefCell;
use std::fs::File;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::lane::{EngineId, Lane, LaneConfig};
use burstlane::net::InterfaceConfig;
use burstlane::observe::{Capture, Recorder};
use burstlane::socket::Host;
use burstlane::time::Instant;
use burstlane::transport::Transport;
use burstlane_sim::{EndConfig, EndHandle, LinkStats, Network, SimDriver, StandardLink, Step, World};

use crate::problem::Problem;

/// The world of one transfer: a client that sends to a server.
pub(super) struct Pair<T: Transport> {
    world: World,
    /// Who sends.
    pub(super) client: Side<T>,
    /// Who receives.
    pub(super) server: Side<T>,
    /// The client's first flow.
    pub(super) recorder: Rc<RefCell<Recorder>>,
    capture: Rc<RefCell<Capture<File>>>,
    link_end: EndHandle,
    buffer_bytes_max: usize,
}

/// One host.
pub(super) struct Side<T: Transport> {
    pub(super) host: Host,
    pub(super) engine: EngineId<T>,
}

impl<T: Transport> Clone for Side<T> {
    fn clone(&self) -> Self {
        Self { host: self.host.clone(), engine: self.engine }
    }
}

impl<T: Transport> Pair<T> {
    /// Two hosts with this transport. The client's packets go to `capture`.
    pub(super) fn new(config: &T::Config, seed: u64, capture: &Path) -> Result<Self, Problem> {
        let wrong = |what: &str| {
            let what = format!("cannot build the simulated network: {what}");
            move |e: &dyn std::fmt::Display| Problem::new(what).cause(e)
        };
        let model = |salt| StandardLink::boxed(super::link(), seed.wrapping_mul(4).wrapping_add(salt));
        let there = model(0).map_err(|e| wrong("link")(&e))?;
        let back = model(1).map_err(|e| wrong("link")(&e))?;
        let world = World::new(Network::new());
        let (left, right) = world.network().link(EndConfig::host(1), EndConfig::host(2), there, back);
        let link_end = left.handle();
        let side = |driver: SimDriver, address: Ip, salt: u64| -> Result<Side<T>, Problem> {
            let mut lane = Lane::new(LaneConfig::seeded(seed.wrapping_mul(4).wrapping_add(salt)));
            let addresses = vec![(address, 24)];
            lane.add_interface(Box::new(driver), InterfaceConfig { addresses, ..InterfaceConfig::default() });
            let engine = lane.add(config.clone()).map_err(|e| wrong("transport")(&e))?;
            Ok(Side { host: Host::new(lane), engine })
        };
        let (client, server) = (side(left, CLIENT, 2)?, side(right, SERVER, 3)?);
        world.add_host(&client.host);
        world.add_host(&server.host);
        let recorder = Rc::new(RefCell::new(Recorder::first_flow()));
        client.host.lane().set_observer(Rc::clone(&recorder));
        let file = File::create(capture).and_then(Capture::new);
        let file = file.map_err(|e| capture_problem(capture, &e))?;
        let shared = Rc::new(RefCell::new(file));
        let tap = Capture::tap(&shared, &["loopback", "client"]).map_err(|e| capture_problem(capture, &e))?;
        client.host.lane().set_tap(Some(Box::new(tap)));
        Ok(Self { world, client, server, recorder, capture: shared, link_end, buffer_bytes_max: 0 })
    }

    /// Where the server listens.
    pub(super) fn server_endpoint() -> Endpoint {
        Endpoint::new(SERVER, PORT)
    }

    /// Lets time pass until `app`, called between steps, says that all is done. `app` returns `true` at the end.
    pub(super) fn run(&mut self, mut app: impl FnMut(Instant) -> Result<bool, Problem>) -> Result<(), Problem> {
        while !app(self.world.now())? {
            let buffers = self.client.host.lane().buffer_bytes().max(self.server.host.lane().buffer_bytes());
            self.buffer_bytes_max = self.buffer_bytes_max.max(buffers);
            if matches!(self.world.step(), Step::Quiet | Step::Nested) {
                return Err(Problem::new("nothing moves any more; this is a bug of ours"));
            }
            if self.world.now() > Instant::ZERO + TIME_MAX {
                return Err(Problem::new("ten simulated minutes were not enough; this is a bug of ours"));
            }
        }
        Ok(())
    }

    /// The virtual time.
    pub(super) fn now(&self) -> Instant {
        self.world.now()
    }

    /// What became of the client's packets.
    pub(super) fn link_stats(&self) -> LinkStats {
        self.link_end.sent()
    }

    /// Most that either host had in its buffers.
    pub(super) fn buffer_bytes_max(&self) -> usize {
        self.buffer_bytes_max
    }

    /// Writes the capture out; the number of packets in it.
    pub(super) fn finish_capture(self, path: &Path) -> Result<u64, Problem> {
        let Self { client, capture, .. } = self;
        client.host.lane().set_tap(None);
        let frames = capture.borrow().frames();
        match Rc::try_unwrap(capture) {
            Ok(capture) => capture.into_inner().finish().map_err(|e| capture_problem(path, &e))?,
            Err(_) => return Err(Problem::new("the capture is still in use; this is a bug of ours")),
        };
        Ok(frames)
    }
}

fn capture_problem(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(format!("cannot write the capture {}", path.display())).cause(error)
}

const CLIENT: Ip = Ip::v4([10, 77, 0, 1]);
const SERVER: Ip = Ip::v4([10, 77, 0, 2]);
const PORT: u16 = 5001;
const TIME_MAX: Duration = Duration::from_secs(600);
