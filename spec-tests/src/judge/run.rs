//! One run, from two new hosts to the last check.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::Endpoint;
use burstlane::lane::EngineId;
use burstlane::socket::{Host, Listener};
use burstlane::time::Instant;
use burstlane::transport::Transport;
use burstlane_sim::RunError;

use super::app::{App, Place, Report};
use super::fitness::unfit;
use super::laws::{Broken, Law};
use super::lay::hosts_config;
use super::link::FaultyLink;
use super::spells::Spells;
use super::strangers::Strangers;
use super::wakeups::{Told, Wait};
use super::witness::{self, Witness};
use crate::face::{Channel, Face, Handle};
use crate::hosts::{Hosts, PORT};
use crate::link::SparingLink;
use crate::recording::Recording;
use crate::scenario::{FlowPlan, Scenario, Side};
use crate::subject::{Opening, Promises, Subject};

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// To say whether a law was broken.
    Judge,
    /// And keep everything.
    Record,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The law that was broken, if one was.
    pub broken: Option<Broken>,
    /// Everything that happened, where that was asked for.
    pub recording: Recording,
    /// How far the ends of each flow came, left and right.
    pub reports: Vec<[Report; 2]>,
    /// Of all packets and their times: equal for equal runs.
    pub digest: u64,
    /// Packets that each side sent, without those for neighbours.
    pub packets: [u64; 2],
    /// Faults that struck.
    pub strikes: u64,
    /// Virtual time until the applications were done.
    pub took: Duration,
    /// When each end of each flow was over.
    pub over_at: Vec<[Instant; 2]>,
}

/// Runs `scenario` over the subject's transport.
///
/// # Panics
/// If the scenario's link makes no sense, the scenario is [unfit](super::unfit) for the transport, or the transport panics.
pub fn run<T: Transport>(subject: &Subject<T>, scenario: &Scenario, watch: Watch) -> Run
where
    T::Io: Face,
{
    if let Some(why) = unfit(subject, scenario) {
        panic!("this scenario does not suit {}: {why}", subject.name);
    }
    if scenario.lanes > 1 {
        return super::lanes::run(subject, scenario, watch);
    }
    let strangers = Strangers::of(subject, scenario);
    let stage = Stage::new(subject, scenario, watch, strangers);
    stage.play();
    stage.clean_up()
}

/// The hosts, the link and the applications of a run.
pub(super) struct Stage<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) promises: &'a Promises,
    pub(super) hosts: Hosts,
    pub(super) witness: Rc<RefCell<Witness>>,
    told: [Told; 2],
    pub(super) reports: Vec<[Rc<RefCell<Report>>; 2]>,
    over_at: RefCell<Vec<[Instant; 2]>>,
    spells: RefCell<Spells>,
    strangers: RefCell<Strangers>,
    pub(super) took: RefCell<Duration>,
    /// When there was last something to wait for, where nobody says that all is over.
    busy_at: Cell<Instant>,
}

impl<'a> Stage<'a> {
    fn new<T: Transport>(subject: &'a Subject<T>, scenario: &'a Scenario, watch: Watch, strangers: Strangers) -> Self
    where
        T::Io: Face,
    {
        let hosts = Hosts::new(hosts_config(scenario));
        let oracle = subject.oracle.map(|oracle| oracle());
        let witness = Witness::new(&subject.promises, scenario, oracle, watch == Watch::Record);
        let witness = Rc::new(RefCell::new(witness));
        for (side, member) in Side::BOTH.into_iter().zip(&hosts.members) {
            let seed = scenario.seed.wrapping_mul(2) + side.index() as u64;
            let inner = SparingLink::boxed(&scenario.link, seed);
            member.end.set_model(FaultyLink::boxed(side, inner, &scenario.faults, &witness));
            let place = witness::Place(side, Rc::clone(&witness));
            member.host.lane().set_tap(Some(Box::new(place.clone())));
            member.host.lane().set_observer(place);
        }
        let engines: [EngineId<T>; 2] = hosts.add(subject.config_for(scenario));
        let spells = Spells::new(scenario, hosts.world.network());
        strangers.set_alarms(hosts.world.network());
        let stage = Self {
            scenario,
            promises: &subject.promises,
            told: Told::on(&hosts, engines),
            hosts,
            witness,
            reports: scenario.flows.iter().map(|_| Default::default()).collect(),
            over_at: RefCell::new(vec![[Instant::NEVER; 2]; scenario.flows.len()]),
            spells: RefCell::new(spells),
            strangers: RefCell::new(strangers),
            took: RefCell::default(),
            busy_at: Cell::default(),
        };
        for (number, flow) in scenario.flows.iter().enumerate() {
            stage.add_left(engines, number, flow);
            stage.add_right(engines, number, flow);
        }
        stage
    }

