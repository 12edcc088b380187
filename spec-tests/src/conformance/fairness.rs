//! Sharing: flows that begin together and send as much over one bottleneck are to end together, and to keep it busy.

use crate::judge::{Broken, Law, Run};
use crate::scenario::{Scenario, Side};

/// Judges the ends of a run over a bottleneck. Jain's index (RFC 5166 2.3.1) of the flows' goodputs, and how much of the
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
    let (sum, squares) = goodputs.iter().fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
    let index = sum * sum / (goodputs.len() as f64 * squares);
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
