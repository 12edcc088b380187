//! The page around the diagram: what was broken, what reruns it, what happened in numbers. It needs no other file, and no
//! script to be read; the script makes a packet's arrow and label light up together.

use burstlane::time::Instant;
use burstlane_sim::Damage;

use super::layout::Layout;
use super::svg::{draw, draw_heads, escape, put};
use crate::failure::label::Role;
use crate::failure::{Report, Verdict, words};
use crate::recording::Recording;
use crate::scenario::{Scenario, Side};

/// The page of a run. `command` is what reruns it, as a person types it.
#[must_use]
pub fn page(report: &Report<'_>, command: &str) -> String {
    let layout = Layout::of(report);
    let mut html = String::new();
    let title = report.broken.map_or("a run", |broken| broken.law);
    put(
        &mut html,
        format_args!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}: {}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n",
            escape(&report.scenario.transport),
            escape(title),
        ),
    );
    put_header(&mut html, report, command, &layout);
    put(
        &mut html,
        format_args!(
            "<figure>\n<div class=\"heads\">{}</div>\n{}</figure>\n",
            draw_heads(&layout, addresses(report.scenario)),
            draw(&layout),
        ),
    );
    html.push_str(FOOTER);
    put(&mut html, format_args!("<script>\n{SCRIPT}</script>\n</body>\n</html>\n"));
    html
}

fn put_header(html: &mut String, report: &Report<'_>, command: &str, layout: &Layout) {
    html.push_str("<header>\n");
    match report.broken {
        Some(Verdict { law, message }) => put(
            html,
            format_args!(
                "<h1><small class=\"bad\">{} broke the law</small>{}</h1>\n<pre class=\"message\">{}</pre>\n",
                escape(&report.scenario.transport),
                escape(law),
                escape(message),
            ),
        ),
        None => put(
            html,
            format_args!("<h1><small>no law was broken</small>A run of {}</h1>\n", escape(&report.scenario.transport)),
        ),
    }
    html.push_str("<dl>\n");
    for (name, value) in facts(report.scenario, report.recording) {
        put(html, format_args!("<div><dt>{name}</dt><dd>{}</dd></div>\n", escape(&value)));
    }
    html.push_str("</dl>\n");
    let link = if layout.verdict.is_some() { "<a href=\"#broken\">to where it was broken</a>" } else { "" };
    put(
        html,
        format_args!(
            "<p class=\"again-line\">run it again <code>{}</code>{link}</p>
",
            escape(command)
        ),
    );
    let scenario = report.scenario.to_string();
    let is_open = if scenario.lines().count() <= OPEN_LINES_MAX { " open" } else { "" };
    put(
        html,
        format_args!(
            "<details{is_open}><summary>the scenario, {} lines</summary><pre>{}</pre></details>\n",
            scenario.lines().count(),
            escape(&scenario),
        ),
    );
    for line in omissions(report.recording, layout) {
        put(html, format_args!("<p>{line}</p>\n"));
    }
    put_legend(html);
    html.push_str("</header>\n");
}

/// The run in numbers.
fn facts(scenario: &Scenario, recording: &Recording) -> Vec<(&'static str, String)> {
    let packets = &recording.packets;
    let count = |is: fn(&crate::recording::PacketRecord) -> bool| packets.iter().filter(|packet| is(packet)).count();
    let sent = |side: Side| packets.iter().filter(|packet| packet.from == side).count();
    let last = packets.iter().map(|packet| packet.sent_at).chain(recording.events.iter().map(|event| event.at)).max();
    let mut facts = vec![
        ("transport", scenario.transport.clone()),
        ("seed", scenario.seed.to_string()),
        ("lasted", words::span(last.unwrap_or(Instant::ZERO).since(Instant::ZERO))),
        ("packets", format!("{} from left, {} from right", sent(Side::Left), sent(Side::Right))),
    ];
    facts.extend(scenario.planted.clone().map(|planted| ("planted bug", planted)));
    for (name, number) in [
        ("lost", count(|packet| packet.arrivals.is_empty())),
        ("doubled", count(|packet| packet.arrivals.len() > 1)),
        ("damaged", count(|packet| packet.arrivals.iter().any(|(_, damage)| *damage != Damage::None))),
    ] {
        facts.push((name, number.to_string()));
    }
    facts
}