    fn app<C: Channel>(&self, number: usize, flow: &FlowPlan, side: Side) -> App<C> {
        let place = Place {
            flow: number,
            side,
            network: self.hosts.world.network().clone(),
            witness: Rc::clone(&self.witness),
        };
        let (seed, plans) = (self.scenario.seed, [flow.side(Side::Left), flow.side(Side::Right)]);
        let wait = Wait::new(&self.told[side.index()], seed, number, side);
        App::new(place, plans, seed, &self.reports[number], self.promises.is_reliable, wait)
    }

    /// The application that opens.
    fn add_left<T: Transport>(&self, engines: [EngineId<T>; 2], number: usize, flow: &FlowPlan)
    where
        T::Io: Face,
    {
        let mut app: App<Handle<T>> = self.app(number, flow, Side::Left);
        let (local, remote) = (self.port(Side::Left, number), self.port(Side::Right, number));
        let opens_at = Instant::ZERO + Duration::from_millis(flow.opens_ms.into());
        let network = self.hosts.world.network().clone();
        network.alarm(opens_at);
        let report = Rc::clone(&self.reports[number][0]);
        let mut to_open = true;
        self.hosts.add_app(0, move |host| {
            if to_open && network.now() >= opens_at {
                to_open = false;
                match host.open(engines[0], Some(local), remote) {
                    Ok(flow) => app.accept(<T::Io as Face>::handle(host, engines[0], flow)),
                    Err(error) => report.borrow_mut().failed = Some(error),
                }
            }
            app.turn()
        });
    }

    /// The application that is opened to.
    fn add_right<T: Transport>(&self, engines: [EngineId<T>; 2], number: usize, flow: &FlowPlan)
    where
        T::Io: Face,
    {
        let mut app: App<Handle<T>> = self.app(number, flow, Side::Right);
        let (local, remote) = (self.port(Side::Right, number), self.port(Side::Left, number));
        let host = &self.hosts.members[1].host;
        if self.promises.opening == Opening::Both {
            let flow = host.open(engines[1], Some(local), remote).unwrap();
            app.accept(<T::Io as Face>::handle(host, engines[1], flow));
            self.hosts.add_app(1, move |_| app.turn());
            return;
        }
        let listener: Listener<T> = host.listen(engines[1], local, BACKLOG).unwrap();
        let (witness, network) = (Rc::clone(&self.witness), self.hosts.world.network().clone());
        let may_be_strangers = flow.side(Side::Right).ends_early() || self.scenario.has_strangers();
        // Nothing else goes wrong, so who opens beside the left host's application is a stranger.
        let must_be_proven = self.promises.proves_openers && self.scenario.has_only_strangers();
        let rebinding = witness.borrow().rebinding.clone();
        let mut is_ours_to_come = true;
        let mut others: Vec<Handle<T>> = Vec::new();
        self.hosts.add_app(1, move |host: &Host| {
            let may_accept = app.wait.may_accept(listener.id());
            while may_accept && let Some(flow) = listener.accept_flow() {
                let handle = <T::Io as Face>::handle(host, engines[1], flow);
                // Strangers open flows too, and what is left of an old opening may open one again.
                let ends = host.with(engines[1], |core, _, _| core.endpoints(flow));
                let is_ours = ends.is_none_or(|(_, from)| {
                    from.ip == remote.ip && rebinding.may_be(remote.port, from.port) || from == Endpoint::default()
                });
                if std::mem::take(&mut is_ours_to_come) && is_ours {
                    app.accept(handle);
                } else {
                    if must_be_proven {
                        witness.borrow_mut().accuse(network.now(), Law::StrangersArePowerless, || {
                            format!("flow {number}, right: a stranger who has shown nothing has opened a flow")
                        });
                    }
                    is_ours_to_come |= !is_ours && !app.has_opened();
                    others.push(handle);
                }
            }
            others.truncate(OTHERS_MAX);
            others.retain(|other| {
                let mut room = [0; 64 * 1024];
                // An end that aborted an opening that was not confirmed yet may meet it again.
                if let Ok(Some(bytes)) = other.recv(&mut room)
                    && !may_be_strangers
                {
                    witness.borrow_mut().accuse(network.now(), Law::RightBytes, || {
                        format!("flow {number}, right: {bytes} bytes on a second flow that nobody opened")
                    });
                }
                other.ended().is_none()
            });
            app.turn()
        });
    }

