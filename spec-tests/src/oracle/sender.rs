//! One side as a sender: its numbers, its bytes, the window it was given, how it waits. Offsets count from its SYN, which
//! has 0; its first byte has 1.

use std::collections::VecDeque;

use burstlane::time::{Duration, Instant};

use super::offset;
use super::segment::{WireHeader, WireSegment};
use crate::packets::{ACK, FIN, SYN};

/// What one side sent, and what it may know of the other.
#[derive(Debug, Default)]
pub(super) struct Sender {
    isn: Option<u32>,
    /// Of its SYN.
    offer: Offer,
    /// The peer's SYN has arrived. Until then it may well speak of an older connection.
    has_peer: bool,
    /// The MSS that came with it.
    peer_mss: Option<u16>,
    is_v4: bool,
    /// SND.NXT, the highest.
    nxt: u64,
    /// The FIN's offset.
    fin_at: Option<u64>,
    /// What was sent from `bytes_at` on, as it was first sent.
    bytes: VecDeque<u8>,
    bytes_at: u64,
    /// SND.UNA: the highest acknowledgement that arrived.
    una: u64,
    /// SND.UNA + SND.WND: the furthest right edge that arrived.
    edge: u64,
    /// Something of its text was answered, if only by a duplicate acknowledgement.
    was_answered: bool,
    /// When new text was last sent.
    text_sent_at: Instant,
    back_off: BackOff,
    ts_value: Option<u32>,
}

/// What a SYN offers.
#[derive(Clone, Copy, Debug, Default)]
struct Offer {
    window_scale: Option<u8>,
    timestamps: bool,
}

/// How long it waited before it sent the first outstanding segment again, with nothing heard in between.
#[derive(Debug, Default)]
struct BackOff {
    seq: u64,
    sent_at: Option<Instant>,
    /// The wait before the last time, once there were two: before it may stand a probe (RFC 8985 7), which waits less.
    waited: Option<Duration>,
    times: u32,
}

impl Sender {
    pub(super) fn isn(&self) -> Option<u32> {
        self.isn
    }

    /// The number behind all that it sent.
    pub(super) fn nxt(&self) -> u64 {
        self.nxt
    }

    /// It sent a SYN, and nothing since.
    pub(super) fn is_opening(&self) -> bool {
        self.isn.is_some() && self.nxt <= 1
    }

    /// Both SYNs were seen, and both had timestamps.
    pub(super) fn timestamps_agreed(&self, peer: &Self) -> bool {
        self.isn.is_some() && peer.isn.is_some() && self.offer.timestamps && peer.offer.timestamps
    }

    /// The shift of this side's windows (RFC 7323 2.2).
    pub(super) fn window_scale(&self, peer: &Self) -> u8 {
        let both = self.offer.window_scale.is_some() && peer.offer.window_scale.is_some();
        if both { self.offer.window_scale.unwrap_or(0).min(WINDOW_SCALE_MAX) } else { 0 }
    }

    /// It sent a SYN, again or for the first time.
    pub(super) fn on_syn(&mut self, header: &WireHeader) {
        let options = &header.options;
        self.offer = Offer { window_scale: options.window_scale, timestamps: options.timestamps.is_some() };
        self.isn = Some(header.seq);
    }

    /// Whether it sent such a segment in this incarnation: an old one has numbers that were not used yet.
    pub(super) fn has_sent(&self, segment: &WireSegment<'_>) -> bool {
        let Some(isn) = self.isn else { return false };
        let start = offset(segment.header.seq, isn, self.nxt);
        let end = start + segment.header.segment_len(segment.payload.len()) as i64;
        start >= 0 && end <= self.nxt as i64
    }

