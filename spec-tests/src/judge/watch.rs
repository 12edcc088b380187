//! What the events of a flow must not say: acknowledgements of what has not arrived, round trips that nothing made, a first
//! flight beyond the initial window, a window reduced again and again within one round trip, or never, or grown without use, data
//! beyond the receiver's credit.

use burstlane::addr::Endpoint;
use burstlane::observe::{Event, FlowRef};
use burstlane::time::{Duration, Instant};

use super::laws::Law;
use super::promptness::{self, Owed};
use super::run::CLIENT_PORT;
use super::witness::Witness;
use crate::hosts::PORT;
use crate::scenario::Side;

/// One flow of one host, as its events tell of it.
#[derive(Clone, Debug)]
pub(super) struct FlowWatch {
    /// Its number in the scenario, once known.
    pub(super) number: Option<usize>,
    ends: (Endpoint, Endpoint),
    /// Stream ranges that arrived, merged; offsets from zero.
    arrived: Ranges,
    /// Payload sent and nothing heard since.
    first_flight: Option<u64>,
    ssthresh: u64,
    /// The flow's first loss, while its window was never reduced.
    lost_at: Option<u64>,
    /// Where what was sent ends, and what was acknowledged; how far apart they were at most.
    sent_end: u64,
    acked_end: u64,
    flight_max: u64,
    /// How far it told its peer to send.
    pub(super) credit: Option<u64>,
    /// How often that grew by more than rounding explains, and by how much in all.
    credit_steps: u64,
    credit_grown: u64,
    /// When its window was reduced last, and the time before.
    reduced_at: [Option<Instant>; 2],
    pub(super) owed: Owed,
}

impl FlowWatch {
    fn new(ends: (Endpoint, Endpoint)) -> Self {
        Self {
            number: None,
            ends,
            arrived: Ranges::default(),
            first_flight: Some(0),
            ssthresh: u64::MAX,
            lost_at: None,
            sent_end: 0,
            acked_end: 0,
            flight_max: 0,
            credit: None,
            credit_steps: 0,
            credit_grown: 0,
            reduced_at: [None; 2],
            owed: Owed::default(),
        }
    }

    /// The host heard something, maybe an answer to this flow.
    pub(super) fn on_heard(&mut self) {
        if self.first_flight.is_some_and(|bytes| bytes > 0) {
            self.first_flight = None;
        }
    }

    /// Bytes of the peer's stream that came without a gap.
    pub(super) fn arrived_prefix(&self) -> u64 {
        self.arrived.prefix()
    }

    /// How much more the peer may send, bytes.
    pub(super) fn window(&self) -> u64 {
        self.credit.unwrap_or(0).saturating_sub(self.arrived.prefix())
    }
}

pub(super) fn on_event(witness: &mut Witness, side: Side, now: Instant, event: &Event<'_>) {
    if let Event::FlowOpened { flow, local, remote, .. } = *event {
        let first = if side == Side::Left { CLIENT_PORT } else { PORT };
        // Transports that say nothing of their ends may still have only one flow.
        let number = local.port.checked_sub(first).map_or(0, usize::from);
        witness.flows[side.index()].push((flow, FlowWatch { number: Some(number), ..FlowWatch::new((local, remote)) }));
        return;
    }
    let Some(flow) = event.flow() else { return };
    match *event {
        Event::SegmentSent { offset, bytes, retransmission: false, .. } => {
            on_sent(witness, side, now, flow, offset + bytes as u64);
            on_flight(witness, side, now, flow, bytes);
        }
        Event::SegmentReceived { offset, bytes, .. } => {
            with(witness, side, flow, |watch| {
                let prefix = watch.arrived_prefix();
                watch.arrived.add(offset, offset + bytes as u64);
                promptness::on_arrived(watch, now, prefix);
            });
        }
        Event::Acked { offset, .. } => {
            on_acked(witness, side, now, flow, offset);
            promptness::on_acked(witness, side, now, flow, offset);
        }
        Event::RttSample { rtt, .. } => on_rtt(witness, side, now, rtt),
        Event::CreditGiven { offset, .. } => {
            on_credit(witness, side, now, flow, offset);
            promptness::on_credit(witness, side, now, flow);
        }
        Event::Lost { offset, .. } => {
            with(witness, side, flow, |watch| {
                let is_first = watch.ssthresh == u64::MAX;
                watch.lost_at = watch.lost_at.or(is_first.then_some(offset));
            });
        }
        Event::Congestion { cwnd, ssthresh, .. } => {
            on_window(witness, side, now, flow, cwnd);
            on_congestion(witness, side, now, flow, ssthresh);
        }
        _ => {}
    }
}

