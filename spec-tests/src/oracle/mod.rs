//! TCP's own oracle: a passive observer of both ends of connections, which is shown every segment as it leaves one end and
//! as it arrives at the other, and says what no TCP may do. It shares no code with any TCP, keeps its own account of each
//! connection, and knows nothing of how the world around it was built: feed it from taps, or from a trace written by hand.
//!
//! What it checks, on each side of each connection:
//!
//! | | |
//! |---|---|
//! | acknowledgements | never go back, never pass what arrived (RFC 9293 3.4) |
//! | SACK | reports only what arrived, above the ACK, the first block below it only as a D-SACK (RFC 2018, RFC 2883) |
//! | window | its right edge never moves left (RFC 9293 3.8.6, SHLD-14) |
//! | sequence numbers | no gap between what was sent and what is sent next, also over the wrap; nothing behind a FIN |
//! | retransmissions | carry the bytes that were first sent |
//! | flow control | no data beyond the peer's window, but a probe (3.8.6.1) |
//! | segment size | at most the peer's MSS, less options (3.7.1) |
//! | initial window | at most RFC 6928's, and a probe, before the first acknowledgement |
//! | back-off | what is sent again unanswered waits twice as long each time (RFC 6298 5.5) |
//! | timestamps | are there once agreed upon, never go back, echo what arrived (RFC 7323 3, 4) |
//! | states | follow the edges of RFC 9293 figure 5, one after the other |
//!
//! What one cannot know from outside it leaves alone: resets, and connections whose ends speak of two incarnations at once
//! ([`abandoned`](TcpOracle::abandoned) counts those).

mod ranges;
mod receiver;
pub mod segment;
mod sender;
mod states;
mod tap;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;

use burstlane::observe::Event;
use burstlane::time::Instant;

use crate::packets::{ACK, RST, SYN};
use receiver::Receiver;
use segment::WireSegment;
use sender::Sender;
use states::States;
pub use tap::OracleTap;
pub use watch::Oracle;

/// What a TCP did that it may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Instant,
    /// Which side: 0 or 1, as the oracle was told.
    pub side: usize,
    /// What is wrong.
    pub what: String,
    /// The segment or event that shows it.
    pub shown_by: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} side {}: {} ({})", self.at, self.side, self.what, self.shown_by)
    }
}

/// The observer of all connections between two sides.
#[derive(Debug, Default)]
pub struct TcpOracle {
    flows: HashMap<[SocketAddr; 2], Flow>,
    states: States,
    violations: Vec<Violation>,
    has_offloads: bool,
    segments: u64,
    abandoned: u64,
}

/// One connection, by its side 0 and side 1.
#[derive(Debug, Default)]
struct Flow {
    senders: [Sender; 2],
    receivers: [Receiver; 2],
    /// The two ends speak of different incarnations; until one opens anew nothing can be said.
    is_abandoned: bool,
}

impl TcpOracle {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For devices that cut large segments and finish checksums: sizes of segments are not judged, checksums not verified.
    #[must_use]
    pub fn with_offloads(mut self) -> Self {
        self.has_offloads = true;
        self
    }

    /// `side` (0 or 1) sent `frame`, Ethernet header first, at `now`. Frames that carry no TCP are ignored.
    pub fn on_sent(&mut self, side: usize, now: Instant, frame: &[u8]) {
        let Some(segment) = WireSegment::read(frame) else { return };
        self.segments += 1;
        let flow = self.flows.entry(key(side, &segment)).or_default();
        let header = &segment.header;
        if header.has(SYN) && !header.has(ACK) && flow.senders[side].isn().is_some_and(|isn| isn != header.seq) {
            // A connection in the place of an older one. A SYN of the other side's may be on its way, and meet this one.
            let before = std::mem::take(flow);
            let [_, other] = into_pair(before.senders, side);
            if other.is_opening() && !before.is_abandoned {
                flow.senders[1 - side] = other;
            }
        }
        if header.has(RST) || flow.is_abandoned {
            return;
        }
        let answers_an_old_syn =
            flow.senders[1 - side].isn().is_some_and(|isn| header.has(SYN | ACK) && header.ack != isn.wrapping_add(1));
        let begins_anew = header.has(SYN | ACK)
            && flow.senders[side].isn().is_some_and(|isn| answers_an_old_syn || isn != header.seq);
        if begins_anew {
            if flow.receivers[1 - side].has_synchronized() {
                flow.is_abandoned = true;
                self.abandoned += 1;
                return;
            }
            // A listener that forgot its first answer, which never arrived.
            flow.senders[side] = Sender::default();
        }
        if answers_an_old_syn {
            return;
        }
        let mut wrong = vec![];
        let [ours, theirs] = pair(&mut flow.senders, side);
        if header.has(SYN) {
            ours.on_syn(header);
            flow.receivers[side].on_syn_sent(header);
        }
        if ours.isn().is_none() {
            // The rest of an older connection.
            return;
        }
        ours.on_sent(now, &segment, !self.has_offloads, &mut wrong);
        flow.receivers[side].on_sent(&segment, theirs, ours.timestamps_agreed(theirs), &mut wrong);
        self.report(side, now, wrong, &segment);
    }

