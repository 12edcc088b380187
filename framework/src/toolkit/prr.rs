//! Proportional Rate Reduction (RFC 9937): how much may be in flight while losses are repaired. Without it the window falls to
//! its target at once: the sender first falls silent for a part of a round trip, and after heavy losses sends a burst. With it
//! what leaves follows what arrives, by the ratio of target and flight, so that the flight is at the target when the recovery
//! ends, with a steady stream of acknowledgements all along.
//!
//! ```text
//!  in flight  ────____                    more than the target: ssthresh / RecoverFS sent for each byte that arrived
//!                     ────____
//!  target   ─ ─ ─ ─ ─ ─ ─ ─ ─ ────────    at the target: one for one
//!                     ___---‾‾            less (after heavy loss): one for one, and a segment more for each acknowledgement
//!               __---‾                    without bad news, until the target is reached
//! ```
//!
//! It holds no scoreboard and decides over no retransmission: [`SentLedger`](super::SentLedger) does. What was sent is told as a
//! count since ever, so that nothing has to be called when something is.

/// The state of one recovery (RFC 9937 6). In units of the congestion window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prr {
    /// RecoverFS: what is to arrive, or be lost, within this recovery.
    recover_fs: u64,
    prr_delivered: u64,
    /// What had been sent, since ever, when the recovery began: `prr_out` counts from here.
    sent_before: u64,
}

/// What an acknowledgement within a recovery said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    /// DeliveredData: newly known to have arrived.
    pub delivered: u64,
    /// What is thought to be in the network now.
    pub in_flight: u64,
    /// Where the window is to be in the end.
    pub ssthresh: u64,
    /// SafeACK: it moved the left edge, and no further loss was found.
    pub is_safe: bool,
    /// SMSS.
    pub segment: u64,
    /// Everything sent since ever, what was sent again included.
    pub sent: u64,
}

impl Prr {
    /// A recovery begins, or begins anew because what was sent again is lost, too. `flight` is what was sent and not known to
    /// have arrived before the acknowledgement that showed the loss; `sent` as in [`Repair::sent`].
    #[must_use]
    pub const fn begin(flight: u64, sent: u64) -> Self {
        Self { recover_fs: flight, prr_delivered: 0, sent_before: sent }
    }

