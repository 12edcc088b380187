//! smoltcp as our peer, in both roles, under faults.

use std::time::Duration;

use proptest::prelude::*;

use crate::allowances::{has_lost_its_timer, is_deaf_in_last_ack};
use crate::faults::{Fault, Schedule, Scheduled, schedule};
use crate::node::SmolConfig;
use crate::pair::{DELAY, Opener, Pair, PairConfig};
use crate::party::{Ending, Outcome, Over, Part};

/// A connection that is to be.
#[derive(Clone, Debug)]
struct Case {
    pair: PairConfigs,
    opener: Opener,
    parts: [Part; 2],
    schedules: [Schedule; 2],
}

/// What of a [`PairConfig`] varies.
#[derive(Clone, Copy, Debug)]
struct PairConfigs {
    seed: u64,
    is_v6: bool,
    mtu: [u32; 2],
    our_buffers: [u32; 2],
    our_options: [bool; 4],
    smol_buffers: [usize; 2],
    smol_options: [bool; 3],
    smol_iss: u32,
    wraps_after: Option<u32>,
}

impl PairConfigs {
    fn to_config(self) -> PairConfig {
        let mut tcp = burstlane_tcp::Config::default().with_buffers(self.our_buffers[0], self.our_buffers[1]);
        [tcp.timestamps, tcp.sack, tcp.window_scaling, tcp.nagle] = self.our_options;
        // More than there are faults.
        tcp.syn_retries_max = 13;
        let [has_timestamps, has_nagle, has_cubic] = self.smol_options;
        let smol = SmolConfig {
            iss: self.smol_iss,
            buffers: self.smol_buffers,
            has_timestamps,
            has_nagle,
            has_cubic,
            ..SmolConfig::new(1)
        };
        PairConfig { seed: self.seed, is_v6: self.is_v6, mtu: self.mtu, tcp, smol, wraps_after: self.wraps_after }
    }
}

fn pair_configs() -> impl Strategy<Value = PairConfigs> {
    let buffer = || prop_oneof![Just(16_384), 4096..20_000_u32, 65_000..100_000_u32];
    let smol_buffer = || prop_oneof![Just(16_384), 2000..20_000_usize, 65_000..100_000_usize];
    let mtu = || prop_oneof![Just(1500), 576..1500_u32];
    // Half of all runs go over the turn of the number space.
    let near = || prop_oneof![Just(0), 0..20_000_u32];
    (
        (any::<u64>(), any::<bool>(), [mtu(), mtu()], [buffer(), buffer()], any::<[bool; 4]>()),
        ([smol_buffer(), smol_buffer()], any::<[bool; 3]>()),
        (prop_oneof![any::<u32>(), near().prop_map(|near| 0_u32.wrapping_sub(near))], proptest::option::of(near())),
    )
        .prop_map(
            |((seed, is_v6, mtu, our_buffers, our_options), (smol_buffers, smol_options), (smol_iss, wraps_after))| {
                // RFC 8200 5.
                let mtu = mtu.map(|mtu| if is_v6 { mtu.max(1280) } else { mtu });
                PairConfigs {
                    seed,
                    is_v6,
                    mtu,
                    our_buffers,
                    our_options,
                    smol_buffers,
                    smol_options,
                    smol_iss,
                    wraps_after,
                }
            },
        )
}

fn part() -> impl Strategy<Value = Part> {
    let bytes = prop_oneof![1 => Just(0), 2 => 1..2000_u32, 4 => 1..60_000_u32];
    let size = || prop_oneof![1 => 1..50_u16, 3 => 50..6000_u16];
    let pause_ms = prop_oneof![4 => Just(0), 1 => 1..20_u16, 1 => 100..3000_u16];
    (bytes, size(), size(), pause_ms).prop_map(|(bytes, write_bytes, read_bytes, pause_ms)| {
        // A slow reader is to end its reading some day.
        let read_bytes = if pause_ms > 0 { read_bytes.max(1000) } else { read_bytes };
        Part { bytes, write_bytes, read_bytes, pause_ms, ending: Ending::First, has_doubts: false }
    })
}

