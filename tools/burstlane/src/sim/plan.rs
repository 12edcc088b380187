//! A scenario from flags.

use burstlane_sim::LinkConfig;
use burstlane_spec::Scenario;
use burstlane_spec::scenario::{BYTES_MAX, FlowPlan, Op, SidePlan};

use crate::cli::{Family, SimRunArgs};
use crate::problem::{Problem, STATUS_USAGE};

/// Flows that carry bytes from left to right, all opened at once, over a link with chances.
///
/// # Errors
/// The link makes no sense, or more is sent than a scenario may.
pub(super) fn scenario(args: &SimRunArgs) -> Result<Scenario, Problem> {
    let link = LinkConfig {
        rate_bits_per_s: args.rate,
        delay: args.delay,
        queue_frames_max: args.queue,
        loss: args.loss,
        duplicate: args.duplicate,
        reorder: args.reorder,
        reorder_delay: if args.reorder > 0.0 { (args.delay * 2).max(REORDER_DELAY_MIN) } else { Default::default() },
        corrupt: args.corrupt,
        mtu: args.mtu,
        ..LinkConfig::default()
    };
    link.validate().map_err(|error| Problem::new("such a link cannot be").cause(error).status(STATUS_USAGE))?;
    if args.bytes.saturating_mul(args.flows.into()) > BYTES_MAX {
        let cause = format!("expected at most {} MiB, all flows together", BYTES_MAX >> 20);
        return Err(Problem::new("the flows send too much for a scenario").cause(cause).status(STATUS_USAGE));
    }
    let piece = if args.transport == "tcp" { WRITE_BYTES } else { MESSAGE_BYTES };
    let left = SidePlan { ops: pieces(args.bytes, piece), ..SidePlan::default() };
    let flow = FlowPlan { opens_ms: 0, sides: [left, right(args)] };
    Ok(Scenario {
        is_v6: args.family == Family::V6,
        link,
        flows: vec![flow; usize::from(args.flows)],
        ..Scenario::new(&args.transport, args.seed)
    })
}

/// The receiver. Nobody tells it when the last datagram has come, so it stays for as long as all of them may take.
fn right(args: &SimRunArgs) -> SidePlan {
    if args.transport != "udp" {
        return SidePlan::default();
    }
    let bits = u128::from(args.bytes) * u128::from(args.flows) * 8 * 2;
    let on_the_line_ms = args.rate.map_or(0, |rate| bits * 1000 / u128::from(rate));
    let ms = args.delay.as_millis() * 8 + on_the_line_ms + 100;
    SidePlan { ops: vec![Op::Pause { ms: ms.try_into().unwrap_or(u32::MAX) }], ..SidePlan::default() }
}

/// So many bytes in writes or messages of `piece` bytes, the last one smaller.
fn pieces(bytes: u64, piece: u32) -> Vec<Op> {
    let whole = (bytes / u64::from(piece)) as usize;
    let rest = (bytes % u64::from(piece)) as u32;
    let rest = (rest > 0).then_some(Op::Send { bytes: rest });
    std::iter::repeat_n(Op::Send { bytes: piece }, whole).chain(rest).collect()
}

/// A write to a stream, and a message, which fits a packet.
const WRITE_BYTES: u32 = 16_000;
const MESSAGE_BYTES: u32 = 1_000;
/// Where the wire takes no time, packets are held back for so long.
const REORDER_DELAY_MIN: std::time::Duration = std::time::Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_add_up(bytes in 0_u64..200_000, piece in 1_u32..20_000) {
            let plan = SidePlan { ops: pieces(bytes, piece), ..SidePlan::default() };
            prop_assert_eq!(plan.bytes(), bytes);
            prop_assert!(plan.sizes().all(|size| size > 0 && size <= piece));
        }
    }
}