/// What is not in the picture, in sentences.
fn omissions(recording: &Recording, layout: &Layout) -> Vec<String> {
    let mut lines = Vec::new();
    if layout.omitted_packets > 0 {
        lines.push(format!(
            "Of {} packets the first and the last are drawn; the capture has all of them.",
            recording.packets.len()
        ));
    }
    if layout.omitted_notes > 0 {
        lines.push(format!("{} events are not told beside the lanes.", layout.omitted_notes));
    }
    if recording.left_out > 0 {
        lines.push(format!("{} packets and events came after the recording was full.", recording.left_out));
    }
    lines
}

fn put_legend(html: &mut String) {
    html.push_str("<ul class=\"legend\">\n");
    for (role, text) in [
        (Role::Control, "opens or ends a flow"),
        (Role::Data, "data"),
        (Role::Again, "sent again"),
        (Role::Ack, "acknowledgement"),
        (Role::Reset, "reset, error"),
    ] {
        let role = super::svg::role(role);
        put(
            html,
            format_args!(
                "<li><svg viewBox=\"0 0 26 12\"><g class=\"wire {role}\"><path d=\"M0 6H24\"/>\
                 <path class=\"point\" d=\"M25 6l-8 -3v6z\"/></g></svg>{text}</li>\n"
            ),
        );
    }
    html.push_str(
        "<li><svg viewBox=\"0 0 26 12\"><g class=\"wire data\"><path d=\"M0 6H16\"/>\
         <path class=\"cross\" d=\"M12 1l10 10m0 -10l-10 10\"/></g></svg>lost</li>\n\
         <li><svg viewBox=\"0 0 26 12\"><g class=\"wire data\"><path class=\"copy\" d=\"M0 6H24\"/></g></svg>a copy</li>\n\
         <li><svg viewBox=\"0 0 26 12\"><g class=\"wire data\"><path d=\"M0 6H20\"/><path class=\"point hurt\" \
         d=\"M25 6l-8 -3v6z\"/><path class=\"jag\" d=\"M6 8l5 -9l1 7l6 -2l-6 10l-1 -7z\"/></g></svg>damaged</li>\n\
         <li><svg viewBox=\"0 0 26 12\"><g class=\"wire other\"><path d=\"M4 6H24\"/><circle class=\"stranger\" cx=\"4\" cy=\"6\" \
         r=\"4\"/></g></svg>from a stranger</li>\n\
         <li><svg viewBox=\"0 0 26 12\"><g class=\"note\"><path class=\"mark state\" d=\"M13 0.5l5.5 5.5l-5.5 5.5l-5.5 -5.5z\"/>\
         </g></svg>state</li>\n\
         <li><svg viewBox=\"0 0 26 12\"><g class=\"note\"><circle class=\"mark timer\" cx=\"13\" cy=\"6\" r=\"5.5\"/>\
         <path class=\"hand\" d=\"M13 2.6V6h3\"/></g></svg>timer</li>\n\
         <li><svg viewBox=\"0 0 26 12\"><g class=\"window\"><path class=\"used\" d=\"M3 0h10v12h-10z\"/>\
         <path class=\"allowed\" d=\"M18 0V12\"/></g></svg>congestion window, and what of it is in flight</li>\n</ul>\n",
    );
}

const fn addresses(scenario: &Scenario) -> [&'static str; 2] {
    if scenario.is_v6 { ["fd00::1", "fd00::2"] } else { ["10.0.0.1", "10.0.0.2"] }
}

/// A longer scenario is folded.
const OPEN_LINES_MAX: usize = 24;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const FOOTER: &str = "<footer><p class=\"legend\">Time is virtual and runs down; silence is shortened, and says by how much. \
The numbers of packets are those by which faults name them: from 0, each side its own. Sequence numbers are relative. Point at \
a packet for all that is known of it.</p></footer>\n";
