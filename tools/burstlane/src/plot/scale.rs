//! Axes: which values get a tick, and how a value reads.

/// What an axis counts. The values handed over are seconds, bytes or plain numbers; the axis picks the multiple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Seconds: shown as s, ms or µs.
    Seconds,
    /// Bytes: shown as B, KiB, MiB or GiB.
    Bytes,
}

/// An axis from zero to a round number at or above the largest value.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    /// The values at which a tick stands, zero first.
    pub(crate) ticks: Vec<f64>,
    /// What stands beside the axis: the multiple's name.
    pub(crate) suffix: &'static str,
    /// Values are divided by it to be shown.
    pub(crate) multiple: f64,
    decimals: usize,
    /// The largest value drawn.
    pub(crate) max: f64,
}

impl Scale {
    /// An axis for values up to `largest` with about `ticks_wanted` ticks. `round_up` ends it on a tick, otherwise it
    /// ends on `largest`.
    pub(crate) fn new(unit: Unit, largest: f64, ticks_wanted: usize, round_up: bool) -> Self {
        let largest = if largest.is_finite() && largest > SMALLEST { largest.min(LARGEST) } else { 1.0 };
        let (suffix, multiple) = unit.multiple(largest);
        let step = step(largest / multiple, ticks_wanted);
        let steps = largest / multiple / step;
        let count = if round_up { steps.ceil() } else { (steps + 1e-9).floor() } as usize;
        let max = if round_up { count as f64 * step * multiple } else { largest };
        let decimals = if step >= 1.0 { 0 } else { (-step.log10()).ceil() as usize };
        Self { ticks: (0..=count).map(|i| i as f64 * step * multiple).collect(), suffix, multiple, decimals, max }
    }

    /// How `value` reads on this axis, without its suffix.
    pub(crate) fn label(&self, value: f64) -> String {
        let decimals = self.decimals;
        format!("{:.decimals$}", value / self.multiple)
    }

    /// Where `value` stands: 0 at the origin, 1 at the end.
    pub(crate) fn position(&self, value: f64) -> f64 {
        (value / self.max).clamp(0.0, 1.0)
    }
}

impl Unit {
    fn multiple(self, largest: f64) -> (&'static str, f64) {
        let table: &[(&str, f64)] = match self {
            Self::Seconds => &[("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)],
            Self::Bytes => &[("GiB", GIB), ("MiB", MIB), ("KiB", KIB), ("B", 1.0)],
        };
        let fitting = table.iter().find(|(_, multiple)| largest >= *multiple).or(table.last());
        fitting.copied().unwrap_or(("", 1.0))
    }
}

/// The step of 1, 2 or 5 times a power of ten that gives about `wanted` ticks up to `largest`.
fn step(largest: f64, wanted: usize) -> f64 {
    let rough = largest / wanted.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let first = [1.0, 2.0, 5.0].into_iter().map(|lead| lead * power).find(|&step| rough <= step * 1.001);
    first.unwrap_or(10.0 * power)
}

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
const GIB: f64 = 1024.0 * MIB;
/// Axes are drawn between these two; a largest value outside of them is a mistake upstream.
const SMALLEST: f64 = 1e-9;
pub(super) const LARGEST: f64 = 1e18;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ticks_are_few_distinct_and_cover_the_values(largest: f64, round_up: bool, bytes: bool) {
            let unit = if bytes { Unit::Bytes } else { Unit::Seconds };
            let scale = Scale::new(unit, largest, 6, round_up);
            prop_assert!((2..=14).contains(&scale.ticks.len()) || !round_up, "{:?}", scale.ticks);
            let labels: Vec<_> = scale.ticks.iter().map(|&t| scale.label(t)).collect();
            prop_assert!(labels.windows(2).all(|pair| pair[0] != pair[1]), "{:?}", labels);
            prop_assert!((0.0..=1.0).contains(&scale.position(largest)));
        }
    }

    #[test]
    fn values_read_as_people_write_them() {
        let labels = |scale: &Scale| scale.ticks.iter().map(|&t| scale.label(t)).collect::<Vec<_>>();
        let cwnd = Scale::new(Unit::Bytes, 180_000.0, 4, true);
        assert_eq!((labels(&cwnd).join(" "), cwnd.suffix), ("0 50 100 150 200".into(), "KiB"));
        let time = Scale::new(Unit::Seconds, 0.9, 5, false);
        assert_eq!((labels(&time).join(" "), time.suffix), ("0 200 400 600 800".into(), "ms"));
        let long = Scale::new(Unit::Seconds, 2.0, 8, false);
        assert_eq!(labels(&long).join(" "), "0.0 0.5 1.0 1.5 2.0");
    }
}
