//! The transports of this repository as subjects of the conformance kit: how each is configured, and what it promises.
//! Tests and the command share them.
#![forbid(unsafe_code)]

pub mod goodput;
pub mod names;
#[cfg(feature = "planted-bugs")]
pub mod planted;

use std::fmt;
use std::time::Duration;

use burstlane::transport::Transport;
use burstlane_rudp::{Rudp, RudpConfig};
use burstlane_spec::failure::by_command;
use burstlane_spec::judge::{Run, Watch, run, unfit};
use burstlane_spec::{Face, Promises, Scenario, Subject};
use burstlane_tcp::{Ecn, Tcp};
use burstlane_udp::{Udp, UdpConfig};
use stop_and_wait::StopAndWait;

/// TCP with its defaults. In half of the runs its sequence numbers are about to wrap; in some its buffers are small, so that
/// windows shut (but not where a bottleneck is to be filled).
#[must_use]
pub fn tcp() -> Subject<Tcp> {
    let mut promises = Promises::reliable();
    promises.piece_bytes_max = 32 * 1024;
    promises.survives_black_holes = true;
    // 40 ms, and the ticks of a timer.
    promises.ack_delay_max = Duration::from_millis(60);
    // Each buffer may be full, and what is out of order costs up to twice its bytes.
    promises.buffer_bytes_max = 4 * BUFFER_MAX as usize;
    let mut config = burstlane_tcp::Config::default();
    (config.send_buffer_max, config.receive_buffer_max) = (BUFFER_MAX, BUFFER_MAX);
    Subject::<Tcp>::new(config, promises).rerun_by(by_command).configured_by(|config, scenario| {
        let before_the_wrap = (scenario.seed >> 1) % 20_000;
        let ecns = [Ecn::Accept, Ecn::Classic, Ecn::Accurate];
        config.ecn = ecns.get((scenario.seed >> 24) as usize % 4).copied().unwrap_or(Ecn::Off);
        config.fixed_isn = (scenario.seed & 1 == 1).then(|| 0_u32.wrapping_sub(before_the_wrap as u32));
        let buffer_bytes = [4 * 1024, 4 * 1024, 16 * 1024].get((scenario.seed >> 16) as usize % 6);
        if let Some(&bytes) = buffer_bytes.filter(|_| scenario.link.queue_frames_max.is_none()) {
            *config = config.clone().with_buffers(bytes, bytes);
        }
    })
}

/// RUDP with its defaults; in some of the runs its windows and queues are small, so that they shut and fill (but not where a
/// bottleneck is to be filled).
#[must_use]
pub fn rudp() -> Subject<Rudp> {
    let mut promises = Promises::reliable();
    promises.patience_max = Duration::from_secs(6);
    promises.gives_up_within = Duration::from_secs(70);
    promises.buffer_bytes_max = 8 << 20;
    promises.survives_rebinding = true;
    // 5 ms, and the ticks of a timer.
    promises.ack_delay_max = Duration::from_millis(20);
    promises.tells_of_unread = false;
    Subject::<Rudp>::new(RudpConfig::default(), promises)
        .rerun_by(by_command)
        .naming_packets(names::rudp)
        .configured_by(|config, scenario| {
            if scenario.seed.is_multiple_of(3) && scenario.link.queue_frames_max.is_none() {
                (config.channel.message_bytes_max, config.channel.window_bytes) = (16 * 1024, 17 * 1024);
                (config.channel.stream_bytes_max, config.channel.tx_messages_max) = (4 * 1024, 2);
            }
        })
}

/// UDP with its defaults; in some of the runs its socket takes two datagrams at a time.
#[must_use]
pub fn udp() -> Subject<Udp> {
    Subject::<Udp>::new(UdpConfig::default(), Promises::datagrams())
        .configured_by(|config, scenario| {
            if scenario.seed.is_multiple_of(3) {
                config.tx_limits.messages_max = 2;
            }
        })
        .rerun_by(by_command)
}

/// The example of a transport: one message at a time.
#[must_use]
pub fn stop_and_wait() -> Subject<StopAndWait> {
    let mut promises = Promises::reliable();
    promises.controls_congestion = false;
    promises.proves_openers = false;
    promises.piece_bytes_max = 1_200;
    promises.patience_max = Duration::from_secs(4);
    promises.gives_up_within = Duration::from_secs(80);
    // A reset is said once: who misses it repeats its last words until it gives up.
    promises.settles_within = promises.gives_up_within;
    // 1,024 small messages each way, each in a chunk of its own.
    promises.buffer_bytes_max = 8 << 20;
    promises.tells_of_unread = false;
    Subject::new(stop_and_wait::Config::default(), promises).rerun_by(by_command).naming_packets(names::stop_and_wait)
}

