//! The fields of a link: `delay 5ms rate 10Mbit queue 50 loss 1%`.

use std::fmt;
use std::time::Duration;

use burstlane_sim::LinkConfig;

use super::ScenarioError;
use super::discipline;
use super::units::{
    DURATION, PROBABILITY, RATE, duration, print_duration, print_probability, print_rate, probability, rate,
};
use super::words::Words;

/// Writes the fields that are not as `left_out` has them; delay and MTU always.
pub(super) fn print(f: &mut fmt::Formatter<'_>, link: &LinkConfig, left_out: &LinkConfig) -> fmt::Result {
    // Every field by name, so that a new one cannot be forgotten here.
    let LinkConfig {
        rate_bits_per_s,
        delay,
        jitter,
        jitter_reorders,
        queue_frames_max,
        queue_bytes_max,
        loss,
        duplicate,
        reorder,
        reorder_delay,
        corrupt,
        mtu,
        drops,
        discipline,
    } = link;
    write!(f, "link delay {}", print_duration(*delay))?;
    if let Some(rate) = rate_bits_per_s {
        write!(f, " rate {}", print_rate(*rate))?;
    }
    if let Some(frames) = queue_frames_max {
        write!(f, " queue {frames}")?;
    }
    if let Some(bytes) = queue_bytes_max {
        write!(f, " queue-bytes {bytes}")?;
    }
    discipline::print(f, discipline)?;
    write!(f, " mtu {mtu}")?;
    for (name, value, usual) in
        [("jitter", jitter, left_out.jitter), ("reorder-delay", reorder_delay, left_out.reorder_delay)]
    {
        if *value != usual {
            write!(f, " {name} {}", print_duration(*value))?;
        }
    }
    if *jitter_reorders {
        f.write_str(" jitter-reorders")?;
    }
    for (name, value, usual) in [
        ("loss", loss, left_out.loss),
        ("duplicate", duplicate, left_out.duplicate),
        ("reorder", reorder, left_out.reorder),
        ("corrupt", corrupt, left_out.corrupt),
    ] {
        if *value != usual {
            write!(f, " {name} {}", print_probability(*value))?;
        }
    }
    for (i, number) in drops.iter().enumerate() {
        write!(f, "{}{number}", if i == 0 { " drops " } else { "," })?;
    }
    f.write_str("\n")
}

/// Reads the fields of one line behind `link`; `said` are the names that came before.
pub(super) fn parse(
    words: &mut Words<'_>,
    link: &mut LinkConfig,
    said: &mut Vec<&'static str>,
) -> Result<(), ScenarioError> {
    while let Some(word) = words.next() {
        if let Some(other) = said.iter().find(|said| DISCIPLINES.contains(said))
            && DISCIPLINES.contains(&word.text)
        {
            return Err(words.unexpected(Some(word), &format!("one rule for the queue, which is '{other}'")));
        }
        let Some(name) = FIELDS.into_iter().find(|name| *name == word.text) else {
            return Err(words.unexpected(Some(word), &format!("a field of a link: {}", FIELDS.join(", "))));
        };
        if said.contains(&name) {
            return Err(words.unexpected(Some(word), "each field once"));
        }
        said.push(name);
        field(words, name, link)?;
    }
    Ok(())
}

fn field(words: &mut Words<'_>, name: &str, link: &mut LinkConfig) -> Result<(), ScenarioError> {
    let time = |words: &mut Words<'_>| -> Result<Duration, ScenarioError> { words.value(DURATION, duration) };
    let chance = |words: &mut Words<'_>| words.value(PROBABILITY, probability);
    match name {
        "delay" => link.delay = time(words)?,
        "jitter" => link.jitter = time(words)?,
        "jitter-reorders" => link.jitter_reorders = true,
        "reorder-delay" => link.reorder_delay = time(words)?,
        "rate" => link.rate_bits_per_s = Some(words.value(RATE, rate)?),
        "queue" => link.queue_frames_max = Some(words.number("a number of packets")?),
        "queue-bytes" => link.queue_bytes_max = Some(words.number("a number of bytes")?),
        "loss" => link.loss = chance(words)?,
        "duplicate" => link.duplicate = chance(words)?,
        "reorder" => link.reorder = chance(words)?,
        "corrupt" => link.corrupt = chance(words)?,
        "step" | "red" | "codel" => link.discipline = discipline::parse(words, name)?,
        "mtu" => link.mtu = words.number("a number of bytes, 68 to 65535")?,
        _ => {
            link.drops.push(words.number("the number of a packet")?);
            while words.skip(",") {
                link.drops.push(words.number("the number of a packet")?);
            }
        }
    }
    Ok(())
}

/// A queue has one.
const DISCIPLINES: [&str; 3] = ["step", "red", "codel"];

const FIELDS: [&str; 16] = [
    "delay",
    "rate",
    "queue",
    "queue-bytes",
    "step",
    "red",
    "codel",
    "mtu",
    "jitter",
    "jitter-reorders",
    "loss",
    "duplicate",
    "reorder",
    "reorder-delay",
    "corrupt",
    "drops",
];
