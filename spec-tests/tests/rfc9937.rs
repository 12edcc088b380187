//! RFC 9937, Proportional Rate Reduction: what leaves while a loss is repaired, as packet traces. That the sums are right is
//! tested where they are made (`toolkit::prr`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::time::Duration;

use burstlane::congestion::by_name;
use burstlane::socket::Stream;
use burstlane_spec::script::tcp::{ISNS, Segment, TcpScript, ack, syn};
use burstlane_tcp::{Config, Tcp};

type Script = TcpScript<Tcp>;

/// NewReno, twenty segments of 1,000 bytes outstanding from number 20,001 on, and more to send than any window takes.
fn with_twenty_outstanding(go_on: impl Fn(&mut Script, &Stream<Tcp>)) {
    let mut config = Config::default();
    (config.timestamps, config.sack, config.window_scaling) = (false, true, false);
    (config.nagle, config.delayed_ack_timeout) = (false, Duration::ZERO);
    config.congestion = by_name("newreno").unwrap();
    for isn in ISNS {
        let mut s = Script::at_isn(isn, config.clone());
        let (stream, _listener) = s.accepted(syn().mss(1000).sack_permitted(true));
        s.write(&stream, &[1; 60_000]);
        assert_eq!(s.take().len(), 10);
        s.after(RTT);
        for upto in 1..=10 {
            s.peer(ack(upto * 1000 + 1));
        }
        assert_eq!(s.take().len(), 20);
        s.after(RTT);
        go_on(&mut s, &stream);
    }
}

fn sequence(s: &mut Script) -> Vec<i32> {
    s.take().iter().map(|(_, segment): &(_, Segment)| segment.seq.unwrap()).collect()
}

/// Section 6: one of twenty is lost, and the window is to be halved. For every two that arrive one leaves; there is neither a
/// pause nor a burst, and in the end ten are in flight.
#[test]
fn one_leaves_for_two_that_arrive() {
    with_twenty_outstanding(|s, stream| {
        // Three beyond the hole show the loss. The first two let new data go (RFC 3042), which is ten and two more.
        let mut left = vec![];
        for arrived in 2..=20 {
            s.peer(ack(10_001).sack(&[(11_001, 10_001 + arrived * 1000)]));
            left.push(sequence(s));
        }
        let flat: Vec<i32> = left.iter().flatten().copied().collect();
        assert_eq!(flat.iter().filter(|seq| **seq == 10_001).count(), 1, "{flat:?} {}", s.trace());
        let most = left.iter().map(Vec::len).max().unwrap();
        assert_eq!(most, 1, "no burst: {left:?} {}", s.trace());
        // After the retransmission no two pauses in a row.
        let rest: Vec<usize> = left.iter().skip(4).map(Vec::len).collect();
        assert!(rest.windows(3).all(|three| three.iter().sum::<usize>() >= 1), "{left:?} {}", s.trace());
        let info = stream.inspect(Tcp::info).unwrap();
        assert!(info.in_flight.abs_diff(info.ssthresh) <= 2000, "{info:?} {}", s.trace());
        // Section 6.2.3: at the end the window is the target.
        s.peer(ack(30_001 + 2000));
        let info = stream.inspect(Tcp::info).unwrap();
        assert!(info.cwnd >= info.ssthresh && info.cwnd <= info.ssthresh + 2000, "{info:?}");
    });
}

/// Section 6: most of a flight is lost, so less is in flight than the target. Without good news no more leaves than arrives; with
/// it, a segment more, until the target is reached. Never a burst of all that the window would take.
#[test]
fn after_heavy_loss_the_flight_grows_as_in_slow_start() {
    with_twenty_outstanding(|s, stream| {
        // Only the last three arrive, and tell of seventeen losses at once.
        s.peer(ack(10_001).sack(&[(27_001, 30_001)]));
        let first = sequence(s);
        assert!((1..=3).contains(&first.len()), "three arrived: {first:?} {}", s.trace());
        let mut repaired = first.len() as i32;
        let mut total = 0;
        while repaired < 17 && total < 17 {
            // What was sent again arrives, in order: good news.
            s.peer(ack(10_001 + (total + 1) * 1000).sack(&[(27_001, 30_001)]));
            total += 1;
            let leaves = sequence(s).len();
            assert!(leaves <= 2, "{leaves} {}", s.trace());
            repaired += leaves as i32;
        }
        let info = stream.inspect(Tcp::info).unwrap();
        assert!(repaired >= 17 && total <= 14, "it does grow: {repaired} {total} {info:?}");
        assert!(info.in_flight <= info.ssthresh, "{info:?}");
    });
}

const RTT: Duration = Duration::from_millis(50);
