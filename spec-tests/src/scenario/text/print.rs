//! Writing a scenario.

use std::fmt;
use std::time::Duration;

use super::link;
use super::units::print_duration;
use super::words::quote;
use crate::scenario::{Device, Fault, FlowPlan, Mishap, Op, Reader, Scenario, Side, SidePlan, Span, Trouble};

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transport, planted, seed, is_v6, device, lanes, link, flows, faults } = self;
        writeln!(f, "burstlane scenario 1")?;
        writeln!(f, "transport {}", quote(transport))?;
        if let Some(planted) = planted {
            writeln!(f, "planted {}", quote(planted))?;
        }
        writeln!(f, "seed {seed}")?;
        if *is_v6 {
            writeln!(f, "family v6")?;
        }
        if *device != Device::default() {
            writeln!(f, "device {device}")?;
        }
        if *lanes != 1 {
            writeln!(f, "lanes {lanes}")?;
        }
        link::print(f, link, &Self::new(transport, *seed).link)?;
        flows.iter().try_for_each(|flow| write!(f, "{flow}"))?;
        if !faults.is_empty() {
            writeln!(f, "faults")?;
        }
        faults.iter().try_for_each(|fault| writeln!(f, "  {fault}"))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Plain => "plain",
            Self::Offloading => "offloading",
            Self::Late => "late",
        })
    }
}

/// The line that opens it, and one for each end that does something.
impl fmt::Display for FlowPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "flow opens {}", millis(self.opens_ms))?;
        for side in Side::BOTH {
            let plan = self.side(side);
            if *plan != SidePlan::default() {
                writeln!(f, "  {side:<5} {plan}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for SidePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ops, reader } = self;
        match reader {
            Reader::Eager => {}
            Reader::Slow { bytes, every_ms } => write!(f, "reads {bytes} every {}", millis(*every_ms))?,
            Reader::Late { from_ms } => write!(f, "reads from {}", millis(*from_ms))?,
        }
        let mut before = if *reader == Reader::Eager { "" } else { "; " };
        for run in ops.chunk_by(|a, b| a == b) {
            for run in run.chunks(super::parse::REPEAT_MAX) {
                write!(f, "{before}{}", run[0])?;
                if run.len() > 1 {
                    write!(f, " x {}", run.len())?;
                }
                before = ", ";
            }
        }
        Ok(())
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { bytes } => write!(f, "send {bytes}"),
            Self::Pause { ms } => write!(f, "pause {}", millis(*ms)),
            Self::Finish => f.write_str("finish"),
            Self::Close => f.write_str("close"),
            Self::Abort => f.write_str("abort"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet { from, number, mishap } => write!(f, "{from:<5} packet {number} {mishap}"),
            Self::Spell { span, trouble } => write!(f, "{span} {trouble}"),
            Self::Forged { to, at_ms, number } => write!(f, "{} forged {number} to {to}", millis(*at_ms)),
            Self::Flood { to, at_ms, packets } => write!(f, "{} flood {packets} to {to}", millis(*at_ms)),
            Self::Rebind { at_ms } => write!(f, "{} rebind", millis(*at_ms)),
            Self::Clock { side, parts_per_million } => write!(f, "clock {side} {parts_per_million:+}ppm"),
        }
    }
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("drop"),
            Self::Duplicate { copies, apart_ms } => write!(f, "duplicate {copies} apart {}", millis(*apart_ms)),
            Self::Delay { by_ms } => write!(f, "delay {}", millis(*by_ms)),
            Self::Corrupt { bit } => write!(f, "corrupt bit {bit}"),
            Self::Truncate { bytes } => write!(f, "truncate to {bytes}"),
            Self::Tamper { at, value } => write!(f, "tamper byte {at} to {value}"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition(None) => f.write_str("partition"),
            Self::Partition(Some(from)) => write!(f, "partition {from}"),
            Self::BlackHole { from, mtu } => write!(f, "black-hole {from} mtu {mtu}"),
            Self::Stall(side) => write!(f, "stall {side}"),
            Self::Starve(side) => write!(f, "starve {side}"),
        }
    }
}

/// `10ms..310ms`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = Duration::from_millis(u64::from(self.from_ms) + u64::from(self.ms));
        write!(f, "{}..{}", millis(self.from_ms), print_duration(end))
    }
}

fn millis(ms: u32) -> String {
    print_duration(Duration::from_millis(ms.into()))
}
