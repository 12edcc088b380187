//! [`Opening`] and [`AddressValidator`]: how two sides that name a connection each by an id of its own come to know each
//! other's, before the one that is asked remembers anything (in the manner of RFC 9000 8.1.2, and of RFC 4987 3.6).
//!
//! ```text
//!  client, Opening                       server, AddressValidator
//!  my id ──────────────────────────────► Retry: the server's id is a cookie for the client's id and address
//!          ◄────────────────── my id, yours
//!  your id, and still mine ────────────► Valid: the id proves that the client receives; a connection, and an Opening that
//!          ◄────────── anything confirmed    is confirmed from the start
//! ```
//!
//! Until it is confirmed the client introduces itself in every datagram, so any of them makes the server's connection.

use super::{CookieJar, FourTuple};
use crate::net::{DropReason, Trouble};
use crate::time::Instant;
use crate::transport::{FlowError, Listener};
use std::sync::Arc;

/// What one side knows of the names of its connection.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    own: u64,
    peer: u64,
    stage: Stage,
    asked_at: Instant,
    neighbour_failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Asked,
    Answered,
    Confirmed,
}

impl Opening {
    /// A client that asks now; the peer's id is still [`UNNAMED`].
    #[must_use]
    pub const fn client(own: u64, now: Instant) -> Self {
        Self { own, peer: UNNAMED, stage: Stage::Asked, asked_at: now, neighbour_failures: 0 }
    }

    /// A server, after [`Validation::Valid`].
    #[must_use]
    pub const fn server(own: u64, peer: u64, now: Instant) -> Self {
        Self { own, peer, stage: Stage::Confirmed, asked_at: now, neighbour_failures: 0 }
    }

    /// By which we name the connection to the peer.
    #[inline]
    #[must_use]
    pub const fn peer(&self) -> u64 {
        self.peer
    }

    /// Whether the peer's id is known: data may leave.
    #[inline]
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.stage != Stage::Asked
    }

    /// Whether the peer is known to have a connection.
    #[inline]
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.stage == Stage::Confirmed
    }

    /// Our id, if the next datagram is to tell it.
    #[inline]
    #[must_use]
    pub fn introduction(&self) -> Option<u64> {
        (!self.is_confirmed()).then_some(self.own)
    }

    /// The peer told its id. If that answered the question: when that was asked first, for a first round-trip time.
    pub fn on_answer(&mut self, peer: u64) -> Option<Instant> {
        if self.is_answered() || peer == UNNAMED {
            return None;
        }
        (self.peer, self.stage) = (peer, Stage::Answered);
        Some(self.asked_at)
    }

    /// The peer said what only one with a connection says: an acknowledgement.
    #[inline]
    pub fn on_confirmed(&mut self) {
        if self.stage == Stage::Answered {
            self.stage = Stage::Confirmed;
        }
    }

    /// The network has trouble, as far as it is believed. Why there will be no answer, if that is what it means: a flow
    /// that was answered survives all of it (RFC 5927 5.2). One whose next hop does not answer may just have a bad link.
    pub fn on_trouble(&mut self, trouble: &Trouble) -> Option<FlowError> {
        self.neighbour_failures += u32::from(*trouble == Trouble::NeighbourFailed);
        match trouble {
            _ if self.is_answered() => None,
            Trouble::Unreachable(reason) if reason.is_hard() => Some(FlowError::Refused),
            _ => (self.neighbour_failures >= NEIGHBOUR_FAILURES_MAX).then_some(FlowError::Unreachable),
        }
    }
}

/// Lets in who has shown that it receives where it claims to be, and remembers nobody.
#[derive(Clone, Debug)]
pub struct AddressValidator {
    jar: Arc<CookieJar>,
}

/// What a stranger's datagram calls for: what `on_unmatched` is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// An answer that tells this id of ours; no longer than the question, so that nobody is flooded through us.
    Retry(u64),
    /// A connection: the id that it names is one that it was told.
    Valid,
    /// That it is told that nobody listens.
    Refuse(DropReason),
    /// Nothing: the id is none of ours (any more), or the backlog is full.
    Drop(DropReason),
}

impl AddressValidator {
    /// The jar is the host's: any lane may see who comes back.
    #[must_use]
    pub const fn new(jar: Arc<CookieJar>) -> Self {
        Self { jar }
    }

