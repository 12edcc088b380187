//! [`PeerPath`]: where the peer is, for protocols whose connections have a name of their own. Its address may change under
//! way (a NAT forgets, a phone leaves the house). A new one is believed only when a token sent there comes back (in the
//! manner of RFC 9000 8.2 and 9); until then at most three times what came from it goes there (8.1), so that nobody is
//! flooded through us, and if nothing comes back, the peer is held to be where it was.
//!
//! Datagrams are numbered, and only the newest of them says where the peer is: one that was overtaken says where it was.
//! The protocol carries [`PathParts`] in each datagram, and says what was sent and received; [`Way`] is where to send.

use super::{FourTuple, PacketNumbers};
use crate::net::{PathId, SegmentAt, TxBatch, TxInfo, UDP_HEADER_BYTES};
use crate::time::{Duration, Instant};
use crate::transport::{Context, Transport, TxStatus};

/// The present way to the peer.
#[derive(Debug)]
pub struct PeerPath {
    numbers: PacketNumbers,
    ends: FourTuple,
    /// The lane's path of the flow does not lead there yet.
    moved: bool,
    /// While the ends are not proven.
    proof: Option<Proof>,
    /// The peer's token, to be sent back.
    response: Option<u64>,
}

/// What every datagram says of where its sender is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathParts {
    /// The datagram's: see [`PacketNumbers`].
    pub number: u64,
    /// A token to be sent back.
    pub challenge: Option<u64>,
    /// A token sent back.
    pub response: Option<u64>,
}

#[derive(Debug)]
struct Proof {
    /// The last proven ends.
    proven: FourTuple,
    token: u64,
    received_bytes: u64,
    sent_bytes: u64,
    /// The token is to be sent, again after `due_at`.
    owed: bool,
    tries: u32,
    due_at: Instant,
    patience: Duration,
}

impl PeerPath {
    /// A path whose ends proved themselves while the connection was opened.
    #[must_use]
    pub const fn proven(ends: FourTuple) -> Self {
        Self { numbers: PacketNumbers::new(), ends, moved: false, proof: None, response: None }
    }

    /// The two ends that datagrams run between now.
    #[inline]
    #[must_use]
    pub const fn ends(&self) -> FourTuple {
        self.ends
    }

    /// Whether the peer has shown that it receives there.
    #[inline]
    #[must_use]
    pub const fn is_proven(&self) -> bool {
        self.proof.is_none()
    }

    /// A datagram of the connection, of so many bytes, came from there with these parts. If it is the newest, and peers
    /// `may_move` by now, there is where the peer is; `token` makes a random number then. Returns whether that is another
    /// address, and not only another port: then what was learned of the way there is void (RFC 9000 9.4).
    pub fn on_received(
        &mut self,
        now: Instant,
        from: FourTuple,
        bytes: usize,
        parts: &PathParts,
        may_move: bool,
        token: impl FnOnce() -> u64,
    ) -> bool {
        let is_newest = self.numbers.is_newest(parts.number);
        let has_moved = is_newest && may_move && from != self.ends && self.on_moved(from, token(), now);
        if let Some(proof) = self.proof.as_mut().filter(|_| from == self.ends) {
            proof.received_bytes += bytes as u64;
        }
        if from == self.ends && self.proof.as_ref().is_some_and(|proof| Some(proof.token) == parts.response) {
            self.proof = None;
        }
        self.response = parts.challenge.or(self.response);
        has_moved
    }

    fn on_moved(&mut self, from: FourTuple, token: u64, now: Instant) -> bool {
        let proven = self.proof.as_ref().map_or(self.ends, |proof| proof.proven);
        let (owed, tries, due_at, patience) = (true, 1, now + PATIENCE, PATIENCE);
        let proof = Proof { proven, token, received_bytes: 0, sent_bytes: 0, owed, tries, due_at, patience };
        // Back to where it was: that is proven already, and a forged datagram from elsewhere did no harm.
        self.proof = (from != proven).then_some(proof);
        self.moved = true;
        std::mem::replace(&mut self.ends, from).remote().ip != from.remote().ip
    }

    /// A number for a datagram.
    #[inline]
    pub fn take_number(&mut self) -> u64 {
        self.numbers.take()
    }

    /// What the next datagram is to say, its number taken.
    pub fn take_parts(&mut self) -> PathParts {
        let challenge = self.proof.as_ref().filter(|proof| proof.owed).map(|proof| proof.token);
        PathParts { number: self.numbers.take(), challenge, response: self.response }
    }

    /// Whether a token is to be sent, or sent back, now.
    #[inline]
    #[must_use]
    pub fn owes_token(&self) -> bool {
        self.response.is_some() || self.proof.as_ref().is_some_and(|proof| proof.owed)
    }

