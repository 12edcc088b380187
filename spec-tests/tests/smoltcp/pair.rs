//! Our host (0) and a smoltcp host (1) on one link, and one connection between them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::Endpoint;
use burstlane::frame::PoolConfig;
use burstlane::lane::{EngineId, Lane};
use burstlane::net::InterfaceConfig;
use burstlane::observe::Direction;
use burstlane::socket::{Host, Listener, Stream};
use burstlane_sim::{EndConfig, EndHandle, LinkModel, Network, World};
use burstlane_spec::decode::{CheckedDriver, Segment};
use burstlane_spec::hosts::small_lane;
use burstlane_spec::{Hosts, PORT};
use burstlane_tcp::Tcp;

use smoltcp::socket::tcp::State;

use crate::node::{Smol, SmolConfig, address};
use crate::party::{Outcome, Part, Party};
use crate::trace::Trace;

/// What the two hosts are like.
#[derive(Clone)]
pub(crate) struct PairConfig {
    /// Our lane's secrets.
    pub(crate) seed: u64,
    /// Over IPv6.
    pub(crate) is_v6: bool,
    /// Largest IP packet of our device, and of smoltcp's.
    pub(crate) mtu: [u32; 2],
    /// Our transport.
    pub(crate) tcp: burstlane_tcp::Config,
    /// smoltcp.
    pub(crate) smol: SmolConfig,
    /// How far before the turn of the number space our numbers begin, if not anywhere.
    pub(crate) wraps_after: Option<u32>,
}

/// Who sends the first SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opener {
    Ours,
    Smol,
    /// Both, at the same instant (RFC 9293 3.5, figure 7).
    Both,
}

/// The two hosts.
pub(crate) struct Pair {
    pub(crate) world: World,
    pub(crate) ours: Host,
    pub(crate) engine: EngineId<Tcp>,
    pub(crate) smol: Smol,
    pub(crate) ends: [EndHandle; 2],
    is_v6: bool,
    trace: Trace,
    /// Our end of the connection.
    stream: Rc<RefCell<Option<Stream<Tcp>>>>,
    /// The states that smoltcp's socket went through.
    smol_path: Rc<RefCell<Vec<State>>>,
    /// What our application runs.
    app: Rc<RefCell<Box<dyn FnMut() -> bool>>>,
}

impl Pair {
    /// Builds the world, links without faults.
    pub(crate) fn new(config: &PairConfig) -> Self {
        let world = World::new(Network::new());
        let end = |host: u16| {
            let end = EndConfig { pool: POOL, ..EndConfig::host(host + 1) };
            end.with_mtu(config.mtu[usize::from(host)])
        };
        let link = || crate::faults::Scheduled::boxed(&Default::default(), DELAY);
        let (left, right) = world.network().link(end(0), end(1), link(), link());
        let ends = [left.handle(), right.handle()];
        let mut lane = Lane::new(small_lane(config.seed));
        let addresses = vec![(Hosts::v4(0), 24), (Hosts::v6(0), 64)];
        let driver = CheckedDriver::boxed(Box::new(left));
        lane.add_interface(driver, InterfaceConfig { addresses, ..InterfaceConfig::default() });
        let engine = lane.add::<Tcp>(config.tcp.clone()).unwrap();
        let trace = Trace::default();
        lane.set_tap(Some(Box::new(trace.clone())));
        let ours = Host::new(lane);
        let app: Rc<RefCell<Box<dyn FnMut() -> bool>>> = Rc::new(RefCell::new(Box::new(|| false)));
        let run = Rc::clone(&app);
        world.add_app(&ours, move |_| (run.borrow_mut())());
        let smol = Smol::new(&world, right, &config.smol);
        let pair = Self {
            world,
            ours,
            engine,
            smol,
            ends,
            is_v6: config.is_v6,
            trace,
            stream: Rc::default(),
            smol_path: Rc::default(),
            app,
        };
        if let Some(before) = config.wraps_after {
            pair.wait_for_iss(0_u32.wrapping_sub(before));
        }
        pair
    }

    /// From now on these links.
    pub(crate) fn set_links(&self, links: [Box<dyn LinkModel>; 2]) {
        for (end, link) in self.ends.iter().zip(links) {
            end.set_model(link);
        }
    }

    /// Our end of the connection, and smoltcp's.
    pub(crate) fn endpoints(&self) -> [Endpoint; 2] {
        let ip = |host| if self.is_v6 { Hosts::v6(host) } else { Hosts::v4(host) };
        [Endpoint::new(ip(0), PORT), Endpoint::new(ip(1), SMOL_PORT)]
    }

    /// Opens from our side.
    pub(crate) fn connect(&self) -> Stream<Tcp> {
        let [local, remote] = self.endpoints();
        self.ours.connect_from(self.engine, local, remote).unwrap()
    }

    /// Opens from smoltcp's side.
    pub(crate) fn smol_connect(&self) {
        self.smol.connect(SMOL_PORT, (address(0, self.is_v6), PORT));
    }

