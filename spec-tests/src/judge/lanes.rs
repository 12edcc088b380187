//! A run of hosts that have several lanes: each flow is opened by one lane of the left host, and served by the lane of the right
//! host to which the device steers its packets. A transport's lanes share its secrets, addresses and ports, and nothing else.
//!
//! Judged are what applications see, progress, memory, and that nothing is left. What the events of flows say is judged in runs
//! with one lane. Devices steer rightly here: lanes do not pass on what belongs to another, so of a flow whose packets come
//! to the wrong one nothing can be asked.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::Endpoint;
use burstlane::observe::{Event, Observer};
use burstlane::socket::Host;
use burstlane::time::Instant;
use burstlane::transport::Transport;

use super::app::{self, App, Report};
use super::laws::{Broken, Law};
use super::link::FaultyLink;
use super::run::{CLIENT_PORT, Run, Watch};
use super::spells::Spells;
use super::wakeups::Wait;
use super::watch;
use super::witness::{self, Witness};
use crate::face::{Channel, Face, Handle};
use crate::hosts::PORT;
use crate::link::SparingLink;
use crate::scenario::{FlowPlan, Scenario, Side};
use crate::subject::{Promises, Subject};
use crate::world::{Engines, HostConfig, Link, NetworkConfig, SimLane, SimWorld, WorldConfig};

/// Runs a scenario of several lanes. It suits the subject.
pub(super) fn run<T: Transport>(subject: &Subject<T>, scenario: &Scenario, watch: Watch) -> Run
where
    T::Io: Face,
{
    let witness = Witness::new(&subject.promises, scenario, None, watch == Watch::Record);
    let witness = Rc::new(RefCell::new(witness));
    let world = world_of(scenario, &witness).build();
    for (side, host) in Side::BOTH.into_iter().zip(&world.hosts) {
        for lane in &host.lanes {
            let place = witness::Place(side, Rc::clone(&witness));
            lane.host.lane().set_tap(Some(Box::new(place.clone())));
            lane.host.lane().set_observer(Openings(place));
        }
    }
    let engines = world.add::<T>(&subject.config_for(scenario));
    let reports = scenario.flows.iter().map(|_| Default::default()).collect();
    let stage = Stage { scenario, promises: &subject.promises, world, witness, reports };
    for (number, flow) in scenario.flows.iter().enumerate() {
        stage.add_left(&engines, number, flow);
        stage.add_right(&engines, number, flow);
    }
    let (took, over_at) = stage.play();
    stage.clean_up();
    stage.verdict(took, over_at)
}

/// Lanes name their flows without regard to each other: of their events only that a flow was opened is heard.
struct Openings(witness::Place);

impl Observer for Openings {
    fn event(&mut self, now: Instant, event: &Event<'_>) {
        if matches!(event, Event::FlowOpened { .. }) {
            watch::on_event(&mut self.0.1.borrow_mut(), self.0.0, now, event);
        }
    }
}

struct Stage<'a> {
    scenario: &'a Scenario,
    promises: &'a Promises,
    world: SimWorld,
    witness: Rc<RefCell<Witness>>,
    reports: Vec<[Rc<RefCell<Report>>; 2]>,
}

