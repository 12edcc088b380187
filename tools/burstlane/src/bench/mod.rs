//! `burstlane bench`: the workloads B1, B2 and B6 over an in-memory wire, both hosts in one thread, with smoltcp beside us in
//! the same run. Both ends' cost counts, checksums are on, repeats are interleaved and the median stands.
//!
//! | | workload | unit |
//! |---|---|---|
//! | B1 | bulk one way, copied in and out | 1,460 bytes |
//! | B2 | 64-byte request, 64-byte reply, closed loop | one exchange |
//! | B6 | connect, one such exchange, close (the server first) | one connection |

mod burst;
mod report;
mod smol;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use report::Row;

use crate::cli::{BenchArgs, Workload};
use crate::problem::Problem;

/// Runs the command.
///
/// # Errors
/// A stack did not do what the workload asks, or a file could not be written.
pub fn run(args: &BenchArgs) -> Result<u8, Problem> {
    let mut all = Vec::new();
    for &workload in &args.workloads {
        let plan = Plan {
            workload,
            connections: args.connections.map_or(workload.connections(), usize::from),
            repeats: args.repeats.max(1),
            seconds: args.seconds,
        };
        let rows = measure(plan).map_err(|error| Problem::new(format!("{}: {error:#}", workload.name())))?;
        report::print_table(&rows);
        all.extend(report::to_json(&rows));
    }
    println!("\nThis machine: {}. Only ratios of one run travel.", report::machine());
    if let Some(file) = &args.json {
        let text = format!("{:#}\n", serde_json::Value::Array(all));
        std::fs::write(file, text)
            .map_err(|error| Problem::new(format!("cannot write {}", file.display())).cause(error.to_string()))?;
        println!("wrote {}", file.display());
    }
    Ok(0)
}

impl Workload {
    const fn name(self) -> &'static str {
        match self {
            Self::B1 => "b1",
            Self::B2 => "b2",
            Self::B6 => "b6",
        }
    }

    /// What one unit is.
    const fn unit(self) -> &'static str {
        match self {
            Self::B1 => "1,460 bytes",
            Self::B2 => "exchange",
            Self::B6 => "connection",
        }
    }

    /// Connections if the user named none.
    const fn connections(self) -> usize {
        match self {
            Self::B1 => 1,
            Self::B2 | Self::B6 => 64,
        }
    }
}

/// What to run.
#[derive(Clone, Copy, Debug)]
struct Plan {
    workload: Workload,
    connections: usize,
    repeats: usize,
    seconds: f64,
}

/// Runs a workload once.
type Stack = fn(Plan) -> anyhow::Result<Cost>;

/// Units done and the processor time they took.
#[derive(Clone, Copy, Debug)]
struct Cost {
    units: f64,
    time: Duration,
}

impl Cost {
    fn ns_per_unit(self) -> f64 {
        self.time.as_nanos() as f64 / self.units.max(1.0)
    }
}

/// Runs the workload on each stack in turn, `repeats` times around.
fn measure(plan: Plan) -> anyhow::Result<Vec<Row>> {
    let stacks: [(&str, Stack); 2] = [("burstlane", burst::run), ("smoltcp", smol::run)];
    let mut samples = vec![Vec::new(); stacks.len()];
    for round in 1..=plan.repeats {
        for ((name, stack), samples) in stacks.iter().zip(&mut samples) {
            eprintln!("{} on {name}, {round} of {}", plan.workload.name(), plan.repeats);
            samples.push(stack(plan)?.ns_per_unit());
        }
    }
    Ok(stacks.iter().zip(samples).map(|((name, _), samples)| Row::new(plan, name, samples)).collect())
}

/// Processor time of this thread: other programs on a shared machine disturb it less than a wall clock.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Counts units after a warm-up (page faults, slow start, tables that grow), until the time is over.
struct Meter {
    end_after: Duration,
    warm_after: Duration,
    began: Duration,
    counting_from: Option<(Duration, f64)>,
    looks: u32,
}

impl Meter {
    fn new(plan: Plan) -> Self {
        let seconds = Duration::from_secs_f64(plan.seconds);
        Self { end_after: seconds + seconds / 5, warm_after: seconds / 5, began: cpu(), counting_from: None, looks: 0 }
    }

    /// Call once a round with all units done so far; the cost when it is over.
    fn look(&mut self, units: f64) -> Option<Cost> {
        self.looks += 1;
        if !self.looks.is_multiple_of(16) {
            return None;
        }
        let now = cpu();
        match self.counting_from {
            None if now - self.began >= self.warm_after && units > 0.0 => self.counting_from = Some((now, units)),
            Some((from, before)) if now - self.began >= self.end_after => {
                return Some(Cost { units: units - before, time: now - from });
            }
            _ => {}
        }
        None
    }
}

const MESSAGE_BYTES: usize = 64;
const BULK_BUFFER_BYTES: usize = 256 * 1024;
const UNIT_BYTES: f64 = 1460.0;
const SERVER_PORT: u16 = 80;
