//! What smoltcp 0.14 does wrong as a peer, each with the test that shows it. Nothing else is tolerated, and when one of these
//! tests fails because smoltcp was mended, its allowance goes.
//!
//! | allowance | what smoltcp does | what a peer test then does |
//! |---|---|---|
//! | [`must_read_now`] | at the end of TIME-WAIT (after 10 s) a socket is emptied, also of bytes that the application has not read yet and of the knowledge that a FIN came (RFC 9293 3.10.7.4 keeps both for RECEIVE) | its application reads without pause in TIME-WAIT |
//! | [`has_forgotten_its_fin`] | three duplicate acknowledgements of a FIN that stands alone replace the retransmission timer by a fast retransmission, which finds no data to send: the FIN is never sent again (RFC 9293 3.8.1, MUST-19 via RFC 5681 and RFC 6298 5) | the connection may stay half-closed when that happened, all data being right |

use smoltcp::socket::tcp::{Socket, State};

use crate::node::Smol;

/// What is not read now is lost.
pub(crate) fn must_read_now(socket: &Socket<'_>) -> bool {
    socket.state() == State::TimeWait
}

/// Its FIN alone is outstanding, and no timer is to send it again.
pub(crate) fn has_forgotten_its_fin(smol: &Smol) -> bool {
    let fin_only = |socket: &mut Socket<'static>| {
        matches!(socket.state(), State::FinWait1 | State::Closing | State::LastAck) && socket.send_queue() == 0
    };
    smol.with(fin_only) && smol.waits_for_ever()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use smoltcp::socket::tcp::RecvError;

    use super::*;
    use crate::node::SmolConfig;
    use crate::pair::{Pair, PairConfig};

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
}