impl Stage<'_> {
    fn app<C: Channel>(&self, number: usize, flow: &FlowPlan, side: Side) -> App<C> {
        let (network, witness) = (self.world.world.network().clone(), Rc::clone(&self.witness));
        let place = app::Place { flow: number, side, network, witness };
        let plans = [flow.side(Side::Left), flow.side(Side::Right)];
        App::new(
            place,
            plans,
            self.scenario.seed,
            &self.reports[number],
            self.promises.is_reliable,
            Wait::for_nothing(),
        )
    }

    /// The port of an end. It is named here, because lanes that draw ports draw the same one now and then.
    fn port(&self, side: Side, number: usize) -> Endpoint {
        let port = number as u16 + if side == Side::Left { CLIENT_PORT } else { PORT };
        let at = if self.scenario.is_v6 { SimWorld::at_v6 } else { SimWorld::at };
        at(&self.world, side.index(), port)
    }

    /// The application that opens. Each flow has the next lane.
    fn add_left<T: Transport>(&self, engines: &Engines<T>, number: usize, flow: &FlowPlan)
    where
        T::Io: Face,
    {
        let lane = number % engines[0].len();
        let engine = engines[0][lane];
        let mut app: App<Handle<T>> = self.app(number, flow, Side::Left);
        let (local, remote) = (self.port(Side::Left, number), self.port(Side::Right, number));
        let opens_at = Instant::ZERO + Duration::from_millis(flow.opens_ms.into());
        let network = self.world.world.network().clone();
        network.alarm(opens_at);
        let report = Rc::clone(&self.reports[number][0]);
        let mut to_open = true;
        self.world.add_app((0, lane), move |host| {
            if to_open && network.now() >= opens_at {
                to_open = false;
                match host.open(engine, Some(local), remote) {
                    Ok(flow) => app.accept(<T::Io as Face>::handle(host, engine, flow)),
                    Err(error) => report.borrow_mut().failed = Some(error),
                }
            }
            app.turn()
        });
    }

    /// The application that is opened to: it lives on the lane that accepts its flow, and all lanes listen for it.
    fn add_right<T: Transport>(&self, engines: &Engines<T>, number: usize, flow: &FlowPlan)
    where
        T::Io: Face,
    {
        let app: App<Handle<T>> = self.app(number, flow, Side::Right);
        let waiting = Rc::new(RefCell::new(Some(app)));
        let listeners = self.world.listen(engines, 1, self.port(Side::Right, number).port, BACKLOG);
        for (lane, listener) in listeners.into_iter().enumerate() {
            let (engine, waiting) = (engines[1][lane], Rc::clone(&waiting));
            let (witness, network) = (Rc::clone(&self.witness), self.world.world.network().clone());
            let (mut ours, mut others) = (None, Vec::new());
            self.world.add_app((1, lane), move |host: &Host| {
                while let Some(flow) = listener.accept_flow() {
                    let handle = <T::Io as Face>::handle(host, engine, flow);
                    match waiting.take() {
                        Some(mut app) => {
                            app.accept(handle);
                            ours = Some(app);
                        }
                        // What is left of an old opening may open once more.
                        None => others.push(handle),
                    }
                }
                others.retain(|other: &Handle<T>| {
                    if let Ok(Some(bytes)) = other.recv(&mut [0; 64 * 1024]) {
                        witness.borrow_mut().accuse(network.now(), Law::RightBytes, || {
                            format!(
                                "flow {number}, right, lane {lane}: {bytes} bytes on a second flow that nobody opened"
                            )
                        });
                    }
                    other.ended().is_none()
                });
                ours.as_mut().is_some_and(App::turn)
            });
        }
    }

    fn is_over(&self) -> bool {
        self.reports.iter().flatten().all(|report| report.borrow().is_over())
    }

    /// Lets the world go on until the applications are done, a law is broken, or it is too late for both. How long that took, and
    /// when each end was over.
    fn play(&self) -> (Duration, Vec<[Instant; 2]>) {
        let mut over_at = vec![[Instant::NEVER; 2]; self.reports.len()];
        let spells = Spells::new(self.scenario, self.world.world.network());
        let _ = self.world.world.run_until(FOREVER, || {
            let now = self.world.world.now();
            self.check_memory(now);
            for (report, over_at) in self.reports.iter().flatten().zip(over_at.iter_mut().flatten()) {
                if *over_at == Instant::NEVER && report.borrow().is_over() {
                    *over_at = now;
                }
            }
            let witness = self.witness.borrow();
            // As in a run with one lane: back-off doubles, and what is left then takes its time.
            let troubled = witness.troubled_at.max(spells.last_end_before(now));
            let deadline = troubled + troubled.since(Instant::ZERO) + self.scenario.undisturbed() + SLACK;
            witness.is_broken() || self.is_over() || now > deadline
        });
        let now = self.world.world.now();
        if !self.is_over() {
            self.accuse(Law::Progress, || format!("not over in time: {}", self.state()));
        }
        for (number, reports) in self.reports.iter().enumerate() {
            for (side, report) in Side::BOTH.into_iter().zip(reports) {
                if let Some(error) = report.borrow().failed {
                    self.accuse(Law::NoFalseAlarm, || format!("flow {number}, {side} failed: {error}"));
                }
            }
        }
        (now.since(Instant::ZERO), over_at)
    }

    fn check_memory(&self, now: Instant) {
        let allowed = self.promises.buffer_bytes_max * self.scenario.flows.len().max(1);
        for (side, host) in Side::BOTH.into_iter().zip(&self.world.hosts) {
            let used: usize = host.lanes.iter().map(|lane| lane.host.lane().buffer_bytes()).sum();
            if used > allowed {
                self.witness.borrow_mut().accuse(now, Law::BoundedMemory, || {
                    format!("{side} holds {used} bytes of buffers; {allowed} are promised")
                });
            }
        }
    }

    fn accuse(&self, law: Law, what: impl FnOnce() -> String) {
        self.witness.borrow_mut().accuse(self.world.world.now(), law, what);
    }

    fn state(&self) -> String {
        let reports = self.reports.iter().enumerate().map(|(flow, [left, right])| {
            format!("flow {flow}, left: {}\n  flow {flow}, right: {}", left.borrow(), right.borrow())
        });
        reports.chain([self.world.state()]).collect::<Vec<_>>().join("\n  ")
    }

    /// Ends the applications, lets everything run out, and checks that nothing is left on any lane.
    fn clean_up(&self) {
        self.world.stop_apps();
        let world = &self.world.world;
        let all = |what: fn(&SimLane) -> bool| self.world.hosts.iter().flat_map(|host| &host.lanes).all(what);
        let _ = world.run_for(Duration::from_nanos(1));
        let limit = self.promises.lingers_at_most + self.promises.gives_up_within;
        if world.run_until(limit, || all(SimLane::is_over)).is_err() && !all(SimLane::is_over) {
            return self.accuse(Law::Cleanliness, || format!("flows or remnants are left: {}", self.state()));
        }
        // What is still on the wire arrives.
        let _ = world.run_for(Duration::from_secs(10));
        if world.forced_advances() > 0 {
            return self.accuse(Law::NoSpin, || format!("a host asked for turns without end: {}", self.state()));
        }
        if world.network().in_flight() > 0 || !all(SimLane::is_clean) {
            self.accuse(Law::Cleanliness, || format!("something is left: {}", self.state()));
        }
    }

    fn verdict(self, took: Duration, over_at: Vec<[Instant; 2]>) -> Run {
        let Self { world, witness, reports, .. } = self;
        drop(world);
        let mut witness = witness.borrow_mut();
        let broken: Option<Broken> = witness.broken();
        Run {
            broken,
            recording: witness.take_recording(),
            reports: reports.iter().map(|ends| ends.each_ref().map(|end| *end.borrow())).collect(),
            digest: witness.digest(),
            packets: witness.packets,
            strikes: witness.strikes,
            took,
            over_at,
        }
    }
}

fn world_of(scenario: &Scenario, witness: &Rc<RefCell<Witness>>) -> WorldConfig {
    let links = Side::BOTH.map(|side| {
        let inner = SparingLink::boxed(&scenario.link, scenario.seed.wrapping_mul(2) + side.index() as u64);
        Link::Model(FaultyLink::boxed(side, inner, &scenario.faults, witness))
    });
    let mut host = HostConfig { lanes: scenario.lanes, ..HostConfig::default() };
    host.end = host.end.with_mtu(scenario.link.mtu);
    let cable = NetworkConfig::Cable { hosts: [0, 1], links };
    WorldConfig { seed: scenario.seed, hosts: vec![host; 2], networks: vec![cable] }
}

const BACKLOG: u32 = 64;
/// As in a run with one lane.
const SLACK: Duration = Duration::from_secs(20);
/// What ends a run is its deadline.
const FOREVER: Duration = Duration::from_secs(7 * 24 * 3600);
