//! What smoltcp 0.14 does wrong as a peer, each with the test that shows it. Nothing else is tolerated; when one of these
//! tests fails because smoltcp was mended, its allowance goes.
//!
//! | allowance | what smoltcp does | what a peer test then does |
//! |---|---|---|
//! | [`must_read_now`] | at the end of TIME-WAIT, after 10 s, a socket is emptied, also of bytes that were not read yet and of the knowledge that a FIN came (RFC 9293 3.10.7.4 keeps both for RECEIVE) | its application reads without pause in TIME-WAIT |
//! | [`has_lost_its_timer`] | two of its timers take the place of the one for retransmission, and do not give it back: a fast retransmission when a FIN alone is outstanding, and the probe of a shut window, when it opens again. What was sent is then never sent again (RFC 6298 5.1 wants a timer for as long as anything is outstanding) | the connection may end there, all data being right |
//! | [`is_deaf_in_last_ack`] | in LAST-ACK it looks at nothing in an ACK that acknowledges nothing new, so it does not see a window open, and sends its probe for ever, at a number behind what was lost (RFC 9293 3.10.7.4, fifth step: the window is updated) | the same |

use smoltcp::socket::tcp::{Socket, State};

use crate::node::Smol;
use crate::pair::Pair;

/// What is not read now is lost.
pub(crate) fn must_read_now(socket: &Socket<'_>) -> bool {
    socket.state() == State::TimeWait
}

/// Something is outstanding, and no timer is to send it again.
pub(crate) fn has_lost_its_timer(smol: &Smol) -> bool {
    let has_outstanding = |socket: &mut Socket<'static>| {
        socket.send_queue() > 0 || matches!(socket.state(), State::FinWait1 | State::Closing | State::LastAck)
    };
    smol.with(has_outstanding) && smol.waits_for_ever()
}

/// Our window is open, and it does not send what we wait for.
pub(crate) fn is_deaf_in_last_ack(pair: &Pair) -> bool {
    let [Some(ours), Some(theirs)] = pair.last_segments() else { return false };
    let lacks_text = ours.ack.is_some_and(|ack| (theirs.seq.wrapping_sub(ack) as i32) > 0);
    pair.smol.with(|socket| socket.state() == State::LastAck) && ours.window > 0 && lacks_text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use smoltcp::socket::tcp::RecvError;

    use super::*;
    use crate::node::SmolConfig;
    use crate::pair::PairConfig;
    use crate::twin::script::{ACK, ESTABLISHED, FIN, Say, Script, Step};

    fn pair() -> Pair {
        let tcp = burstlane_tcp::Config::default();
        Pair::new(&PairConfig {
            seed: 1,
            is_v6: false,
            mtu: [1500; 2],
            tcp,
            smol: SmolConfig::new(1),
            wraps_after: None,
        })
    }

    #[test]
    fn time_wait_forgets_what_was_not_read() {
        let pair = pair();
        pair.smol.with(|socket| socket.listen(crate::pair::SMOL_PORT).unwrap());
        let stream = pair.connect();
        let is_open = || pair.smol.with(|socket| socket.state() == State::Established);
        pair.world.run_until(Duration::from_secs(1), is_open).unwrap();
        pair.smol.with(Socket::close);
        pair.world.run_for(Duration::from_secs(1)).unwrap();
        assert_eq!(stream.write(b"last words").unwrap(), 10);
        stream.shutdown();
        pair.world.run_for(Duration::from_secs(1)).unwrap();
        assert_eq!(pair.smol.with(|socket| (socket.state(), socket.recv_queue())), (State::TimeWait, 10));
        pair.world.run_for(Duration::from_secs(10)).unwrap();
        let read = pair.smol.with(|socket| socket.recv_slice(&mut [0; 10]));
        assert_eq!(read, Err(RecvError::InvalidState), "neither the bytes nor the end");
        drop(stream);
        pair.assert_clean();
    }

    /// Whether a smoltcp host that a raw peer opened, and that was asked to end or to send, says no more after `says`.
    fn is_stuck(first: Step, says: &[Say]) -> bool {
        let steps = [&[first][..], &says.iter().copied().map(Step::Say).collect::<Vec<_>>()].concat();
        crate::twin::smoltcp_is_stuck_after(&Script::to(ESTABLISHED, true, &steps))
    }

    #[test]
    fn a_fin_alone_loses_its_timer_to_three_duplicate_acknowledgements() {
        let ack = Say::next(ACK).acks(-1);
        assert!(!is_stuck(Step::Finish, &[ack; 2]), "two are not enough");
        assert!(is_stuck(Step::Finish, &[ack; 4]));
    }

    #[test]
    fn text_loses_its_timer_to_a_window_that_shuts_and_opens() {
        let half = Say::next(ACK).acks(-50);
        assert!(!is_stuck(Step::Write(100), &[half]), "without that it is sent again");
        assert!(is_stuck(Step::Write(100), &[half.offers(0), half]));
    }

    #[test]
    fn a_window_that_opens_in_last_ack_is_not_seen() {
        let fin = Step::Say(Say::next(FIN | ACK));
        let shut = Say::next(ACK).acks(-50).offers(0);
        let open = Say::next(ACK).acks(-50);
        // The other half of the text and the FIN are outstanding when the window shuts; it opens one step later.
        let steps = [Step::Write(99), fin, Step::Finish, Step::Say(shut), Step::Say(open)];
        let said = crate::twin::smoltcp_says_for_long_after(&Script::to(ESTABLISHED, true, &steps));
        assert!(!said.is_empty(), "it goes on");
        assert!(said.iter().all(|reply| reply.text.len() < 49), "the text is sent again: {said:?}");
    }
}
