//! Sharing: flows that begin together and send as much over one bottleneck are to end together, and to keep it busy.

use crate::goodput::jain;
use crate::judge::{Broken, Law, Run};
use crate::scenario::{Scenario, Side};

/// Whether a scenario says anything of sharing: flows that begin together and send as much, each for a second or more alone,
/// over a bottleneck with a queue, and nothing goes wrong.
pub(super) fn suits(scenario: &Scenario) -> bool {
    let (Some(rate), [first, rest @ ..]) = (scenario.link.rate_bits_per_s, scenario.flows.as_slice()) else {
        return false;
    };
    let is_long = first.side(Side::Left).bytes() * 8 >= rate;
    let are_alike = !rest.is_empty() && first.opens_ms == 0 && rest.iter().all(|flow| flow == first);
    let is_calm = scenario.faults.is_empty() && scenario.ends_in_order() && scenario.bytes(Side::Right) == 0;
    is_long && are_alike && is_calm && scenario.link.queue_frames_max.is_some()
}

/// Judges the ends of a run over a bottleneck. Jain's index of the flows' goodputs, and how much of the
/// link they used.
pub(super) fn judge(scenario: &Scenario, run: &Run) -> Result<(), Broken> {
    let goodputs: Vec<f64> = scenario
        .flows
        .iter()
        .zip(&run.over_at)
        .map(|(flow, over_at)| {
            let seconds = over_at[Side::Right.index()].as_nanos() as f64 / 1e9;
            flow.side(Side::Left).bytes() as f64 / seconds.max(1e-9)
        })
        .collect();
    let index = jain(&goodputs);
    if index < FAIR {
        let message = format!("Jain's index is {index:.2}, below {FAIR}: {goodputs:.0?} bytes/s");
        return Err(Broken { law: Law::Fairness, message });
    }
    let Some(rate) = scenario.link.rate_bits_per_s else { return Ok(()) };
    let used = scenario.bytes(Side::Left) as f64 * 8.0 / (run.took.as_secs_f64() * rate as f64);
    if used < BUSY {
        let message = format!("{:.0} % of the bottleneck were used, below {:.0} %", used * 100.0, BUSY * 100.0);
        return Err(Broken { law: Law::Fairness, message });
    }
    Ok(())
}

/// Short flows with drop-tail queues are never quite fair.
const FAIR: f64 = 0.7;
/// Of the link, by payload, slow start and the last flow's lonely end included.
const BUSY: f64 = 0.4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::Campaign;
    use crate::recording::Recording;
    use crate::scenario::{Fault, Mishap};
    use crate::subject::Promises;
    use burstlane::time::{Duration, Instant};
    use proptest::prelude::*;

    fn drawn(campaign: Campaign) -> impl Strategy<Value = Scenario> {
        campaign.scenarios("tcp", &Promises::reliable())
    }

    /// A run in which the right ends were over after these times.
    fn ended(scenario: &Scenario, seconds: impl Fn(u64) -> u64) -> Run {
        let over_at =
            (0..scenario.flows.len() as u64).map(|flow| [Instant::ZERO + Duration::from_secs(seconds(flow)); 2]);
        Run {
            broken: None,
            recording: Recording::default(),
            reports: Vec::new(),
            digest: 0,
            packets: [0; 2],
            strikes: 0,
            took: Duration::from_secs(1),
            over_at: over_at.collect(),
        }
    }

    proptest! {
        #[test]
        fn what_the_campaign_draws_suits_it_and_a_fault_unsuits_it(scenario in drawn(Campaign::Fairness)) {
            prop_assert!(suits(&scenario));
            let mut scenario = scenario;
            scenario.faults.push(Fault::Packet { from: Side::Left, number: 1, mishap: Mishap::Drop });
            prop_assert!(!suits(&scenario));
        }

        #[test]
        fn who_ends_long_before_the_others_has_taken_their_share(scenario in drawn(Campaign::Fairness)) {
            prop_assert_eq!(judge(&scenario, &ended(&scenario, |_| 2)), Ok(()));
            let unfair = judge(&scenario, &ended(&scenario, |flow| if flow == 0 { 2 } else { 40 }));
            prop_assert_eq!(unfair.map_err(|broken| broken.law), Err(Law::Fairness));
        }
    }
}
