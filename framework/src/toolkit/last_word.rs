//! [`LastWord`]: what is left of a flow that is over: one datagram, told once more to a peer that still asks, because it
//! missed the end. It holds the flow's key for a while, so that late duplicates of the flow's first packets open nothing.
//! In the manner of RFC 9000 10.2: no state but the answer, and the asking prolongs it only so often.

use super::peer_path::AMPLIFICATION;
use super::{Answers, FourTuple};
use crate::time::{Duration, Instant, nanos};
use crate::transport::{Context, FlowError, LaneCx, Transport, Verdict};
use arrayvec::ArrayVec;

/// The remnant of a protocol whose flows end by one datagram.
#[derive(Clone, Debug)]
pub struct LastWord {
    datagram: ArrayVec<u8, LAST_WORD_BYTES_MAX>,
    linger: Duration,
    /// When it is there no more.
    until: Instant,
    /// The latest that `until` may become.
    until_max: Instant,
}

impl LastWord {
    /// A datagram of at most [`LAST_WORD_BYTES_MAX`] bytes (a longer one is a bug of ours, and cut), kept for `linger` after
    /// the end or the last question, but for no more than [`LINGERS_MAX`] times that in all.
    #[must_use]
    pub fn new(datagram: &[u8], linger: Duration, now: Instant) -> Self {
        debug_assert!(datagram.len() <= LAST_WORD_BYTES_MAX, "too long a last word");
        let until_max = now.plus_nanos(nanos(linger).saturating_mul(LINGERS_MAX));
        Self {
            datagram: datagram.iter().copied().take(LAST_WORD_BYTES_MAX).collect(),
            linger,
            until: now + linger,
            until_max,
        }
    }

    /// Ends the flow, with an error or in good order, and stays behind as its remnant.
    pub fn leave<T: Transport<Remnant = Self>>(self, cx: &mut Context<'_, T>, error: Option<FlowError>) {
        let until = self.until;
        match error {
            Some(error) => cx.retire_failed(self, until, error),
            None => cx.retire(self, until),
        }
    }

    /// A packet of the flow came: the body of `on_remnant`. If it `asks`, and has `bytes` enough that a forged sender gets no
    /// more than three times as much (RFC 9000 8.1), it is answered.
    pub fn on_packet<T: Transport>(
        &mut self,
        cx: &mut LaneCx<'_, T>,
        answers: &mut Answers,
        between: FourTuple,
        bytes: usize,
        asks: bool,
    ) -> Verdict<T> {
        if asks && let Some(datagram) = self.answer(cx.now, bytes) {
            let _ = answers.owe(cx, between, datagram);
        }
        Verdict::Keep { until: self.until }
    }

    fn answer(&mut self, now: Instant, bytes: usize) -> Option<&[u8]> {
        self.until = (now + self.linger).min(self.until_max);
        (self.datagram.len() <= AMPLIFICATION as usize * bytes).then_some(&self.datagram)
    }
}

/// Bytes of the longest last word: a header and what it acknowledges.
pub const LAST_WORD_BYTES_MAX: usize = 64;
/// A peer that asks keeps it for so many times its first time: as long as one with growing patience may need.
pub const LINGERS_MAX: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINGER: Duration = Duration::from_secs(15);

    #[test]
    fn a_short_question_gets_no_long_answer() {
        let mut word = LastWord::new(&[7; 40], LINGER, Instant::ZERO);
        assert_eq!(word.answer(Instant::ZERO, 13), None);
        assert_eq!(word.answer(Instant::ZERO, 14), Some(&[7; 40][..]));
    }

    proptest! {
        #[test]
        fn whoever_asks_it_is_kept_a_while_and_not_for_ever(gaps_ms in prop::collection::vec(0u64..20_000, 0..100)) {
            let (mut word, mut now) = (LastWord::new(b"over", LINGER, Instant::ZERO), Instant::ZERO);
            for gap in gaps_ms {
                let next = now + Duration::from_millis(gap);
                if next >= word.until {
                    break;
                }
                now = next;
                prop_assert!(word.answer(now, 100).is_some());
            }
            let last = Instant::ZERO + LINGER * LINGERS_MAX as u32;
            prop_assert_eq!(word.until, (now + LINGER).min(last));
        }
    }
}