    /// Datagrams of so many bytes left, with the tokens that were owed.
    #[inline]
    pub fn on_sent(&mut self, bytes: usize) {
        self.response = None;
        if let Some(proof) = &mut self.proof {
            proof.sent_bytes += bytes as u64;
            proof.owed = false;
        }
    }

    fn allowance_bytes(&self) -> usize {
        let left = |proof: &Proof| (AMPLIFICATION * proof.received_bytes).saturating_sub(proof.sent_bytes);
        self.proof.as_ref().map_or(usize::MAX, |proof| left(proof) as usize)
    }

    /// When [`on_deadline`](Self::on_deadline) has something to do.
    #[inline]
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.proof.as_ref().map_or(Instant::NEVER, |proof| proof.due_at)
    }

    /// Asks again, and gives up on an address that does not answer. True if the peer is held to be where it was before: it
    /// may have waited for us there, so say something.
    pub fn on_deadline(&mut self, now: Instant) -> bool {
        let Some(proof) = self.proof.as_mut().filter(|proof| proof.due_at <= now) else { return false };
        if proof.tries == TRIES_MAX {
            (self.ends, self.moved, self.proof) = (proof.proven, true, None);
            return true;
        }
        proof.patience *= 2;
        (proof.owed, proof.tries, proof.due_at) = (true, proof.tries + 1, now + proof.patience);
        false
    }

    /// The way to the peer, or `None` if no route leads there now. Moves the flow to another of the lane's paths where the
    /// peer moved or the path is gone. For `poll_tx`.
    pub fn resolve<T: Transport>(&mut self, cx: &mut Context<'_, T>, out: &mut TxBatch<'_>) -> Option<Way> {
        let mut path = cx.path().filter(|path| !self.moved && out.mtu(*path).is_some());
        if path.is_none() {
            path = out.path(Some(self.ends.local().ip), self.ends.remote().ip).ok();
            cx.set_path(path?);
            self.moved = false;
        }
        let path = path?;
        let info = out.path_info(path)?;
        let datagram_bytes_max =
            (info.mtu as usize).saturating_sub(usize::from(info.ip_header_bytes) + UDP_HEADER_BYTES);
        Some(Way { path, info: self.ends.udp_info(), datagram_bytes_max, allowance_bytes: self.allowance_bytes() })
    }
}

/// Where datagrams inside UDP go in one call of `poll_tx`, how large they are, and how much may leave.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    path: PathId,
    info: TxInfo,
    datagram_bytes_max: usize,
    allowance_bytes: usize,
}

impl Way {
    /// Bytes behind a header of so many, in the longest datagram that the path carries.
    #[inline]
    #[must_use]
    pub const fn payload_bytes_max(&self, header_bytes: usize) -> usize {
        self.datagram_bytes_max.saturating_sub(header_bytes)
    }

    /// The same for the longest one that may leave now; 0 if none may. If the peer has not proven to be there, no other one
    /// may leave before what is left was asked for again.
    #[inline]
    #[must_use]
    pub fn room_bytes(&self, header_bytes: usize) -> usize {
        self.datagram_bytes_max.min(self.allowance_bytes).saturating_sub(header_bytes)
    }

    /// Whether the peer has proven to be there, so that any number of datagrams may leave.
    #[inline]
    #[must_use]
    pub const fn is_proven(&self) -> bool {
        self.allowance_bytes == usize::MAX
    }

    /// A datagram that is its header alone. Returns its bytes.
    ///
    /// # Errors
    /// What `poll_tx` is to answer with: it did not leave, or may not.
    pub fn send(&mut self, out: &mut TxBatch<'_>, datagram: &[u8]) -> Result<usize, TxStatus> {
        if datagram.len() > self.allowance_bytes {
            return Err(TxStatus::Idle);
        }
        self.segments(out, datagram, &[], 1, |_, _| ())?;
        self.spend(datagram.len());
        Ok(datagram.len())
    }

    /// [`TxBatch::segments`] along this way. What leaves is to be [spent](Self::spend).
    ///
    /// # Errors
    /// What `poll_tx` is to answer with: nothing left.
    pub fn segments(
        &self,
        out: &mut TxBatch<'_>,
        header: &[u8],
        payload: &[&[u8]],
        segment_bytes: usize,
        patch: impl FnMut(&mut [u8], SegmentAt),
    ) -> Result<usize, TxStatus> {
        out.segments(self.path, &self.info, header, payload, segment_bytes, patch).map_err(TxStatus::from)
    }

    /// Datagrams of so many bytes left.
    #[inline]
    pub fn spend(&mut self, bytes: usize) {
        if !self.is_proven() {
            self.allowance_bytes = self.allowance_bytes.saturating_sub(bytes);
        }
    }
}