    fn port(&self, side: Side, number: usize) -> Endpoint {
        let base = if side == Side::Left { CLIENT_PORT } else { PORT };
        self.hosts.at(side.index(), base + number as u16)
    }

    pub(super) fn now(&self) -> Instant {
        self.hosts.world.now()
    }

    /// Lets the world go on until the applications are done, a law is broken, or it is too late for both.
    fn play(&self) {
        let mut seen_at = Instant::ZERO;
        let ended = self.hosts.world.run_until(FOREVER, || {
            let now = self.now();
            if now != seen_at {
                seen_at = now;
                self.hosts.members.iter().zip(Side::BOTH).for_each(|(member, side)| self.check_memory(member, side));
            }
            self.spells.borrow_mut().apply(now, &self.hosts, &mut self.witness.borrow_mut());
            self.strangers.borrow_mut().send(now, &self.hosts, &mut self.witness.borrow_mut());
            self.note_ends(now);
            self.check_storm(now);
            self.witness.borrow().is_broken() || self.is_over() || now > self.deadline()
        });
        *self.took.borrow_mut() = self.now().since(Instant::ZERO);
        let is_stuck = !self.is_over() && !matches!(ended, Err(RunError::Nested));
        if is_stuck && !self.may_hang() {
            let law = if self.scenario.ends_in_silence(self.promises) { Law::SilenceEnds } else { Law::Progress };
            let why = if ended.is_ok() { "not over in time" } else { "nothing is under way any more" };
            let state = self.state();
            self.witness.borrow_mut().accuse(self.now(), law, || format!("{why}: {state}"));
        }
        self.judge_outcomes();
        self.judge_silence();
    }

    fn note_ends(&self, now: Instant) {
        for (reports, over_at) in self.reports.iter().zip(self.over_at.borrow_mut().iter_mut()) {
            for (report, over_at) in reports.iter().zip(over_at) {
                if *over_at == Instant::NEVER && report.borrow().is_over() {
                    *over_at = now;
                }
            }
        }
    }

    fn check_memory(&self, member: &crate::hosts::Member, side: Side) {
        let lane = member.host.lane();
        let (used, allowed) = (lane.buffer_bytes(), self.promises.buffer_bytes_max * self.scenario.flows.len().max(1));
        if used > allowed {
            self.witness.borrow_mut().accuse(self.now(), Law::BoundedMemory, || {
                format!("{side} holds {used} bytes of buffers; {allowed} are promised")
            });
        }
    }

