//! What happened in a run, for the terminal.

use std::fmt::Write as _;

use burstlane_sim::Damage;
use burstlane_spec::failure::Paths;
use burstlane_spec::judge::Run;
use burstlane_spec::recording::PacketRecord;
use burstlane_spec::{Scenario, Side};

use super::Outcome;
use crate::term::Style;

/// A few lines about a run.
pub(super) fn text(scenario: &Scenario, outcome: &Outcome, style: Style) -> String {
    let flows = if scenario.flows.len() == 1 { "1 flow".to_owned() } else { format!("{} flows", scenario.flows.len()) };
    let head = format!("{}, seed {}, {flows}", scenario.transport, scenario.seed);
    let mut text = format!("{}\n", style.bold(&head));
    let verdict = match outcome.broken() {
        Some(broken) => format!("{} {}", style.red(&format!("broke {}:", broken.law)), broken.message),
        None => style.green("no law was broken"),
    };
    let mut lines = vec![("verdict", verdict)];
    if let Outcome::Ran(run) = outcome {
        lines.extend(figures(scenario, run));
    }
    for (name, value) in lines {
        let _ = writeln!(text, "  {}  {value}", style.dim(&format!("{name:<10}")));
    }
    text
}

fn figures(scenario: &Scenario, run: &Run) -> Vec<(&'static str, String)> {
    let received = |side: Side| {
        let ends = run.reports.iter().map(|[left, right]| if side == Side::Left { left } else { right });
        ends.map(|end| end.received).sum::<u64>()
    };
    let delivered: Vec<String> = Side::BOTH
        .into_iter()
        .filter(|side| scenario.bytes(*side) > 0)
        .map(|side| format!("{} bytes of {} from {side}", received(side.other()), scenario.bytes(side)))
        .collect();
    let mut delivered = if delivered.is_empty() { "nothing was to be sent".to_owned() } else { delivered.join(", ") };
    if scenario.transport == "udp" {
        delivered.push_str("; copies count");
    }
    let seconds = run.took.as_secs_f64();
    let bits = Side::BOTH.iter().map(|side| received(*side)).sum::<u64>() as f64 * 8.0;
    let packets = &run.recording.packets;
    let count = |is: fn(&PacketRecord) -> bool| packets.iter().filter(|packet| is(packet)).count();
    let lost = count(|packet| packet.arrivals.is_empty());
    let doubled = count(|packet| packet.arrivals.len() > 1);
    let damaged = count(|packet| packet.arrivals.iter().any(|(_, damage)| *damage != Damage::None));
    vec![
        ("delivered", delivered),
        ("goodput", format!("{:.3} Mbit/s in {seconds:.3} s of virtual time", bits / 1e6 / seconds.max(1e-9))),
        (
            "packets",
            format!(
                "{} from left, {} from right; {lost} lost, {doubled} doubled, {damaged} damaged",
                run.packets[0], run.packets[1]
            ),
        ),
    ]
}

/// The files, and what to type next.
pub(super) fn ending(scenario: &Scenario, outcome: &Outcome, paths: &Paths, style: Style) -> String {
    let files = [
        (&paths.page, "the sequence diagram, for a browser"),
        (&paths.capture, "the packets with what the hosts knew, for Wireshark"),
        (&paths.scenario, "what reruns it; edit it and run it again"),
    ]
    .map(|(path, what)| (path.display().to_string(), what));
    let width = files.iter().map(|(path, _)| path.len()).max().unwrap_or(0);
    let mut text = format!("\n{}\n", style.bold("Files"));
    for (path, what) in files {
        let _ = writeln!(text, "  {path:width$}  {}", style.dim(what));
    }
    let _ = writeln!(text, "\n{}", style.bold("next:"));
    let replay = format!("burstlane sim replay {} --open", paths.scenario.display());
    let _ = writeln!(text, "  {replay}  {}", style.dim("the same packets, and the diagram"));
    if outcome.broken().is_none() {
        let other = format!(
            "burstlane sim run --transport {} --seed {} --loss 5%",
            scenario.transport,
            scenario.seed.wrapping_add(1)
        );
        let _ = writeln!(text, "  {other}  {}", style.dim("a worse link"));
    }
    text
}
