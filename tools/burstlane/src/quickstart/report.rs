//! What happened, for the terminal, as a picture, and as JSON.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use burstlane::engine::Core;
use burstlane::observe::Recorder;
use burstlane::time::Instant;
use burstlane::transport::Transport;
use burstlane_sim::{LinkConfig, LinkStats};
use serde_json::{Value, json};

use crate::plot::{Panel, Series, Style as Look, Unit, over_time, render, sparkline};
use crate::problem::Problem;
use crate::term::Style;

use super::TRANSFER_BYTES;
use super::pair::Pair;

/// One transfer.
pub(super) struct Outcome {
    /// Lower case, as files are named.
    pub(super) name: &'static str,
    title: &'static str,
    delivered: String,
    bytes: u64,
    simulated: Duration,
    real: Duration,
    recorder: Recorder,
    link: LinkStats,
    connection_bytes: usize,
    buffer_bytes_max: usize,
    capture: PathBuf,
    captured_packets: u64,
}

impl Outcome {
    /// Sums up a transfer that is done. `cold_bytes` is what a connection has beside its place in the engine.
    pub(super) fn new<T: Transport>(
        name: &'static str,
        title: &'static str,
        delivered: String,
        cold_bytes: usize,
        real: Duration,
        pair: Pair<T>,
        capture: &Path,
    ) -> Result<Self, Problem> {
        let recorder = pair.recorder.borrow().clone();
        Ok(Self {
            name,
            title,
            delivered,
            bytes: TRANSFER_BYTES,
            simulated: pair.now().since(Instant::ZERO),
            real,
            recorder,
            link: pair.link_stats(),
            connection_bytes: Core::<T>::FLOW_BYTES + cold_bytes,
            buffer_bytes_max: pair.buffer_bytes_max(),
            capture: capture.to_owned(),
            captured_packets: pair.finish_capture(capture)?,
        })
    }

    fn goodput_mbit_per_s(&self) -> f64 {
        self.bytes as f64 * 8e-6 / self.simulated.as_secs_f64().max(1e-9)
    }

    fn series(&self, value: impl Fn(&burstlane::observe::Sample) -> u64) -> Vec<(f64, f64)> {
        self.recorder.samples().iter().map(|s| (seconds(s.at), value(s) as f64)).collect()
    }
}

/// A few lines about one transfer.
pub(super) fn text(outcome: &Outcome, style: Style) -> String {
    let Outcome { title, delivered, bytes, simulated, real, recorder, link, .. } = outcome;
    let windows = outcome.series(|s| s.cwnd);
    let heights: Vec<f64> = over_time(&windows, SPARKLINE_COLUMNS);
    let largest = windows.iter().map(|(_, v)| *v).fold(0.0, f64::max);
    let lines = [
        ("delivered", format!("{} MiB: {delivered}", bytes >> 20)),
        (
            "goodput",
            format!(
                "{:.1} Mbit/s: {:.2} s of simulated time, computed in {:.2} s",
                outcome.goodput_mbit_per_s(),
                simulated.as_secs_f64(),
                real.as_secs_f64()
            ),
        ),
        ("packets", format!("{} sent, {} of them lost by the link", link.sent, link.lost + link.queue_drops)),
        (
            "repairs",
            format!(
                "{} retransmissions, {} KiB; {} timers fired",
                recorder.retransmissions(),
                recorder.retransmitted_bytes() / 1024,
                recorder.timers_fired()
            ),
        ),
        ("round trip", format!("{:.1} ms, smoothed", recorder.srtt().as_secs_f64() * 1e3)),
        ("cwnd", format!("{} up to {:.0} KiB", sparkline(&heights, SPARKLINE_COLUMNS), largest / 1024.0)),
        (
            "memory",
            format!(
                "{} bytes of state a connection, and up to {} KiB of buffers a host while it worked",
                outcome.connection_bytes,
                outcome.buffer_bytes_max / 1024
            ),
        ),
    ];
    let mut text = format!("{}\n", style.bold(title));
    for (name, value) in lines {
        let _ = writeln!(text, "  {}  {value}", style.dim(&format!("{name:<10}")));
    }
    text
}