    /// Opens the connection and lets both ends play their parts.
    pub(crate) fn play(&self, opener: Opener, parts: [Part; 2]) -> [Rc<RefCell<Outcome>>; 2] {
        let network = self.world.network();
        let (mut ours, our_outcome) = Party::new(0, parts[0], network);
        let (mut theirs, their_outcome) = Party::new(1, parts[1], network);
        let mut listener: Option<Listener<Tcp>> = None;
        match opener {
            Opener::Ours | Opener::Both => *self.stream.borrow_mut() = Some(self.connect()),
            Opener::Smol => listener = Some(self.ours.listen(self.engine, self.endpoints()[0], 1).unwrap()),
        }
        let (network, stream) = (network.clone(), Rc::clone(&self.stream));
        *self.app.borrow_mut() = Box::new(move || {
            let mut stream = stream.borrow_mut();
            if let Some(accepted) = listener.as_ref().and_then(Listener::accept) {
                *stream = Some(accepted);
                listener = None;
            }
            stream.as_mut().is_some_and(|stream| ours.turn(stream, network.now()))
        });
        match opener {
            Opener::Smol | Opener::Both => self.smol_connect(),
            Opener::Ours => self.smol.with(|socket| socket.listen(SMOL_PORT).unwrap()),
        }
        let (was_open, path) = (Cell::new(false), Rc::clone(&self.smol_path));
        self.smol.set_app(Box::new(move |socket, now| {
            // Until it was open, a closed socket is none that failed.
            was_open.set(was_open.get() || crate::party::Talk::is_open(socket));
            let mut path = path.borrow_mut();
            if path.last() != Some(&socket.state()) {
                path.push(socket.state());
            }
            was_open.get() && theirs.turn(socket, now)
        }));
        [our_outcome, their_outcome]
    }

    /// Whether smoltcp's socket came to its end in good order: all that it sent was acknowledged, and nothing reset it.
    pub(crate) fn smol_closed_in_order(&self) -> bool {
        matches!(
            self.smol_path.borrow()[..],
            [.., State::TimeWait] | [.., State::TimeWait | State::LastAck, State::Closed]
        )
    }

    /// Our application ends the connection at once, whatever its state.
    pub(crate) fn abandon(&self) {
        if let Some(stream) = &*self.stream.borrow() {
            stream.abort();
        }
    }

    /// Our application lets go of everything; then nothing is left on our side, and no frame anywhere.
    pub(crate) fn assert_clean(self) {
        *self.app.borrow_mut() = Box::new(|| false);
        *self.stream.borrow_mut() = None;
        let is_over = || {
            let lane = self.ours.lane();
            lane.flows() == 0 && lane.remnants() == 0
        };
        let over = self.world.run_until(QUIESCENCE_MAX, is_over);
        assert!(over.is_ok() || is_over(), "{over:?}: {}", self.state());
        self.smol.with(smoltcp::socket::tcp::Socket::abort);
        self.world.run_for(Duration::from_secs(10)).unwrap();
        assert_eq!(self.ours.lane().buffer_bytes(), 0, "buffer bytes");
        assert_eq!(self.world.network().in_flight(), 0, "frames on the wire");
        assert_eq!(self.ends.each_ref().map(EndHandle::frames_out), [0, 0], "frames of the pools");
        assert_eq!(self.world.forced_advances(), 0, "a host asked for turns without end");
    }

    /// With which numbers we and smoltcp began the last connection.
    pub(crate) fn first_numbers(&self) -> [u32; 2] {
        [Direction::Out, Direction::In].map(|way| self.trace.last_syn(way).unwrap())
    }

    /// The last segments that we and smoltcp sent.
    pub(crate) fn last_segments(&self) -> [Option<Segment<'static>>; 2] {
        [Direction::Out, Direction::In].map(|way| self.trace.last_segment(way))
    }

    /// For a person who looks for the reason of a failure.
    pub(crate) fn state(&self) -> String {
        let smol = self.smol.with(|socket| format!("{}, {} to send", socket.state(), socket.send_queue()));
        let mut lane = self.ours.lane();
        let ours =
            format!("{} flows, {} remnants, {} buffer bytes", lane.flows(), lane.remnants(), lane.buffer_bytes());
        format!(
            "at {}: ours: {ours}, drops {:?} {:?}; smoltcp: {smol}\n{}",
            self.world.now(),
            lane.drops().clone(),
            lane.net().counters(),
            self.trace.show()
        )
    }

    /// Lets time pass until our next connection begins with `iss`: its numbers follow a clock (RFC 6528), and a SYN that is
    /// refused shows where it stands.
    fn wait_for_iss(&self, iss: u32) {
        let at = self.world.now();
        let probe = self.connect();
        self.world.run_until(Duration::from_secs(1), || self.trace.last_syn(Direction::Out).is_some()).unwrap();
        let seq = self.trace.last_syn(Direction::Out).unwrap();
        drop(probe);
        let ticks = u64::from(iss.wrapping_sub(seq));
        let due = at + Duration::from_micros(4 * ticks);
        let wait = due.since(self.world.now());
        self.world.run_for(wait).unwrap();
        // A host knows the time of its last turn.
        self.world.step();
    }
}

/// smoltcp's port.
pub(crate) const SMOL_PORT: u16 = 7000;
/// Each way.
pub(crate) const DELAY: Duration = Duration::from_millis(10);
const POOL: PoolConfig = PoolConfig { slots: 1200, slot_bytes: 2048, headroom: 128 };
/// How long anything of ours may outlive its application: a flow that repeats itself to a peer that is gone, TIME-WAIT.
const QUIESCENCE_MAX: Duration = Duration::from_secs(3600);