    pub(super) fn on_sent(
        &mut self,
        now: Instant,
        segment: &WireSegment<'_>,
        judges_size: bool,
        wrong: &mut Vec<String>,
    ) {
        let header = &segment.header;
        let start = offset(header.seq, self.isn.unwrap_or_default(), self.nxt);
        let len = header.segment_len(segment.payload.len());
        if start < 0 || start as u64 > self.nxt {
            return wrong.push(format!("sequence number {start} leaves a gap behind {}", self.nxt));
        }
        let (start, end) = (start as u64, start as u64 + len);
        self.check_timestamp(header, wrong);
        self.check_fin(header, end, wrong);
        let text_at = start + u64::from(header.has(SYN));
        self.check_bytes(text_at, segment.payload, wrong);
        if len > 0 && end <= self.nxt && start == self.una {
            self.back_off.again(now, start, wrong);
        } else if len > 0 && start == self.una {
            self.back_off.first(now, start);
        }
        if self.has_peer {
            self.check_window(now, text_at, segment.payload.len() as u64, wrong);
        }
        if self.has_peer && judges_size {
            self.check_size(header, segment.payload.len(), wrong);
        }
        self.nxt = self.nxt.max(end);
    }

    /// A segment of the peer's arrived, whose windows are shifted by `scale`.
    pub(super) fn on_delivered(&mut self, segment: &WireSegment<'_>, scale: u8) {
        let header = &segment.header;
        if header.has(SYN) {
            (self.has_peer, self.peer_mss, self.is_v4) = (true, header.options.mss, segment.ends[0].is_ipv4());
        }
        self.back_off = BackOff { seq: self.back_off.seq, ..BackOff::default() };
        let Some(isn) = self.isn.filter(|_| header.has(ACK)) else {
            if header.has(SYN) {
                self.edge = self.edge.max(1 + u64::from(header.window));
            }
            return;
        };
        let ack = offset(header.ack, isn, self.nxt);
        if ack < 0 || ack as u64 > self.nxt {
            return;
        }
        let ack = ack as u64;
        let repeats = segment.payload.is_empty() && !header.has(SYN);
        self.was_answered |= self.nxt > 1 && (ack > 1 || repeats || !header.options.sack().is_empty());
        let window = if header.has(SYN) { u64::from(header.window) } else { u64::from(header.window) << scale };
        self.edge = self.edge.max(ack + window);
        self.una = self.una.max(ack);
        // What is acknowledged needs no comparing any more, once the acknowledgement has arrived.
        let done = self.una.saturating_sub(self.bytes_at).min(self.bytes.len() as u64);
        self.bytes.drain(..done as usize);
        self.bytes_at += done;
    }

    /// RFC 7323 3.2 and 4: on every segment a clock that does not go back.
    fn check_timestamp(&mut self, header: &WireHeader, wrong: &mut Vec<String>) {
        let Some((value, _)) = header.options.timestamps else { return };
        if let Some(before) = self.ts_value.filter(|before| (value.wrapping_sub(*before) as i32) < 0) {
            wrong.push(format!("TSval {value} goes back from {before}"));
        }
        self.ts_value = Some(value);
    }

    /// Nothing stands behind a FIN, and it does not move.
    fn check_fin(&mut self, header: &WireHeader, end: u64, wrong: &mut Vec<String>) {
        if let Some(fin_at) = self.fin_at
            && end > fin_at + 1
        {
            wrong.push(format!("sends up to {end}, behind its FIN at {fin_at}"));
        }
        if header.has(FIN) {
            let fin_at = end - 1;
            if self.fin_at.is_some_and(|before| before != fin_at) || fin_at < self.nxt && self.fin_at.is_none() {
                wrong.push(format!("a FIN at {fin_at}, where there was none"));
            }
            self.fin_at = Some(fin_at);
        }
    }