    /// `frame` arrived at `side` at `now`. What is damaged is ignored, as everything that carries no TCP is.
    pub fn on_delivered(&mut self, side: usize, _now: Instant, frame: &[u8]) {
        let read = if self.has_offloads { WireSegment::read } else { WireSegment::read_intact };
        let Some(segment) = read(frame) else { return };
        let Some(flow) = self.flows.get_mut(&key(1 - side, &segment)) else { return };
        if flow.is_abandoned || segment.header.has(RST) {
            return;
        }
        let [ours, theirs] = pair(&mut flow.senders, side);
        let Some(peer_isn) = theirs.isn() else { return };
        let is_syn_ack = segment.header.has(SYN | ACK);
        let answers_ours = ours.isn().is_some_and(|isn| segment.header.ack == isn.wrapping_add(1));
        if is_syn_ack && !answers_ours {
            // It is reset.
            return;
        }
        if !theirs.has_sent(&segment) {
            // Of an older connection. If it completes a handshake, the two ends now speak of two.
            if is_syn_ack && !flow.receivers[side].has_synchronized() {
                flow.is_abandoned = true;
                self.abandoned += 1;
            }
            return;
        }
        flow.receivers[side].on_delivered(peer_isn, &segment);
        let scale = theirs.window_scale(ours);
        ours.on_delivered(&segment, scale);
    }

    /// Something happened on `side`.
    pub fn on_event(&mut self, side: usize, now: Instant, event: &Event<'_>) {
        if let Some(what) = self.states.on_event(side, event) {
            let shown_by = format!("{event:?}");
            self.push(Violation { at: now, side, what, shown_by });
        }
    }

    /// What was found so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// What was found. Ends the oracle.
    #[must_use]
    pub fn finish(self) -> Vec<Violation> {
        self.violations
    }

    /// Segments that were sent.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.segments
    }

    /// Connections of which nothing could be said from some segment on.
    #[must_use]
    pub fn abandoned(&self) -> u64 {
        self.abandoned
    }

    fn report(&mut self, side: usize, at: Instant, wrong: Vec<String>, segment: &WireSegment<'_>) {
        for what in wrong {
            self.push(Violation { at, side, what, shown_by: segment.to_string() });
        }
    }

    fn push(&mut self, violation: Violation) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(violation);
        }
    }
}

/// The ends of a segment that `side` sent, side 0's first.
fn key(side: usize, segment: &WireSegment<'_>) -> [SocketAddr; 2] {
    let [source, destination] = segment.ends;
    if side == 0 { [source, destination] } else { [destination, source] }
}

/// Both, that of `side` first.
fn into_pair([zero, one]: [Sender; 2], side: usize) -> [Sender; 2] {
    if side == 0 { [zero, one] } else { [one, zero] }
}

/// The same, borrowed.
fn pair(senders: &mut [Sender; 2], side: usize) -> [&mut Sender; 2] {
    let [zero, one] = senders;
    if side == 0 { [zero, one] } else { [one, zero] }
}

/// The 64-bit offset nearest to `near` whose low bits are those of `number - isn`.
fn offset(number: u32, isn: u32, near: u64) -> i64 {
    let relative = number.wrapping_sub(isn);
    near as i64 + i64::from(relative.wrapping_sub(near as u32) as i32)
}

/// Kept at most: who breaks one rule once most often breaks it with every segment.
const VIOLATIONS_MAX: usize = 100;
