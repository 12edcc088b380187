//! The rule of a link's queue: `step above 65 mark`, `red from 5 to 15 weight 0.002 most 2%`, `codel target 5ms interval 100ms`,
//! each with `mark` or `mark-only` behind it where packets are marked and not dropped.

use std::fmt;

use burstlane_sim::{CoDelConfig, Discipline, RedConfig, Signal, StepConfig};

use super::ScenarioError;
use super::units::{DURATION, PROBABILITY, duration, print_duration, print_probability, probability};
use super::words::Words;

/// Writes it, with a blank before; drop-tail is not written.
pub(super) fn print(f: &mut fmt::Formatter<'_>, discipline: &Discipline) -> fmt::Result {
    let signal = match discipline {
        Discipline::DropTail => return Ok(()),
        Discipline::Step(StepConfig { above_frames, signal }) => {
            write!(f, " step above {above_frames}")?;
            signal
        }
        Discipline::Red(red) => {
            let RedConfig { average_frames_min, average_frames_max, weight, probability_max, signal } = red;
            write!(f, " red from {average_frames_min} to {average_frames_max} weight {weight}")?;
            write!(f, " most {}", print_probability(*probability_max))?;
            signal
        }
        Discipline::CoDel(CoDelConfig { target, interval, signal }) => {
            write!(f, " codel target {} interval {}", print_duration(*target), print_duration(*interval))?;
            signal
        }
    };
    f.write_str(match signal {
        Signal::Drop => "",
        Signal::MarkOrDrop => " mark",
        Signal::MarkOnly => " mark-only",
    })
}

/// Reads what stands behind its name.
pub(super) fn parse(words: &mut Words<'_>, name: &str) -> Result<Discipline, ScenarioError> {
    Ok(match name {
        "step" => {
            words.keyword("above")?;
            let above_frames = words.number("a number of packets")?;
            Discipline::Step(StepConfig { above_frames, signal: signal(words) })
        }
        "red" => {
            words.keyword("from")?;
            let average_frames_min = words.value(LENGTH, length)?;
            words.keyword("to")?;
            let average_frames_max = words.value(LENGTH, length)?;
            words.keyword("weight")?;
            let weight = words.value("a weight, for example 0.002", length)?;
            words.keyword("most")?;
            let probability_max = words.value(PROBABILITY, probability)?;
            let signal = signal(words);
            Discipline::Red(RedConfig { average_frames_min, average_frames_max, weight, probability_max, signal })
        }
        _ => {
            words.keyword("target")?;
            let target = words.value(DURATION, duration)?;
            words.keyword("interval")?;
            let interval = words.value(DURATION, duration)?;
            Discipline::CoDel(CoDelConfig { target, interval, signal: signal(words) })
        }
    })
}

fn signal(words: &mut Words<'_>) -> Signal {
    if words.skip("mark") {
        Signal::MarkOrDrop
    } else if words.skip("mark-only") {
        Signal::MarkOnly
    } else {
        Signal::Drop
    }
}

fn length(word: &str) -> Option<f64> {
    word.parse().ok().filter(|length: &f64| length.is_finite() && *length >= 0.0)
}

const LENGTH: &str = "an average number of packets, for example 5 or 7.5";
