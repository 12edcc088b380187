//! What must hold when a run is over: of the applications' reports, of how much was said, and of what is left.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::app::Report;
use super::laws::{Broken, Law};
use super::run::Stage;
use crate::scenario::{Fault, FlowPlan, Side};

impl Stage<'_> {
    /// Whether an end may be left waiting without fault: its peer is gone, and the news of it was lost.
    pub(super) fn may_hang(&self) -> bool {
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
        self.scenario.has_an_enemy_on_the_way()
            || self
                .scenario
                .flows
                .iter()
                .zip(&self.reports)
                .all(|(flow, reports)| Side::BOTH.into_iter().all(|side| self.is_excused(flow, reports, side)))
    }

    /// Whether one end is over, or waits for what its peer said once, if at all: an opening that was given up, a reset that may be lost.
    fn is_excused(&self, flow: &FlowPlan, reports: &[Rc<RefCell<Report>>; 2], side: Side) -> bool {
        let [report, peer] = [side, side.other()].map(|side| *reports[side.index()].borrow());
        let plan = flow.side(side.other());
        let is_never_met = !report.has_opened || !peer.has_opened;
        let resets = plan.aborts() || peer.received < report.accepted;
        let may_be_lost = !self.went_well() || !self.scenario.link_is_reliable();
        report.is_over() || plan.ends_early() && (is_never_met || resets && may_be_lost)
    }

    /// Whether nothing at all happened to any packet.
    fn went_well(&self) -> bool {
        let witness = self.witness.borrow();
        witness.strikes + witness.injected == 0
    }

    /// Whether so little happened to packets that nobody has reason to be impatient.
    fn is_calm(&self) -> bool {
        self.scenario.faults.iter().all(|fault| matches!(fault, Fault::Packet { .. }))
            && self.witness.borrow().strikes <= FEW
            && self.scenario.link_is_reliable()
            && !self.scenario.has_an_enemy_on_the_way()
    }

    /// Nobody has anything to say any more: so nobody goes on asking. (A late duplicate of an opening is asked about: strays excuse.)
    pub(super) fn judge_silence(&self) {
        let may_ask = || !self.is_calm() || self.witness.borrow().strays > 0;
        if !self.promises.is_reliable || !self.is_over() || self.witness.borrow().is_broken() || may_ask() {
            return;
        }
        let within = self.promises.settles_within;
        let _ = self.hosts.world.run_for(within);
        let before = self.witness.borrow().packets;
        let _ = self.hosts.world.run_for(LISTENED);
        let after = self.witness.borrow().packets;
        if before != after && !may_ask() {
            self.witness.borrow_mut().accuse(self.now(), Law::SoonSilent, || {
                format!(
                    "{before:?} packets were sent {within:?} after both applications were done, and {after:?} later"
                )
            });
        }
    }

    /// Who saw the peer's end and ends without an error may believe that the peer read all.
    pub(super) fn judge_unread(&self) -> Option<Broken> {
        if !self.promises.tells_of_unread || self.scenario.has_an_enemy_on_the_way() {
            return None;
        }
        let witness = self.witness.borrow();
        let ends = self.reports.iter().enumerate().flat_map(|(number, reports)| {
            Side::BOTH
                .map(|side| (number, side, *reports[side.index()].borrow(), *reports[side.other().index()].borrow()))
        });
        let believes = |(number, side, report, peer): &(usize, Side, Report, Report)| {
            let is_told = witness.failed.iter().any(|(whose, flow, ..)| (whose, flow) == (side, number));
            let is_well = report.saw_end && report.is_done && report.failed.is_none() && !is_told;
            is_well && peer.received < report.accepted && peer.failed.is_none()
        };
        let (number, side, report, peer) = ends.into_iter().find(believes)?;
        let message = format!(
            "flow {number}, {side} ended in order after it had sent {} bytes, of which the peer read {}",
            report.accepted, peer.received
        );
        Some(Broken { law: Law::UnreadIsTold, message })
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
    pub(super) fn judge_outcomes(&self) {
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

    /// Far more than a good protocol needs: each piece a packet, each packet acknowledged, everything twice, and some for
    /// each fault, for each second of waiting, and for each read that opens a window.
    pub(super) fn packets_allowed(&self, took: Duration) -> u64 {
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

    /// Both ends agree on how it ended: where few packets were lost, and all was said and heard, no end of a flow fails when
    /// its application has let go.
    pub(super) fn judge_ends(&self) -> Option<Broken> {
        if !self.promises.is_reliable || !self.is_calm() || !self.scenario.ends_in_order() {
            return None;
        }
        let witness = self.witness.borrow();
        let (side, number, at, reason) = witness.failed.first()?;
        let message = format!("at {at}: flow {number}, {side} ended ({reason}) after both applications were done");
        Some(Broken { law: Law::NoFalseAlarm, message })
    }

    /// What strangers began and did not go on with is forgotten, also while the listener still listens.
    pub(super) fn check_oblivion(&self) {
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

    pub(super) fn state(&self) -> String {
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

    pub(super) fn find_remains(&self) -> Option<Broken> {
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
        let gives_up_within = if self.went_well() && self.scenario.ends_in_order() {
            Duration::ZERO
        } else {
            self.promises.gives_up_within
        };
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

/// Strikes that no protocol takes for the end of its peer.
const FEW: u64 = 3;
/// How long the hosts are listened to when they should be silent: longer than the pauses of what was repeated until then.
const LISTENED: Duration = Duration::from_secs(60);