pub(super) fn with<R>(
    witness: &mut Witness,
    side: Side,
    flow: FlowRef,
    look: impl FnOnce(&mut FlowWatch) -> R,
) -> Option<R> {
    // Few flows are open at a time; the newest are asked for most.
    let (_, watch) = witness.flows[side.index()].iter_mut().rev().find(|(known, _)| *known == flow)?;
    Some(look(watch))
}

/// The same flow on the other host.
pub(super) fn peer_of(witness: &mut Witness, side: Side, flow: FlowRef) -> Option<&mut FlowWatch> {
    let ends = with(witness, side, flow, |watch| watch.ends)?;
    let theirs = witness.flows[side.other().index()].iter_mut();
    theirs.rev().find(|(_, peer)| peer.ends == (ends.1, ends.0)).map(|(_, peer)| peer)
}

/// New data left, up to `end`.
fn on_sent(witness: &mut Witness, side: Side, now: Instant, flow: FlowRef, end: u64) {
    with(witness, side, flow, |watch| {
        watch.sent_end = watch.sent_end.max(end);
        watch.flight_max = watch.flight_max.max(end.saturating_sub(watch.acked_end));
    });
    // Without events of credit there is nothing to compare with.
    let Some(credit) = peer_of(witness, side, flow).and_then(|peer| peer.credit) else { return };
    if end > credit {
        witness.accuse(now, Law::CreditIsKept, || {
            format!("{side} sent everything before {end}; what it may send ends at {credit}")
        });
    }
}

fn on_credit(witness: &mut Witness, side: Side, now: Instant, flow: FlowRef, offset: u64) {
    let Some(Some(before)) = with(witness, side, flow, |watch| watch.credit.replace(offset)) else { return };
    let step = offset.saturating_sub(before);
    if step >= CREDIT_STEP_MIN {
        let (steps, grown) = with(witness, side, flow, |watch| {
            watch.credit_steps += 1;
            watch.credit_grown += step;
            (watch.credit_steps, watch.credit_grown)
        })
        .unwrap_or_default();
        if steps > CREDIT_STEPS_FREE && grown < steps * CREDIT_STEP_MEAN_MIN {
            witness.accuse(now, Law::CreditIsWorthwhile, || {
                format!("{side} gave {grown} bytes of credit in {steps} steps")
            });
        }
    }
    if before > offset {
        witness.accuse(now, Law::CreditIsKept, || {
            format!("{side} said that it would take everything before {before}, and now {offset}")
        });
    }
}

fn on_window(witness: &mut Witness, side: Side, now: Instant, flow: FlowRef, cwnd: u64) {
    let initial = witness.initial_window_bytes;
    let Some(flight) = with(witness, side, flow, |watch| watch.flight_max) else { return };
    if witness.promises.controls_congestion && cwnd > initial.max(2 * flight) + initial / 2 {
        witness.accuse(now, Law::NoHollowWindow, || {
            format!("{side} has a window of {cwnd} bytes, and never had more than {flight} under way")
        });
    }
}

