//! Strangers: hosts that know the addresses and ports of a flow, but have seen none of its packets. What they can send is
//! what the protocol itself would send with other secrets; so that is recorded in runs with another seed and no faults: one like
//! theirs, and one in which the sender aborts, for its last word.

use burstlane::time::{Duration, Instant};
use burstlane::transport::Transport;
use burstlane_sim::Network;

use super::run::{Watch, run};
use super::witness::Witness;
use crate::anatomy::{anatomy, repair_checksums};
use crate::face::Face;
use crate::hosts::Hosts;
use crate::scenario::{Fault, Op, Scenario, Side};
use crate::subject::Subject;

/// What strangers send in a run, soonest last.
pub(super) struct Strangers {
    packets: Vec<(Instant, Side, Vec<u8>, &'static str)>,
}

impl Strangers {
    /// The forgeries and floods of a scenario.
    pub(super) fn of<T: Transport>(subject: &Subject<T>, scenario: &Scenario) -> Self
    where
        T::Io: Face,
    {
        let concerns = |fault: &&Fault| matches!(fault, Fault::Forged { .. } | Fault::Flood { .. });
        if !scenario.faults.iter().any(|fault| concerns(&fault)) {
            return Self { packets: Vec::new() };
        }
        let elsewhere = Scenario { seed: !scenario.seed, faults: Vec::new(), ..scenario.clone() };
        let ordinary = Side::BOTH.map(|from| sent(subject, &elsewhere, from));
        let has_forgers = scenario.faults.iter().any(|fault| matches!(fault, Fault::Forged { .. }));
        let last_words =
            Side::BOTH.map(|from| has_forgers.then(|| sent(subject, &aborted(&elsewhere, from), from).pop()).flatten());
        let mut packets = Vec::new();
        for fault in scenario.faults.iter().filter(concerns) {
            match *fault {
                Fault::Forged { to, at_ms, number } => {
                    let from = to.other().index();
                    // The last word first: there is only one.
                    let known: Vec<_> = last_words[from].iter().chain(&ordinary[from]).collect();
                    if let Some(bytes) = known.get(number as usize % known.len().max(1)) {
                        packets.push((at(at_ms, 0), to, bytes.to_vec(), "forged by a stranger"));
                    }
                }
                Fault::Flood { to, at_ms, packets: count } => {
                    let Some(first) = ordinary[to.other().index()].first() else { continue };
                    let flood =
                        (0..count).map(|n| (at(at_ms, n), to, from_elsewhere(first, n), "a stranger's opening"));
                    packets.extend(flood);
                }
                _ => {}
            }
        }
        packets.sort_by_key(|packet| std::cmp::Reverse(packet.0));
        Self { packets }
    }

    pub(super) fn set_alarms(&self, network: &Network) {
        self.packets.iter().for_each(|packet| network.alarm(packet.0));
    }

    /// Sends what is due, and what was changed on the way.
    pub(super) fn send(&mut self, now: Instant, hosts: &Hosts, witness: &mut Witness) {
        for (from, at, bytes) in std::mem::take(&mut witness.tampered) {
            hosts.members[from.other().index()].end.inject(at, &bytes);
            witness.on_injected(from.other(), at, &bytes, "changed on the way");
        }
        for (from, at, bytes) in std::mem::take(&mut witness.translated) {
            hosts.members[from.other().index()].end.inject(at, &bytes);
        }
        while let Some((_, to, bytes, what)) = self.packets.pop_if(|packet| packet.0 <= now) {
            hosts.members[to.index()].end.inject(now, &bytes);
            witness.on_injected(to, now, &bytes, what);
        }
    }
}

/// What one side sends in a run.
fn sent<T: Transport>(subject: &Subject<T>, scenario: &Scenario, from: Side) -> Vec<Vec<u8>>
where
    T::Io: Face,
{
    let packets = run(subject, scenario, Watch::Record).recording.packets.into_iter();
    packets.filter(|packet| packet.number.is_some() && packet.from == from).map(|packet| packet.bytes).collect()
}

/// The same scenario, but that one side aborts when it has said everything.
fn aborted(scenario: &Scenario, side: Side) -> Scenario {
    let mut scenario = scenario.clone();
    scenario.flows.iter_mut().for_each(|flow| flow.sides[side.index()].ops.push(Op::Abort));
    scenario
}

/// Milliseconds from the start, and some microseconds for each packet of a flood.
fn at(ms: u32, n: u32) -> Instant {
    Instant::ZERO + Duration::from_millis(ms.into()) + Duration::from_micros(u64::from(n) * 10)
}

/// The same packet from another host of the same network (the last two bytes of the source address) and another port.
fn from_elsewhere(frame: &[u8], n: u32) -> Vec<u8> {
    let mut changed = frame.to_vec();
    let Some(anatomy) = anatomy(frame) else { return changed };
    let source_end = if frame[12..14] == [8, 0] { 30 } else { 38 };
    changed[source_end - 1] = 3 + (n % 250) as u8;
    let port = 1024 + (n / 250 * 7919 + n) % 60_000;
    let start = anatomy.transport.start;
    if let Some(field) = changed.get_mut(start..start + 2) {
        field.copy_from_slice(&(port as u16).to_be_bytes());
    }
    repair_checksums(&mut changed);
    changed
}
