//! SVG line plots by hand: panels one below the other over one time axis. Colours differ in hue and lightness for eyes
//! that see fewer of them (the palette of Okabe and Ito), each series has its own dash or mark as well, and the picture
//! carries a title and a description for those who do not see it.

use std::fmt::Write as _;

use super::scale::{LARGEST, Scale, Unit};

/// One panel: curves over seconds that share a unit.
pub(crate) struct Panel<'a> {
    /// What it shows.
    pub(crate) title: &'a str,
    /// Unit of the values.
    pub(crate) unit: Unit,
    /// The curves, later ones on top.
    pub(crate) series: Vec<Series<'a>>,
}

/// One curve.
pub(crate) struct Series<'a> {
    /// Its name in the legend.
    pub(crate) name: &'a str,
    /// How it is drawn.
    pub(crate) style: Style,
    /// Seconds and value, by time. Points that are no numbers, negative, or 10^18
    /// and more (a threshold not yet set) are left out.
    pub(crate) points: Vec<(f64, f64)>,
}

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A value holds until the next: windows.
    Steps,
    /// Straight from point to point: progress.
    Line,
    /// A cross per point: losses.
    Marks,
}

/// The whole document. `subtitle` says under which conditions the run was made.
pub(crate) fn render(title: &str, subtitle: &str, panels: &[Panel<'_>]) -> String {
    let height = HEAD + panels.len() as f64 * PANEL + FOOT;
    let mut svg = String::new();
    let (title, subtitle) = (escape(title), escape(subtitle));
    let names: Vec<_> = panels.iter().map(|panel| escape(panel.title)).collect();
    put(
        &mut svg,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-labelledby=\"title description\">\n\
         <title id=\"title\">{title}</title>\n\
         <desc id=\"description\">{subtitle}. Over time: {}.</desc>\n{STYLE}\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"34\" class=\"h\">{title}</text>\n\
         <text x=\"{LEFT}\" y=\"56\" class=\"s\">{subtitle}</text>\n",
            names.join("; "),
        ),
    );
    let times = panels.iter().flat_map(|panel| &panel.series).flat_map(|series| series.usable()).map(|(at, _)| at);
    let time = Scale::new(Unit::Seconds, times.fold(0.0, f64::max), 8, false);
    for (i, panel) in panels.iter().enumerate() {
        draw_panel(&mut svg, panel, &time, HEAD + i as f64 * PANEL);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_panel(svg: &mut String, panel: &Panel<'_>, time: &Scale, top: f64) {
    let largest = panel.series.iter().flat_map(Series::usable).map(|(_, value)| value).fold(0.0, f64::max);
    let values = Scale::new(panel.unit, largest, 4, true);
    let frame = Frame { top: top + 44.0, bottom: top + PANEL - 42.0 };
    put(
        svg,
        format_args!(
            "<g>\n<text x=\"{LEFT}\" y=\"{}\" class=\"t\">{} <tspan class=\"u\">({})</tspan></text>\n",
            top + 26.0,
            escape(panel.title),
            values.suffix,
        ),
    );
    draw_axes(svg, &frame, time, &values);
    let mut legend_end = WIDTH - RIGHT;
    for (i, series) in panel.series.iter().enumerate().rev() {
        let look = Look::of(i, series.style);
        legend_end = draw_legend(svg, series.name, &look, legend_end, top + 26.0);
    }
    for (i, series) in panel.series.iter().enumerate() {
        draw_series(svg, series, &Look::of(i, series.style), &frame, time, &values);
    }
    if panel.series.iter().all(|series| series.usable().next().is_none()) {
        let (x, y) = ((LEFT + WIDTH - RIGHT) / 2.0, (frame.top + frame.bottom) / 2.0);
        put(
            svg,
            format_args!("<text x=\"{x}\" y=\"{y}\" class=\"s\" text-anchor=\"middle\">nothing was recorded</text>\n"),
        );
    }
    svg.push_str("</g>\n");
}

fn draw_axes(svg: &mut String, frame: &Frame, time: &Scale, values: &Scale) {
    let right = WIDTH - RIGHT;
    for &tick in &values.ticks {
        let y = frame.y(values.position(tick));
        let class = if tick == 0.0 { "axis" } else { "grid" };
        put(
            svg,
            format_args!(
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" class=\"{class}\"/>\
             <text x=\"{}\" y=\"{:.1}\" class=\"n\" text-anchor=\"end\">{}</text>\n",
                LEFT - 10.0,
                y + 4.0,
                values.label(tick),
            ),
        );
    }
    for &tick in &time.ticks {
        let x = x(time.position(tick));
        put(
            svg,
            format_args!(
                "<line x1=\"{x:.1}\" y1=\"{0:.1}\" x2=\"{x:.1}\" y2=\"{1:.1}\" class=\"axis\"/>\
             <text x=\"{x:.1}\" y=\"{2:.1}\" class=\"n\" text-anchor=\"middle\">{3}</text>\n",
                frame.bottom,
                frame.bottom + 5.0,
                frame.bottom + 19.0,
                time.label(tick),
            ),
        );
    }
    put(
        svg,
        format_args!(
            "<text x=\"{right}\" y=\"{:.1}\" class=\"n\" text-anchor=\"end\">time ({})</text>\n",
            frame.bottom + 36.0,
            time.suffix,
        ),
    );
}

/// Draws one entry that ends at `end` and returns where the one to its left may end.
fn draw_legend(svg: &mut String, name: &str, look: &Look, end: f64, y: f64) -> f64 {
    let text = end - name.chars().count() as f64 * LETTER;
    let (from, to, mid) = (text - 34.0, text - 8.0, y - 4.0);
    let Look { colour, dash, style } = *look;
    match style {
        Style::Marks => {
            let at = (from + to) / 2.0;
            put(svg, format_args!("<path d=\"{}\" stroke=\"{colour}\" class=\"x\"/>", cross(at, mid)));
        }
        Style::Steps | Style::Line => put(
            svg,
            format_args!(
                "<line x1=\"{from:.1}\" y1=\"{mid}\" x2=\"{to:.1}\" y2=\"{mid}\" stroke=\"{colour}\" \
             stroke-dasharray=\"{dash}\" class=\"c\"/>",
            ),
        ),
    }
    put(svg, format_args!("<text x=\"{text:.1}\" y=\"{y}\" class=\"l\">{}</text>\n", escape(name)));
    from - 18.0
}

fn draw_series(svg: &mut String, series: &Series<'_>, look: &Look, frame: &Frame, time: &Scale, values: &Scale) {
    let mut path = String::new();
    let mut last: Option<(f64, f64)> = None;
    for (at, value) in series.usable() {
        let here = (x(time.position(at)), frame.y(values.position(value)));
        match (look.style, last) {
            // What would not be seen is not written.
            (_, Some(before)) if (here.0 - before.0).abs() < 0.1 && (here.1 - before.1).abs() < 0.1 => continue,
            (Style::Marks, _) => path.push_str(&cross(here.0, here.1)),
            (Style::Steps | Style::Line, None) => put(&mut path, format_args!("M{:.1} {:.1}", here.0, here.1)),
            (Style::Line, Some(_)) => put(&mut path, format_args!("L{:.1} {:.1}", here.0, here.1)),
            (Style::Steps, Some(_)) => put(&mut path, format_args!("H{:.1}V{:.1}", here.0, here.1)),
        }
        last = Some(here);
    }
    let (Style::Steps | Style::Line, class, dash) = (look.style, "c", look.dash) else {
        put(svg, format_args!("<path d=\"{path}\" stroke=\"{}\" class=\"x\"/>\n", look.colour));
        return;
    };
    put(
        svg,
        format_args!("<path d=\"{path}\" stroke=\"{}\" stroke-dasharray=\"{dash}\" class=\"{class}\"/>\n", look.colour,),
    );
}

impl Series<'_> {
    fn usable(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let drawable = |value: f64| (0.0..LARGEST).contains(&value);
        self.points.iter().copied().filter(move |&(at, value)| drawable(at) && drawable(value))
    }
}

/// Where a panel's drawing area lies, vertically.
struct Frame {
    top: f64,
    bottom: f64,
}

impl Frame {
    fn y(&self, position: f64) -> f64 {
        self.bottom - position * (self.bottom - self.top)
    }
}

fn x(position: f64) -> f64 {
    LEFT + position * (WIDTH - LEFT - RIGHT)
}

/// What tells a series from its neighbours.
struct Look {
    colour: &'static str,
    dash: &'static str,
    style: Style,
}

impl Look {
    fn of(index: usize, style: Style) -> Self {
        let (colour, dash) = match (style, index % 4) {
            (Style::Marks, _) => ("#a40e26", "none"),
            (_, 0) => ("#0072b2", "none"),
            (_, 1) => ("#d55e00", "7 4"),
            (_, 2) => ("#00795b", "2 3"),
            (_, _) => ("#8a4a78", "9 3 2 3"),
        };
        Self { colour, dash, style }
    }
}

fn cross(x: f64, y: f64) -> String {
    format!("M{:.1} {:.1}l7 7m0 -7l-7 7", x - 3.5, y - 3.5)
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 has no way to write these.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a `String` cannot fail.
    let _ = out.write_fmt(text);
}

/// Lengths in the picture's own unit, one pixel at its natural size.
const WIDTH: f64 = 960.0;
const HEAD: f64 = 72.0;
const PANEL: f64 = 270.0;
const FOOT: f64 = 6.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 28.0;
/// A little more than the mean width of a letter of the legend.
const LETTER: f64 = 7.0;

const STYLE: &str = "<style>\
text{font-family:system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#1f2328}\
.h{font-size:20px;font-weight:600}.s{font-size:13px;fill:#57606a}.t{font-size:15px;font-weight:600}\
.u{font-weight:400;fill:#57606a}.n{font-size:12px;fill:#57606a;font-variant-numeric:tabular-nums}.l{font-size:13px}\
.grid{stroke:#e4e8ec}.axis{stroke:#8c959f}.c{fill:none;stroke-width:1.8;stroke-linejoin:round}\
.x{fill:none;stroke-width:1.6}</style>\n";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn panels(points: &[(f64, f64)], name: &'static str) -> Vec<Panel<'static>> {
        [Style::Steps, Style::Line, Style::Marks]
            .map(|style| Panel {
                title: name,
                unit: Unit::Bytes,
                series: vec![Series { name, style, points: points.to_vec() }],
            })
            .into()
    }

    proptest! {
        #[test]
        fn any_points_give_a_picture_without_nonsense(points in proptest::collection::vec(any::<(f64, f64)>(), 0..40)) {
            let svg = render("t", "s", &panels(&points, "curve"));
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", svg);
            prop_assert_eq!(svg.matches("<g>").count(), svg.matches("</g>").count());
            prop_assert!(svg.ends_with("</svg>\n"));
        }
    }

    #[test]
    fn names_cannot_break_out_of_the_document() {
        let svg = render("a<b", "\"&\u{1b}", &panels(&[(0.0, 1.0)], "<script>"));
        assert!(!svg.contains("<script>") && !svg.contains('\u{1b}') && svg.contains("a&lt;b"));
    }

    #[test]
    fn a_window_holds_until_it_changes_and_progress_does_not() {
        let svg = render("t", "s", &panels(&[(0.0, 0.0), (1.0, 1024.0)], "curve"));
        assert!(svg.contains("H932.0V"), "steps");
        assert!(svg.contains("L932.0"), "lines");
    }
}
