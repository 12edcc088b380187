//! RFC 6582, NewReno: recovery with a peer that does not send SACKs, as packet traces.
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

/// Ten segments of 1,000 bytes are out, nothing more is to be sent, and a round trip has passed.
fn with_ten_outstanding(go_on: impl Fn(&mut Script, &Stream<Tcp>)) {
    let mut config = Config::default();
    (config.timestamps, config.sack, config.window_scaling) = (false, false, false);
    (config.nagle, config.delayed_ack_timeout) = (false, Duration::ZERO);
    for isn in ISNS {
        let mut s = Script::at_isn(isn, config.clone());
        let (stream, _listener) = s.accepted(syn().mss(1000));
        s.write(&stream, &[1; 10_000]);
        assert_eq!(s.take().len(), 10);
        s.after(RTT);
        go_on(&mut s, &stream);
    }
}

fn sequence(s: &mut Script) -> Vec<i32> {
    s.take().iter().map(|(_, segment): &(_, Segment)| segment.seq.unwrap()).collect()
}

/// 3.2 step 2: the third duplicate shows a loss. Step 3: each partial acknowledgement shows the next hole, which goes at once,
/// and nothing else does.
#[test]
fn a_partial_acknowledgement_sends_the_next_hole() {
    with_ten_outstanding(|s, _| {
        for _ in 0..2 {
            s.peer(ack(1));
            s.nothing_more();
        }
        s.peer(ack(1));
        s.expect(text(1, 1000));
        s.nothing_more();
        for hole in [3001, 6001, 9001] {
            s.peer(ack(hole));
            s.expect(text(hole, 1000));
            s.nothing_more();
        }
        s.peer(ack(10_001));
        s.silence(Duration::from_secs(100));
    });
}

/// 3.2 step 2 and section 4.1: duplicates that come back from what was sent again start no second recovery; ones of newer data do.
#[test]
fn duplicates_of_an_old_recovery_start_no_new_one() {
    with_ten_outstanding(|s, stream| {
        for _ in 0..3 {
            s.peer(ack(1));
        }
        s.expect(text(1, 1000));
        let cwnd = stream.inspect(Tcp::info).unwrap().ssthresh;
        s.peer(ack(10_001));
        for _ in 0..5 {
            s.peer(ack(10_001));
        }
        s.nothing_more();
        assert_eq!(stream.inspect(Tcp::info).unwrap().ssthresh, cwnd);
        s.write(stream, &[2; 4000]);
        assert_eq!(sequence(s), [10_001, 11_001, 12_001, 13_001]);
        for _ in 0..3 {
            s.peer(ack(10_001));
        }
        assert_eq!(stream.inspect(Tcp::info).unwrap().timeouts, 0);
    });
}

/// 3.2 step 3 and section 4, the impatient variant: the first partial acknowledgement restarts the timer, later ones do not. So
/// many losses in one window are not mended at one a round trip, but by slow start after a timeout.
#[test]
fn only_the_first_partial_acknowledgement_restarts_the_timer() {
    with_ten_outstanding(|s, stream| {
        for _ in 0..3 {
            s.peer(ack(1));
        }
        s.expect(text(1, 1000));
        let step = Duration::from_millis(60);
        s.after(step);
        s.peer(ack(1001));
        s.expect(text(1001, 1000));
        let restarted_at = s.now();
        let rto = stream.inspect(Tcp::info).unwrap().rto;
        let mut hole = 2001;
        while s.now().since(restarted_at) + step < rto {
            s.after(step);
            s.peer(ack(hole));
            s.expect(text(hole, 1000));
            s.nothing_more();
            hole += 1000;
        }
        assert!(hole >= 4001, "later partial acknowledgements came: {hole}");
        let (_, again) = s.next_within(rto).unwrap();
        assert_eq!(again.seq, Some(hole - 1000), "the last hole again {}", s.trace());
        let waited = s.now().since(restarted_at);
        assert!(waited < rto + Duration::from_millis(5), "{waited:?} {rto:?} {}", s.trace());
        assert_eq!(stream.inspect(Tcp::info).unwrap().timeouts, 1);
    });
}

const RTT: Duration = Duration::from_millis(20);
