//! The ink: a [`Layout`] as SVG. Colours are classes, which the page's style sheet fills in for light and for dark.

use std::fmt::Write as _;

use burstlane::time::Instant;
use burstlane_sim::Damage;

use super::events::{Note, Tone};
use super::layout::{Arrow, Band, FLIGHT_HEIGHT, LOST_AT, Layout, Strip};
use super::scale::Step;
use super::window::{WindowCurve, bytes};
use super::{LABEL_GAP, LABEL_LETTER, LANE_GAP, LANES, TIME_END, WIDTH, WINDOW, lane, outward};
use crate::failure::label::Role;
use crate::scenario::{Side, Trouble};

/// The whole diagram.
pub(super) fn draw(layout: &Layout) -> String {
    let mut svg = String::new();
    let height = layout.height;
    put(
        &mut svg,
        format_args!(
            "<svg class=\"diagram\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" \
             aria-label=\"Sequence diagram of {} packets between two hosts, time running down\">\n",
            layout.arrows.len(),
        ),
    );
    layout.strips.iter().for_each(|strip| draw_strip(&mut svg, strip));
    layout.bands.iter().for_each(|band| draw_band(&mut svg, band));
    for side in Side::BOTH {
        if let Some(curve) = &layout.windows[side.index()] {
            draw_window(&mut svg, curve, side, layout);
        }
        draw_lane(&mut svg, side, layout);
    }
    draw_times(&mut svg, layout.scale.steps());
    layout.arrows.iter().enumerate().for_each(|(i, arrow)| draw_wire(&mut svg, i, arrow));
    layout.arrows.iter().enumerate().for_each(|(i, arrow)| draw_label(&mut svg, i, arrow));
    layout.arrows.iter().filter(|arrow| arrow.arrivals.is_empty()).for_each(|arrow| draw_cross(&mut svg, arrow));
    for (y, note) in &layout.notes {
        draw_note(&mut svg, *y, note, layout.windows[note.side.index()].is_some());
    }
    if let Some(y) = layout.verdict {
        draw_verdict(&mut svg, y);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The names of the columns, for the bar that stays in view.
pub(super) fn draw_heads(layout: &Layout, addresses: [&str; 2]) -> String {
    let mut svg = String::new();
    put(&mut svg, format_args!("<svg viewBox=\"0 0 {WIDTH} 40\" role=\"img\" aria-label=\"The two hosts\">\n"));
    put(
        &mut svg,
        format_args!("<text class=\"head-small\" x=\"{TIME_END}\" y=\"25\" text-anchor=\"end\">time</text>\n"),
    );
    for side in Side::BOTH {
        let (x, address) = (lane(side), addresses[side.index()]);
        put(
            &mut svg,
            format_args!(
                "<rect class=\"head-box\" x=\"{:.1}\" y=\"5\" width=\"92\" height=\"30\" rx=\"6\"/>\
                 <text class=\"head\" x=\"{x}\" y=\"19\" text-anchor=\"middle\">{side}</text>\
                 <text class=\"head-address\" x=\"{x}\" y=\"30\" text-anchor=\"middle\">{address}</text>\n",
                x - 46.0,
            ),
        );
        if let Some(curve) = &layout.windows[side.index()] {
            let x = x + outward(side) * 56.0;
            let flow = if curve.flow == 0 { String::new() } else { format!(" of flow {}", curve.flow) };
            put(
                &mut svg,
                format_args!(
                    "<text class=\"head-small\" x=\"{x:.1}\" y=\"25\" text-anchor=\"{}\">cwnd{flow}, up to {}</text>\n",
                    anchor(side),
                    bytes(curve.largest),
                ),
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_band(svg: &mut String, band: &Band) {
    let (x, width, class, text) = match band.trouble {
        Trouble::Partition(None) => (LANES[0], LANES[1] - LANES[0], "cut", "partition".to_owned()),
        Trouble::Partition(Some(from)) => {
            (LANES[0], LANES[1] - LANES[0], "cut", format!("partition: nothing from {from} arrives"))
        }
        Trouble::BlackHole { from, mtu } => {
            (LANES[0], LANES[1] - LANES[0], "hole", format!("black hole: {from}’s packets above {mtu} bytes vanish"))
        }
        Trouble::Stall(side) | Trouble::Starve(side) => {
            let near = lane(side) - 5.0;
            (near, 10.0, "stall", String::new())
        }
    };
    let height = (band.bottom - band.top).max(3.0);
    put(
        svg,
        format_args!(
            "<g class=\"band {class}\"><title>{}</title><rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\"/>",
            escape(&format!("{} {}", band.span, band.trouble)),
            band.top,
        ),
    );
    if !text.is_empty() {
        let (middle, y) = ((LANES[0] + LANES[1]) / 2.0, band.top + 12.0);
        put(svg, format_args!("<text x=\"{middle}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>", escape(&text)));
    }
    svg.push_str("</g>\n");
}

fn draw_strip(svg: &mut String, strip: &Strip) {
    let (top, height) = (strip.top, strip.bottom - strip.top);
    let class = if strip.is_omission { "strip omission" } else { "strip" };
    put(
        svg,
        format_args!(
            "<g class=\"{class}\"><rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>\
             <text x=\"{middle:.1}\" y=\"{baseline:.1}\" text-anchor=\"middle\">{text}</text></g>\n",
            x = TIME_END - 70.0,
            width = WIDTH - 2.0 * (TIME_END - 70.0),
            middle = (LANES[0] + LANES[1]) / 2.0,
            baseline = top + height / 2.0 + 4.0,
            text = escape(&strip.text),
        ),
    );
}

fn draw_verdict(svg: &mut String, y: f64) {
    let (left, right, middle) = (TIME_END - 70.0, WIDTH - TIME_END + 70.0, (LANES[0] + LANES[1]) / 2.0);
    put(
        svg,
        format_args!(
            "<g id=\"broken\" class=\"verdict\"><path d=\"M{left} {y:.1}H{right}\"/>\
             <rect x=\"{:.1}\" y=\"{:.1}\" width=\"190\" height=\"20\" rx=\"10\"/>\
             <text x=\"{middle}\" y=\"{:.1}\" text-anchor=\"middle\">here the law was broken</text></g>\n",
            middle - 95.0,
            y - 10.0,
            y + 4.0,
        ),
    );
}

/// A host's line, dotted where time is left out.
fn draw_lane(svg: &mut String, side: Side, layout: &Layout) {
    let x = lane(side);
    let mut from = 6.0;
    let ends = layout.strips.iter().map(|strip| (strip.top, strip.bottom));
    for (top, bottom) in ends.chain([(layout.height - 8.0, layout.height - 8.0)]) {
        put(svg, format_args!("<path class=\"lane\" d=\"M{x} {from:.1}V{top:.1}\"/>"));
        put(svg, format_args!("<path class=\"lane gap\" d=\"M{x} {top:.1}V{bottom:.1}\"/>"));
        from = bottom;
    }
    svg.push('\n');
}

fn draw_times(svg: &mut String, steps: &[Step]) {
    let mut free = f64::MIN;
    for step in steps.iter().filter(|step| {
        let is_free = step.top >= free;
        if is_free {
            free = step.top + TIME_ROW;
        }
        is_free
    }) {
        put(
            svg,
            format_args!(
                "<text class=\"time\" x=\"{TIME_END}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                step.top + 3.5,
                clock(step.at),
            ),
        );
    }
    svg.push('\n');
}

/// Milliseconds to the microsecond; seconds once there are some.
fn clock(at: Instant) -> String {
    let nanos = at.as_nanos();
    if nanos < 1_000_000_000 {
        format!("{}.{:03} ms", nanos / 1_000_000, nanos / 1_000 % 1_000)
    } else {
        format!("{}.{:05} s", nanos / 1_000_000_000, nanos / 10_000 % 100_000)
    }
}

/// The curve beside a lane: outward is more. Filled is what was in flight, the line what was allowed.
fn draw_window(svg: &mut String, curve: &WindowCurve, side: Side, layout: &Layout) {
    let base = lane(side) + outward(side) * LANE_GAP;
    let x = |value: u64| base + outward(side) * WINDOW * (value as f64 / curve.largest as f64);
    let bottom = layout.height - 8.0;
    let Some(first) = curve.points.first() else { return };
    let y = |at| layout.scale.y(at);
    let (mut allowed, mut used) = (String::new(), format!("M{base:.1} {:.1}", y(first.at)));
    for (i, point) in curve.points.iter().enumerate() {
        let (height, verb) = (y(point.at), if i == 0 { 'M' } else { 'V' });
        match verb {
            'M' => put(&mut allowed, format_args!("M{:.1} {height:.1}", x(point.cwnd))),
            _ => put(&mut allowed, format_args!("V{height:.1}H{:.1}", x(point.cwnd))),
        }
        put(&mut used, format_args!("V{height:.1}H{:.1}", x(point.in_flight)));
    }
    put(&mut allowed, format_args!("V{bottom:.1}"));
    put(&mut used, format_args!("V{bottom:.1}H{base:.1}Z"));
    put(
        svg,
        format_args!(
            "<g class=\"window\"><title>congestion window (line) and what of it is in flight (filled); the column is {} \
             wide</title><path class=\"used\" d=\"{used}\"/><path class=\"allowed\" d=\"{allowed}\"/>\n",
            bytes(curve.largest),
        ),
    );
    let mut free = f64::MIN;
    let mut told = 0;
    for point in &curve.points {
        let (height, cwnd) = (y(point.at), point.cwnd);
        let is_news = cwnd < told || cwnd >= told.saturating_add(told / 4) && cwnd > told;
        if is_news && height >= free {
            let far = base + outward(side) * (WINDOW + 1.0);
            let anchor = anchor(side.other());
            let text = bytes(cwnd);
            put(
                svg,
                format_args!("<text x=\"{far:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{text}</text>", height - 3.0),
            );
            free = height + WINDOW_TEXT_ROW;
            told = cwnd;
        }
    }
    svg.push_str("</g>\n");
}

/// The way of a packet, once for each arrival, or to where it was lost.
fn draw_wire(svg: &mut String, index: usize, arrow: &Arrow) {
    let (from, to) = (lane(arrow.from), lane(arrow.from.other()));
    // A stranger stands somewhere between the two.
    let from = if arrow.is_strangers { from + (to - from) * STRANGER_AT } else { from };
    let role = role(arrow.role);
    put(svg, format_args!("<g class=\"wire {role}\" data-p=\"{index}\"><title>{}</title>", escape(&arrow.tooltip)));
    if arrow.is_strangers {
        put(svg, format_args!("<circle class=\"stranger\" cx=\"{from}\" cy=\"{:.1}\" r=\"4\"/>", arrow.y));
    }
    if arrow.arrivals.is_empty() {
        let (x, y) = lost_at(arrow);
        put(svg, format_args!("<path d=\"M{from} {:.1}L{x:.1} {y:.1}\"/>", arrow.y));
    }
    for (i, (y, damage)) in arrow.arrivals.iter().enumerate() {
        let class = if i > 0 { "copy" } else { "first" };
        put(svg, format_args!("<path class=\"{class}\" d=\"M{from} {:.1}L{to} {y:.1}\"/>", arrow.y));
        draw_point(svg, (from, arrow.y), (to, *y), *damage);
    }
    svg.push_str("</g>\n");
}

/// Where a packet was lost. On top of all words: it is what the picture is looked at for.
fn draw_cross(svg: &mut String, arrow: &Arrow) {
    let (x, y) = lost_at(arrow);
    put(
        svg,
        format_args!(
            "<g class=\"wire\"><path class=\"cross\" d=\"M{:.1} {:.1}l10 10m0 -10l-10 10\"/></g>\n",
            x - 5.0,
            y - 5.0
        ),
    );
}

fn lost_at(arrow: &Arrow) -> (f64, f64) {
    let (from, to) = (lane(arrow.from), lane(arrow.from.other()));
    (from + (to - from) * LOST_AT, arrow.y + FLIGHT_HEIGHT * LOST_AT)
}

/// The arrowhead, hollow and with a jag in the wire where the packet came damaged.
fn draw_point(svg: &mut String, from: (f64, f64), to: (f64, f64), damage: Damage) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx.hypot(dy);
    let (ux, uy) = (dx / length, dy / length);
    let corner = |along: f64, aside: f64| (to.0 - ux * along - uy * aside, to.1 - uy * along + ux * aside);
    let tip = (to.0 - ux * 1.5, to.1 - uy * 1.5);
    let (a, b) = (corner(10.0, 3.6), corner(10.0, -3.6));
    let is_damaged = damage != Damage::None;
    let class = if is_damaged { "point hurt" } else { "point" };
    put(
        svg,
        format_args!(
            "<path class=\"{class}\" d=\"M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}Z\"/>",
            tip.0, tip.1, a.0, a.1, b.0, b.1
        ),
    );
    if is_damaged {
        let (x, y) = (from.0 + dx * JAG_AT, from.1 + dy * JAG_AT);
        put(svg, format_args!("<path class=\"jag\" d=\"M{:.1} {:.1}l5 -9l1 7l6 -2l-6 10l-1 -7z\"/>", x - 3.0, y + 2.0));
    }
}

fn draw_label(svg: &mut String, index: usize, arrow: &Arrow) {
    let side = arrow.from;
    let x = lane(side) - outward(side) * LABEL_GAP;
    let text = &arrow.text;
    let width = text.letters() as f64 * LABEL_LETTER;
    put(
        svg,
        format_args!(
            "<rect class=\"behind\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"12\" rx=\"2\"/>",
            if side == Side::Left { x - 2.0 } else { x + 2.0 - width },
            arrow.y - 12.5,
        ),
    );
    put(
        svg,
        format_args!(
            "<text class=\"label {}\" data-p=\"{index}\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{}\"><title>{}</title>",
            role(arrow.role),
            arrow.y - 3.0,
            anchor(side.other()),
            escape(&arrow.tooltip),
        ),
    );
    let trouble = if arrow.arrivals.is_empty() { "bad" } else { "odd" };
    let parts = [("number", &text.number), ("name", &text.name), ("detail", &text.detail), (trouble, &text.trouble)];
    let words: Vec<String> = parts
        .iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(class, text)| format!("<tspan class=\"{class}\">{}</tspan>", escape(text)))
        .collect();
    put(svg, format_args!("{}</text>\n", words.join(" ")));
}

fn draw_note(svg: &mut String, y: f64, note: &Note, has_window: bool) {
    let lane = lane(note.side);
    let out = outward(note.side);
    let far = lane + out * (LANE_GAP + if has_window { WINDOW + LANE_GAP } else { 0.0 });
    let tone_class = tone(note.tone);
    put(
        svg,
        format_args!(
            "<g class=\"note\"><path class=\"lead\" d=\"M{:.1} {y:.1}H{:.1}\"/>",
            lane + out * 6.0,
            far - out * 4.0
        ),
    );
    match note.tone {
        Tone::Timer => put(
            svg,
            format_args!(
                "<circle class=\"mark {tone_class}\" cx=\"{lane}\" cy=\"{y:.1}\" r=\"5.5\"/>\
                 <path class=\"hand {tone_class}\" d=\"M{lane} {:.1}V{y:.1}h3\"/>",
                y - 3.4
            ),
        ),
        Tone::State => put(
            svg,
            format_args!(
                "<path class=\"mark {tone_class}\" d=\"M{lane} {:.1}l5.5 5.5l-5.5 5.5l-5.5 -5.5z\"/>",
                y - 5.5
            ),
        ),
        Tone::Bad | Tone::App => {
            put(svg, format_args!("<circle class=\"mark {tone_class}\" cx=\"{lane}\" cy=\"{y:.1}\" r=\"3.5\"/>"));
        }
    }
    for (i, line) in note.lines.iter().enumerate() {
        let words: Vec<String> = line
            .iter()
            .map(|piece| format!("<tspan class=\"{}\">{}</tspan>", tone(piece.tone), escape(&piece.words())))
            .collect();
        put(
            svg,
            format_args!(
                "<text x=\"{far:.1}\" y=\"{:.1}\" text-anchor=\"{}\">{}</text>",
                y + 4.0 + i as f64 * 15.0,
                anchor(note.side),
                words.join("<tspan class=\"dot\"> · </tspan>"),
            ),
        );
    }
    svg.push_str("</g>\n");
}

/// Text that begins at a place beside a lane and runs outward.
const fn anchor(side: Side) -> &'static str {
    match side {
        Side::Left => "end",
        Side::Right => "start",
    }
}

/// The class of a packet.
pub(super) const fn role(role: Role) -> &'static str {
    match role {
        Role::Control => "control",
        Role::Data => "data",
        Role::Again => "again",
        Role::Ack => "ack",
        Role::Reset => "reset",
        Role::Other => "other",
    }
}

const fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::App => "app",
        Tone::State => "state",
        Tone::Timer => "timer",
        Tone::Bad => "bad",
    }
}

/// As text in HTML and SVG.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push('\n'),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

pub(super) fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a `String` cannot fail.
    let _ = out.write_fmt(text);
}

/// Distances of texts in the columns of times and of windows.
const TIME_ROW: f64 = 14.0;
const WINDOW_TEXT_ROW: f64 = 26.0;
/// The part of their way at which damaged packets are marked.
const JAG_AT: f64 = 0.8;
/// The part of the way at which strangers stand.
const STRANGER_AT: f64 = 0.72;