/// So many bytes left for the first time.
fn on_flight(witness: &mut Witness, side: Side, now: Instant, flow: FlowRef, bytes: usize) {
    if !witness.promises.controls_congestion {
        return;
    }
    let allowed = witness.initial_window_bytes + witness.probe_bytes;
    let flight = with(witness, side, flow, |watch| {
        let flight = watch.first_flight.as_mut()?;
        *flight += bytes as u64;
        Some(*flight)
    });
    if let Some(flight) = flight.flatten().filter(|flight| *flight > allowed) {
        witness.accuse(now, Law::InitialWindow, || {
            format!("{side} sent {flight} bytes before the first answer; the initial window and a probe are {allowed}")
        });
    }
}

fn on_acked(witness: &mut Witness, side: Side, now: Instant, flow: FlowRef, offset: u64) {
    let unanswered = with(witness, side, flow, |watch| {
        watch.acked_end = watch.acked_end.max(offset);
        watch.lost_at.filter(|lost| *lost < offset)
    });
    if let Some(lost) = unanswered.flatten().filter(|_| witness.promises.controls_congestion) {
        witness.accuse(now, Law::LossIsAnswered, || {
            format!("{side} lost what stands at {lost}, has it acknowledged by now, and never reduced its window")
        });
    }
    // Without events of arrival on the other side there is nothing to compare with.
    let Some(peer) = peer_of(witness, side, flow) else { return };
    let (arrived, is_told) = (peer.arrived.prefix(), !peer.arrived.is_empty());
    if is_told && offset > arrived {
        witness.accuse(now, Law::TrueAcknowledgements, || {
            format!("{side} takes everything before {offset} for acknowledged, of which only {arrived} bytes arrived")
        });
    }
}

fn on_rtt(witness: &mut Witness, side: Side, now: Instant, rtt: Duration) {
    let shortest = Duration::from_nanos(witness.rtt_min_ns);
    // Not longer than what packets took, either? It may be: the answer to the first was lost, and a later one answered both.
    if rtt + ROUNDING < shortest && !witness.is_held_up() {
        witness.accuse(now, Law::TrueRoundTrips, || {
            format!("{side} measured a round trip of {rtt:?}; none is shorter than {shortest:?}")
        });
    }
}

fn on_congestion(witness: &mut Witness, side: Side, now: Instant, flow: FlowRef, ssthresh: u64) {
    let rtt_min = Duration::from_nanos(witness.rtt_min_ns);
    let too_soon = with(witness, side, flow, |watch| {
        let is_reduction = ssthresh < watch.ssthresh;
        watch.ssthresh = ssthresh;
        if ssthresh < u64::MAX {
            watch.lost_at = None;
        }
        if !is_reduction {
            return None;
        }
        let [last, before] = watch.reduced_at;
        watch.reduced_at = [Some(now), last];
        let since = now.since(before?);
        (since < rtt_min).then_some(since)
    });
    if let Some(after) = too_soon.flatten() {
        witness.accuse(now, Law::OneReduction, || {
            format!("{side} reduced its window three times within {after:?}, less than a round trip ({rtt_min:?})")
        });
    }
}

/// Merged ranges of a stream, ascending.
#[derive(Clone, Debug, Default)]
struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    fn add(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let from = self.0.partition_point(|(_, other_end)| *other_end < start);
        let to = self.0.partition_point(|(other_start, _)| *other_start <= end);
        let merged = self.0[from..to].iter().fold((start, end), |all, one| (all.0.min(one.0), all.1.max(one.1)));
        self.0.splice(from..to, [merged]);
    }

    /// Bytes from zero without a gap.
    fn prefix(&self) -> u64 {
        self.0.first().map_or(0, |(start, end)| if *start == 0 { *end } else { 0 })
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Credit that grows by less may be rounding, bytes.
const CREDIT_STEP_MIN: u64 = 32;
/// Steps that are not looked at: the first are small, before much is known of the peer.
const CREDIT_STEPS_FREE: u64 = 12;
/// Less on average, bytes, is a silly window: half of the smallest segment that a path must carry (RFC 9293 3.7.1).
const CREDIT_STEP_MEAN_MIN: u64 = 256;
/// Protocols measure in ticks of their own, a millisecond or so at the coarsest, and may round both ends.
const ROUNDING: Duration = Duration::from_micros(2_200);
