//! Medians, spread and ratios of a benchmark, as a table and as JSON.

use serde_json::{Value, json};

use super::Plan;

/// One stack's result.
pub(super) struct Row {
    plan: Plan,
    stack: &'static str,
    /// Sorted.
    samples: Vec<f64>,
}

impl Row {
    pub(super) fn new(plan: Plan, stack: &'static str, mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self { plan, stack, samples }
    }

    fn median(&self) -> f64 {
        self.samples.get(self.samples.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn spread(&self) -> (f64, f64) {
        let first = self.samples.first().copied().unwrap_or(f64::NAN);
        (first, self.samples.last().copied().unwrap_or(f64::NAN))
    }
}

/// The table: a line a stack, and how many times cheaper the first stack is than each of the others.
pub(super) fn print_table(rows: &[Row]) {
    let Some(first) = rows.first() else { return };
    let plan = first.plan;
    println!(
        "{}: ns per {}, {} connection{}, both ends on one core, median of {} (least to most)",
        plan.workload.name().to_uppercase(),
        plan.workload.unit(),
        plan.connections,
        if plan.connections == 1 { "" } else { "s" },
        plan.repeats,
    );
    for row in rows {
        let (least, most) = row.spread();
        let ratio = row.median() / first.median();
        println!("  {:<10} {:>9.1}  ({least:.1} to {most:.1})  {ratio:>5.2}x", row.stack, row.median());
    }
}

/// Objects with `workload, stack, connections, active, lanes, ns_per_unit`, and the spread beside.
pub(super) fn to_json(rows: &[Row]) -> Vec<Value> {
    let object = |row: &Row| {
        let (least, most) = row.spread();
        json!({
            "workload": row.plan.workload.name(),
            "stack": row.stack,
            "connections": row.plan.connections,
            "active": row.plan.connections,
            "lanes": 1,
            "ns_per_unit": row.median(),
            "ns_per_unit_min": least,
            "ns_per_unit_max": most,
            "repeats": row.samples.len(),
        })
    };
    rows.iter().map(object).collect()
}

/// The processor, and what of it the copy and checksum loops use.
pub(super) fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |x| x.1);
    let avx2 = if cpu.contains(" avx2") { "AVX2" } else { "no AVX2" };
    format!("{model}, {avx2}")
}