/// Orderly ends, or one in four times an abort on one side or both.
fn endings() -> impl Strategy<Value = [Ending; 2]> {
    use Ending::{Abort, First, Second};
    let abort = || prop_oneof![Just(0), 0..30_000_u32];
    prop_oneof![
        2 => Just([First, First]),
        2 => Just([First, Second]),
        2 => Just([Second, First]),
        1 => abort().prop_map(|at| [Abort(at), First]),
        1 => abort().prop_map(|at| [First, Abort(at)]),
        1 => [abort(), abort()].prop_map(|[a, b]| [Abort(a), Abort(b)]),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let opener = prop_oneof![4 => Just(Opener::Ours), 4 => Just(Opener::Smol), 1 => Just(Opener::Both)];
    (pair_configs(), opener, [part(), part()], endings(), [schedule(), schedule()]).prop_map(
        |(pair, opener, mut parts, endings, schedules)| {
            for (side, part) in parts.iter_mut().enumerate() {
                part.ending = endings[side];
                part.has_doubts = matches!(endings[1 - side], Ending::Abort(_));
            }
            Case { pair, opener, parts, schedules }
        },
    )
}

/// Virtual time after which a connection must be over. Slow readers take their time; each loss doubles a timeout, up to a
/// minute; a window probe that is lost does so, too; who has doubts waits before it asks.
fn bound(case: &Case) -> Duration {
    let reading: u64 = case
        .parts
        .iter()
        .zip(case.parts.iter().rev())
        .map(|(part, peer)| u64::from(peer.bytes / u32::from(part.read_bytes) + 1) * u64::from(part.pause_ms))
        .sum();
    let losses = case.schedules.iter().flat_map(Schedule::values).filter(|fault| fault.is_loss()).count();
    let delays: u64 = case
        .schedules
        .iter()
        .flat_map(Schedule::values)
        .map(|fault| if let Fault::DelayMs(ms) = fault { u64::from(*ms) } else { 0 })
        .sum();
    Duration::from_millis(reading + delays) + Duration::from_secs(60 * losses as u64 + 300)
}

fn run(case: &Case) {
    let pair = Pair::new(&case.pair.to_config());
    pair.set_links([0, 1].map(|side| Scheduled::boxed(&case.schedules[side], DELAY)));
    let outcomes = pair.play(case.opener, case.parts);
    let now = || outcomes.each_ref().map(|outcome| *outcome.borrow());
    let ended = pair.world.run_until(bound(case), || now().iter().all(|outcome| outcome.over.is_some()));
    let why = format!("{ended:?}, {:?}, {}", now(), pair.state());
    let is_orderly = case.parts.iter().all(|part| !matches!(part.ending, Ending::Abort(_)));
    let ended = ended.and_then(|()| match is_orderly {
        true => pair.world.run_until(bound(case), || pair.smol_closed_in_order()),
        false => Ok(()),
    });
    if ended.is_err() && (has_lost_its_timer(&pair.smol) || is_deaf_in_last_ack(&pair)) {
        pair.abandon();
    } else {
        judge(case, now(), &why);
        assert!(!is_orderly || pair.smol_closed_in_order(), "smoltcp's end: {}", pair.state());
    }
    pair.assert_clean();
}

/// Whether both ends saw what they must.
fn judge(case: &Case, outcomes: [Outcome; 2], why: &str) {
    let aborts = case.parts.map(|part| matches!(part.ending, Ending::Abort(_)));
    for side in [0, 1] {
        let (outcome, peer) = (outcomes[side], &case.parts[1 - side]);
        match (aborts[side], aborts[1 - side]) {
            (false, false) => {
                assert_eq!(outcome.over, Some(Over::InOrder), "side {side}: {why}");
                assert_eq!(outcome.received, u64::from(peer.bytes), "side {side}: {why}");
            }
            (true, false) => assert_eq!(outcome.over, Some(Over::Aborted), "side {side}: {why}"),
            (false, true) => {
                let was_never_open = outcome == Outcome::default();
                assert!(was_never_open || outcome.over == Some(Over::Failed), "side {side}: {why}");
            }
            (true, true) => {
                let was_never_open = outcome == Outcome::default();
                assert!(was_never_open || outcome.over.is_some_and(|over| over != Over::InOrder), "side {side}: {why}");
            }
        }
    }
}

proptest! {
    #![proptest_config(crate::config(600))]

    #[test]
    fn whatever_the_wire_does_the_right_bytes_arrive_and_both_ends_agree(case in case()) {
        run(&case);
    }
}

fn plain(wraps_after: Option<u32>, smol_iss: u32) -> Pair {
    let smol = SmolConfig { iss: smol_iss, ..SmolConfig::new(1) };
    let tcp = burstlane_tcp::Config::default();
    Pair::new(&PairConfig { seed: 1, is_v6: false, mtu: [1500; 2], tcp, smol, wraps_after })
}

const PART: Part =
    Part { bytes: 5000, write_bytes: 500, read_bytes: 500, pause_ms: 0, ending: Ending::First, has_doubts: false };

/// What makes half of all runs go over the turn of the number space.
#[test]
fn connections_begin_with_the_numbers_asked_for() {
    for opener in [Opener::Ours, Opener::Smol, Opener::Both] {
        let pair = plain(Some(2000), 0_u32.wrapping_sub(3000));
        let outcomes = pair.play(opener, [PART; 2]);
        let is_over = || outcomes.iter().all(|outcome| outcome.borrow().over == Some(Over::InOrder));
        pair.world.run_until(Duration::from_secs(10), is_over).unwrap();
        let [ours, smol] = pair.first_numbers();
        // Some ticks of 4 us pass before our SYN or SYN-ACK leaves.
        let late = ours.wrapping_add(2000);
        assert!(late <= 20_000, "{opener:?}: our first number is {ours}");
        assert_eq!(smol, 0_u32.wrapping_sub(3000), "{opener:?}");
        pair.assert_clean();
    }
}

#[test]
fn a_port_where_nobody_listens_refuses_both_ways() {
    let pair = plain(None, 1);
    let stream = pair.connect();
    pair.world.run_until(Duration::from_millis(100), || stream.ended().is_some()).unwrap();
    assert_eq!(stream.ended(), Some(Some(burstlane::transport::FlowError::Refused)));
    pair.smol_connect();
    let is_closed = || pair.smol.with(|socket| socket.state() == smoltcp::socket::tcp::State::Closed);
    pair.world.run_until(Duration::from_millis(100), is_closed).unwrap();
    drop(stream);
    pair.assert_clean();
}