    /// Somebody who introduced itself as `peer` named us by `own` ([`UNNAMED`] in a question).
    #[must_use]
    pub fn validate(
        &self,
        now: Instant,
        ends: &FourTuple,
        own: u64,
        peer: u64,
        listener: Option<&Listener>,
    ) -> Validation {
        match listener {
            None => Validation::Refuse(NOBODY_LISTENS),
            Some(_) if own == UNNAMED => Validation::Retry(self.jar.make64(ends.local(), ends.remote(), peer, now)),
            Some(_) if !self.jar.check64(own, ends.local(), ends.remote(), peer, now) => Validation::Drop(FORGED),
            Some(listener) if !listener.has_room() => Validation::Drop(BACKLOG_FULL),
            Some(_) => Validation::Valid,
        }
    }
}

/// Where an id is to stand that is not known yet.
pub const UNNAMED: u64 = 0;
/// The network layer asks several times before each.
const NEIGHBOUR_FAILURES_MAX: u32 = 4;
const NOBODY_LISTENS: DropReason = DropReason("handshake: nobody listens");
const FORGED: DropReason = DropReason("handshake: forged or outdated connection id");
const BACKLOG_FULL: DropReason = DropReason("handshake: backlog is full");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{Endpoint, Ip};
    use crate::net::Unreachable;
    use crate::time::Duration;
    use proptest::prelude::*;

    fn ends(host: u8, port: u16) -> FourTuple {
        let end = |host, port| Endpoint::new(Ip::v4([10, 0, 0, host]), port);
        FourTuple::new(end(1, 80), end(host, port))
    }

    fn validator() -> AddressValidator {
        AddressValidator::new(Arc::new(CookieJar::new((1, 2), Duration::from_secs(60))))
    }

    const OPEN: Listener = Listener { local: Endpoint::new(Ip::ANY, 80), backlog: 1, half_open: 0, queued: 0 };
    const FULL: Listener = Listener { queued: 1, ..OPEN };

    #[test]
    fn both_learn_the_others_name_and_the_server_nothing_before() {
        let (validator, now) = (validator(), Instant::from_nanos(1 << 40));
        let mut client = Opening::client(77, now);
        assert_eq!((client.introduction(), client.peer(), client.is_answered()), (Some(77), UNNAMED, false));
        let Validation::Retry(own) = validator.validate(now, &ends(2, 5), client.peer(), 77, Some(&OPEN)) else {
            panic!("no retry")
        };
        client.on_confirmed();
        assert!(!client.is_confirmed(), "by nobody whose name is not known");
        assert_eq!((client.on_answer(UNNAMED), client.on_answer(own), client.on_answer(own)), (None, Some(now), None));
        assert_eq!((client.introduction(), client.peer()), (Some(77), own));
        assert_eq!(validator.validate(now, &ends(2, 5), client.peer(), 77, Some(&OPEN)), Validation::Valid);
        assert_eq!(
            validator.validate(now, &ends(2, 5), client.peer(), 77, Some(&FULL)),
            Validation::Drop(BACKLOG_FULL)
        );
        assert_eq!(validator.validate(now, &ends(2, 5), client.peer(), 77, None), Validation::Refuse(NOBODY_LISTENS));
        client.on_confirmed();
        let server = Opening::server(own, 77, now);
        assert!(client.introduction().is_none() && server.introduction().is_none() && server.is_answered());
    }

    proptest! {
        #[test]
        fn nobody_enters_by_a_name_that_it_was_not_told(
            (host, port, peer) in (2u8..4, 5u16..7, 77u64..79), flip in 0u64..4, later in 0u64..200,
        ) {
            let (validator, now) = (validator(), Instant::from_nanos(60_000_000_000));
            let Validation::Retry(own) = validator.validate(now, &ends(2, 5), UNNAMED, 77, Some(&OPEN)) else { panic!("no retry") };
            let at = now + Duration::from_secs(later);
            let found = validator.validate(at, &ends(host, port), own ^ flip, peer, Some(&OPEN));
            let is_told = (host, port, peer, flip) == (2, 5, 77, 0) && later < 120;
            prop_assert_eq!(found, if is_told { Validation::Valid } else { Validation::Drop(FORGED) });
        }
    }

    #[test]
    fn trouble_ends_what_was_not_answered_and_nothing_else() {
        let (refused, failed) = (Trouble::Unreachable(Unreachable::Port), Trouble::NeighbourFailed);
        let mut client = Opening::client(1, Instant::ZERO);
        assert_eq!(client.on_trouble(&refused), Some(FlowError::Refused));
        for _ in 1..NEIGHBOUR_FAILURES_MAX {
            assert_eq!(client.on_trouble(&failed), None, "a bad link, maybe");
        }
        assert_eq!(client.on_trouble(&failed), Some(FlowError::Unreachable));
        let _ = client.on_answer(2);
        assert_eq!((client.on_trouble(&refused), client.on_trouble(&failed)), (None, None));
    }
}
