//! RFC 3042, limited transmit: the first two duplicate acknowledgements let a new segment go each, so that a small window has
//! enough of them to show a loss; with SACK and without.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::time::Duration;

use burstlane_spec::script::tcp::{ISNS, TcpScript, ack, syn, syn_ack, text};
use burstlane_tcp::{Config, Tcp};

type Script = TcpScript<Tcp>;

fn with_a_full_window(has_sack: bool, peer_window: u16, go_on: impl Fn(&mut Script)) {
    let mut config = Config::default();
    (config.timestamps, config.sack, config.window_scaling) = (false, has_sack, false);
    (config.nagle, config.delayed_ack_timeout) = (false, Duration::ZERO);
    for isn in ISNS {
        let mut s = Script::at_isn(isn, config.clone());
        let stream = s.connect();
        s.expect(syn());
        s.after(Duration::from_millis(80));
        s.peer(syn_ack().ack(1).mss(1000).sack_permitted(has_sack).window(peer_window));
        s.expect(ack(1));
        s.write(&stream, &[1; 30_000]);
        assert_eq!(s.take().len(), 10, "{}", s.trace());
        go_on(&mut s);
    }
}

/// Section 2: one each, and the third brings the retransmission.
#[test]
fn the_first_two_duplicates_let_a_new_segment_go_each() {
    for has_sack in [true, false] {
        with_a_full_window(has_sack, 60_000, |s| {
            let duplicate = |n: i32| if has_sack { ack(1).sack(&[(1001, 1001 + n * 1000)]) } else { ack(1) };
            for n in [1, 2] {
                s.peer(duplicate(n));
                s.expect(text(10_001 + (n - 1) * 1000, 1000));
                s.nothing_more();
            }
            s.peer(duplicate(3));
            s.expect(text(1, 1000));
        });
    }
}

/// Section 2: but only if the peer's window takes it.
#[test]
fn the_peers_window_holds_all_the_same() {
    for has_sack in [true, false] {
        with_a_full_window(has_sack, 10_500, |s| {
            for n in [1, 2] {
                let duplicate = if has_sack { ack(1).sack(&[(1001, 1001 + n * 1000)]) } else { ack(1) };
                s.peer(duplicate.window(10_500));
                s.nothing_more();
            }
        });
    }
}
