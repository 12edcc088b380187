//! RFC 9293 against our TCP, by section, as packet traces: the test is the peer. `table` is section 3.10.7 as a whole.
//!
//! A comment `// cites:` in front of a test names the requirements of RFC 9293 (its labels) that the test shows. Not here:
//! path MTU discovery, and what belongs to IP (source routes).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

mod acknowledging;
mod addresses;
mod choices;
mod closing;
mod handshake;
mod icmp;
mod keep_alive;
mod limits;
mod options;
mod orphans;
mod patience;
mod retransmission;
mod table;
mod time_wait;
mod urgent;
mod window;

use std::time::Duration;

use burstlane::lane::EngineId;
use burstlane::socket::Stream;
use burstlane_spec::script::tcp::{ISNS, TcpScript};
use burstlane_tcp::{Config, State, Tcp};

type Script = TcpScript<Tcp>;

/// Neither timestamps nor SACK nor scaled windows, whose options rows would have to repeat; nothing waits for company.
fn plain() -> Config {
    let mut config = Config::default().with_buffers(64 * 1024, 4096);
    (config.timestamps, config.sack, config.window_scaling) = (false, false, false);
    (config.nagle, config.delayed_ack_timeout) = (false, Duration::ZERO);
    config
}

/// The same with what applications get unless they choose.
fn usual() -> Config {
    let mut config = Config::default();
    (config.timestamps, config.window_scaling) = (false, false);
    config
}

/// Runs a script far from the wrap, and with numbers that cross it.
fn at_both_isns(config: &Config, run: impl Fn(&mut Script)) {
    for isn in ISNS {
        run(&mut Script::at_isn(isn, config.clone()));
    }
}

fn state(stream: &Stream<Tcp>) -> Option<State> {
    stream.inspect(|_, conn| conn.state())
}

#[track_caller]
fn assert_state(script: &Script, stream: &Stream<Tcp>, expected: State) {
    let state = state(stream);
    if state != Some(expected) {
        script.fail(&format!("expected: {expected}\n    came: {state:?}"));
    }
}

/// What is left of connections on the host: flows, remnants.
fn left(script: &Script) -> (usize, usize) {
    let _: EngineId<Tcp> = script.engine;
    let lane = script.host.lane();
    (lane.flows(), lane.remnants())
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
