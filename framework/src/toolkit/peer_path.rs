//! [`PeerPath`]: where the peer is, for protocols whose connections have a name of their own. Its address may change under
//! way (a NAT forgets, a phone leaves the house). A new one is believed only when a token sent there comes back (in the
//! manner of RFC 9000 8.2 and 9); until then at most three times what came from it goes there (8.1), so that nobody is
//! flooded through us, and if nothing comes back, the peer is held to be where it was.
//!
//! The protocol carries the token both ways and says what was sent and received.

use super::FourTuple;
use crate::net::{PathId, TxBatch, UDP_HEADER_BYTES};
use crate::time::{Duration, Instant};
use crate::transport::{Context, Transport};

/// The present way to the peer.
#[derive(Debug)]
pub struct PeerPath {
    ends: FourTuple,
    /// The lane's path of the flow does not lead there yet.
    moved: bool,
    /// While the ends are not proven.
    proof: Option<Proof>,
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
        Self { ends, moved: false, proof: None }
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

    /// A datagram newer than all others came from elsewhere: the peer has moved. `token` is random. Returns whether the
    /// address is another, and not only the port: then what was learned of the way there is void (RFC 9000 9.4).
    pub fn on_moved(&mut self, from: FourTuple, token: u64, now: Instant) -> bool {
        let proven = self.proof.as_ref().map_or(self.ends, |proof| proof.proven);
        let (owed, tries, due_at, patience) = (true, 1, now + PATIENCE, PATIENCE);
        let proof = Proof { proven, token, received_bytes: 0, sent_bytes: 0, owed, tries, due_at, patience };
        // Back to where it was: that is proven already, and a forged datagram from elsewhere did no harm.
        self.proof = (from != proven).then_some(proof);
        self.moved = true;
        std::mem::replace(&mut self.ends, from).remote().ip != from.remote().ip
    }

    /// A datagram of the connection, of so many bytes, came from there.
    #[inline]
    pub fn on_received(&mut self, from: FourTuple, bytes: usize) {
        if let Some(proof) = self.proof.as_mut().filter(|_| from == self.ends) {
            proof.received_bytes += bytes as u64;
        }
    }

    /// A token came back from there.
    pub fn on_response(&mut self, from: FourTuple, token: u64) {
        if from == self.ends && self.proof.as_ref().is_some_and(|proof| proof.token == token) {
            self.proof = None;
        }
    }

    /// Bytes of datagrams that may be sent now.
    #[inline]
    #[must_use]
    pub fn allowance_bytes(&self) -> usize {
        let left = |proof: &Proof| (AMPLIFICATION * proof.received_bytes).saturating_sub(proof.sent_bytes);
        self.proof.as_ref().map_or(usize::MAX, |proof| left(proof) as usize)
    }

    /// The token to send now.
    #[inline]
    #[must_use]
    pub fn challenge(&self) -> Option<u64> {
        self.proof.as_ref().filter(|proof| proof.owed).map(|proof| proof.token)
    }

    /// Datagrams of so many bytes left, with the token if one was owed.
    #[inline]
    pub fn on_sent(&mut self, bytes: usize) {
        if let Some(proof) = &mut self.proof {
            proof.sent_bytes += bytes as u64;
            proof.owed = false;
        }
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
            *self = Self { moved: true, ..Self::proven(proof.proven) };
            return true;
        }
        proof.patience *= 2;
        (proof.owed, proof.tries, proof.due_at) = (true, proof.tries + 1, now + proof.patience);
        false
    }

    /// The lane's path to the peer and the most bytes that a datagram inside UDP carries along it, or `None` if no route
    /// leads there now. Moves the flow to another path where the peer moved or the path is gone. For `poll_tx`.
    pub fn resolve<T: Transport>(&mut self, cx: &mut Context<'_, T>, out: &mut TxBatch<'_>) -> Option<(PathId, usize)> {
        let mut path = cx.path().filter(|path| !self.moved && out.mtu(*path).is_some());
        if path.is_none() {
            path = out.path(Some(self.ends.local().ip), self.ends.remote().ip).ok();
            cx.set_path(path?);
            self.moved = false;
        }
        let path = path?;
        let info = out.path_info(path)?;
        Some((path, (info.mtu as usize).saturating_sub(usize::from(info.ip_header_bytes) + UDP_HEADER_BYTES)))
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

    fn ends(host: u8, port: u16) -> FourTuple {
        FourTuple::new(Endpoint::new(Ip::v4([10, 0, 0, 1]), 1), Endpoint::new(Ip::v4([10, 0, 0, host]), port))
    }

    #[test]
    fn a_new_address_gets_three_times_what_it_sent_until_it_answers() {
        let mut path = PeerPath::proven(ends(2, 5));
        assert_eq!((path.allowance_bytes(), path.challenge(), path.deadline()), (usize::MAX, None, Instant::NEVER));
        assert!(path.on_moved(ends(3, 5), 77, Instant::ZERO));
        path.on_received(ends(3, 5), 100);
        path.on_received(ends(2, 5), 100);
        assert_eq!((path.allowance_bytes(), path.challenge()), (300, Some(77)));
        path.on_sent(200);
        assert_eq!((path.allowance_bytes(), path.challenge()), (100, None));
        path.on_response(ends(3, 5), 76);
        path.on_response(ends(2, 5), 77);
        assert!(!path.is_proven(), "neither another token nor the right one from elsewhere");
        path.on_response(ends(3, 5), 77);
        assert!(path.is_proven() && path.ends() == ends(3, 5));
    }

    #[test]
    fn an_address_that_does_not_answer_is_given_up() {
        let mut path = PeerPath::proven(ends(2, 5));
        assert!(!path.on_moved(ends(2, 6), 1, Instant::ZERO), "only another port");
        path.on_moved(ends(9, 9), 2, Instant::ZERO);
        for _ in 1..TRIES_MAX {
            path.on_sent(0);
            let now = path.deadline();
            assert!(path.challenge().is_none() && !path.on_deadline(now));
            assert_eq!(path.challenge(), Some(2));
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
}
