//! 3.8.6: the window, shut, shrunk, silly, and probed.

use std::time::Duration;

use burstlane_spec::script::tcp::{ack, data, fin, syn, text};
use burstlane_tcp::{Config, State};

use super::{Script, assert_state, at_both_isns, ms, plain, seconds};

/// Waits for a probe: when it comes, and that it is one.
#[track_caller]
fn probe(s: &mut Script, seq: i32) -> Duration {
    let Some((after, probe)) = s.next_within(seconds(200)) else { s.fail("no probe") };
    if probe.seq != Some(seq) || probe.payload_bytes() != 1 {
        s.fail(&format!("expected: one byte at {seq}\n    came: {probe}"));
    }
    after
}

/// 3.8.6.1: the first probe after one timeout, each wait twice the one before, up to the bound; and for as long as the peer answers.
// cites: MUST-35, MUST-36, MUST-37, SHLD-29, SHLD-30, MAY-8
#[test]
fn a_shut_window_is_probed_for_ever_with_doubling_waits() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.peer(ack(1).window(0));
        s.write(&stream, b"waits");
        s.nothing_more();
        let mut waits = vec![];
        for _ in 0..40 {
            waits.push(probe(s, 1));
            s.peer(ack(1).window(0));
        }
        let first = waits[0];
        assert!(first >= ms(200) && first < ms(1000), "the first after a timeout: {waits:?}");
        let mut expected = first;
        for wait in &waits[1..] {
            expected = (expected * 2).min(seconds(60));
            assert!(*wait >= expected - ms(10) && *wait <= expected + ms(20), "{wait:?}, not {expected:?}: {waits:?}");
            expected = *wait;
        }
        assert_state(s, &stream, State::Established);
        s.peer(ack(1).window(1000));
        let sent: Vec<u8> = s.take().into_iter().flat_map(|(_, segment)| segment.payload.unwrap()).collect();
        assert_eq!(sent, b"waits", "{}", s.trace());
    });
}

#[test]
fn a_probe_that_is_taken_moves_on() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.peer(ack(1).window(0));
        s.write(&stream, b"abc");
        probe(s, 1);
        s.peer(ack(2).window(0));
        probe(s, 2);
        s.peer(ack(3).window(1));
        s.expect(data(3, b"c"));
        s.peer(ack(4));
        s.silence(seconds(100));
    });
}

/// A lost window update: the probe finds it.
#[test]
fn a_lost_window_update_is_recovered_from() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.peer(ack(1).window(0));
        s.write(&stream, &[5; 3000]);
        probe(s, 1);
        // The update was lost; what answers the probe says it again.
        s.peer(ack(2).window(10_000));
        s.expect(text(2, 1000));
        s.expect(text(1002, 1000));
        s.expect(text(2002, 999));
    });
}

#[test]
fn a_fin_asks_after_a_shut_window_like_text() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn());
        s.peer(ack(1).window(0));
        s.shutdown(&stream);
        let (_, came) = s.next_within(seconds(5)).unwrap_or_else(|| s.fail("no FIN"));
        assert_eq!((came.seq, came.segment_len()), (Some(1), 1));
        s.peer(ack(2).window(0));
        assert_state(s, &stream, State::FinWait2);
    });
}

/// The peer takes back what it offered: nothing new leaves, what was sent is sent again, and nothing is given up for it.
// cites: MUST-34, SHLD-15, SHLD-16, SHLD-17, MAY-7
#[test]
fn a_window_that_shrank_is_lived_with() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000).window(4000));
        s.peer(ack(1).window(4000));
        s.write(&stream, &[1; 5000]);
        for seq in [1, 1001, 2001, 3001] {
            s.expect(text(seq, 1000));
        }
        // The first arrived; the window now ends in the middle of the second, of which the peer takes that half.
        s.peer(ack(1001).window(500));
        s.nothing_more();
        let (_, again) = s.next_within(seconds(5)).unwrap_or_else(|| s.fail("nothing is sent again"));
        assert_eq!(again.seq, Some(1001), "{}", s.trace());
        for _ in 0..30 {
            s.peer(ack(1501).window(0));
            let (_, again) = s.next_within(seconds(100)).unwrap_or_else(|| s.fail("nothing is sent again"));
            // Beyond the edge it may send again (MAY-7), and nothing for the first time.
            assert!(again.seq.unwrap() + again.segment_len() <= 4001, "{}", s.trace());
        }
        assert_state(s, &stream, State::Established);
        s.peer(ack(4001).window(4000));
        s.expect(text(4001, 1000));
    });
}

/// 3.8.6.2.1: less than a full segment leaves only if it is all, or half of the largest window.
// cites: MUST-38, SHLD-28
#[test]
fn the_sender_is_not_silly() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000).window(2000));
        s.write(&stream, &[1; 10_000]);
        s.expect(text(1, 1000));
        s.expect(text(1001, 1000));
        s.nothing_more();
        // The peer opens by crumbs.
        s.peer(ack(2001).window(100));
        s.nothing_more();
        s.peer(ack(2001).window(900));
        s.nothing_more();
        s.peer(ack(2001).window(1000));
        s.expect(text(2001, 1000));
    });
}

/// The largest window is less than a segment: half of it is worth a segment.
// cites: MUST-38
#[test]
fn half_of_a_small_window_is_enough() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000).window(600));
        s.peer(ack(1).window(600));
        s.write(&stream, &[1; 3000]);
        s.expect(text(1, 600));
        s.peer(ack(601).window(200));
        s.nothing_more();
        s.peer(ack(601).window(300));
        s.expect(text(601, 300));
    });
}