/// The names of all of them.
pub const NAMES: [&str; 4] = ["tcp", "rudp", "udp", "stop-and-wait"];

/// Runs a scenario over the transport that it names, with the bug that it names.
///
/// # Errors
/// None of [`NAMES`] is that transport, the scenario does not suit it, or there is no such bug; without the feature `planted-bugs` there is none at all.
pub fn run_by_name(scenario: &Scenario, watch: Watch) -> Result<Run, NoSubject> {
    if let Some(bug) = &scenario.planted {
        return run_planted(scenario, bug, watch);
    }
    Ok(match scenario.transport.as_str() {
        "tcp" => run_fit(&tcp(), scenario, watch)?,
        "rudp" => run_fit(&rudp(), scenario, watch)?,
        "udp" => run_fit(&udp(), scenario, watch)?,
        "stop-and-wait" => run_fit(&stop_and_wait(), scenario, watch)?,
        other => return Err(NoSubject::Transport(other.to_owned())),
    })
}

fn run_fit<T: Transport>(subject: &Subject<T>, scenario: &Scenario, watch: Watch) -> Result<Run, NoSubject>
where
    T::Io: Face,
{
    match unfit(subject, scenario) {
        Some(why) => Err(NoSubject::Unfit(why)),
        None => Ok(run(subject, scenario, watch)),
    }
}

#[cfg(feature = "planted-bugs")]
use planted::run_planted;

#[cfg(not(feature = "planted-bugs"))]
fn run_planted(_: &Scenario, bug: &str, _: Watch) -> Result<Run, NoSubject> {
    Err(NoSubject::Bug(bug.to_owned()))
}

/// A scenario names something that is not here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoSubject {
    /// The transport.
    Transport(String),
    /// The bug planted in it.
    Bug(String),
    /// What the transport's applications cannot do.
    Unfit(String),
}

impl fmt::Display for NoSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(name) => write!(f, "there is no transport '{name}'; expected one of {}", NAMES.join(", ")),
            Self::Bug(name) if cfg!(feature = "planted-bugs") => write!(f, "there is no planted bug '{name}'"),
            Self::Unfit(why) => write!(f, "the scenario does not suit its transport: {why}"),
            Self::Bug(name) => write!(f, "the bug '{name}' is there only with the feature planted-bugs"),
        }
    }
}

impl std::error::Error for NoSubject {}

/// What the buffers of a TCP connection grow to: with the default a run would take long to fill them.
const BUFFER_MAX: u32 = 512 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let text = format!("burstlane scenario 1\n{text}");
        run_by_name(&text.parse().expect("a scenario"), Watch::Judge)
            .err()
            .map_or_else(String::new, |no| no.to_string())
    }

    #[test]
    fn what_does_not_suit_a_transport_is_refused() {
        let too_large = "transport stop-and-wait\nseed 1\nflow opens 0ms\n left send 1201";
        assert!(refusal(too_large).contains("flow 0, left: a message of 1201 bytes; expected at most 1200"));
        assert!(refusal("transport udp\nseed 1\nflow opens 0ms\n right send 7").contains("at least 8 bytes"));
        assert!(refusal("transport tcp\nseed 1\nlink loss 100%").contains("loses everything"));
        assert!(refusal("transport sctp\nseed 1").contains("no transport 'sctp'"));
        assert_eq!(refusal("transport tcp\nseed 1\nflow opens 0ms\n left send 9"), "");
    }

    #[test]
    fn a_planted_bug_changes_nothing_about_that() {
        let with = |bug: &str| {
            refusal(&format!("transport stop-and-wait\nplanted {bug}\nseed 1\nflow opens 0ms\n left send 1201"))
        };
        assert!(with("nonsense").contains("'nonsense'"));
        let expected = if cfg!(feature = "planted-bugs") { "at most 1200" } else { "only with the feature" };
        assert!(with("takes_any_number").contains(expected), "{}", with("takes_any_number"));
    }

    #[test]
    fn a_plan_made_by_hand_ends_where_it_says() {
        use burstlane_spec::scenario::{FlowPlan, Op, SidePlan};
        let mut scenario = Scenario::new("tcp", 1);
        let ops = vec![Op::Abort, Op::Pause { ms: 1 }];
        scenario.flows =
            vec![FlowPlan { opens_ms: 0, sides: [SidePlan { ops, ..SidePlan::default() }, SidePlan::default()] }];
        assert_eq!(unfit(&tcp(), &scenario).as_deref(), Some("flow 0, left: 'pause 1ms' stands behind the end"));
    }
}
