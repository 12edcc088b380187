//! The witness: sees every packet with its fate, every event of both hosts, and what the applications report. It remembers
//! the first law that was broken, and on request records everything.

use std::cell::RefCell;
use std::rc::Rc;

use burstlane::observe::{Direction, Event, FlowRef, FrameTap, Observer};
use burstlane::time::{Duration, Instant};
use burstlane_sim::{Damage, Fate};

use super::laws::{Broken, Law};
use super::promptness::Post;
use super::rebinding::{Rebinding, Translated};
use super::silence::Silence;
use super::watch::FlowWatch;
use crate::link::is_neighbour_traffic;
use crate::oracle::Oracle;
use crate::pattern::mix;
use crate::recording::{EventRecord, Happening, PacketRecord, Recording};
use crate::scenario::{Fault, Mishap, Scenario, Side, Trouble};
use crate::subject::Promises;

/// What is known of a run so far.
pub(super) struct Witness {
    pub(super) promises: Promises,
    /// The shortest round trip that the link allows, nanoseconds.
    pub(super) rtt_min_ns: u64,
    broken: Option<Broken>,
    recording: Option<Recording>,
    oracle: Option<Box<dyn Oracle>>,
    /// Of every packet sent, with its time: two runs with the same digest sent the same.
    digest: u64,
    /// Packets sent by each side, without those for neighbours.
    pub(super) packets: [u64; 2],
    /// Packets that came from nowhere.
    pub(super) injected: u64,
    /// Faults that struck, and the latest effect of one.
    pub(super) strikes: u64,
    pub(super) troubled_at: Instant,
    /// Packets that were struck and may still come whole, late or more than once.
    pub(super) strays: u64,
    /// What may be sent before the first answer.
    pub(super) initial_window_bytes: u64,
    /// What a probe for a silent tail may send beyond it (RFC 8985 7.3).
    pub(super) probe_bytes: u64,
    pub(super) silence: [Silence; 2],
    /// When each host last threw a packet away.
    pub(super) refused_at: [Instant; 2],
    /// What is on its way to each side.
    pub(super) post: [Post; 2],
    /// Packets that somebody changed on the way: who sent them, when they arrive, and as what.
    pub(super) tampered: Vec<(Side, Instant, Vec<u8>)>,
    /// The same for those whose port a translator changed.
    pub(super) translated: Vec<(Side, Instant, Vec<u8>)>,
    pub(super) rebinding: Rebinding,
    /// Flows of the scenario that ended, but not in order: whose, which, when, how.
    pub(super) failed: Vec<(Side, usize, Instant, &'static str)>,
    /// A host may be kept from reading its clock and its mail: what it measures says nothing of the network.
    held_up: bool,
    /// The law that is broken where strangers keep a flow from its end.
    strangers_law: Option<Law>,
    /// Somebody changes packets so that nobody can notice: what arrives may be anything.
    has_enemy: bool,
    /// Flows of each side, in the order of their opening.
    pub(super) flows: [Vec<(FlowRef, FlowWatch)>; 2],
}

impl Witness {
    pub(super) fn new(
        promises: &Promises,
        scenario: &Scenario,
        oracle: Option<Box<dyn Oracle>>,
        records: bool,
    ) -> Self {
        Self {
            promises: promises.clone(),
            rtt_min_ns: 2 * scenario.link.delay.as_nanos() as u64,
            broken: None,
            recording: records.then(Recording::default),
            oracle,
            digest: 0,
            packets: [0; 2],
            injected: 0,
            strikes: 0,
            troubled_at: Instant::ZERO,
            strays: 0,
            initial_window_bytes: initial_window_bytes(scenario.link.mtu),
            probe_bytes: u64::from(scenario.link.mtu),
            silence: Default::default(),
            refused_at: Default::default(),
            post: Default::default(),
            tampered: Vec::new(),
            translated: Vec::new(),
            rebinding: Rebinding::of(&scenario.faults),
            failed: Vec::new(),
            held_up: scenario.faults.iter().any(holds_up),
            strangers_law: scenario.faults.iter().find_map(strangers_law),
            has_enemy: scenario.has_an_enemy_on_the_way(),
            flows: Default::default(),
        }
    }

