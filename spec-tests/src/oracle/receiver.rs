//! One side as a receiver: what arrived at it, and what it says about that. Offsets count from the peer's SYN, which has 0.

use std::collections::HashSet;

use super::offset;
use super::ranges::Ranges;
use super::segment::{WireHeader, WireSegment};
use super::sender::Sender;
use crate::packets::{ACK, SYN};

/// What arrived at one side, and what it said of it.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    arrived: Ranges,
    /// The highest offset that arrived.
    arrived_end: u64,
    /// Its last acknowledgement.
    acked: u64,
    /// The furthest right edge that it offered.
    edge: u64,
    /// Its own shift, as its SYN offered it; and whether the peer's SYN, which arrived, offered one as well.
    window_scale: Option<u8>,
    peer_scales: bool,
    /// The timestamps that arrived.
    ts_values: HashSet<u32>,
}

impl Receiver {
    /// The peer's SYN has arrived.
    pub(super) fn has_synchronized(&self) -> bool {
        self.arrived.contiguous() > 0
    }

    /// It sent a SYN.
    pub(super) fn on_syn_sent(&mut self, header: &WireHeader) {
        self.window_scale = header.options.window_scale;
    }

    /// A segment of the peer's, whose SYN had `peer_isn`, arrived.
    pub(super) fn on_delivered(&mut self, peer_isn: u32, segment: &WireSegment<'_>) {
        let header = &segment.header;
        let start = offset(header.seq, peer_isn, self.arrived_end).max(0) as u64;
        let end = start + header.segment_len(segment.payload.len());
        self.arrived.insert(start, end);
        self.arrived_end = self.arrived_end.max(end);
        if header.has(SYN) {
            self.peer_scales = header.options.window_scale.is_some();
        }
        if let Some((value, _)) = header.options.timestamps {
            self.ts_values.insert(value);
        }
    }

    /// It sent a segment that is no reset.
    pub(super) fn on_sent(
        &mut self,
        segment: &WireSegment<'_>,
        peer: &Sender,
        timestamps_agreed: bool,
        wrong: &mut Vec<String>,
    ) {
        let header = &segment.header;
        let Some(peer_isn) = peer.isn().filter(|_| header.has(ACK)) else { return };
        let ack = offset(header.ack, peer_isn, self.acked);
        if self.acked == 0 && !(1..=peer.nxt() as i64).contains(&ack) {
            // It still speaks of an older connection.
            return;
        }
        self.check_timestamps(header, timestamps_agreed, wrong);
        if ack < self.acked as i64 {
            return wrong.push(format!("acknowledges {ack} after {}", self.acked));
        }
        let ack = ack as u64;
        let arrived = self.arrived.contiguous();
        if ack > arrived {
            wrong.push(format!("acknowledges {ack}, and only {arrived} arrived"));
        }
        self.acked = ack;
        self.check_edge(header, ack, wrong);
        for (at, &(left, right)) in header.options.sack().iter().enumerate() {
            self.check_sack(at, [left, right].map(|edge| offset(edge, peer_isn, ack)), wrong);
        }
    }

    /// RFC 9293 3.8.6, SHLD-14. The window of a SYN is not scaled, so that one sent again may say less than an ACK did; and behind
    /// it the edge may seem to go back by less than one unit (RFC 7323 2.4).
    fn check_edge(&mut self, header: &WireHeader, ack: u64, wrong: &mut Vec<String>) {
        let scales = self.peer_scales && !header.has(SYN);
        let shift = self.window_scale.filter(|_| scales).unwrap_or(0);
        let edge = ack + (u64::from(header.window) << shift);
        let unit = 1_u64 << shift;
        if edge + unit <= self.edge && !header.has(SYN) {
            wrong.push(format!("the window's right edge goes back from {} to {edge}", self.edge));
        }
        self.edge = self.edge.max(edge);
    }

    /// RFC 2018 3, 4; RFC 2883 4 for what is below the acknowledgement, or repeats.
    fn check_sack(&self, at: usize, [left, right]: [i64; 2], wrong: &mut Vec<String>) {
        if left < 0 || left >= right {
            return wrong.push(format!("SACK {left}..{right} is no range"));
        }
        if !self.arrived.contains(left as u64, right as u64) {
            wrong.push(format!("SACK {left}..{right}, and not all of it arrived"));
        }
        // Below it, and first, it tells of a duplicate.
        let acked = self.acked as i64;
        if left <= acked && (at > 0 || right > acked) {
            wrong.push(format!("SACK {left}..{right} is not above the acknowledgement {acked}"));
        }
    }

    /// RFC 7323 3.2: on every segment but resets, and an echo of what arrived.
    fn check_timestamps(&self, header: &WireHeader, agreed: bool, wrong: &mut Vec<String>) {
        match header.options.timestamps {
            None if agreed => wrong.push("no timestamps, which both SYNs had".into()),
            Some((_, echo)) if !self.ts_values.contains(&echo) => wrong.push(format!("TSecr {echo} never arrived")),
            Some(_) | None => {}
        }
    }
}