/// RFC 9000 8.1.
pub(super) const AMPLIFICATION: u64 = 3;
/// Before the token is sent again, then twice as long: nothing is known of the new way (RFC 9000 8.2.4).
const PATIENCE: Duration = Duration::from_millis(300);
/// Times that an address is asked before it is given up.
const TRIES_MAX: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{Endpoint, Ip};
    use proptest::prelude::*;

    fn ends(host: u8, port: u16) -> FourTuple {
        FourTuple::new(Endpoint::new(Ip::v4([10, 0, 0, 1]), 1), Endpoint::new(Ip::v4([10, 0, 0, host]), port))
    }

    fn parts(number: u64) -> PathParts {
        PathParts { number, ..PathParts::default() }
    }

    #[test]
    fn a_new_address_gets_three_times_what_it_sent_until_it_answers() {
        let mut path = PeerPath::proven(ends(2, 5));
        assert_eq!((path.allowance_bytes(), path.owes_token(), path.deadline()), (usize::MAX, false, Instant::NEVER));
        let arrives =
            |path: &mut PeerPath, host, parts| path.on_received(Instant::ZERO, ends(host, 5), 100, &parts, true, || 77);
        assert!(arrives(&mut path, 3, parts(2)));
        assert!(!arrives(&mut path, 2, parts(1)), "overtaken");
        assert_eq!((path.allowance_bytes(), path.take_parts().challenge), (300, Some(77)));
        path.on_sent(200);
        assert_eq!((path.allowance_bytes(), path.owes_token()), (100, false));
        for (host, token) in [(3, 76), (2, 77)] {
            arrives(&mut path, host, PathParts { response: Some(token), ..parts(1) });
            assert!(!path.is_proven(), "neither another token nor the right one from elsewhere");
        }
        arrives(&mut path, 3, PathParts { response: Some(77), ..parts(1) });
        assert!(path.is_proven() && path.ends() == ends(3, 5));
    }

    #[test]
    fn nobody_moves_before_it_may_and_tokens_go_back_once() {
        let mut path = PeerPath::proven(ends(2, 5));
        let challenge = PathParts { challenge: Some(9), ..parts(1) };
        assert!(!path.on_received(Instant::ZERO, ends(3, 5), 100, &challenge, false, || 77));
        assert_eq!((path.ends(), path.owes_token()), (ends(2, 5), true));
        assert_eq!(path.take_parts(), PathParts { number: 1, challenge: None, response: Some(9) });
        path.on_sent(100);
        assert_eq!(path.take_parts(), parts(2));
    }

    #[test]
    fn an_address_that_does_not_answer_is_given_up() {
        let mut path = PeerPath::proven(ends(2, 5));
        assert!(!path.on_moved(ends(2, 6), 1, Instant::ZERO), "only another port");
        path.on_moved(ends(9, 9), 2, Instant::ZERO);
        for _ in 1..TRIES_MAX {
            path.on_sent(0);
            let now = path.deadline();
            assert!(!path.owes_token() && !path.on_deadline(now));
            assert_eq!(path.take_parts().challenge, Some(2));
        }
        let now = path.deadline();
        assert!(path.on_deadline(now) && path.is_proven() && path.ends() == ends(2, 5));
    }

    #[test]
    fn back_to_the_proven_address_needs_no_proof() {
        let mut path = PeerPath::proven(ends(2, 5));
        path.on_moved(ends(9, 9), 2, Instant::ZERO);
        assert!(path.on_moved(ends(2, 5), 3, Instant::ZERO) && path.is_proven());
    }

    proptest! {
        /// Whoever speaks, from wherever: what did not prove itself is sent at most three times what came from there.
        #[test]
        fn no_address_gets_more_than_three_times_what_it_sent_before_it_answers(
            datagrams in prop::collection::vec((2u8..6, 1u64..60, 1usize..1500, any::<bool>(), 0usize..6000), 1..80),
        ) {
            let mut path = PeerPath::proven(ends(2, 5));
            let mut received = [0; 6];
            let mut sent = [0; 6];
            for (step, (host, number, bytes, answers, wanted)) in datagrams.into_iter().enumerate() {
                let response = path.proof.as_ref().filter(|_| answers).map(|proof| proof.token);
                let parts = PathParts { response, ..parts(number) };
                path.on_received(Instant::ZERO, ends(host, 5), bytes, &parts, true, || step as u64);
                received[usize::from(host)] += bytes;
                let to = (2..6).find(|host| ends(*host, 5) == path.ends()).unwrap();
                if !path.is_proven() {
                    let bytes = path.allowance_bytes().min(wanted);
                    path.on_sent(bytes);
                    sent[usize::from(to)] += bytes;
                    prop_assert!(sent[usize::from(to)] <= 3 * received[usize::from(to)]);
                }
            }
        }
    }
}
