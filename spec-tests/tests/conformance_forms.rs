//! Each way to write `conformance!` compiles and runs: by type and configuration, with promises, and by any expression.

use std::time::Duration;

use burstlane_spec::{Promises, Subject};
use burstlane_udp::{Udp, UdpConfig};
use stop_and_wait::{Config, StopAndWait};

/// What the example promises; the words are there because an expression may hold anything.
fn promises(of: &str) -> Promises {
    let mut promises = Promises::reliable();
    promises.piece_bytes_max = 1_200;
    promises.controls_congestion = false;
    promises.proves_openers = false;
    promises.patience_max = Duration::from_secs(of.len() as u64);
    promises.gives_up_within = Duration::from_secs(80);
    promises
}

mod by_type {
    use super::{Udp, UdpConfig};
    use burstlane_spec::Promises;

    burstlane_spec::conformance! { Udp, UdpConfig::default(), Promises::datagrams() }
}

#[allow(
    clippy::needless_update,
    reason = "the form is what is tried; without a feature the configuration has one field"
)]
mod by_expression {
    use super::{Config, StopAndWait, Subject, promises};

    burstlane_spec::conformance! { Subject::<StopAndWait>::new(Config { ..Config::default() }, promises("4444")) }
}

mod with_the_usual_promises {
    use burstlane_tcp::{Config, Tcp};

    burstlane_spec::conformance! { Tcp, Config::default() }
}