    /// Neither a storm nor a host that spins is waited out.
    fn check_storm(&self, now: Instant) {
        if self.hosts.world.forced_advances() > 0 {
            self.witness.borrow_mut().accuse(now, Law::NoSpin, || "a host asks for turns without end".to_owned());
        }
        let packets = self.witness.borrow().packets.iter().sum::<u64>();
        if packets > STORM_PACKETS && packets > 4 * self.packets_allowed(now.since(Instant::ZERO)) {
            self.witness.borrow_mut().accuse(now, Law::Frugality, || format!("{packets} packets, and no end"));
        }
    }

    pub(super) fn is_over(&self) -> bool {
        let are_done = self.reports.iter().flatten().all(|report| report.borrow().is_over());
        if self.promises.is_reliable {
            return are_done;
        }
        // Nobody says that the last datagram came: what is under way may still arrive.
        let are_drained = self.reports.iter().flatten().all(|report| {
            let report = report.borrow();
            report.is_drained || report.failed.is_some()
        });
        // A device may hold some, and a neighbour may be asked for: only a while of silence says that all is over.
        let network = self.hosts.world.network();
        if !are_done || !are_drained || network.in_flight() > 0 {
            self.busy_at.set(network.now());
        }
        network.alarm(self.busy_at.get() + QUIET);
        network.now() >= self.busy_at.get() + QUIET
    }

    /// The latest instant at which all must be over. Whatever went wrong until now delayed a repetition by at most as long
    /// again (back-off doubles), and what is left then takes its time undisturbed.
    fn deadline(&self) -> Instant {
        if let Some(end) = self.scenario.silent_until(self.promises) {
            return end;
        }
        let witness = self.witness.borrow();
        let troubled = witness.troubled_at.max(self.spells.borrow().last_end_before(self.now()));
        troubled + troubled.since(Instant::ZERO) + self.scenario.undisturbed() + SLACK
    }

    /// Ends the applications, lets everything run out, and checks that nothing is left.
    fn clean_up(self) -> Run {
        self.spells.borrow_mut().end(&self.hosts);
        self.check_oblivion();
        self.hosts.stop_apps();
        let mut broken = self.witness.borrow().broken();
        if broken.is_none() {
            self.witness.borrow_mut().hear_oracle(self.now());
            broken = self.witness.borrow().broken();
            broken =
                broken.or_else(|| self.find_remains()).or_else(|| self.judge_ends()).or_else(|| self.judge_unread());
        }
        let Self { hosts, witness, reports, over_at, took, .. } = self;
        let frames_left = |hosts: Hosts| {
            let ends = hosts.members.each_ref().map(|member| member.end.clone());
            drop(hosts);
            ends.iter().map(burstlane_sim::EndHandle::frames_out).sum::<usize>()
        };
        let left = frames_left(hosts);
        if broken.is_none() && left > 0 {
            let message = format!("{left} frames are out when the lanes are gone");
            broken = Some(Broken { law: Law::Cleanliness, message });
        }
        let mut witness = witness.borrow_mut();
        Run {
            broken,
            recording: witness.take_recording(),
            reports: reports.iter().map(|sides| sides.each_ref().map(|report| *report.borrow())).collect(),
            digest: witness.digest(),
            packets: witness.packets,
            strikes: witness.strikes,
            took: *took.borrow(),
            over_at: over_at.into_inner(),
        }
    }
}

/// The left side's port of flow 0; the next flows have the next ones.
pub(super) const CLIENT_PORT: u16 = 20_000;
const BACKLOG: u32 = 64;
/// Longer than a neighbour is asked for (RFC 4861 10: three times a second).
const QUIET: Duration = Duration::from_secs(5);
/// Where counting begins to tell a storm from traffic.
const STORM_PACKETS: u64 = 5_000;
/// Flows that strangers opened and nobody ends: so many are held, to see whether data comes.
const OTHERS_MAX: usize = 256;
/// A handshake with a lost first packet, a lost last segment, a window that was not announced: each is repeated after about a second.
const SLACK: Duration = Duration::from_secs(20);
/// No run is longer; what ends it is its deadline.
const FOREVER: Duration = Duration::from_secs(7 * 24 * 3600);