/// Crumbs are sent in the end: the override timeout is the persist timer's.
#[test]
fn a_window_that_stays_small_is_used_in_the_end() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000).window(2000));
        s.write(&stream, &[1; 4000]);
        s.expect(text(1, 1000));
        s.expect(text(1001, 1000));
        s.peer(ack(2001).window(100));
        let (_, crumb) = s.next_within(seconds(5)).unwrap_or_else(|| s.fail("nothing"));
        assert_eq!((crumb.seq, crumb.payload_bytes()), (Some(2001), 100));
    });
}

/// 3.8.6.2.2: the window opens by segments or by half of the buffer, and not by what an application nibbles.
// cites: MUST-39
#[test]
fn the_receiver_is_not_silly() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        for seq in [1, 1001, 2001, 3001] {
            s.peer(text(seq, 1000));
        }
        s.peer(text(4001, 96));
        let last = s.take().pop().unwrap().1;
        assert_eq!((last.ack, last.window), (Some(4097), Some(0)), "{}", s.trace());
        for _ in 0..9 {
            assert_eq!(s.read_up_to(&stream, 100).unwrap().len(), 100);
            s.nothing_more();
            // A probe learns no crumbs either.
            s.peer(text(4097, 1));
            s.expect(ack(4097).window(0));
        }
        let mut read = 900;
        let opened = loop {
            read += s.read_up_to(&stream, 100).unwrap().len();
            if let Some((_, update)) = s.next_within(Duration::ZERO) {
                break update;
            }
        };
        assert!(opened.window.unwrap() >= 1000, "{} after {read} bytes were read", opened.window.unwrap());
        assert!(read <= 2048 + 100, "half of the buffer was read and the peer not told: {read}");
    });
}

/// What is read and acknowledged, in whatever order, never moves the right edge left.
// cites: SHLD-14
#[test]
fn the_right_edge_never_moves_left() {
    let mut config = plain();
    config.window_scaling = true;
    at_both_isns(&config.with_buffers(64 * 1024, 1 << 20), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1400).window_scale(2));
        let (mut edge, mut seq) = (65_535 + 1, 1);
        for step in 0..400 {
            let len = [1, 7, 1000, 1399, 333][step % 5];
            s.peer(text(seq, len));
            seq += len as i32;
            if step % 3 == 0 {
                s.read_up_to(&stream, [1, 10_000, 77][step % 7 % 3]).unwrap();
            }
            for (_, came) in s.take() {
                let came_edge = came.ack.unwrap() + (i32::from(came.window.unwrap()) << 5);
                // Less than a unit of the scale may be cut off (RFC 7323 2.4).
                assert!(came_edge + 32 > edge, "{came_edge} after {edge}: {}", s.trace());
                edge = came_edge.max(edge);
            }
        }
        assert!(edge > 300_000, "the window never opened: {edge}");
    });
}

/// What acknowledges more than any before it brings its window, also in a segment that repeats older text.
#[test]
fn a_newer_acknowledgement_on_older_text_brings_its_window() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000).window(2000));
        s.peer(ack(1).window(2000));
        s.write(&stream, &[1; 4000]);
        s.expect(text(1, 1000));
        s.expect(text(1001, 1000));
        // Two segments of the peer's, the first is lost; and comes again with an acknowledgement and a shut window.
        s.peer(text(11, 10).ack(1).window(2000));
        s.expect(ack(1));
        s.peer(text(1, 10).ack(2001).window(0));
        s.expect(ack(21).seq(2001).len(0));
        s.nothing_more();
        // A probe, and not what the old window allowed.
        assert!(probe(s, 2001) >= ms(200), "{}", s.trace());
    });
}

/// A segment that was overtaken has an old window, which is not taken (SND.WL1).
#[test]
fn an_overtaken_segment_brings_no_window() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000).window(2000));
        s.write(&stream, &[1; 4000]);
        s.expect(text(1, 1000));
        s.expect(text(1001, 1000));
        s.peer(text(11, 10).ack(1).window(5000));
        s.expect(text(2001, 1000));
        s.expect(text(3001, 1000));
        // Sent before that one.
        s.peer(text(1, 10).ack(1).window(100));
        s.expect(ack(21));
        s.write(&stream, &[1; 900]);
        s.expect(text(4001, 900));
    });
}

/// Text comes while the window is shut: its ACK is taken, it is not.
// cites: MUST-66
#[test]
fn a_shut_receiver_still_hears_acknowledgements() {
    at_both_isns(&plain(), |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, &[1; 100]);
        s.expect(text(1, 100));
        for seq in (1..4001).step_by(1000) {
            s.peer(text(seq, 1000).ack(1));
        }
        s.peer(text(4001, 96).ack(1));
        let _ = s.take();
        s.peer(text(4097, 10).ack(101));
        s.expect(ack(4097).window(0));
        s.silence(seconds(10));
        s.peer(fin(4097).ack(101));
        let _ = s.take();
        assert_eq!(s.read_up_to(&stream, 8192).unwrap().len(), 4096);
    });
}

/// 3.7.4 and 3.8.6: what the application sees of a window is only how much it can write.
#[test]
fn a_writer_is_held_by_its_buffer_and_not_by_the_window() {
    let config: Config = plain().with_buffers(8192, 4096);
    at_both_isns(&config, |s| {
        let (stream, _listener) = s.accepted(syn().mss(1000).window(0));
        s.peer(ack(1).window(0));
        assert_eq!(stream.write(&[1; 10_000]).unwrap(), 8192);
        assert!(stream.write(&[1; 10]).is_err());
        s.peer(ack(1).window(10_000));
        let sent: usize = s.take().iter().map(|(_, segment)| segment.payload_bytes()).sum();
        assert_eq!(sent, 8192);
    });
}
