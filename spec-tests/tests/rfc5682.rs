//! RFC 5682, F-RTO: after a timeout the first acknowledgements decide whether anything was lost, as packet traces; with SACK
//! (section 3.1) and without it (2.1).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::time::Duration;

use burstlane::socket::Stream;
use burstlane_spec::script::tcp::{ISNS, Segment, TcpScript, ack, syn, text};
use burstlane_tcp::{Config, Tcp};

type Script = TcpScript<Tcp>;

/// Ten segments of 1,000 bytes are out, more waits, and the timer has sent the first again. With SACK a probe came before it.
fn after_a_timeout(has_sack: bool, go_on: impl Fn(&mut Script, &Stream<Tcp>)) {
    let mut config = Config::default();
    (config.timestamps, config.sack, config.window_scaling) = (false, has_sack, false);
    (config.nagle, config.delayed_ack_timeout) = (false, Duration::ZERO);
    for isn in ISNS {
        let mut s = Script::at_isn(isn, config.clone());
        let (stream, _listener) = s.accepted(syn().mss(1000).sack_permitted(has_sack));
        s.write(&stream, &[1; 10_000]);
        assert_eq!(s.take().len(), 10);
        s.write(&stream, &[2; 30_000]);
        s.nothing_more();
        let mut next = s.next_within(Duration::from_secs(3)).unwrap().1;
        if has_sack {
            assert_eq!(next.seq, Some(10_001), "the probe carries new data");
            next = s.next_within(Duration::from_secs(3)).unwrap().1;
        }
        assert_eq!((next.seq, next.payload_bytes()), (Some(1), 1000), "{}", s.trace());
        s.nothing_more();
        go_on(&mut s, &stream);
    }
}

/// Where new data goes on.
const fn new_from(has_sack: bool) -> i32 {
    if has_sack { 11_001 } else { 10_001 }
}

fn sequence(s: &mut Script) -> Vec<i32> {
    s.take().iter().map(|(_, segment): &(_, Segment)| segment.seq.unwrap()).collect()
}

/// Step 2b: the first acknowledgement of something new lets two new segments go, and nothing is sent again. Step 3b: the second
/// shows that an original arrived. The window is as before, and nothing at all is sent again.
#[test]
fn a_timeout_that_was_too_early_is_taken_back() {
    for has_sack in [true, false] {
        after_a_timeout(has_sack, |s, stream| {
            let undone = |stream: &Stream<Tcp>| stream.inspect(Tcp::info).unwrap().undone;
            let new = new_from(has_sack);
            s.peer(ack(1001));
            assert_eq!(sequence(s), [new, new + 1000], "{}", s.trace());
            assert_eq!(undone(stream), 0);
            s.peer(ack(2001));
            assert_eq!(undone(stream), 1, "{}", s.trace());
            let more = sequence(s);
            assert!(more.iter().all(|seq| *seq > new), "{more:?} {}", s.trace());
            for upto in 3..=10 {
                s.peer(ack(upto * 1000 + 1));
            }
            let more = sequence(s);
            assert!(more.len() >= 8 && more.iter().all(|seq| *seq > new), "{more:?} {}", s.trace());
            assert!(stream.inspect(Tcp::info).unwrap().cwnd >= 10_000);
        });
    }
}

/// Step 3a: an acknowledgement of nothing new says that what follows the hole arrived, not what was in it: the rest goes again.
#[test]
fn a_duplicate_after_new_data_means_that_the_loss_was_real() {
    for has_sack in [true, false] {
        after_a_timeout(has_sack, |s, stream| {
            let new = new_from(has_sack);
            s.peer(ack(1001));
            assert_eq!(sequence(s), [new, new + 1000]);
            s.peer(if has_sack { ack(1001).sack(&[(new, new + 1000)]) } else { ack(1001) });
            let mut again = sequence(s);
            s.peer(if has_sack { ack(1001).sack(&[(new, new + 2000)]) } else { ack(1001) });
            again.extend(sequence(s));
            if again.is_empty() {
                s.peer(ack(1001));
                again.extend(sequence(s));
            }
            if has_sack {
                assert_eq!(again.first(), Some(&1001), "{}", s.trace());
            }
            assert!(again.iter().all(|seq| *seq < new), "{again:?} {}", s.trace());
            assert_eq!(stream.inspect(Tcp::info).unwrap().undone, 0);
        });
    }
}

/// Step 2a: if all is acknowledged at once, it is the conventional recovery's end, and the window has to grow again.
#[test]
fn an_acknowledgement_of_everything_tells_nothing() {
    for has_sack in [true, false] {
        after_a_timeout(has_sack, |s, stream| {
            let new = new_from(has_sack);
            s.peer(ack(new));
            let sent = sequence(s);
            assert!((1..10).contains(&sent.len()) && sent[0] == new, "{sent:?} {}", s.trace());
            assert_eq!(stream.inspect(Tcp::info).unwrap().undone, 0);
        });
    }
}

/// Step 2b needs new data. Without it the lost goes again.
#[test]
fn without_new_data_the_recovery_is_the_conventional_one() {
    let mut config = Config::default();
    (config.timestamps, config.sack, config.window_scaling) = (false, false, false);
    (config.nagle, config.delayed_ack_timeout) = (false, Duration::ZERO);
    for isn in ISNS {
        let mut s = Script::at_isn(isn, config.clone());
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, &[1; 5000]);
        assert_eq!(s.take().len(), 5);
        let (_, first) = s.next_within(Duration::from_secs(3)).unwrap();
        assert_eq!(first.seq, Some(1));
        s.peer(ack(1001));
        s.expect(text(1001, 1000));
        s.expect(text(2001, 1000));
        s.nothing_more();
    }
}
