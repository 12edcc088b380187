//! Segments that belong to no connection: resets to strangers, SYN-ACKs of half-open ones, the last ACK of those in
//! TIME-WAIT. They are noted here, and leave in `poll_lane_tx`.

use std::collections::VecDeque;

use burstlane::net::{TxBatch, TxInfo, TxStop};
use burstlane::time::{Duration, Instant};
use burstlane::toolkit::{FourTuple, SeqNum};
use burstlane::transport::TxStatus;

use crate::config::{Config, MSS_MIN};
use crate::cookie;
use crate::ecn::{ECT0, Feedback};
use crate::options::{self, SynOptions, Timestamps};
use crate::personality::TimestampClock;
use crate::remnant::{HalfOpen, TimeWait};
use crate::wire::{self, Control, FIXED_BYTES, Header, HeaderBytes};

/// A segment owed to somebody who has no connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) tuple: FourTuple,
    pub(crate) kind: AnswerKind,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum AnswerKind {
    /// A reset, with an ACK if what it answers had none; with timestamps if it ends a connection that has them (RFC 7323
    /// 3.2).
    Reset { seq: SeqNum, ack: Option<SeqNum>, ts_recent: Option<u32> },
    /// The answer to a SYN.
    SynAck(HalfOpen),
    /// The same, of a SYN that is not remembered.
    Cookie(HalfOpen),
    /// A challenge to what does not fit a half-open connection.
    Challenge(HalfOpen),
    /// The last ACK, again.
    LastAck(TimeWait),
}

impl AnswerKind {
    /// The reset that a segment without a connection gets; none to a reset (RFC 9293 3.10.7.1).
    pub(crate) fn reset_for(header: &Header) -> Option<Self> {
        if header.control == Control::Rst {
            return None;
        }
        Some(match header.ack {
            Some(ack) => Self::Reset { seq: ack, ack: None, ts_recent: None },
            None => {
                let ack = header.seq + header.segment_len();
                Self::Reset { seq: SeqNum(0), ack: Some(ack), ts_recent: None }
            }
        })
    }
}

/// An answer, and since when it is owed.
struct Owed {
    answer: Answer,
    since: Instant,
}

/// The answers of a lane, in order. A full queue drops: every one of them is sent again if it matters.
#[derive(Default)]
pub(crate) struct Answers {
    queue: VecDeque<Owed>,
    /// Resets this interval.
    resets: u32,
    resets_since: Instant,
}

impl Answers {
    /// Notes one. `false` if there are too many.
    pub(crate) fn push(&mut self, now: Instant, tuple: FourTuple, kind: AnswerKind) -> bool {
        if self.queue.len() >= ANSWERS_MAX {
            return false;
        }
        if let AnswerKind::Reset { .. } = kind {
            if now.since(self.resets_since) >= RESET_INTERVAL {
                self.resets_since = now;
                self.resets = 0;
            }
            self.resets += 1;
            if self.resets > RESETS_MAX {
                return false;
            }
        }
        self.queue.push_back(Owed { answer: Answer { tuple, kind }, since: now });
        true
    }

    /// Sends what `out` takes.
    pub(crate) fn transmit(
        &mut self,
        config: &Config,
        clock: TimestampClock,
        now: Instant,
        out: &mut TxBatch<'_>,
    ) -> TxStatus {
        let mut waiting = 0;
        for _ in 0..self.queue.len() {
            let Some(owed) = self.queue.pop_front() else { break };
            match owed.answer.send(config, clock, now, out) {
                Ok(()) | Err(TxStop::TooBig { .. } | TxStop::NoPath) => {}
                // The next hop is being asked for. A few wait for that, or every first SYN of a neighbour would cost it a
                // second; whoever else cannot be reached now asks again.
                Err(TxStop::Unresolved) => {
                    if waiting < WAITING_MAX && now.since(owed.since) < WAITING_TIME_MAX {
                        waiting += 1;
                        self.queue.push_back(owed);
                    }
                }
                Err(TxStop::Full | TxStop::NoMemory) => {
                    self.queue.push_front(owed);
                    return TxStatus::More;
                }
            }
        }
        if waiting > 0 { TxStatus::More } else { TxStatus::Idle }
    }
}

impl Answer {
    fn send(&self, config: &Config, clock: TimestampClock, now: Instant, out: &mut TxBatch<'_>) -> Result<(), TxStop> {
        let (local, remote) = (self.tuple.local(), self.tuple.remote());
        let path = out.path(Some(local.ip), remote.ip).map_err(|_| TxStop::NoPath)?;
        let header = match &self.kind {
            AnswerKind::Reset { seq, ack, ts_recent } => {
                let flags = wire::RST | if ack.is_some() { wire::ACK } else { 0 };
                let header = HeaderBytes::new(&self.tuple, *seq, ack.unwrap_or_default(), flags, 0);
                with_timestamps(header, *ts_recent, clock.at(now))
            }
            AnswerKind::SynAck(half) | AnswerKind::Cookie(half) => {
                let mss = mss_offer(config, out.mtu(path).unwrap_or(0), local.ip.is_v4());
                let stamp = clock.at(now);
                let is_cookie = matches!(self.kind, AnswerKind::Cookie(_));
                let value = if is_cookie { cookie::stamp(stamp, &half.offers) } else { stamp };
                half.syn_ack(&self.tuple, config, mss, value)
            }
            AnswerKind::Challenge(half) => {
                let window = syn_window(config) >> half.receive_scale(config);
                // No packet but SYNs came yet, and those are not counted.
                let flags = wire::ACK | wire::ace(half.ecn.first_ace());
                let header = HeaderBytes::new(&self.tuple, half.iss + 1, half.irs + 1, flags, window);
                with_timestamps(header, half.ts_recent, clock.at(now))
            }
            AnswerKind::LastAck(wait) => {
                let header = HeaderBytes::new(
                    &self.tuple,
                    wait.snd_nxt,
                    wait.rcv_nxt,
                    wire::ACK | wire::ace(wait.ace),
                    wait.window,
                );
                with_timestamps(header, wait.ts_recent, clock.at(now))
            }
        };
        out.segment(path, &TxInfo { dscp: config.dscp, ..TX_INFO }, header.as_slice(), &[])
    }
}

