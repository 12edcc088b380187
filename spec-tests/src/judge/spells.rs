//! Devices in trouble for a while: stalled, or without packet memory.

use burstlane::frame::Frame;
use burstlane::time::Instant;
use burstlane_sim::Network;

use super::witness::Witness;
use crate::hosts::{Hosts, Member};
use crate::scenario::{Fault, Scenario, Side, Span, Trouble};

/// The spells of a run.
pub(super) struct Spells {
    spells: Vec<Spell>,
    /// All of the scenario's, those of the link included.
    spans: Vec<Span>,
}

struct Spell {
    span: Span,
    side: Side,
    starves: bool,
    /// It has begun, and is not over.
    is_on: bool,
    /// The frames that nobody else can have.
    held: Vec<Frame>,
}

impl Spells {
    pub(super) fn new(scenario: &Scenario, network: &Network) -> Self {
        let mut this = Self { spells: Vec::new(), spans: Vec::new() };
        for fault in &scenario.faults {
            let Fault::Spell { span, trouble } = *fault else { continue };
            this.spans.push(span);
            let (side, starves) = match trouble {
                Trouble::Stall(side) => (side, false),
                Trouble::Starve(side) => (side, true),
                Trouble::Partition(_) | Trouble::BlackHole { .. } => continue,
            };
            network.alarm(span.starts_at());
            network.alarm(span.ends_at());
            this.spells.push(Spell { span, side, starves, is_on: false, held: Vec::new() });
        }
        this
    }

    /// When the last spell that has begun ends.
    pub(super) fn last_end_before(&self, now: Instant) -> Instant {
        let begun = self.spans.iter().filter(|span| span.starts_at() <= now);
        begun.map(|span| span.ends_at()).max().unwrap_or(Instant::ZERO)
    }

    /// Begins and ends what is due.
    pub(super) fn apply(&mut self, now: Instant, hosts: &Hosts, witness: &mut Witness) {
        for at in 0..self.spells.len() {
            let spell = &mut self.spells[at];
            let is_on = spell.span.contains(now);
            let member = &hosts.members[spell.side.index()];
            if is_on && spell.starves {
                // Slots that come back are taken, too.
                hold(member, &mut spell.held);
            }
            if spell.is_on == is_on {
                continue;
            }
            spell.is_on = is_on;
            let side = spell.side;
            if is_on {
                witness.trouble(spell.span.ends_at());
            } else {
                spell.held.clear();
            }
            let is_stalled = self.spells.iter().any(|spell| spell.is_on && !spell.starves && spell.side == side);
            member.end.set_stalled(is_stalled);
        }
    }

    /// Ends all of them.
    pub(super) fn end(&mut self, hosts: &Hosts) {
        self.spells.clear();
        hosts.members.iter().for_each(|member| member.end.set_stalled(false));
    }
}

fn hold(member: &Member, held: &mut Vec<Frame>) {
    let (normal, large) = member.end.pools();
    let late = member.late.as_ref().map(|(pool, _)| pool);
    for pool in [Some(normal), large, late].into_iter().flatten() {
        held.extend(std::iter::from_fn(|| pool.alloc()));
    }
}
