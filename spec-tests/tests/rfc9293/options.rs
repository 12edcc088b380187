//! 3.1, 3.2, 3.7.1: checksums, options that are good, strange or broken, and the size of segments.

use burstlane_spec::packets::ACK;
use burstlane_spec::script::tcp::{Segment, ack, data, segment, syn, syn_ack, text};
use burstlane_tcp::{Config, State};

use super::{Script, assert_state, at_both_isns, plain, seconds};

// cites: MUST-4, MUST-14, SHLD-5, MAY-3
#[test]
fn every_syn_offers_an_mss() {
    at_both_isns(&plain(), |s| {
        let _stream = s.connect();
        s.expect(syn().mss(1460));
        s.peer(syn_ack().ack(1));
        let third = s.expect(ack(1));
        assert_eq!(third.mss, None, "only a SYN has one");
    });
}

/// The MSS says what is left of a packet besides the two fixed headers, whatever options take.
// cites: MUST-67
#[test]
fn the_offer_is_the_packet_less_forty() {
    let mut config = Config::default();
    config.mss_max = 1200;
    at_both_isns(&config, |s| {
        let _listener = s.listen(1);
        s.peer(syn().timestamps(1, 0));
        s.expect(syn_ack().mss(1200));
    });
}

// cites: MUST-15
#[test]
fn without_an_offer_segments_have_536_bytes() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.write(&stream, &[1; 1200]);
        s.expect(text(1, 536));
        s.expect(text(537, 536));
        s.expect(text(1073, 128));
    });
}

/// 3.7.1: the smaller of the peer's offer and our path, less what options take.
// cites: MUST-16
#[test]
fn options_come_out_of_the_segment() {
    let mut config = plain();
    config.timestamps = true;
    at_both_isns(&config, |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000).timestamps(5, 0));
        s.write(&stream, &[1; 2000]);
        s.expect(text(1, 988));
        s.expect(text(989, 988));
        s.expect(text(1977, 24));
    });
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(9000));
        s.write(&stream, &[1; 2000]);
        s.expect(text(1, 1460));
        s.expect(text(1461, 540));
    });
}

/// An MSS outside of a SYN means nothing.
// cites: MUST-65, MUST-5
#[test]
fn an_mss_elsewhere_is_ignored() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.peer(data(1, b"x").mss(200));
        s.expect(ack(2));
        s.write(&stream, &[1; 1000]);
        s.expect(text(1, 1000));
    });
}

/// What is not known is skipped by its length, wherever it stands and however it is aligned.
// cites: MUST-5, MUST-6, MUST-64, MUST-68
#[test]
fn unknown_options_are_skipped() {
    let strange: [&[u8]; 5] = [
        // A kind for experiments (RFC 4727), two bytes and nine.
        &[253, 2],
        &[254, 9, 1, 2, 3, 4, 5, 6, 7],
        // No alignment at all: a NOP, three bytes of nobody's, the end, and what must not be read.
        &[1, 253, 3, 9, 0, 2, 4, 0, 1],
        // TCP fast open's cookie request, and user timeout.
        &[34, 2, 28, 4, 0, 1],
        &[0],
    ];
    for bytes in strange {
        at_both_isns(&plain(), |s| {
            let (stream, _listener) = s.accepted(syn().other_options(bytes).mss(700));
            s.peer(data(1, b"x").other_options(bytes));
            s.expect(ack(2));
            s.write(&stream, &[1; 700]);
            s.expect(text(1, 700));
        });
    }
}

/// An option behind one that does not begin at a word.
// cites: MUST-64
#[test]
fn an_mss_may_stand_anywhere() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().other_options(&[1, 253, 3, 9, 2, 4, 2, 88]));
        s.write(&stream, &[1; 700]);
        s.expect(text(1, 600));
        s.expect(text(601, 100));
    });
}

/// An impossible length makes nobody stumble: the segment counts for nothing, and the next one for all it says.
// cites: MUST-7
#[test]
fn impossible_lengths_are_survived() {
    let broken: [&[u8]; 6] = [&[253, 0], &[253, 1], &[253, 200], &[2, 3, 1], &[1, 1, 1, 253], &[8, 4, 1, 1]];
    for bytes in broken {
        at_both_isns(&plain(), |s| {
            let listener = s.listen(1);
            s.peer(syn().other_options(bytes));
            let _ = s.take();
            s.peer(syn());
            s.expect(syn_ack().ack(1));
            s.peer(ack(1));
            let stream = s.accept(&listener).unwrap();
            s.peer(data(1, b"lost").other_options(bytes));
            let _ = s.take();
            s.peer(data(1, b"good"));
            s.expect(ack(5));
            assert_state(s, &stream, State::Established);
        });
    }
}

/// 3.1: the window field has no sign.
// cites: MUST-1, REC-1
#[test]
fn a_window_above_32767_is_one() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000).window(50_000));
        let mut acked = 1;
        s.write(&stream, &[1; 60_000]);
        // The congestion window grows to what the peer's takes.
        let mut most = 0;
        for _ in 0..40 {
            let sent: Vec<Segment> = s.take().into_iter().map(|(_, segment)| segment).collect();
            let Some(end) = sent.iter().map(|segment| segment.seq.unwrap() + segment.segment_len()).max() else {
                break;
            };
            most = most.max(end - acked);
            acked = end;
            s.peer(ack(acked).window(50_000));
        }
        assert_eq!(acked, 60_001);
        assert!(most > 20_000, "{most}");
    });
}

/// Bits that are reserved, or that only others use, change nothing.
#[test]
fn reserved_bits_are_ignored() {
    at_both_isns(&plain(), |s| {
        let (_stream, _listener) = s.accepted(syn());
        // ECE and CWR without ECN having been agreed upon, and URG.
        for (at, bit) in [(1, 64), (2, 128), (3, 32)] {
            s.peer(segment(ACK | bit).seq(at).payload(b"x"));
            s.expect(ack(at + 1));
        }
        s.silence(seconds(1));
    });
}

/// What the network damaged is dropped without an answer. (What we send has a right checksum in every script: the script
/// checks it.)
// cites: MUST-2, MUST-3
#[test]
fn a_wrong_checksum_is_silence() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.peer_damaged(data(1, b"damaged"));
        s.nothing_more();
        s.peer(data(1, b"right"));
        s.expect(ack(6));
        assert_eq!(s.read_up_to(&stream, 100).unwrap(), b"right");
    });
}

/// Options fill the header to its end, or zeros do.
// cites: MUST-69
#[test]
fn nothing_stands_behind_the_end_of_options() {
    at_both_isns(&Config::default(), |s| {
        let is_padded = |s: &Script| {
            let header = &s.last_frame()[34..];
            let options = &header[20..usize::from(header[12] >> 4) * 4];
            let mut rest = options;
            while let [kind, more @ ..] = rest {
                rest = match kind {
                    0 => return more.iter().all(|byte| *byte == 0),
                    1 => more,
                    _ => &rest[usize::from(more[0])..],
                };
            }
            !options.is_empty()
        };
        let (stream, _listener) = s.accepted(syn().mss(1000).timestamps(1, 0).sack_permitted(true).window_scale(3));
        assert!(is_padded(s), "the SYN-ACK");
        s.write(&stream, b"x");
        s.expect(data(1, b"x"));
        assert!(is_padded(s));
        s.peer(text(11, 10).timestamps(2, 0));
        s.expect(ack(1));
        assert!(is_padded(s), "with SACK");
    });
}