/// The files, and what to type next.
pub(super) fn ending(outcomes: &[Outcome], dir: &Path, json: Option<&Path>, style: Style) -> String {
    let mut files = Vec::new();
    for outcome in outcomes {
        let svg = dir.join(format!("{}.svg", outcome.name));
        files.push((svg.display().to_string(), "congestion window and sequence over time".to_owned()));
        let packets = format!("the client's {} packets, for Wireshark", outcome.captured_packets);
        files.push((outcome.capture.display().to_string(), packets));
    }
    files.extend(json.map(|json| (json.display().to_string(), "these figures".to_owned())));
    let width = files.iter().map(|(path, _)| path.len()).max().unwrap_or(0);
    let mut text = format!("{}\n", style.bold("Files"));
    for (path, what) in files {
        let _ = writeln!(text, "  {path:width$}  {}", style.dim(&what));
    }
    let next = [
        ("burstlane lab -- curl -sS http://10.77.0.2/", "the kernel's curl, answered by our TCP, without root"),
        ("burstlane doctor", "what this machine has for that"),
        ("burstlane --seed 2", "other losses; the same seed gives the same packets"),
    ];
    let _ = writeln!(text, "\n{}", style.bold("next:"));
    for (command, why) in next {
        let _ = writeln!(text, "  {command:<45}{}", style.dim(why));
    }
    let _ = writeln!(text, "  {}", style.dim("(in a clone: cargo run --release -- lab -- curl ...)"));
    text
}

/// The picture: windows above, sequence below.
pub(super) fn picture(outcome: &Outcome, subtitle: &str) -> String {
    let again = outcome.recorder.retransmitted_at();
    let windows = Panel {
        title: "Congestion window",
        unit: Unit::Bytes,
        series: vec![
            Series { name: "in flight", style: Look::Steps, points: outcome.series(|s| s.in_flight) },
            Series { name: "cwnd", style: Look::Steps, points: outcome.series(|s| s.cwnd) },
            Series { name: "ssthresh", style: Look::Steps, points: outcome.series(|s| s.ssthresh) },
        ],
    };
    let sequence = Panel {
        title: "Sequence",
        unit: Unit::Bytes,
        series: vec![
            Series { name: "sent", style: Look::Line, points: outcome.series(|s| s.sent) },
            Series { name: "acknowledged", style: Look::Line, points: outcome.series(|s| s.acked) },
            Series {
                name: "sent again",
                style: Look::Marks,
                points: again.iter().map(|(at, offset)| (seconds(*at), *offset as f64)).collect(),
            },
        ],
    };
    let title = format!("{}: {} MiB", outcome.title, outcome.bytes >> 20);
    render(&title, subtitle, &[windows, sequence])
}

/// All figures.
pub(super) fn json(outcomes: &[Outcome], link: &LinkConfig, seed: u64) -> Value {
    let mut all = serde_json::Map::new();
    all.insert("seed".to_owned(), json!(seed));
    let wire = json!({
        "rate_bits_per_s": link.rate_bits_per_s,
        "round_trip_ms": link.delay.as_millis() as u64 * 2,
        "loss": link.loss,
    });
    all.insert("link".to_owned(), wire);
    for outcome in outcomes {
        let figures = json!({
            "bytes": outcome.bytes,
            "simulated_s": outcome.simulated.as_secs_f64(),
            "goodput_mbit_per_s": outcome.goodput_mbit_per_s(),
            "packets_sent": outcome.link.sent,
            "retransmissions": outcome.recorder.retransmissions(),
            "retransmitted_bytes": outcome.recorder.retransmitted_bytes(),
            "timers_fired": outcome.recorder.timers_fired(),
            "srtt_ms": outcome.recorder.srtt().as_secs_f64() * 1e3,
            "packets_lost": outcome.link.lost + outcome.link.queue_drops,
            "bytes_per_connection": outcome.connection_bytes,
            "buffer_bytes_max": outcome.buffer_bytes_max,
            "capture": outcome.capture.display().to_string(),
            "captured_packets": outcome.captured_packets,
        });
        all.insert(outcome.name.to_owned(), figures);
    }
    Value::Object(all)
}

fn seconds(at: Instant) -> f64 {
    at.since(Instant::ZERO).as_secs_f64()
}

const SPARKLINE_COLUMNS: usize = 48;
