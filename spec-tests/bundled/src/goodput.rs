//! The goodput of every bundled transport that controls congestion, with every controller that there is: the table of
//! `docs/performance.md`. A controller that [`congestion::NAMES`] names is a row of it.

use std::fmt;

use burstlane::congestion::{self, Controller};
use burstlane_rudp::{Rudp, RudpConfig};
use burstlane_spec::goodput::{Goodput, Path, Spans, measure};
use burstlane_tcp::Tcp;

/// The table, and by `Display` its Markdown.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    transport: &'static str,
    controller: &'static str,
    one: Vec<Goodput>,
    four: Vec<Goodput>,
}

/// Measures all rows whose transport's or controller's name begins with `part` (all begin with `""`), each path for its spans.
#[must_use]
pub fn table(spans: impl Fn(Path) -> Spans, part: &str) -> Table {
    let names = congestion::NAMES.into_iter();
    let controllers = names.filter_map(|name| Some((name, congestion::by_name(name)?)));
    let is_asked = |transport: &str, name: &str| transport.starts_with(part) || name.starts_with(part);
    let mut rows = Vec::new();
    for (name, controller) in controllers {
        if is_asked("tcp", name) {
            rows.push(row("tcp", name, |path, flows| {
                measure::<Tcp>(&tcp(controller.clone()), path, flows, spans(path))
            }));
        }
        if is_asked("rudp", name) {
            rows.push(row("rudp", name, |path, flows| {
                measure::<Rudp>(&rudp(controller.clone()), path, flows, spans(path))
            }));
        }
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.transport));
    Table { rows }
}

fn row(transport: &'static str, controller: &'static str, measure: impl Fn(Path, u16) -> Goodput) -> Row {
    let one = ONE_FLOW.into_iter().map(|(_, path)| measure(path, 1)).collect();
    let four = FOUR_FLOWS.into_iter().map(|(_, path)| measure(path, 4)).collect();
    Row { transport, controller, one, four }
}

fn tcp(controller: Box<dyn Controller>) -> burstlane_tcp::Config {
    let mut config = burstlane_tcp::Config::default().with_buffers(BUFFER_BYTES, BUFFER_BYTES);
    config.congestion = controller;
    config
}

fn rudp(controller: Box<dyn Controller>) -> RudpConfig {
    let mut config = RudpConfig::default();
    config.channel.controller = controller;
    (config.channel.window_bytes, config.channel.stream_bytes_max) = (BUFFER_BYTES, BUFFER_BYTES);
    config
}

/// Megabits a second; of four flows those of all, and how fairly they shared.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = ONE_FLOW.iter().map(|(name, _)| (*name).to_owned());
        let four = FOUR_FLOWS.iter().map(|(name, _)| format!("four flows, {name}"));
        let names: Vec<String> = one.chain(four).collect();
        writeln!(f, "| | {} |", names.join(" | "))?;
        writeln!(f, "|---|{}", "--:|".repeat(names.len()))?;
        for Row { transport, controller, one, four } in &self.rows {
            write!(f, "| {transport}, {controller} |")?;
            one.iter().try_for_each(|goodput| write!(f, " {:.1} |", goodput.mbit_per_s()))?;
            four.iter()
                .try_for_each(|goodput| write!(f, " {:.1} shared {:.2} |", goodput.mbit_per_s(), goodput.fairness()))?;
            writeln!(f)?;
        }
        Ok(())
    }
}

const ONE_FLOW: [(&str, Path); 6] = [
    ("0 %", Path::losing(0.0)),
    ("0.1 %", Path::losing(0.001)),
    ("1 %", Path::losing(0.01)),
    ("1 % and reordered", Path { loss: 0.01, reorder: 0.01 }),
    ("3 %", Path::losing(0.03)),
    ("10 %", Path::losing(0.1)),
];
const FOUR_FLOWS: [(&str, Path); 2] = [("0 %", Path::losing(0.0)), ("0.1 %", Path::losing(0.001))];
/// More than the path and its queue hold.
const BUFFER_BYTES: u32 = 4 << 20;