    /// The congestion window now: what is in flight, and what may leave in answer to `repair`.
    #[must_use]
    pub fn on_ack(&mut self, repair: &Repair) -> u64 {
        let Repair { delivered, in_flight, ssthresh, segment, .. } = *repair;
        self.prr_delivered = self.prr_delivered.saturating_add(delivered);
        let prr_out = repair.sent.saturating_sub(self.sent_before);
        let unused = self.prr_delivered.saturating_sub(prr_out);
        let mut allowed = if in_flight > ssthresh {
            // Proportional: the flight shrinks to the target in the course of one round trip.
            let due = u128::from(self.prr_delivered) * u128::from(ssthresh);
            let due = due.div_ceil(u128::from(self.recover_fs.max(1)));
            u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(prr_out)
        } else {
            // Conservative bound: no more than what arrived. With good news, slow start's: a segment more.
            let catch_up = if repair.is_safe { segment } else { 0 };
            (unused.max(delivered) + catch_up).min(ssthresh - in_flight)
        };
        if prr_out == 0 {
            // The fast retransmission.
            allowed = allowed.max(segment);
        }
        in_flight.saturating_add(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEGMENT: u64 = 10;

    /// A recovery as the sender sees it: of a flight some segments are lost, the others arrive one by one, and what is sent
    /// arrives in the end.
    struct Path {
        prr: Prr,
        ssthresh: u64,
        in_flight: u64,
        sent: u64,
        delivered: u64,
        lost: u64,
    }

    impl Path {
        fn new(flight: u64, lost: u64, ssthresh: u64) -> Self {
            let in_flight = (flight - lost) * SEGMENT;
            let prr = Prr::begin(flight * SEGMENT, 77);
            Self { prr, ssthresh: ssthresh * SEGMENT, in_flight, sent: 0, delivered: 0, lost: lost * SEGMENT }
        }

        /// One acknowledgement, of `segments`; the application has something to send if `has_data`. What may leave, leaves.
        fn ack(&mut self, segments: u64, is_safe: bool, has_data: bool) -> u64 {
            let delivered = (segments * SEGMENT).min(self.in_flight);
            self.in_flight -= delivered;
            self.delivered += delivered;
            let (in_flight, ssthresh, sent) = (self.in_flight, self.ssthresh, 77 + self.sent);
            let window = self.prr.on_ack(&Repair { delivered, in_flight, ssthresh, is_safe, segment: SEGMENT, sent });
            assert!(window >= in_flight, "it never asks for less than there is");
            let leaves = if has_data { (window - in_flight) / SEGMENT * SEGMENT } else { 0 };
            self.sent += leaves;
            self.in_flight += leaves;
            leaves
        }
    }

    #[test]
    fn a_flight_shrinks_to_the_target_in_one_round_trip_without_a_pause() {
        let mut path = Path::new(100, 1, 70);
        let mut longest_pause = 0;
        let mut pause = 0;
        // The rest of the flight arrives, 99 segments.
        for _ in 0..99 {
            pause = if path.ack(1, false, true) == 0 { pause + 1 } else { 0 };
            longest_pause = longest_pause.max(pause);
        }
        assert_eq!(path.in_flight, 70 * SEGMENT);
        assert!(longest_pause <= 2, "seven leave for ten that arrive: {longest_pause}");
    }

    #[test]
    fn after_heavy_loss_good_news_make_slow_start() {
        // Five of 100 are left; each acknowledgement lets two leave, until the target is reached.
        let mut path = Path::new(100, 95, 50);
        for _ in 0..50 {
            let before = path.in_flight;
            let leaves = path.ack(1, true, true);
            assert!(leaves == 2 * SEGMENT || path.in_flight == path.ssthresh, "{before} {leaves}");
        }
        assert_eq!(path.in_flight, path.ssthresh);
    }

    proptest! {
        /// RFC 9937 6: however the acknowledgements come, what is sent is bounded by what arrived: one for one without good
        /// news, and a segment more for each acknowledgement with them. (And the fast retransmission.)
        #[test]
        fn what_leaves_is_bounded_by_what_arrives(
            flight in 1u64..300,
            lost in 1u64..300,
            target in 1u64..300,
            acks in prop::collection::vec((0u64..8, any::<bool>(), any::<bool>()), 1..200),
        ) {
            let lost = lost.min(flight);
            let mut path = Path::new(flight, lost, target);
            let mut good_news = 0;
            for (segments, is_safe, has_data) in acks {
                let room = path.ssthresh.saturating_sub(path.in_flight);
                let (sent, arrived) = (path.sent, path.delivered);
                let leaves = path.ack(segments, is_safe, has_data);
                good_news += u64::from(is_safe);
                prop_assert!(path.sent <= path.delivered + (good_news + 1) * SEGMENT);
                if sent > 0 && leaves > 0 {
                    let due = path.delivered * path.ssthresh / (flight * SEGMENT) + SEGMENT;
                    let arrived = path.delivered - arrived;
                    prop_assert!(path.sent <= due || leaves <= room + arrived, "beyond the target only what is due");
                }
            }
        }

        /// At the end of a recovery, when all of the first flight arrived or was repaired, the flight is at the target: not above
        /// it by more than a segment, and with a steady supply of data and acknowledgements not below.
        #[test]
        fn at_the_end_the_flight_is_at_the_target(flight in 4u64..400, lost in 1u64..40, percent in 40u64..90) {
            let (lost, target) = (lost.min(flight / 2), (flight * percent / 100).max(2));
            let mut path = Path::new(flight, lost, target);
            for _ in 0..2 * flight {
                path.ack(1, true, true);
            }
            prop_assert!(path.in_flight <= path.ssthresh + SEGMENT, "{} {}", path.in_flight, path.ssthresh);
            prop_assert!(path.in_flight + SEGMENT >= path.ssthresh.min((flight - lost) * SEGMENT));
            prop_assert!(path.lost > 0);
        }

        #[test]
        fn nothing_overflows(flight: u64, delivered: u32, in_flight: u32, ssthresh: u64, is_safe: bool, sent: u64) {
            let mut prr = Prr::begin(flight, sent / 2);
            for _ in 0..3 {
                let (delivered, in_flight) = (u64::from(delivered), u64::from(in_flight));
                let repair = Repair { delivered, in_flight, ssthresh, is_safe, segment: 1, sent };
                prop_assert!(prr.on_ack(&repair) >= in_flight);
            }
        }
    }
}
