//! Where the peer is: its address may change under way (a NAT forgets, a phone leaves the house), and the connection id
//! stays. A new address is believed only when a token sent there comes back (in the manner of RFC 9000 8.2 and 9);
//! until then at most three times what came from it goes there (8.1), so that nobody is flooded through us.

use burstlane::addr::Endpoint;
use burstlane::time::{Duration, Instant};

/// The two ends that datagrams run between now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) local: Endpoint,
    pub(crate) remote: Endpoint,
}

/// The present path.
#[derive(Debug)]
pub(crate) struct PeerPath {
    pub(crate) ends: Ends,
    /// While they are not proven.
    proof: Option<Proof>,
}

#[derive(Debug)]
struct Proof {
    /// The last proven ends.
    proven: Ends,
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
    pub(crate) fn proven(ends: Ends) -> Self {
        Self { ends, proof: None }
    }

    /// Whether the peer has shown that it receives there.
    pub(crate) fn is_proven(&self) -> bool {
        self.proof.is_none()
    }

    /// A datagram newer than all others came from elsewhere: the peer has moved. `token` is random.
    pub(crate) fn on_moved(&mut self, from: Ends, token: u64, now: Instant) {
        let proven = self.proof.as_ref().map_or(self.ends, |proof| proof.proven);
        let (owed, tries, due_at, patience) = (true, 1, now + PATIENCE, PATIENCE);
        let proof = Proof { proven, token, received_bytes: 0, sent_bytes: 0, owed, tries, due_at, patience };
        // Back to where it was: that is proven already, and a forged datagram from elsewhere did no harm.
        self.proof = (from != proven).then_some(proof);
        self.ends = from;
    }

    /// Any datagram of the connection came from there.
    pub(crate) fn on_received(&mut self, from: Ends, bytes: usize) {
        if let Some(proof) = self.proof.as_mut().filter(|_| from == self.ends) {
            proof.received_bytes += bytes as u64;
        }
    }

    /// A token came back from there.
    pub(crate) fn on_response(&mut self, from: Ends, token: u64) {
        if from == self.ends && self.proof.as_ref().is_some_and(|proof| proof.token == token) {
            self.proof = None;
        }
    }

    /// Bytes of datagrams that may be sent now.
    pub(crate) fn allowance_bytes(&self) -> usize {
        let left = |proof: &Proof| (AMPLIFICATION * proof.received_bytes).saturating_sub(proof.sent_bytes);
        self.proof.as_ref().map_or(usize::MAX, |proof| left(proof) as usize)
    }

    /// The token to send now.
    pub(crate) fn challenge(&self) -> Option<u64> {
        self.proof.as_ref().filter(|proof| proof.owed).map(|proof| proof.token)
    }

    /// Datagrams of so many bytes left, with the token if one was owed.
    pub(crate) fn on_sent(&mut self, bytes: usize) {
        if let Some(proof) = &mut self.proof {
            proof.sent_bytes += bytes as u64;
            proof.owed = false;
        }
    }

    /// When [`on_deadline`](Self::on_deadline) has something to do.
    pub(crate) fn deadline(&self) -> Instant {
        self.proof.as_ref().map_or(Instant::NEVER, |proof| proof.due_at)
    }

    /// Asks again, and gives up on an address that does not answer. True if the peer is held to be where it was before.
    pub(crate) fn on_deadline(&mut self, now: Instant) -> bool {
        let Some(proof) = self.proof.as_mut().filter(|proof| proof.due_at <= now) else { return false };
        if proof.tries == TRIES_MAX {
            *self = Self::proven(proof.proven);
            return true;
        }
        proof.patience *= 2;
        (proof.owed, proof.tries, proof.due_at) = (true, proof.tries + 1, now + proof.patience);
        false
    }
}

/// RFC 9000 8.1.
const AMPLIFICATION: u64 = 3;
/// Before the token is sent again, then twice as long: nothing is known of the new way (RFC 9000 8.2.4).
const PATIENCE: Duration = Duration::from_millis(300);
/// Times that an address is asked before it is given up.
const TRIES_MAX: u32 = 4;
