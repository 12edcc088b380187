//! 3.8.5 and RFC 6093: urgent data stays in line; what is told is where it ends.

use burstlane::engine::EngineEvent;
use burstlane::socket::Ready;
use burstlane_spec::oracle::segment::URG;
use burstlane_spec::packets::ACK;
use burstlane_spec::script::tcp::{ack, data, fin, segment, syn, text};
use burstlane_tcp::{State, TcpSocket};

use super::{Script, assert_state, at_both_isns, plain, seconds};

/// Whether the application was told of urgent data since the last time.
fn was_told(s: &Script) -> bool {
    let mut events = vec![];
    s.host.take_events(s.engine, &mut events);
    events.iter().any(|event| matches!(event, EngineEvent::Ready(_, ready) if ready.contains(Ready::URGENT)))
}

/// The pointer is that of the byte behind what is urgent, counted from each segment's number.
// cites: MUST-30, MUST-62
#[test]
fn what_is_sent_points_behind_urgent_data() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, b"plain");
        s.expect(text(1, 5));
        assert_eq!(stream.write_urgent(&[7; 1500]).unwrap(), 1500);
        s.expect(text(6, 1000).urgent(1500));
        s.expect(text(1006, 500).urgent(500));
        // Sent again, it is as urgent.
        s.peer(ack(1006));
        let (_, again) = s.next_within(seconds(2)).unwrap();
        assert_eq!((again.seq, again.urgent), (Some(1006), Some(500)), "{}", s.trace());
        s.peer(ack(1506));
        s.write(&stream, b"plain");
        s.expect(text(1506, 5));
    });
}

/// What is urgent overtakes nothing, but does not wait for company, and its mark leaves although the window is shut.
// cites: MUST-30
#[test]
fn a_shut_window_does_not_hide_the_mark() {
    at_both_isns(&super::usual(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, b"a");
        s.expect(data(1, b"a"));
        stream.write_urgent(b"bc").unwrap();
        s.expect(data(2, b"bc").urgent(2));
        s.peer(ack(4).window(0));
        stream.write_urgent(b"def").unwrap();
        s.peer(text(1, 10).window(0));
        s.expect_after(super::ms(40), segment(ACK).seq(4).ack(11).len(0).urgent(3));
    });
}

/// The field has 16 bits; what is farther is told when it comes nearer.
// cites: MUST-31
#[test]
fn urgent_data_may_be_longer_than_the_pointer_says() {
    let config = plain().with_buffers(256 * 1024, 4096);
    at_both_isns(&config, |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        assert_eq!(stream.write_urgent(&[7; 100_000]).unwrap(), 100_000);
        let mut next = 1;
        while next <= 100_000 {
            let sent = s.take();
            assert!(!sent.is_empty(), "{}", s.trace());
            for (_, segment) in sent {
                let left = 100_001 - segment.seq.unwrap();
                assert_eq!(segment.urgent, Some(left.min(65_535) as u16), "{segment}");
                next = next.max(segment.seq.unwrap() + segment.segment_len());
            }
            s.peer(ack(next));
        }
    });
}

/// The application is told when the mark comes or moves on, not when it is repeated, and reads the data in line.
// cites: MUST-31, MUST-32, MUST-33
#[test]
fn the_application_learns_where_urgent_data_ends() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        assert!(!was_told(s) && stream.urgent_bytes() == 0);
        s.peer(text(1, 10).urgent(100));
        s.expect(ack(11));
        assert!(was_told(s));
        assert_eq!(stream.urgent_bytes(), 100, "from what is read next, though not all has come");
        s.peer(text(11, 10).urgent(90));
        s.expect(ack(21));
        assert!(!was_told(s), "it is the same mark");
        assert_eq!(s.read_up_to(&stream, 100).unwrap().len(), 20);
        assert_eq!(stream.urgent_bytes(), 80);
        s.peer(text(21, 10).urgent(200));
        s.expect(ack(31));
        assert!(was_told(s), "it moved on");
        assert_eq!(stream.urgent_bytes(), 200);
        s.peer(text(31, 190));
        s.expect(ack(221));
        assert_eq!(s.read_up_to(&stream, 200).unwrap().len(), 200);
        assert_eq!(stream.urgent_bytes(), 0);
        s.peer(text(221, 10));
        s.expect(ack(231));
        assert_eq!((stream.urgent_bytes(), was_told(s)), (0, false));
    });
}

/// The mark comes alone while our window is shut, with the last text, and is nothing when it points backwards.
// cites: MUST-32
#[test]
fn a_mark_may_come_without_text_and_with_the_end() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.peer(ack(1).urgent(7));
        assert!(was_told(s) && stream.urgent_bytes() == 7);
        s.peer(segment(ACK | URG).seq(1).payload(b"x"));
        s.expect(ack(2));
        assert!(!was_told(s), "a pointer of zero says nothing");
        s.peer(fin(2).payload(b"yz").urgent(9));
        s.expect(ack(5));
        assert!(was_told(s));
        assert_state(s, &stream, State::CloseWait);
        assert_eq!(s.read_up_to(&stream, 10).unwrap(), b"xyz");
    });
}
