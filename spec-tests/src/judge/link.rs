//! The link of a run: the scenario's link with the scenario's faults, each struck where it says. The witness sees every
//! packet and its fate.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use burstlane::time::{Duration, Instant};
use burstlane_sim::{Damage, Delivery, Fate, LinkModel, Passing};

use super::witness::Witness;
use crate::link::is_neighbour_traffic;
use crate::scenario::{Fault, Mishap, Side, Trouble};

/// One direction of the link.
#[derive(Clone)]
pub(super) struct FaultyLink {
    from: Side,
    inner: Box<dyn LinkModel>,
    faults: Vec<Fault>,
    /// The next packet's number.
    number: u32,
    /// Packets in a queue that has not decided yet: their numbers, and when they were sent.
    waiting: VecDeque<(Option<u32>, Instant)>,
    witness: Rc<RefCell<Witness>>,
}

impl FaultyLink {
    /// What `from` sends over `inner`, with those of `faults` that concern it.
    pub(super) fn boxed(
        from: Side,
        inner: Box<dyn LinkModel>,
        faults: &[Fault],
        witness: &Rc<RefCell<Witness>>,
    ) -> Box<dyn LinkModel> {
        let concerns = |fault: &&Fault| match fault {
            Fault::Packet { from: whose, .. } => *whose == from,
            Fault::Spell { trouble: Trouble::Partition(whose), .. } => whose.is_none_or(|whose| whose == from),
            Fault::Spell { trouble: Trouble::BlackHole { from: whose, .. }, .. } => *whose == from,
            Fault::Spell { trouble: Trouble::Stall(_) | Trouble::Starve(_), .. }
            | Fault::Clock { .. }
            | Fault::Forged { .. }
            | Fault::Flood { .. }
            | Fault::Rebind { .. } => false,
        };
        let faults = faults.iter().filter(concerns).copied().collect();
        Box::new(Self { from, inner, faults, number: 0, waiting: VecDeque::new(), witness: Rc::clone(witness) })
    }
}

impl LinkModel for FaultyLink {
    fn transit(&mut self, now: Instant, frame: &Passing<'_>) -> Fate {
        let fate = self.inner.transit(now, frame);
        let number = (!is_neighbour_traffic(frame.bytes)).then(|| {
            self.number += 1;
            self.number - 1
        });
        if fate == Fate::Waits {
            self.waiting.push_back((number, now));
            return fate;
        }
        self.decide(number, now, Duration::ZERO, frame, fate)
    }

    fn next_release(&self) -> Option<Instant> {
        self.inner.next_release()
    }

    fn release(&mut self, at: Instant, frame: &Passing<'_>) -> Fate {
        let (number, sent_at) = self.waiting.pop_front().unwrap_or((None, at));
        let fate = self.inner.release(at, frame);
        self.decide(number, sent_at, at.since(sent_at), frame, fate)
    }
}

impl FaultyLink {
    /// What becomes of a packet that was sent at `sent_at` and has `waited` since: its fate, which counts from now, and what
    /// strikes it.
    fn decide(
        &mut self,
        number: Option<u32>,
        sent_at: Instant,
        waited: Duration,
        frame: &Passing<'_>,
        mut fate: Fate,
    ) -> Fate {
        let mut witness = self.witness.borrow_mut();
        let now = sent_at + waited;
        let mut struck = None;
        for fault in self.faults.iter().filter(|_| number.is_some()) {
            match *fault {
                Fault::Packet { number: whose, mishap, .. } if number == Some(whose) => {
                    if let Mishap::Tamper { at, value } = mishap {
                        witness.tampered.push((self.from, arrival(now, &fate), tamper(frame.bytes, at, value)));
                    }
                    strike(&mut fate, mishap, frame.bytes.len());
                    struck = Some(describe(mishap));
                }
                Fault::Spell { span, trouble: Trouble::Partition(_) } if span.contains(now) => {
                    fate = Fate::Lost;
                    struck = Some("partition".to_owned());
                }
                Fault::Spell { span, trouble: Trouble::BlackHole { mtu, .. } }
                    if span.contains(now) && frame.packet_bytes > mtu as usize + ETHERNET_BYTES =>
                {
                    fate = Fate::TooBig;
                    struck = Some("black hole".to_owned());
                }
                _ => {}
            }
        }
        witness.on_packet(self.from, number, (sent_at, waited), frame.bytes, &fate, struck);
        if witness.on_translator(self.from, now, frame.bytes, &fate) { Fate::Lost } else { fate }
    }
}

/// Does to a packet's fate what the mishap says.
fn strike(fate: &mut Fate, mishap: Mishap, frame_bytes: usize) {
    let Fate::Arrives(deliveries) = fate else { return };
    let inner_bytes = frame_bytes.saturating_sub(ETHERNET_BYTES).max(1) as u32;
    match mishap {
        Mishap::Drop | Mishap::Tamper { .. } => *fate = Fate::Lost,
        Mishap::Delay { by_ms } => deliveries.iter_mut().for_each(|delivery| delivery.delay += millis(by_ms)),
        Mishap::Duplicate { copies, apart_ms } => {
            let Some(&first) = deliveries.first() else { return };
            for copy in 1..=u32::from(copies) {
                let delay = first.delay + millis(apart_ms) * copy;
                // The wire takes four arrivals of a packet at most.
                let _ = deliveries.try_push(Delivery { delay, ..first });
            }
        }
        Mishap::Corrupt { bit } => {
            let bit = (ETHERNET_BYTES * 8) as u32 + bit % (inner_bytes * 8);
            deliveries.iter_mut().for_each(|delivery| delivery.damage = Damage::FlipBit(bit));
        }
        Mishap::Truncate { bytes } => {
            let bytes = ETHERNET_BYTES as u32 + bytes % inner_bytes;
            deliveries.iter_mut().for_each(|delivery| delivery.damage = Damage::Truncate(bytes));
        }
    }
}

fn arrival(now: Instant, fate: &Fate) -> Instant {
    match fate {
        Fate::Arrives(deliveries) => now + deliveries.first().map_or(Duration::ZERO, |delivery| delivery.delay),
        Fate::Lost | Fate::QueueFull | Fate::Dropped | Fate::TooBig | Fate::Waits => now,
    }
}

/// The frame with one byte behind the Ethernet header changed, and its checksums right again.
fn tamper(frame: &[u8], at: u32, value: u8) -> Vec<u8> {
    let mut changed = frame.to_vec();
    let inner = changed.len().saturating_sub(ETHERNET_BYTES);
    if inner > 0 {
        changed[ETHERNET_BYTES + at as usize % inner] = value;
    }
    crate::anatomy::repair_checksums(&mut changed);
    changed
}

fn describe(mishap: Mishap) -> String {
    match mishap {
        Mishap::Drop => "dropped".to_owned(),
        Mishap::Duplicate { copies, .. } => format!("doubled, {copies} more"),
        Mishap::Delay { by_ms } => format!("delayed {by_ms} ms"),
        Mishap::Corrupt { bit } => format!("bit {bit} flipped"),
        Mishap::Truncate { bytes } => format!("cut to {bytes} bytes"),
        Mishap::Tamper { at, value } => format!("byte {at} made {value:#04x}"),
    }
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

pub(super) const ETHERNET_BYTES: usize = 14;
