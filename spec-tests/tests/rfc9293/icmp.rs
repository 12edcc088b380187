//! 3.9.2.2: what ICMP says about a connection, with the doubts of RFC 5927. (Path MTU is not here.)

use burstlane::transport::FlowError;
use burstlane_spec::packets::{checksum, ipv4_frame};
use burstlane_spec::script::tcp::{ack, syn, syn_ack, text};
use burstlane_tcp::{State, TcpSocket};

use super::{Script, assert_state, at_both_isns, plain, seconds};

/// An ICMP error about the last packet of the host's (RFC 792): type, code, and the quote of its IP header and 8 bytes.
fn error(s: &mut Script, kind: u8, code: u8) {
    let quote = s.last_frame()[14..42].to_vec();
    tell(s, kind, code, &quote);
}

fn tell(s: &mut Script, kind: u8, code: u8, quote: &[u8]) {
    let mut bytes = [&[kind, code, 0, 0, 0, 0, 0, 0], quote].concat();
    let sum = checksum(&bytes);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    s.peer_frame(&format!("ICMP type {kind} code {code}"), ipv4_frame(2, 1, 1, bytes, None));
}

/// Network, host, protocol, port unreachable, source route failed; time exceeded twice; parameter problem.
const ERRORS: [(u8, u8); 8] = [(3, 0), (3, 1), (3, 2), (3, 3), (3, 5), (11, 0), (11, 1), (12, 0)];

/// Soft errors must not end it; the hard ones should by RFC 9293 (SHLD-26), and must not by RFC 5927 5.2: once it stands, the
/// timer decides.
// cites: MUST-47, MUST-54, MUST-56, SHLD-25
#[test]
fn no_error_ends_a_connection_that_stands() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, &[1; 100]);
        s.expect(text(1, 100));
        for (kind, code) in ERRORS {
            error(s, kind, code);
            s.nothing_more();
            assert_state(s, &stream, State::Established);
            assert!(stream.soft_error().is_some(), "the application may know of {kind} {code}");
        }
        s.peer(ack(101));
        s.silence(seconds(100));
    });
}

/// Source quench tells nothing, not even to send less (RFC 6633).
// cites: MUST-55
#[test]
fn source_quench_is_discarded() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, &[1; 1000]);
        s.expect(text(1, 1000));
        for _ in 0..10 {
            error(s, 4, 0);
        }
        s.peer(ack(1001));
        s.write(&stream, &[1; 8000]);
        assert_eq!(s.take().len(), 8, "the window is as large as it was");
    });
}

/// RFC 5461: an open that is told that nobody is there does not wait for its timeouts.
// cites: MUST-54, SHLD-26
#[test]
fn an_open_learns_that_the_port_is_unreachable() {
    at_both_isns(&plain(), |s| {
        let stream = s.connect();
        s.expect(syn());
        error(s, 3, 3);
        assert_eq!(stream.ended(), Some(Some(FlowError::Refused)));
        s.silence(seconds(100));
    });
}

/// RFC 5927 4.1: what does not quote something in flight is about something else, and may be anybody's.
// cites: MUST-54
#[test]
fn an_error_about_nothing_in_flight_is_ignored() {
    at_both_isns(&plain(), |s| {
        let stream = s.connect();
        s.expect(syn());
        let mut quote = s.last_frame()[14..42].to_vec();
        quote[27] ^= 1;
        tell(s, 3, 3, &quote);
        assert_state(s, &stream, State::SynSent);
        s.peer(syn_ack().ack(1));
        s.expect(ack(1));
        assert_state(s, &stream, State::Established);
    });
}
