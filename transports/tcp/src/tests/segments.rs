//! What single segments do: the steps of RFC 9293 3.10.7, RFC 5961, and several of them in one burst.

use std::time::Duration;

use burstlane::transport::FlowError;

use super::script::{Script, seg};
use crate::{Config, State};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Name, the segment's flags, SEQ, ACK and text, the answers, whether it ends the connection.
type OpenRow = (&'static str, &'static str, u32, u32, &'static [u8], &'static [&'static str], bool);
/// Name, the segment's flags and ACK, the answers, the state and the error after it.
type SynSentRow = (&'static str, &'static str, u32, &'static [&'static str], Option<State>, Option<FlowError>);

/// What comes in one burst has the effect of coming one by one.
#[test]
fn a_burst_is_its_segments_one_by_one() {
    let mut whole = Script::plain();
    let _listener = whole.listen(8);
    // SYN, SYN again, ACK with data, FIN, and what closes; then a new SYN with the same ports.
    let first = [seg("S", 0, 0, b""), seg("S", 0, 0, b""), seg("R", 1, 0, b""), seg("S", 500_000, 0, b"")];
    let answers = whole.exchange(&first);
    assert_eq!(answers.last().map(String::as_str), Some("S. 0 500001 0"), "{answers:?}");
    assert_eq!(whole.host.lane().remnants(), 1, "one half-open, the new one");

    let mut single = Script::plain();
    let _listener = single.listen(8);
    let mut last = vec![];
    for segment in &first {
        last = single.exchange(std::slice::from_ref(segment));
    }
    assert_eq!(last, ["S. 0 500001 0"]);
    assert_eq!(single.host.lane().remnants(), 1);
}

#[test]
fn a_whole_connection_in_one_burst() {
    let mut script = Script::plain();
    let listener = script.listen(8);
    assert_eq!(script.exchange(&[seg("S", 0, 0, b""), seg("S", 0, 0, b"")]), ["S. 0 1 0", "S. 0 1 0"]);
    // The handshake's last segment, data, a duplicate of it, and the FIN.
    let burst = [seg(".", 1, 1, b""), seg("P.", 1, 1, b"hello"), seg("P.", 1, 1, b"hello"), seg("F.", 6, 1, b"")];
    assert_eq!(script.exchange(&burst), [". 1 7 0"]);
    let stream = listener.accept().unwrap();
    let mut buf = [0; 10];
    assert_eq!(stream.read(&mut buf).unwrap(), 5);
    assert_eq!(&buf[..5], b"hello");
    assert_eq!(stream.read(&mut buf).unwrap(), 0);
    drop(stream);
    assert_eq!(script.answers(), ["F. 1 7 0"]);
    // Our FIN acknowledged, and a new SYN, in one burst: the flow ended in between.
    let answers = script.exchange(&[seg(".", 7, 2, b""), seg("S", 900_000, 0, b"")]);
    assert_eq!(answers, ["S. 0 900001 0"]);
}

#[test]
fn strangers_get_resets_and_their_resets_nothing() {
    let mut script = Script::plain();
    assert_eq!(script.exchange(&[seg("S", 0, 0, b"")]), ["R. 0 1 0"].map(|_| format!("R. {} 1 0", 0)));
    assert_eq!(script.exchange(&[seg(".", 5, 77, b"")]), ["R 77 0 0"]);
    assert_eq!(script.exchange(&[seg("F.", 5, 78, b"abc")]), ["R 78 0 0"]);
    assert!(script.exchange(&[seg("R", 5, 0, b"")]).is_empty());
    assert!(script.exchange(&[seg("R.", 5, 1, b"")]).is_empty());
    let _listener = script.listen(1);
    assert_eq!(script.exchange(&[seg(".", 5, 77, b"")]), ["R 77 0 0"]);
    assert!(script.exchange(&[seg("R", 5, 0, b"")]).is_empty());
    assert!(script.exchange(&[seg("", 5, 0, b"x")]).is_empty());
}

/// RFC 5961: rows of an open connection, whose RCV.NXT is 1 and SND.NXT is 1.
#[test]
fn segments_on_an_open_connection() {
    let rows: [OpenRow; 12] = [
        ("the exact reset", "R", 1, 0, b"", &[], true),
        ("a reset in the window", "R", 2, 0, b"", &[". 1 1 0"], false),
        ("a reset out of the window", "R", 900_000, 0, b"", &[], false),
        ("a SYN in the window", "S", 100, 0, b"", &[". 1 1 0"], false),
        ("the old SYN", "S", 0, 0, b"", &[". 1 1 0"], false),
        ("an ACK of the future", ".", 1, 5, b"x", &[". 1 1 0"], false),
        ("no ACK", "", 1, 0, b"x", &[], false),
        ("old data", "P.", 0, 1, b"", &[". 1 1 0"], false),
        ("data beyond a gap", "P.", 10, 1, b"xyz", &[". 1 1 0"], false),
        ("a FIN beyond a gap", "F.", 10, 1, b"", &[". 1 1 0"], false),
        ("a FIN", "F.", 1, 1, b"", &[". 1 2 0"], false),
        ("data and FIN", "FP.", 1, 1, b"xyz", &[". 1 5 0"], false),
    ];
    for (name, flags, seq, ack, payload, expected, ends) in rows {
        let mut script = Script::plain();
        let (stream, _listener) = script.accept();
        assert_eq!(script.exchange(&[seg(flags, seq, ack, payload)]), expected, "{name}");
        let ended = stream.ended();
        assert_eq!(ended, ends.then_some(Some(FlowError::Reset)), "{name}");
        assert!(script.wait(ms(30)).is_empty(), "{name}");
    }
}

#[test]
fn challenges_are_limited_for_each_connection() {
    let mut script = Script::plain();
    let (stream, _listener) = script.accept();
    let answers: usize = (0..100).map(|n| script.exchange(&[seg("R", 2 + n, 0, b"")]).len()).sum();
    assert_eq!(answers, 10);
    script.wait(ms(1100));
    assert_eq!(script.exchange(&[seg("R", 2, 0, b"")]).len(), 1, "a second later again");
    assert_eq!(script.dropped("tcp: reset in the window, not at its edge"), 101);
    assert_eq!(stream.ended(), None);
}

#[test]
fn segments_for_syn_sent() {
    let rows: [SynSentRow; 7] = [
        ("a SYN-ACK", "S.", 1, &[". 1 1 0"], Some(State::Established), None),
        ("a SYN", "S", 0, &["S. 0 1 0"], Some(State::SynReceived), None),
        ("a SYN-ACK of something else", "S.", 9, &["R 9 0 0"], Some(State::SynSent), None),
        ("a refusal", "R.", 1, &[], None, Some(FlowError::Refused)),
        ("a refusal of something else", "R.", 7, &[], Some(State::SynSent), None),
        ("a reset without ACK", "R", 0, &[], Some(State::SynSent), None),
        ("an ACK alone", ".", 1, &[], Some(State::SynSent), None),
    ];
    for (name, flags, ack, expected, state, error) in rows {
        let mut script = Script::plain();
        let stream = script.connect();
        assert_eq!(script.exchange(&[seg(flags, 0, ack, b"")]), expected, "{name}");
        assert_eq!(super::net::state(&stream), state, "{name}");
        assert_eq!(stream.ended(), error.map(Some), "{name}");
    }
}

/// RFC 9293 3.8.6.3, RFC 5681 4.2.
#[test]
fn every_second_full_segment_is_acknowledged_at_once_and_less_a_little_later() {
    let mut script = Script::plain();
    let (_stream, _listener) = script.accept();
    let full = [7; 1460];
    assert!(script.exchange(&[seg(".", 1, 1, &full)]).is_empty());
    assert_eq!(script.exchange(&[seg(".", 1461, 1, &full)]), [". 1 2921 0"]);
    assert!(script.exchange(&[seg("P.", 2921, 1, b"x")]).is_empty());
    let later = script.wait(ms(500));
    assert_eq!(later.len(), 1, "{later:?}");
    assert!(later[0].1 == ". 1 2922 0" && (40..=43).contains(&later[0].0), "{later:?}");
    // A gap, and its end: at once.
    assert_eq!(script.exchange(&[seg("P.", 2924, 1, b"z")]), [". 1 2922 0"]);
    assert_eq!(script.exchange(&[seg("P.", 2922, 1, b"xy")]), [". 1 2925 0"]);
}

/// RFC 9293 3.7.4 and 3.8.6.2.1.
#[test]
fn small_segments_wait_for_each_other_and_a_reply_carries_the_ack() {
    let mut script = Script::plain();
    let (stream, _listener) = script.accept();
    script.exchange(&[seg("P.", 1, 1, b"question")]);
    stream.write(b"answer").unwrap();
    assert_eq!(script.answers(), [". 1 9 6"], "one segment");
    stream.write(b"more").unwrap();
    assert!(script.answers().is_empty(), "Nagle");
    stream.write(b" and more").unwrap();
    assert_eq!(script.exchange(&[seg(".", 9, 7, b"")]), [". 7 9 13"]);
    stream.shutdown();
    assert_eq!(script.answers(), ["F. 20 9 0"], "a FIN does not wait");
}

/// RFC 9293 3.8.6.1.
#[test]
fn a_shut_window_is_probed_ever_more_rarely() {
    let mut script = Script::plain();
    let (stream, _listener) = script.accept();
    script.exchange(&[seg(".", 1, 1, b"").window(0)]);
    stream.write(b"hello").unwrap();
    assert!(script.answers().is_empty());
    let mut times = vec![];
    for _ in 0..6 {
        let mut waited = 0;
        loop {
            waited += 100;
            assert!(waited < 100_000);
            let sent = script.wait(ms(100));
            if let Some((at, what)) = sent.first() {
                assert_eq!(what, ". 1 1 1", "one byte of new data");
                times.push(waited - 100 + at);
                break;
            }
        }
        script.exchange(&[seg(".", 1, 1, b"").window(0)]);
    }
    assert!(times.windows(2).all(|pair| pair[1] >= pair[0] * 3 / 2 || pair[1] >= 59_000), "{times:?}");
    // It opens, and all of it comes at once.
    let sent = script.exchange(&[seg(".", 1, 1, b"").window(1000)]);
    let bytes: usize = sent.iter().map(|s| s.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(bytes, 5, "{sent:?}");
    script.exchange(&[seg(".", 1, 6, b"").window(1000)]);
    assert_eq!(stream.ended(), None);
}

/// RFC 6298 5: the same segment again after 1, 2, 4... times the timeout.
#[test]
fn unanswered_data_is_sent_again_ever_more_rarely() {
    let mut script = Script::plain();
    let (stream, _listener) = script.accept();
    stream.write(b"hello").unwrap();
    assert_eq!(script.answers(), [". 1 1 5"]);
    let sent = script.wait(ms(7_000));
    assert!(sent.iter().all(|(_, what)| what == ". 1 1 5"), "{sent:?}");
    let gaps: Vec<u64> = sent.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps.len() >= 3 && gaps.windows(2).all(|pair| pair[1] * 10 >= pair[0] * 19), "{sent:?}");
    script.exchange(&[seg(".", 1, 6, b"")]);
    assert!(script.wait(ms(60_000)).is_empty());
}

/// RFC 5681 3.2: the third duplicate brings the first unacknowledged segment, without SACK.
#[test]
fn the_third_duplicate_brings_a_retransmission() {
    let mut script = Script::plain();
    let listener = script.listen(1);
    script.exchange(&[seg("S", 0, 0, b"").offers(Some(1000), false)]);
    script.exchange(&[seg(".", 1, 1, b"")]);
    let stream = listener.accept().unwrap();
    stream.write(&[5; 6000]).unwrap();
    assert_eq!(script.answers().len(), 6);
    assert!(script.exchange(&[seg(".", 1, 1, b"")]).is_empty());
    assert!(script.exchange(&[seg(".", 1, 1, b"")]).is_empty());
    assert_eq!(script.exchange(&[seg(".", 1, 1, b"")]), [". 1 1 1000"]);
    assert!(script.exchange(&[seg(".", 1, 1, b"")]).is_empty());
    // A partial acknowledgement brings the next hole (RFC 6582).
    assert_eq!(script.exchange(&[seg(".", 1, 1001, b"")]), [". 1001 1 1000"]);
    assert!(script.exchange(&[seg(".", 1, 6001, b"")]).is_empty());
    assert_eq!(script.now(), burstlane::time::Instant::ZERO, "no time passed");
}

/// A backlog of half-open connections is bounded, and each gives up by itself; the rest get cookies.
#[test]
fn a_flood_of_syns_is_bounded() {
    let mut script = Script::plain();
    let _listener = script.listen(4);
    for port in 0..2_000 {
        script.use_ports(10_000 + port, u32::from(port) * 99);
        script.exchange(&[seg("S", 0, 0, b"")]);
    }
    assert_eq!(script.host.lane().remnants(), 16);
    assert_eq!(script.dropped("tcp: SYN answered by a cookie"), 1_984);
    let config = Config::default();
    assert_eq!(config.syn_retries_max, 7);
    // What is sent again goes to ports of the flood; only that it ends matters.
    for _ in 0..300 {
        script.use_ports(0, 0);
        script.quietly(ms(1_000));
    }
    assert_eq!(script.host.lane().remnants(), 0);
}

/// Nobody is left who could end it, so a window that stays shut ends it.
#[test]
fn an_orphan_is_not_held_by_a_shut_window() {
    let mut script = Script::plain();
    let (stream, _listener) = script.accept();
    script.exchange(&[seg(".", 1, 1, b"").window(0)]);
    stream.write(b"hello").unwrap();
    drop(stream);
    let mut sent = vec![];
    for _ in 0..2_000 {
        if script.host.lane().flows() == 0 {
            break;
        }
        sent.extend(script.wait(ms(1_000)).into_iter().map(|(_, what)| what));
        script.exchange(&[seg(".", 1, 1, b"").window(0)]);
    }
    assert_eq!(script.host.lane().flows(), 0);
    assert_eq!(sent.last().map(String::as_str), Some("R. 1 1 0"), "{sent:?}");
}

/// Both SYN and SYN-ACK are sent again after 1, 2, 4... seconds, and answers in between move nothing.
#[test]
fn a_syn_ack_keeps_its_times() {
    let mut script = Script::plain();
    let _listener = script.listen(1);
    script.exchange(&[seg("S", 0, 0, b"")]);
    let mut times = vec![];
    for tenth in 0..400 {
        times.extend(script.wait(ms(100)).into_iter().map(|_| tenth / 10));
        if tenth % 7 == 0 {
            script.exchange(&[seg(".", 100_000, 1, b"")]);
        }
    }
    assert_eq!(times, [1, 3, 7, 15, 31]);
}
