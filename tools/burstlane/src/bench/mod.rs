//! `burstlane bench`: the workloads B1, B2 and B6 over an in-memory wire, both hosts in one thread, with smoltcp beside us in
//! the same run. Both ends' cost counts, checksums are on, repeats are interleaved and the median stands.
//!
//! | | workload | unit |
//! |---|---|---|
//! | B1 | bulk one way, copied in and out | 1,460 bytes |
//! | B2 | 64-byte request, 64-byte reply, closed loop | one exchange |
//! | B6 | connect, one such exchange, close (the server first) | one connection |
//!
//! With `--units` one stack does a fixed amount of work by a clock that steps: nothing is measured, and every run executes
//! the same instructions, for a tool outside to count.

mod burst;
mod clock;
mod report;
mod smol;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use clock::Clock;
use report::Row;

use crate::cli::{BenchArgs, StackName, Workload};
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
            until: args.units.map_or(Until::Seconds(args.seconds), Until::Units),
        };
        let failed = |error: anyhow::Error| Problem::new(format!("{}: {error:#}", workload.name()));
        let stacks = STACKS.iter().filter(|(name, _)| args.stack.is_none_or(|wanted| wanted == *name));
        if args.units.is_some() {
            for (name, stack) in stacks {
                let Cost { units, .. } = stack(plan).map_err(failed)?;
                println!("{} on {}: {units:.0} x {}", workload.name(), name.name(), workload.unit());
            }
            continue;
        }
        let rows = measure(plan, stacks).map_err(failed)?;
        report::print_table(&rows);
        all.extend(report::to_json(&rows));
    }
    if args.units.is_some() {
        return Ok(0);
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

impl StackName {
    const fn name(self) -> &'static str {
        match self {
            Self::Burstlane => "burstlane",
            Self::Smoltcp => "smoltcp",
        }
    }
}

/// What to run.
#[derive(Clone, Copy, Debug)]
struct Plan {
    workload: Workload,
    connections: usize,
    repeats: usize,
    until: Until,
}

impl Plan {
    /// The clock that the hosts live by.
    fn clock(self) -> Clock {
        match self.until {
            Until::Seconds(_) => Clock::real(),
            Until::Units(_) => Clock::stepping(),
        }
    }
}

/// When a run is over.
#[derive(Clone, Copy, Debug)]
enum Until {
    /// After so much processor time.
    Seconds(f64),
    /// After so many units, the first included.
    Units(u32),
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
fn measure<'s>(plan: Plan, stacks: impl Iterator<Item = &'s (StackName, Stack)>) -> anyhow::Result<Vec<Row>> {
    let mut stacks: Vec<_> = stacks.map(|(name, stack)| (name.name(), stack, Vec::new())).collect();
    for round in 1..=plan.repeats {
        for (name, stack, samples) in &mut stacks {
            eprintln!("{} on {name}, {round} of {}", plan.workload.name(), plan.repeats);
            samples.push(stack(plan)?.ns_per_unit());
        }
    }
    Ok(stacks.into_iter().map(|(name, _, samples)| Row::new(plan, name, samples)).collect())
}

/// Processor time of this thread: other programs on a shared machine disturb it less than a wall clock.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Counts units after a warm-up (page faults, slow start, tables that grow), until the time is over; or until there are
/// enough of them.
struct Meter {
    until: Until,
    began: Option<Duration>,
    counting_from: Option<(Duration, f64)>,
    looks: u32,
}

impl Meter {
    const fn new(plan: Plan) -> Self {
        Self { until: plan.until, began: None, counting_from: None, looks: 0 }
    }

    /// Call once a round with all units done so far; the cost when it is over.
    fn look(&mut self, units: f64) -> Option<Cost> {
        match self.until {
            Until::Seconds(seconds) => self.look_at_time(Duration::from_secs_f64(seconds), units),
            // No clock is read here: rustix asks the kernel where it is, and valgrind has it elsewhere.
            Until::Units(enough) => (units >= f64::from(enough)).then_some(Cost { units, time: Duration::ZERO }),
        }
    }

    fn look_at_time(&mut self, seconds: Duration, units: f64) -> Option<Cost> {
        self.looks += 1;
        if !self.looks.is_multiple_of(16) {
            return None;
        }
        let (now, warm) = (cpu(), seconds / 5);
        let began = *self.began.get_or_insert(now);
        match self.counting_from {
            None if now - began >= warm && units > 0.0 => self.counting_from = Some((now, units)),
            Some((from, before)) if now - began >= warm + seconds => {
                return Some(Cost { units: units - before, time: now - from });
            }
            _ => {}
        }
        None
    }
}

const STACKS: [(StackName, Stack); 2] = [(StackName::Burstlane, burst::run), (StackName::Smoltcp, smol::run)];
const MESSAGE_BYTES: usize = 64;
const BULK_BUFFER_BYTES: usize = 256 * 1024;
const UNIT_BYTES: f64 = 1460.0;
const SERVER_PORT: u16 = 80;
