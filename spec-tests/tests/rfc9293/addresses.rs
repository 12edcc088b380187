//! 3.9.1.1 and 3.9.2.3: whose address a connection has, and addresses that no connection can have.

use burstlane::addr::{Endpoint, Ip};
use burstlane_spec::packets::{checksum, ipv4_frame};
use burstlane_spec::script::tcp::{Segment, syn, syn_ack, text};
use burstlane_spec::script::{HOST, PEER, Packet as _};

use super::{Script, at_both_isns, left, plain, seconds};

/// A segment of the peer's, with other addresses in its IP header, and both checksums right.
fn between(s: &mut Script, segment: &Segment, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    let mut bytes = segment.write(&mut s.ends);
    let length = bytes.len() as u16;
    let pseudo = [&source[..], &destination, &[0, 6], &length.to_be_bytes(), &bytes].concat();
    bytes[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    let mut frame = ipv4_frame(2, 1, 6, bytes, None);
    frame[26..30].copy_from_slice(&source);
    frame[30..34].copy_from_slice(&destination);
    frame[24..26].fill(0);
    let sum = checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn the_helper_makes_frames_that_are_taken() {
    let mut s = Script::at_isn(0x1000, plain());
    let _listener = s.listen(1);
    let frame = between(&mut s, &syn(), PEER, HOST);
    s.peer_frame("SYN", frame);
    s.expect(syn_ack().ack(1));
}

// cites: MUST-57
#[test]
fn a_syn_to_many_is_discarded() {
    for destination in [[224, 0, 0, 1], [10, 0, 0, 255], [255, 255, 255, 255]] {
        at_both_isns(&plain(), |s| {
            let _listener = s.listen(1);
            let frame = between(s, &syn(), PEER, destination);
            s.peer_frame("SYN to many", frame);
            s.silence(seconds(10));
            assert_eq!(left(s), (0, 0));
        });
    }
}

// cites: MUST-63
#[test]
fn a_syn_from_an_impossible_address_is_ignored() {
    for source in [[224, 0, 0, 1], [10, 0, 0, 255], [255, 255, 255, 255], [127, 0, 0, 1], HOST] {
        at_both_isns(&plain(), |s| {
            let _listener = s.listen(1);
            let frame = between(s, &syn(), source, HOST);
            s.peer_frame("SYN from nowhere", frame);
            s.silence(seconds(10));
            assert_eq!(left(s), (0, 0), "{source:?}");
        });
    }
}

// cites: MUST-46
#[test]
fn an_open_to_many_is_refused() {
    let mut s = Script::at_isn(0x1000, plain());
    for remote in [[224, 0, 0, 1], [255, 255, 255, 255], [10, 0, 0, 255]] {
        assert!(s.host.connect(s.engine, Endpoint::new(Ip::v4(remote), 80)).is_err(), "{remote:?}");
    }
    s.silence(seconds(10));
}

/// The address is the one asked for, or one that IP chooses, and stays the same.
// cites: MUST-43, MUST-44, MUST-45
#[test]
fn a_connection_keeps_its_address() {
    at_both_isns(&plain(), |s| {
        // The script asks for the host's address.
        let stream = s.connected(syn_ack().ack(1).mss(1000));
        assert_eq!(stream.local().unwrap().ip, Ip::v4(HOST));
        for at in 0..5 {
            s.write(&stream, &[1; 100]);
            s.expect(text(1 + at * 100, 100));
            assert_eq!(s.last_frame()[26..34], [HOST, PEER].concat());
        }
    });
    let mut s = Script::at_isn(0x1000, plain());
    let stream = s.host.connect(s.engine, Endpoint::new(Ip::v4(PEER), 5000)).unwrap();
    assert_eq!(stream.local().unwrap().ip, Ip::v4(HOST), "chosen before the first SYN");
    s.nothing_more();
    let wrong = Endpoint::new(Ip::v4([10, 9, 9, 9]), 80);
    assert!(s.host.connect_from(s.engine, wrong, Endpoint::new(Ip::v4(PEER), 5000)).is_err());
}
