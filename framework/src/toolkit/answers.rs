//! [`Answers`]: short datagrams owed to strangers and to what is left of closed flows. They belong to no flow, so the
//! transport notes them here and the lane sends them in `poll_lane_tx`. What does not fit, or finds no way, is lost as if
//! on the way: whoever asks without a flow asks again.

use super::FourTuple;
use crate::net::{DropReason, TxBatch, TxStop};
use crate::time::{Duration, Instant};
use crate::transport::{LaneCx, Transport, TxStatus, Unmatched};
use arrayvec::ArrayVec;
use std::collections::VecDeque;

/// Answers of one transport on one lane, oldest first.
#[derive(Debug, Default)]
pub struct Answers {
    owed: VecDeque<Answer>,
}

#[derive(Debug)]
struct Answer {
    since: Instant,
    between: FourTuple,
    datagram: ArrayVec<u8, ANSWER_BYTES_MAX>,
}

impl Answers {
    /// None owed.
    #[must_use]
    pub const fn new() -> Self {
        Self { owed: VecDeque::new() }
    }

    /// Owes a datagram of at most [`ANSWER_BYTES_MAX`] bytes, and returns what `on_unmatched` answers with. The memory for
    /// it is that of the queue, which never holds more than [`ANSWERS_MAX`].
    pub fn owe<T: Transport>(&mut self, cx: &mut LaneCx<'_, T>, between: FourTuple, datagram: &[u8]) -> Unmatched<T> {
        match self.push(cx.now, between, datagram) {
            Ok(()) => {
                cx.want_lane_tx();
                Unmatched::Owed
            }
            Err(reason) => Unmatched::Drop(reason),
        }
    }

    /// Sends what is owed, as far as the device takes it: the body of `poll_lane_tx` for datagrams inside UDP.
    pub fn poll_tx<T: Transport>(&mut self, cx: &mut LaneCx<'_, T>, out: &mut TxBatch<'_>) -> TxStatus {
        let mut waiting = 0;
        for _ in 0..self.owed.len() {
            let Some(answer) = self.owed.pop_front() else { break };
            let Answer { since, between, datagram } = &answer;
            let Ok(path) = out.path(Some(between.local().ip), between.remote().ip) else {
                cx.count(NO_WAY);
                continue;
            };
            match out.segments(path, &between.udp_info(), datagram, &[], 1, |_, _| ()) {
                Err(TxStop::Full | TxStop::NoMemory) => {
                    self.owed.push_front(answer);
                    return TxStatus::More;
                }
                // The next hop is being asked for: a few wait for that.
                Err(TxStop::Unresolved) if waiting < WAITING_MAX && cx.now.since(*since) < WAITING_TIME_MAX => {
                    waiting += 1;
                    self.owed.push_back(answer);
                }
                Ok(_) | Err(TxStop::Unresolved | TxStop::TooBig { .. } | TxStop::NoPath) => {}
            }
        }
        if waiting > 0 { TxStatus::More } else { TxStatus::Idle }
    }

    fn push(&mut self, since: Instant, between: FourTuple, datagram: &[u8]) -> Result<(), DropReason> {
        if self.owed.len() >= ANSWERS_MAX {
            return Err(TOO_MANY);
        }
        let datagram = ArrayVec::try_from(datagram).map_err(|_| TOO_LONG)?;
        self.owed.push_back(Answer { since, between, datagram });
        Ok(())
    }
}

/// Bytes of the longest answer: a header, not data.
pub const ANSWER_BYTES_MAX: usize = 128;
/// Answers owed at a time, by one transport on one lane.
pub const ANSWERS_MAX: usize = 1024;
/// Answers that wait for a next hop at once, and for how long: three questions take so long (RFC 4861 10).
const WAITING_MAX: usize = 8;
const WAITING_TIME_MAX: Duration = Duration::from_secs(3);
const NO_WAY: DropReason = DropReason("answers: no way back to a stranger");
const TOO_MANY: DropReason = DropReason("answers: too many owed to strangers");
const TOO_LONG: DropReason = DropReason("answers: too long for a stranger");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{Endpoint, Ip};

    #[test]
    fn only_so_much_is_owed_whoever_asks() {
        let end = |n| Endpoint::new(Ip::v4([10, 0, 0, n]), 9);
        let (mut answers, between) = (Answers::new(), FourTuple::new(end(1), end(2)));
        assert_eq!(answers.push(Instant::ZERO, between, &[0; ANSWER_BYTES_MAX + 1]), Err(TOO_LONG));
        for _ in 0..ANSWERS_MAX {
            assert_eq!(answers.push(Instant::ZERO, between, &[0; ANSWER_BYTES_MAX]), Ok(()));
        }
        assert_eq!(answers.push(Instant::ZERO, between, b"one more"), Err(TOO_MANY));
    }
}
