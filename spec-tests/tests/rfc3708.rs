//! RFC 3708, what D-SACKs (RFC 2883) tell a sender: that what it sent again had not been lost, so that it takes its reduction
//! back (RFC 4015 3.2), as packet traces.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::time::Duration;

use burstlane::socket::Stream;
use burstlane_spec::script::tcp::{ISNS, TcpScript, ack, syn, syn_ack, text};
use burstlane_tcp::{Config, Tcp, TcpInfo};

type Script = TcpScript<Tcp>;

/// Ten segments of 1,000 bytes are out; three SACKs have sent the first again, and the window was reduced.
fn after_a_fast_retransmission(go_on: impl Fn(&mut Script, &Stream<Tcp>)) {
    let mut config = Config::default();
    (config.timestamps, config.sack, config.window_scaling) = (false, true, false);
    (config.nagle, config.delayed_ack_timeout) = (false, Duration::ZERO);
    for isn in ISNS {
        let mut s = Script::at_isn(isn, config.clone());
        let stream = s.connect();
        s.expect(syn());
        s.after(RTT);
        s.peer(syn_ack().ack(1).mss(1000).sack_permitted(true));
        s.expect(ack(1));
        s.write(&stream, &[1; 10_000]);
        assert_eq!(s.take().len(), 10);
        s.after(RTT);
        s.peer(ack(1).sack(&[(1001, 4001)]));
        s.expect(text(1, 1000));
        s.nothing_more();
        assert!(info(&stream).ssthresh < 10_000);
        go_on(&mut s, &stream);
    }
}

fn info(stream: &Stream<Tcp>) -> TcpInfo {
    stream.inspect(Tcp::info).unwrap()
}

/// The original was only late: everything is acknowledged, and then the copy is reported.
#[test]
fn a_reduction_for_what_was_only_late_is_taken_back() {
    after_a_fast_retransmission(|s, stream| {
        s.peer(ack(10_001));
        assert_eq!(info(stream).undone, 0);
        s.peer(ack(10_001).sack(&[(1, 1001)]));
        let info = info(stream);
        assert_eq!(info.undone, 1, "{}", s.trace());
        assert!(info.cwnd >= 10_000 && info.ssthresh >= 10_000, "{info:?}");
    });
}

/// Once, and no further: a report that comes twice, or of what was never sent again, gives nothing.
#[test]
fn a_report_gives_back_no_more_than_was_taken() {
    after_a_fast_retransmission(|s, stream| {
        s.peer(ack(10_001));
        for _ in 0..5 {
            s.peer(ack(10_001).sack(&[(1, 1001)]));
        }
        assert_eq!(info(stream).undone, 1, "{}", s.trace());
    });
}

/// If one of two was needed, the reduction was, too.
#[test]
fn a_reduction_stays_if_any_of_it_was_needed() {
    after_a_fast_retransmission(|s, stream| {
        s.after(RTT);
        // The second hole's retransmission arrives; the first one's copy is reported.
        s.peer(ack(4001).sack(&[(5001, 8001)]));
        s.expect(text(4001, 1000));
        s.peer(ack(4001).sack(&[(1, 1001), (5001, 8001)]));
        s.after(RTT);
        s.peer(ack(10_001));
        let info = info(stream);
        assert_eq!(info.undone, 0, "{}", s.trace());
        assert!(info.ssthresh < 10_000, "{info:?}");
    });
}

const RTT: Duration = Duration::from_millis(20);
