//! RFC 8985 7: tail loss probes, as packet traces. The rest of the RFC is in the framework's ledger, and tested there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use std::time::Duration;

use burstlane::socket::Stream;
use burstlane_spec::script::tcp::{ISNS, TcpScript, ack, syn, text};
use burstlane_tcp::{Config, Tcp};

type Script = TcpScript<Tcp>;

/// A connection of which five segments left at once, and then the last again, as a probe.
fn after_a_probe(isn: u32, go_on: impl Fn(&mut Script, &Stream<Tcp>)) {
    let mut config = Config::default();
    (config.timestamps, config.sack, config.window_scaling) = (false, true, false);
    (config.nagle, config.delayed_ack_timeout) = (false, Duration::ZERO);
    let mut script = Script::at_isn(isn, config);
    let (stream, _listener) = script.accepted(syn().mss(1000).sack_permitted(true));
    script.write(&stream, &[1; 5000]);
    assert_eq!(script.take().len(), 5);
    let (_, probe) = script.next_within(Duration::from_millis(100)).unwrap();
    assert_eq!((probe.seq, probe.payload_bytes()), (Some(4001), 1000));
    script.nothing_more();
    go_on(&mut script, &stream);
}

/// 7.4.2: what the probe repeated had arrived, as a D-SACK tells.
#[test]
fn a_probe_too_many_costs_nothing() {
    for isn in ISNS {
        after_a_probe(isn, |s, stream| {
            s.peer(ack(5001));
            s.peer(ack(5001).sack(&[(4001, 5001)]));
            s.write(stream, &[1; 20_000]);
            assert!(s.take().len() >= 10, "{}", s.trace());
        });
    }
}

/// 7.4.2: nothing else shows that there was a loss, and the window must answer for it.
#[test]
fn a_loss_that_only_the_probe_mended_makes_the_window_smaller() {
    for isn in ISNS {
        after_a_probe(isn, |s, stream| {
            s.peer(ack(5001));
            s.write(stream, &[1; 1000]);
            s.expect(text(5001, 1000));
            s.peer(ack(6001));
            s.write(stream, &[1; 20_000]);
            assert!((2..=8).contains(&s.take().len()), "{}", s.trace());
        });
    }
}