    /// What is sent again is what was sent first.
    fn check_bytes(&mut self, at: u64, payload: &[u8], wrong: &mut Vec<String>) {
        if self.bytes.is_empty() {
            self.bytes_at = self.bytes_at.max(self.nxt).max(1);
        }
        let known_end = self.bytes_at + self.bytes.len() as u64;
        for (byte, at) in payload.iter().zip(at..) {
            if at < self.bytes_at {
                continue;
            }
            if at >= known_end {
                break;
            }
            if self.bytes.get((at - self.bytes_at) as usize).is_some_and(|first| first != byte) {
                return wrong.push(format!("byte {at} is not what was sent there first"));
            }
        }
        let new = known_end.saturating_sub(at).min(payload.len() as u64);
        self.bytes.extend(&payload[new as usize..]);
    }

    /// RFC 9293 3.8.6: new text stays in the window, but the one byte that probes it. RFC 6928 2: and in the initial
    /// window of ten segments, until something is acknowledged; and later a segment more, as a tail loss probe (RFC 8985 7.3). Text
    /// that leaves when the handshake is not over has no window yet.
    fn check_window(&mut self, now: Instant, start: u64, bytes: u64, wrong: &mut Vec<String>) {
        let end = start + bytes;
        if bytes == 0 || end <= self.nxt {
            return;
        }
        let is_probe = bytes == 1 && start <= self.edge.max(self.una);
        if end > self.edge && !is_probe {
            wrong.push(format!("text up to {end}, beyond the window's edge at {}", self.edge));
        }
        let mss = u64::from(self.peer_mss());
        let initial_window = (10 * mss).min((2 * mss).max(14_600));
        let waited = now.since(std::mem::replace(&mut self.text_sent_at, now));
        let probe = if waited >= PROBE_WAIT_MIN { mss } else { 0 };
        if !self.was_answered && end - 1 > initial_window + probe {
            wrong.push(format!("{} bytes before the first acknowledgement, more than {initial_window}", end - 1));
        }
    }

    /// RFC 9293 3.7.1: text and options fit the peer's MSS.
    fn check_size(&self, header: &WireHeader, bytes: usize, wrong: &mut Vec<String>) {
        let mss = usize::from(self.peer_mss());
        let options = header.header_bytes - FIXED_BYTES;
        if bytes > 0 && bytes + options > mss {
            wrong.push(format!("{bytes} bytes and {options} of options are more than the peer's MSS of {mss}"));
        }
    }

    fn peer_mss(&self) -> u16 {
        self.peer_mss.unwrap_or(if self.is_v4 { MSS_DEFAULT_V4 } else { MSS_DEFAULT_V6 })
    }
}

impl BackOff {
    fn first(&mut self, now: Instant, seq: u64) {
        *self = Self { seq, sent_at: Some(now), waited: None, times: 0 };
    }

    /// RFC 6298 5.5: the timer doubles each time, up to a bound of 60 s at least (2.5).
    fn again(&mut self, now: Instant, seq: u64, wrong: &mut Vec<String>) {
        let Some(sent_at) = self.sent_at.filter(|_| self.seq == seq) else { return self.first(now, seq) };
        let waited = now.since(sent_at);
        if let Some(before) = self.waited {
            let least = (before * 2).min(RTO_MAX).saturating_sub(ROUNDING);
            if waited < least {
                wrong.push(format!("waited {waited:?} after {before:?} before it sent {seq} again, and heard nothing"));
            }
        }
        self.times += 1;
        self.waited = (self.times >= 2).then_some(waited);
        self.sent_at = Some(now);
    }
}

const FIXED_BYTES: usize = 20;
/// RFC 9293 3.7.1, MUST-15.
const MSS_DEFAULT_V4: u16 = 536;
const MSS_DEFAULT_V6: u16 = 1220;
/// RFC 7323 2.3.
const WINDOW_SCALE_MAX: u8 = 14;
/// RFC 6298 2.5: a bound on the timeout is this at least.
const RTO_MAX: Duration = Duration::from_secs(60);
/// Timers fire a little late, and not always equally so.
const ROUNDING: Duration = Duration::from_millis(8);
/// A tail loss probe waits for two round trips (RFC 8985 7.2), and no path here is shorter.
const PROBE_WAIT_MIN: Duration = Duration::from_millis(1);
