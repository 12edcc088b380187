//! One run, from two new hosts to the last check.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::Endpoint;
use burstlane::driver::ProtocolSet;
use burstlane::frame::PoolConfig;
use burstlane::lane::EngineId;
use burstlane::socket::{Host, Listener};
use burstlane::time::Instant;
use burstlane::transport::Transport;
use burstlane_sim::{EndConfig, LateConfig, RunError};

use super::app::{App, Place, Report};
use super::fitness::unfit;
use super::laws::{Broken, Law};
use super::link::FaultyLink;
use super::spells::Spells;
use super::strangers::Strangers;
use super::wakeups::{Told, Wait};
use super::witness::{self, Witness};
use crate::face::{Channel, Face, Handle};
use crate::hosts::{Hosts, HostsConfig, PORT};
use crate::link::SparingLink;
use crate::recording::Recording;
use crate::scenario::{Device, Fault, FlowPlan, Scenario, Side};
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
    let strangers = Strangers::of(subject, scenario);
    let stage = Stage::new(subject, scenario, watch, strangers);
    stage.play();
    stage.clean_up()
}

/// The hosts, the link and the applications of a run.
struct Stage<'a> {
    scenario: &'a Scenario,
    promises: &'a Promises,
    hosts: Hosts,
    witness: Rc<RefCell<Witness>>,
    told: [Told; 2],
    reports: Vec<[Rc<RefCell<Report>>; 2]>,
    over_at: RefCell<Vec<[Instant; 2]>>,
    spells: RefCell<Spells>,
    strangers: RefCell<Strangers>,
    took: RefCell<Duration>,
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

    fn now(&self) -> Instant {
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

    fn is_over(&self) -> bool {
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

    /// Whether an end may be left waiting without fault: its peer is gone, and the news of it was lost.
    fn may_hang(&self) -> bool {
        if self.scenario.ends_in_silence(self.promises) {
            // Who has nothing to say misses nothing, and one that never heard of a flow does not know what it misses.
            let may_wait = |(flow, [left, right]): (&FlowPlan, &[Rc<RefCell<Report>>; 2])| {
                let (left, right) = (left.borrow(), right.borrow());
                let is_idle = |report: &Report, side: Side| {
                    report.is_over() || flow.side(side).bytes() == 0 || report.accepted == 0
                };
                is_idle(&left, Side::Left) && is_idle(&right, Side::Right)
            };
            return self.scenario.flows.iter().zip(&self.reports).all(may_wait);
        }
        let was_heard = self.reports.iter().all(|[_, right]| right.borrow().has_opened);
        let went_well = self.witness.borrow().strikes + self.witness.borrow().injected == 0;
        let is_in_order = self.scenario.ends_in_order() || was_heard && went_well;
        !is_in_order || self.scenario.has_an_enemy_on_the_way()
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

    /// Nobody promises that a datagram arrives; but one that nothing happened to has no reason not to.
    fn judge_datagrams(&self) {
        let scenario = self.scenario;
        // What comes before the other end is there finds a closed port.
        let is_late = scenario.flows.iter().any(|flow| flow.opens_ms > 0);
        if self.promises.is_reliable || is_late || !scenario.link_is_reliable() || self.witness.borrow().is_held_up() {
            return;
        }
        let strikes = self.witness.borrow().strikes;
        let count =
            |of: fn(&Report) -> u64| self.reports.iter().flatten().map(|report| of(&report.borrow())).sum::<u64>();
        let (sent, received) = (count(|report| report.datagrams[0]), count(|report| report.datagrams[1]));
        if sent > received + strikes {
            self.witness.borrow_mut().accuse(self.now(), Law::NeedlessLoss, || {
                format!("{received} of {sent} datagrams came, and {strikes} packets were struck")
            });
        }
    }

    /// What must hold of the applications' reports when no law was broken on the way.
    fn judge_outcomes(&self) {
        self.judge_closes();
        self.judge_datagrams();
        if !self.scenario.ends_in_order()
            || !self.promises.is_reliable
            || self.scenario.ends_in_silence(self.promises)
            || self.scenario.has_an_enemy_on_the_way()
        {
            return;
        }
        for (number, reports) in self.reports.iter().enumerate() {
            for (side, report) in Side::BOTH.into_iter().zip(reports) {
                if let Some(error) = report.borrow().failed {
                    self.witness.borrow_mut().accuse(self.now(), Law::NoFalseAlarm, || {
                        format!("flow {number}, {side} failed ({error}), and nothing explains it")
                    });
                }
            }
        }
        let (packets, allowed) =
            (self.witness.borrow().packets.iter().sum::<u64>(), self.packets_allowed(*self.took.borrow()));
        if packets > allowed && self.scenario.link_is_reliable() {
            self.witness.borrow_mut().accuse(self.now(), Law::Frugality, || {
                format!("{packets} packets; {allowed} are plenty for what there was to say")
            });
        }
    }

    /// An end that closes still delivers: its peer, if it has nothing to say that nobody reads, does not fail by that.
    fn judge_closes(&self) {
        if !self.promises.is_reliable
            || self.scenario.ends_in_silence(self.promises)
            || self.scenario.has_an_enemy_on_the_way()
        {
            return;
        }
        for (number, (flow, reports)) in self.scenario.flows.iter().zip(&self.reports).enumerate() {
            for side in Side::BOTH {
                let (closer, peer) = (flow.side(side), flow.side(side.other()));
                let only_closes = closer.ends_early() && !closer.aborts() && !peer.ends_early() && peer.bytes() == 0;
                let failed = reports[side.other().index()].borrow().failed;
                if let Some(error) = failed.filter(|_| only_closes && reports[1].borrow().has_opened) {
                    self.witness.borrow_mut().accuse(self.now(), Law::NoFalseAlarm, || {
                        format!("flow {number}, {} failed ({error}) because its peer closed", side.other())
                    });
                }
            }
        }
    }

    /// Both ends agree on how it ended: where few packets were lost, and all was said and heard, no end of a flow fails when
    /// its application has let go.
    fn judge_ends(&self) -> Option<Broken> {
        let is_calm = self.scenario.faults.iter().all(|fault| matches!(fault, Fault::Packet { .. }))
            && self.witness.borrow().strikes <= FEW
            && self.scenario.link_is_reliable();
        let is_in_order = self.scenario.ends_in_order() && !self.scenario.has_an_enemy_on_the_way();
        if !self.promises.is_reliable || !is_calm || !is_in_order {
            return None;
        }
        let witness = self.witness.borrow();
        let (side, number, at, reason) = witness.failed.first()?;
        let message = format!("at {at}: flow {number}, {side} ended ({reason}) after both applications were done");
        Some(Broken { law: Law::NoFalseAlarm, message })
    }

    /// Far more than a good protocol needs: each piece a packet, each packet acknowledged, everything twice, and some for
    /// each fault, for each second of waiting, and for each read that opens a window.
    fn packets_allowed(&self, took: Duration) -> u64 {
        let mtu = u64::from(self.scenario.link.mtu).min(1500);
        let each = self.scenario.flows.iter().map(|flow| {
            let sides = flow.sides.iter().map(|side| {
                let bytes = side.bytes();
                2 * (side.ops.len() as u64 + bytes / (mtu / 2)) + 2 * side.idle(bytes).as_millis() as u64 / 250
            });
            40 + 2 * sides.sum::<u64>()
        });
        let (strikes, injected) = (self.witness.borrow().strikes, self.witness.borrow().injected);
        let answers = injected * u64::from(self.promises.answers_max);
        let seconds = took.as_secs() * self.scenario.flows.len() as u64;
        each.sum::<u64>() + 24 * strikes + answers + 2 * seconds
    }

    fn state(&self) -> String {
        let ends = self.reports.iter().enumerate().flat_map(|(flow, reports)| {
            let ends = Side::BOTH.into_iter().zip(reports);
            ends.map(move |(side, report)| format!("flow {flow}, {side}: {}", report.borrow()))
        });
        ends.chain(self.remains()).collect::<Vec<_>>().join("\n  ")
    }

    /// What each host still holds.
    fn remains(&self) -> impl Iterator<Item = String> {
        Side::BOTH.into_iter().zip(&self.hosts.members).map(|(side, member)| {
            let mut lane = member.host.lane();
            let (flows, remnants, bytes) = (lane.flows(), lane.remnants(), lane.buffer_bytes());
            let (out, drops) = (member.end.frames_out(), [lane.drops().clone(), lane.net().counters().clone()]);
            format!(
                "{side}: {flows} flows, {remnants} remnants, {bytes} buffer bytes, {out} frames out, dropped {drops:?}"
            )
        })
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
            broken = broken.or_else(|| self.find_remains()).or_else(|| self.judge_ends());
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

    /// What strangers began and did not go on with is forgotten, also while the listener still listens.
    fn check_oblivion(&self) {
        if self.witness.borrow().is_broken() || !self.scenario.has_strangers() {
            return;
        }
        let is_forgotten = || self.hosts.members.iter().all(|member| member.host.lane().remnants() == 0);
        if self.hosts.world.run_until(self.promises.lingers_at_most, is_forgotten).is_err() && !is_forgotten() {
            let state = self.hosts.state();
            self.witness
                .borrow_mut()
                .accuse(self.now(), Law::Cleanliness, || format!("what strangers began is still remembered: {state}"));
        }
    }

    fn find_remains(&self) -> Option<Broken> {
        let world = &self.hosts.world;
        let found = |law, message: String| Some(Broken { law, message: format!("at {}: {message}", world.now()) });
        let _ = world.run_for(Duration::from_nanos(1));
        let is_over = || {
            self.hosts.members.iter().all(|member| {
                let lane = member.host.lane();
                lane.flows() == 0 && lane.remnants() == 0
            })
        };
        // Where nothing went wrong nobody has to give up before it ends.
        let went_well = self.witness.borrow().strikes + self.witness.borrow().injected == 0;
        let gives_up_within =
            if went_well && self.scenario.ends_in_order() { Duration::ZERO } else { self.promises.gives_up_within };
        let limit = self.promises.lingers_at_most + gives_up_within;
        if world.run_until(limit, is_over).is_err() && !is_over() {
            return found(Law::Cleanliness, format!("flows or remnants are left: {}", self.state()));
        }
        // What is still on the wire arrives, and fragments whose rest was lost are given up (RFC 8200 4.5: after 60 s).
        let _ = world.run_for(Duration::from_secs(90));
        if world.forced_advances() > 0 {
            return found(Law::NoSpin, format!("a host asked for turns without end: {}", self.state()));
        }
        let is_clean = world.network().in_flight() == 0
            && self.hosts.members.iter().all(|member| {
                let lane = member.host.lane();
                lane.buffer_bytes() == 0 && lane.flows() == 0 && member.end.frames_out() == 0
            });
        if is_clean { None } else { found(Law::Cleanliness, format!("something is left: {}", self.state())) }
    }
}

fn hosts_config(scenario: &Scenario) -> HostsConfig {
    let base = HostsConfig::new(scenario.seed);
    let pool = base.ends[0].pool;
    let end = |number: u16| {
        let end = EndConfig { pool, ..EndConfig::host(number) };
        let end = if scenario.device == Device::Offloading {
            // The IP protocols whose segments a device can cut.
            EndConfig { large_pool: Some(LARGE_POOL), ..end.with_offloads(ProtocolSet::NONE.with(6).with(17)) }
        } else {
            end
        };
        end.with_mtu(scenario.link.mtu)
    };
    let late = (scenario.device == Device::Late).then(LateConfig::default);
    let ppm = |side: Side| {
        scenario.faults.iter().find_map(|fault| match fault {
            Fault::Clock { side: whose, parts_per_million } if *whose == side => Some(*parts_per_million),
            _ => None,
        })
    };
    HostsConfig {
        clock_ppm: Side::BOTH.map(|side| ppm(side).unwrap_or(0)),
        ends: [end(1), end(2)],
        late: [late, late],
        is_v6: scenario.is_v6,
        ..base.with_link(&scenario.link)
    }
}

/// The left side's port of flow 0; the next flows have the next ones.
pub(super) const CLIENT_PORT: u16 = 20_000;
const BACKLOG: u32 = 64;
/// Longer than a neighbour is asked for (RFC 4861 10: three times a second).
const QUIET: Duration = Duration::from_secs(5);
/// Strikes that no protocol takes for the end of its peer.
const FEW: u64 = 3;
/// Where counting begins to tell a storm from traffic.
const STORM_PACKETS: u64 = 5_000;
/// Flows that strangers opened and nobody ends: so many are held, to see whether data comes.
const OTHERS_MAX: usize = 256;
/// A handshake with a lost first packet, a lost last segment, a window that was not announced: each is repeated after about a second.
const SLACK: Duration = Duration::from_secs(20);
/// No run is longer; what ends it is its deadline.
const FOREVER: Duration = Duration::from_secs(7 * 24 * 3600);
/// Small, because worlds are made by the thousand.
const LARGE_POOL: PoolConfig = PoolConfig { slots: 32, slot_bytes: 65_536 + 256, headroom: 128 };