impl HalfOpen {
    /// The shift of our windows on this connection: zero unless both sides scale.
    pub(crate) fn receive_scale(&self, config: &Config) -> u8 {
        if self.offers.window_scale.is_some() { config.window_scale() } else { 0 }
    }

    fn syn_ack(&self, tuple: &FourTuple, config: &Config, mss: u16, now: u32) -> HeaderBytes {
        // Only what the peer offered is answered (RFC 7323 2.2, 3.2; RFC 2018 2). `offers` is already the intersection.
        let options = SynOptions {
            mss: Some(mss),
            window_scale: self.offers.window_scale.map(|_| config.window_scale()),
            sack_permitted: self.offers.sack_permitted,
        };
        let flags = wire::SYN | wire::ACK | wire::ace(self.ecn.syn_ack_ace(self.retries));
        let header = HeaderBytes::new(tuple, self.iss, self.irs + 1, flags, syn_window(config));
        let timestamps = self.ts_recent.map(|echo| Timestamps { value: now, echo });
        let header = header.with_options(&config.personality.syn_options(options, timestamps));
        if self.ecn.feedback == Feedback::Accurate && self.retries == 0 {
            // Whether it gets through is so tried (RFC 9768 3.2.3.2.1); if not, the next one goes without.
            return header.with_options(&options::accurate_ecn(1, 0, None));
        }
        header
    }
}

#[inline(always)]
fn with_timestamps(header: HeaderBytes, ts_recent: Option<u32>, now: u32) -> HeaderBytes {
    match ts_recent {
        Some(echo) => header.with_timestamps(Timestamps { value: now, echo }),
        None => header,
    }
}

/// The window of a SYN, which is never scaled (RFC 7323 2.2).
pub(crate) fn syn_window(config: &Config) -> u16 {
    config.receive_buffer_bytes.min(u32::from(u16::MAX)) as u16
}

/// The MSS that we offer: what the path's packets carry besides fixed headers (RFC 9293 3.7.1, RFC 6691).
/// RFC 9293: MUST-67, SHLD-5, MAY-3.
pub(crate) fn mss_offer(config: &Config, mtu: u32, is_v4: bool) -> u16 {
    let headers = ip_header_bytes(is_v4) + FIXED_BYTES as u32;
    let fits = mtu.saturating_sub(headers).min(u32::from(u16::MAX)) as u16;
    fits.max(MSS_MIN).min(config.mss_max)
}

/// Bytes of an IP header without options or extensions, which we never send.
#[inline]
pub(crate) const fn ip_header_bytes(is_v4: bool) -> u32 {
    if is_v4 { 20 } else { 40 }
}

/// How all our packets travel: never fragmented (RFC 1191).
pub(crate) const TX_INFO: TxInfo = TxInfo {
    ecn: 0,
    dscp: 0,
    flow_label: 0,
    dont_fragment: true,
    hop_limit: None,
    source_port: 0,
    destination_port: 0,
};

/// And what may be marked on its way (RFC 3168 5).
pub(crate) const TX_INFO_ECT: TxInfo = TxInfo { ecn: ECT0, ..TX_INFO };

/// Answers that wait to leave.
/// Answers that wait for a next hop at once, and for how long: three questions take so long (RFC 4861 10).
const WAITING_MAX: usize = 8;
const WAITING_TIME_MAX: Duration = Duration::from_secs(3);
const ANSWERS_MAX: usize = 4096;
const RESET_INTERVAL: burstlane::time::Duration = burstlane::time::Duration::from_secs(1);
/// Resets of a lane per interval: enough for a restarted server's clients, too few to be worth triggering.
const RESETS_MAX: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use burstlane::addr::{Endpoint, Ip};
    use burstlane::time::Duration;

    #[test]
    fn resets_are_rationed_by_the_second() {
        let end = |host| Endpoint::new(Ip::v4([10, 0, 0, host]), 80);
        let (tuple, now) = (FourTuple::new(end(1), end(2)), Instant::from_nanos(5_000_000_000));
        let mut answers = Answers::default();
        let mut is_granted = |now| {
            answers.queue.clear();
            answers.push(now, tuple, AnswerKind::Reset { seq: SeqNum(0), ack: None, ts_recent: None })
        };
        assert_eq!((0..2 * RESETS_MAX).filter(|_| is_granted(now)).count(), RESETS_MAX as usize);
        assert!(!is_granted(now + RESET_INTERVAL - Duration::from_nanos(1)));
        assert!(is_granted(now + RESET_INTERVAL));
    }
}