    pub(super) fn is_held_up(&self) -> bool {
        self.held_up
    }

    /// A law was broken; the first counts.
    pub(super) fn accuse(&mut self, now: Instant, law: Law, what: impl FnOnce() -> String) {
        let holds_against_enemies = matches!(
            law,
            Law::BoundedMemory | Law::Cleanliness | Law::NoSpin | Law::NoPanic | Law::Frugality | Law::Patience
        );
        if self.broken.is_none() && (!self.has_enemy || holds_against_enemies) {
            let law = self.strangers_law.filter(|_| matches!(law, Law::Progress | Law::NoFalseAlarm)).unwrap_or(law);
            self.broken = Some(Broken { law, message: format!("at {now}: {}", what()) });
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    pub(super) fn broken(&self) -> Option<Broken> {
        self.broken.clone()
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn take_recording(&mut self) -> Recording {
        self.recording.take().unwrap_or_default()
    }

    /// What the protocol's own oracle has to say at the end.
    pub(super) fn hear_oracle(&mut self, now: Instant) {
        if let Some(mut oracle) = self.oracle.take()
            && let Some(first) = oracle.finish().into_iter().next()
        {
            self.accuse(now, Law::Protocol, || first);
        }
    }

    /// Something went wrong on purpose, with effects until `until`.
    pub(super) fn trouble(&mut self, until: Instant) {
        self.strikes += 1;
        self.troubled_at = self.troubled_at.max(until);
    }

    /// A packet left `from`, waited in a queue, and now meets its fate.
    pub(super) fn on_packet(
        &mut self,
        from: Side,
        number: Option<u32>,
        (sent_at, waited): (Instant, Duration),
        bytes: &[u8],
        fate: &Fate,
        struck: Option<String>,
    ) {
        let now = sent_at + waited;
        let deliveries = if let Fate::Arrives(deliveries) = fate { deliveries.as_slice() } else { &[] };
        let arrivals = deliveries.iter().map(|delivery| (now + delivery.delay, delivery.damage));
        let last = arrivals.clone().map(|(at, _)| at).max();
        if struck.is_some() {
            // Not what comes damaged: that is as good as lost, also in what the judge does.
            self.strays += u64::from(arrivals.clone().any(|(_, damage)| damage == Damage::None));
            self.trouble(last.unwrap_or(now).max(now));
        } else if last.is_none() {
            self.troubled_at = self.troubled_at.max(now);
        }
        self.digest = digest(self.digest, from, now, bytes);
        if number.is_some() {
            self.packets[from.index()] += 1;
            self.on_silent_send(from, now);
            arrivals.clone().for_each(|(arrives_at, _)| self.post[from.other().index()].on_left(sent_at, arrives_at));
            if let Some(oracle) = &mut self.oracle {
                oracle.on_sent(from, now, bytes);
            }
        }
        let trouble = struck.or_else(|| match fate {
            Fate::Arrives(_) | Fate::Waits => None,
            Fate::Lost => Some("lost".to_owned()),
            Fate::Dropped => Some("dropped by the queue's rule".to_owned()),
            Fate::QueueFull => Some("the queue was full".to_owned()),
            Fate::TooBig => Some("too large".to_owned()),
        });
        let arrivals: Vec<_> = arrivals.collect();
        self.record(|recording| {
            let bytes = bytes.to_vec();
            recording.packets.push(PacketRecord { number, from, sent_at, bytes, arrivals, trouble });
        });
    }

    /// A packet comes to the translator on the left host's way. True if it goes on under another port.
    pub(super) fn on_translator(&mut self, from: Side, now: Instant, bytes: &[u8], fate: &Fate) -> bool {
        if self.rebinding.forgets(now) {
            self.trouble(now);
        }
        let Some(Translated { arrivals, bytes, excess }) = self.rebinding.translate(from, now, bytes, fate) else {
            return false;
        };
        if arrivals.is_empty() {
            self.troubled_at = self.troubled_at.max(now);
        }
        if let Some((sent, allowed)) = excess.filter(|_| self.promises.survives_rebinding) {
            self.accuse(now, Law::NoAmplification, || {
                format!("{from} sent {sent} bytes to a port that has not answered; {allowed} are allowed")
            });
        }
        self.translated.extend(arrivals.into_iter().map(|at| (from, at, bytes.clone())));
        true
    }

    /// A packet that nobody on the link sent is on its way to `to`.
    pub(super) fn on_injected(&mut self, to: Side, at: Instant, bytes: &[u8], what: &str) {
        self.injected += 1;
        self.troubled_at = self.troubled_at.max(at);
        self.record(|recording| {
            recording.packets.push(PacketRecord {
                number: None,
                from: to.other(),
                sent_at: at,
                bytes: bytes.to_vec(),
                arrivals: vec![(at, Damage::None)],
                trouble: Some(what.to_owned()),
            });
        });
    }

    fn on_silent_send(&mut self, from: Side, now: Instant) {
        let flows = self.flows[from.index()].len() as u32;
        let Self { silence, promises, .. } = self;
        if let Some((sent, allowed, quiet)) = silence[from.index()].on_sent(now, flows, promises.patience_max)
            && promises.is_reliable
        {
            self.accuse(now, Law::Patience, || {
                format!("{from} sent {sent} packets in {quiet:?} without hearing anything; {allowed} are plenty")
            });
        }
    }

    fn on_delivered(&mut self, to: Side, now: Instant, bytes: &[u8]) {
        if is_neighbour_traffic(bytes) {
            return;
        }
        self.silence[to.index()].on_heard();
        self.post[to.index()].on_arrived(now);
        self.flows[to.index()].iter_mut().for_each(|(_, flow)| flow.on_heard());
        if let Some(oracle) = &mut self.oracle {
            oracle.on_delivered(to, now, bytes);
        }
    }

    fn on_event(&mut self, side: Side, now: Instant, event: &Event<'_>) {
        if let Some(oracle) = &mut self.oracle {
            oracle.on_event(side, now, event);
        }
        if let Event::Dropped { .. } = event {
            self.refused_at[side.index()] = now;
        }
        super::watch::on_event(self, side, now, event);
        if let Event::FlowClosed { flow, reason, .. } = *event
            && reason != IN_ORDER
        {
            // What came of a late duplicate of an opening has the same number, and is another flow.
            let number = self.number_of(side, flow).filter(|number| self.first_flow(side, *number) == Some(flow));
            self.failed.extend(number.map(|number| (side, number, now, reason)));
        }
        if self.recording.is_some()
            && let Some(what) = happening(event)
        {
            let flow = event.flow().and_then(|flow| self.number_of(side, flow));
            self.record(|recording| recording.events.push(EventRecord { side, at: now, flow, what }));
        }
    }

    /// What an application did or saw.
    pub(super) fn on_app(&mut self, side: Side, now: Instant, flow: usize, what: impl FnOnce() -> String) {
        self.record(|recording| {
            let what = Happening::App { what: what() };
            recording.events.push(EventRecord { side, at: now, flow: Some(flow), what });
        });
    }

    fn number_of(&self, side: Side, flow: FlowRef) -> Option<usize> {
        self.flows[side.index()].iter().find(|(known, _)| *known == flow).and_then(|(_, watch)| watch.number)
    }

    pub(super) fn first_flow(&self, side: Side, number: usize) -> Option<FlowRef> {
        let mut flows = self.flows[side.index()].iter();
        flows.find(|(_, watch)| watch.number == Some(number)).map(|(flow, _)| *flow)
    }

    fn record(&mut self, add: impl FnOnce(&mut Recording)) {
        if let Some(recording) = &mut self.recording {
            if recording.packets.len() + recording.events.len() < RECORDS_MAX {
                add(recording);
            } else {
                recording.left_out += 1;
            }
        }
    }
}

/// One host's view: tap and observer in one.
#[derive(Clone)]
pub(super) struct Place(pub(super) Side, pub(super) Rc<RefCell<Witness>>);

impl FrameTap for Place {
    fn frame(&mut self, now: Instant, _: u16, direction: Direction, bytes: &[u8], _: Option<&str>) {
        if direction == Direction::In {
            self.1.borrow_mut().on_delivered(self.0, now, bytes);
        }
    }
}

impl Observer for Place {
    fn event(&mut self, now: Instant, event: &Event<'_>) {
        self.1.borrow_mut().on_event(self.0, now, event);
    }
}

fn happening(event: &Event<'_>) -> Option<Happening> {
    let micros = |duration: std::time::Duration| duration.as_micros() as u64;
    Some(match *event {
        Event::FlowOpened { .. } => Happening::Opened,
        Event::FlowClosed { reason, .. } => Happening::Closed { reason: reason.to_owned() },
        Event::StateChanged { from, to, .. } => Happening::State { from: from.to_owned(), to: to.to_owned() },
        Event::TimerFired { name, .. } => Happening::Timer { name: name.to_owned() },
        Event::Congestion { cwnd, ssthresh, in_flight, .. } => Happening::Congestion { cwnd, ssthresh, in_flight },
        Event::Lost { offset, bytes, .. } => Happening::Lost { offset, bytes: bytes as u64 },
        Event::RttSample { rtt, srtt, rto, .. } => {
            Happening::Rtt { rtt_us: micros(rtt), srtt_us: micros(srtt), rto_us: micros(rto) }
        }
        Event::Dropped { reason } => Happening::Dropped { reason: reason.to_owned() },
        _ => return None,
    })
}

/// Whether a fault keeps a host from its clock or its mail: what it measures then says nothing of the network.
fn holds_up(fault: &Fault) -> bool {
    match fault {
        Fault::Spell { trouble, .. } => matches!(trouble, Trouble::Stall(_) | Trouble::Starve(_)),
        Fault::Clock { .. } | Fault::Forged { .. } | Fault::Flood { .. } => true,
        Fault::Rebind { .. } => false,
        Fault::Packet { mishap, .. } => matches!(mishap, Mishap::Tamper { .. }),
    }
}

fn strangers_law(fault: &Fault) -> Option<Law> {
    match fault {
        Fault::Forged { .. } => Some(Law::StrangersArePowerless),
        Fault::Flood { .. } => Some(Law::FloodsAreBounded),
        Fault::Packet { .. } | Fault::Spell { .. } | Fault::Clock { .. } | Fault::Rebind { .. } => None,
    }
}

/// RFC 6928: min(10 segments, max(2 segments, 14,600 bytes)), with a segment as large as a packet.
fn initial_window_bytes(mtu: u32) -> u64 {
    let mtu = u64::from(mtu);
    (10 * mtu).min((2 * mtu).max(15_000))
}

/// Order matters, so this is no sum.
fn digest(before: u64, from: Side, now: Instant, bytes: &[u8]) -> u64 {
    let head = mix(before ^ now.as_nanos().wrapping_mul(2) ^ from.index() as u64);
    bytes.chunks(8).fold(head, |digest, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(digest.rotate_left(5) ^ u64::from_le_bytes(word) ^ (chunk.len() as u64) << 56)
    })
}

/// The name of an orderly end in [`Event::FlowClosed`].
const IN_ORDER: &str = "closed";
/// A recording ends here: enough for any picture, and a bound on what a run without end costs.
const RECORDS_MAX: usize = 200_000;
