//! Where everything stands. One pass through time: each thing takes the first free place in its column, and time moves on
//! below the lowest of what came before, so that what is lower came later, on both lanes.

use burstlane::time::Instant;
use burstlane_sim::Damage;

use super::events::{Note, Tone, clip};
use super::scale::{Pace, Room, Step, TimeScale};
use super::select::Selection;
use super::window::WindowCurve;
use super::{LABEL_GAP, LABEL_LETTER, LANE_GAP, LANES, TIME_END, WINDOW};
use crate::failure::Report;
use crate::failure::decode::flow_of;
use crate::failure::label::{Label, Role};
use crate::failure::words;
use crate::recording::PacketRecord;
use crate::scenario::{Fault, Scenario, Side, Span, Trouble};

/// The picture, but for its ink.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) height: f64,
    pub(super) scale: TimeScale,
    pub(super) arrows: Vec<Arrow>,
    /// Notes and the height of their first line.
    pub(super) notes: Vec<(f64, Note)>,
    pub(super) bands: Vec<Band>,
    pub(super) strips: Vec<Strip>,
    pub(super) windows: [Option<WindowCurve>; 2],
    /// Where the law was broken.
    pub(super) verdict: Option<f64>,
    pub(super) omitted_packets: usize,
    pub(super) omitted_notes: usize,
}

/// A packet on its way.
#[derive(Debug)]
pub(super) struct Arrow {
    pub(super) from: Side,
    /// Neither host sent it.
    pub(super) is_strangers: bool,
    pub(super) y: f64,
    /// Heights of its arrivals; none if it was lost.
    pub(super) arrivals: Vec<(f64, Damage)>,
    pub(super) text: ArrowText,
    pub(super) role: Role,
    /// All that is known, for whoever points at it.
    pub(super) tooltip: String,
}

/// What is written along a packet.
#[derive(Debug)]
pub(super) struct ArrowText {
    pub(super) number: String,
    pub(super) name: String,
    pub(super) detail: String,
    /// What went wrong with it.
    pub(super) trouble: String,
}

/// Trouble that lasts.
#[derive(Debug)]
pub(super) struct Band {
    pub(super) trouble: Trouble,
    pub(super) span: Span,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

/// A stretch of time that takes less room than it should.
#[derive(Debug)]
pub(super) struct Strip {
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) text: String,
    /// Not silence: things happened that are not drawn.
    pub(super) is_omission: bool,
}

impl Layout {
    pub(super) fn of(report: &Report<'_>) -> Self {
        let selection = Selection::of(report.recording);
        let windows = Side::BOTH.map(|side| WindowCurve::of(&selection, side));
        let mut notes = Note::all(&selection, report.scenario.flows.len() > 1, NOTES_WIDTH);
        notes.extend(notes_of_stalls(report.scenario, &selection));
        notes.sort_by_key(|note| note.at);
        let mut arrows = arrows(report, &selection);
        let flights = selection.packets.iter().filter_map(|(_, p)| Some(p.arrivals.first()?.0.since(p.sent_at)));
        let mut page = Cursor::new(Pace::of(flights.collect()));
        let items = items(report, &selection, &notes);
        for same_time in items.chunk_by(|a, b| a.at == b.at) {
            page.move_on(same_time[0].at, &selection);
            for item in same_time {
                match item.what {
                    What::Trouble => page.take_wire(),
                    What::Verdict => page.verdict = Some(page.take_verdict()),
                    What::Arrival(packet, damage) => {
                        let arrow = &mut arrows[packet];
                        arrow.arrivals.push((page.take_lane(arrow.from.other()).max(arrow.y), damage));
                    }
                    What::Note(note) => {
                        let y = page.take_note(&notes[note]);
                        page.note_heights.push(y);
                    }
                    What::Sending(packet) => {
                        arrows[packet].y = page.take_label(&arrows[packet]);
                        if selection.packets[packet].1.arrivals.is_empty() {
                            page.crosses = arrows[packet].y + FLIGHT_HEIGHT * LOST_AT + CROSS;
                        }
                    }
                }
            }
            page.finish_step(same_time[0].at);
        }
        let bands = bands(report.scenario, &page.scale);
        Self {
            height: page.lowest + FOOT,
            notes: page.note_heights.into_iter().zip(notes).collect(),
            scale: page.scale,
            strips: page.strips,
            verdict: page.verdict,
            arrows,
            bands,
            windows,
            omitted_packets: selection.omission.map_or(0, |omission| omission.packets),
            omitted_notes: selection.events_left_out,
        }
    }
}

/// Something that is to be placed.
#[derive(Clone, Copy, Debug)]
struct Item {
    at: Instant,
    what: What,
}

/// Places in the lists of packets and notes that are drawn.
#[derive(Clone, Copy, Debug)]
enum What {
    /// A trouble begins or ends.
    Trouble,
    Arrival(usize, Damage),
    Note(usize),
    Sending(usize),
    Verdict,
}

/// All that is drawn, by time; of one instant first what comes, then what is told, then what is sent, unless it comes in
/// the instant of its sending.
fn items(report: &Report<'_>, selection: &Selection<'_>, notes: &[Note]) -> Vec<Item> {
    let mut items: Vec<(u8, Item)> = Vec::new();
    let mut push = |rank, at, what| items.push((rank, Item { at, what }));
    for (i, (_, packet)) in selection.packets.iter().enumerate() {
        push(3, packet.sent_at, What::Sending(i));
        for (at, damage) in &packet.arrivals {
            push(if *at == packet.sent_at { 4 } else { 1 }, *at, What::Arrival(i, *damage));
        }
    }
    notes.iter().enumerate().for_each(|(i, note)| push(2, note.at, What::Note(i)));
    let is_hidden = |at| selection.omission.is_some_and(|gap| gap.after < at && at < gap.until);
    if let Some(at) = report.broken.and_then(|broken| broken.at()).filter(|at| !is_hidden(*at)) {
        items.push((5, Item { at, what: What::Verdict }));
    }
    let last = items.iter().map(|(_, item)| item.at).max().unwrap_or(Instant::ZERO);
    for (span, trouble) in spells(report.scenario).filter(|(span, _)| span.starts_at() <= last) {
        if !matches!(trouble, Trouble::Stall(_) | Trouble::Starve(_)) && !is_hidden(span.starts_at()) {
            items.push((0, Item { at: span.starts_at(), what: What::Trouble }));
        }
    }
    items.sort_by_key(|(rank, item)| (item.at, *rank));
    items.into_iter().map(|(_, item)| item).collect()
}

/// The place down to which the page is full, column by column.
struct Cursor {
    pace: Pace,
    scale: TimeScale,
    strips: Vec<Strip>,
    note_heights: Vec<f64>,
    verdict: Option<f64>,
    now: Option<Instant>,
    /// Where the present instant begins.
    top: f64,
    lowest: f64,
    /// Where the last cross of a lost packet ends: what follows may stand beside it, but no strip.
    crosses: f64,
    lanes: [f64; 2],
    notes: [f64; 2],
    /// Heights and widths of the last label on each side.
    labels: [(f64, f64); 2],
}

impl Cursor {
    fn new(pace: Pace) -> Self {
        Self {
            pace,
            scale: TimeScale::default(),
            strips: Vec::new(),
            note_heights: Vec::new(),
            verdict: None,
            now: None,
            top: HEAD,
            lowest: HEAD,
            crosses: 0.0,
            lanes: [0.0; 2],
            notes: [0.0; 2],
            labels: [(0.0, 0.0); 2],
        }
    }

    /// Begins an instant below all of those before it.
    fn move_on(&mut self, at: Instant, selection: &Selection<'_>) {
        let Some(before) = self.now.replace(at) else { return };
        let omission = selection.omission.filter(|gap| before < gap.until && at >= gap.until);
        let time = at.since(before);
        self.top = match (omission, self.pace.room(time)) {
            (Some(gap), _) => {
                let skipped = gap.until.since(gap.after);
                self.strip(
                    OMISSION_HEIGHT,
                    true,
                    format!("{} packets in {} are not drawn", gap.packets, words::span(skipped)),
                )
            }
            (None, Room::Silence) => self.strip(SILENCE_HEIGHT, false, words::later(time)),
            (None, Room::Proportional(height)) => self.lowest + height,
        };
        self.lowest = self.top;
    }

    fn strip(&mut self, height: f64, is_omission: bool, text: String) -> f64 {
        let top = self.lowest.max(self.crosses) + STRIP_GAP;
        let bottom = top + height;
        self.strips.push(Strip { top, bottom, text, is_omission });
        bottom + STRIP_GAP + 4.0
    }

    fn finish_step(&mut self, at: Instant) {
        self.scale.push(Step { at, top: self.top, bottom: self.lowest });
    }

    fn reach(&mut self, y: f64) -> f64 {
        self.lowest = self.lowest.max(y);
        y
    }

    /// A place for an arrowhead.
    fn take_lane(&mut self, side: Side) -> f64 {
        let y = self.top.max(self.lanes[side.index()] + HEAD_ROW);
        self.lanes[side.index()] = y;
        self.reach(y)
    }

    /// A line across the wire, for a band's name.
    fn take_wire(&mut self) {
        let y = self.labels.iter().fold(self.top, |y, (taken, _)| y.max(taken + LABEL_ROW));
        self.labels = [(y + LABEL_ROW * 0.5, LANES[1] - LANES[0]); 2];
        self.reach(y + LABEL_ROW * 0.5);
    }

    /// A line across everything, below all that led to it.
    fn take_verdict(&mut self) -> f64 {
        let y = self.lowest.max(self.crosses) + VERDICT_ROW;
        self.labels = [(y + LABEL_ROW * 0.5, LANES[1] - LANES[0]); 2];
        self.notes = [y + NOTE_ROW * 0.5; 2];
        self.reach(y + VERDICT_ROW * 0.5);
        y
    }

    fn take_note(&mut self, note: &Note) -> f64 {
        let y = self.top.max(self.notes[note.side.index()] + NOTE_ROW);
        let last = y + (note.lines.len() - 1) as f64 * NOTE_ROW;
        self.notes[note.side.index()] = last;
        self.reach(last);
        y
    }

    /// A line for a packet's label, clear of those of its own side, and of the other side's if they meet in the middle.
    fn take_label(&mut self, arrow: &Arrow) -> f64 {
        let (own, other) = (self.labels[arrow.from.index()], self.labels[arrow.from.other().index()]);
        let width = arrow.text.letters() as f64 * LABEL_LETTER;
        // Below what has just arrived, whose arrow would run through the words.
        let mut y = self.top.max(own.0 + LABEL_ROW).max(self.lanes[arrow.from.index()] + AFTER_HEAD);
        if width + other.1 > LANES[1] - LANES[0] - 2.0 * LABEL_GAP - 10.0 {
            y = y.max(other.0 + LABEL_ROW);
        }
        self.labels[arrow.from.index()] = (y, width);
        self.reach(y)
    }
}

impl ArrowText {
    pub(super) fn letters(&self) -> usize {
        [&self.number, &self.name, &self.detail, &self.trouble].iter().map(|part| part.chars().count() + 1).sum()
    }
}

/// The arrows, not yet placed. Labels are made from all packets, drawn or not: their numbers depend on what came before.
fn arrows(report: &Report<'_>, selection: &Selection<'_>) -> Vec<Arrow> {
    let labels = words::labels(&report.recording.packets, report.name_packet);
    let flows = report.scenario.flows.len();
    let flow_of = |packet: &PacketRecord| flow_of(packet.from, &packet.bytes).filter(|flow| flows > 1 && *flow < flows);
    selection.packets.iter().map(|(i, packet)| arrow(packet, labels[*i].clone(), flow_of(packet))).collect()
}

fn arrow(packet: &PacketRecord, label: Label, flow: Option<usize>) -> Arrow {
    let damage = packet.arrivals.iter().find_map(|(_, damage)| words::damage_of(packet, *damage));
    let copies = packet.arrivals.len().saturating_sub(1);
    let trouble = match (&packet.trouble, packet.arrivals.len(), damage) {
        (Some(trouble), ..) => trouble.clone(),
        (None, 0, _) => "lost".to_owned(),
        (None, _, Some(damage)) => damage,
        (None, ..) if copies > 0 => format!("{} times", copies + 1),
        (None, ..) => String::new(),
    };
    let tooltip = format!(
        "{} at {}\n{} {}\n{}\n{} bytes with all headers",
        words::packet(packet),
        words::span(packet.sent_at.since(Instant::ZERO)),
        label.name,
        label.detail,
        words::fate(packet),
        packet.bytes.len(),
    );
    let number = packet.number.map(|number| number.to_string()).unwrap_or_default();
    let number = number + &flow.map(|flow| format!(" #{flow}")).unwrap_or_default();
    let trouble = clip(&trouble, TROUBLE_LETTERS_MAX);
    let name = clip(&label.name, NAME_LETTERS_MAX);
    let taken = number.len() + name.chars().count() + trouble.chars().count() + 3;
    let detail = clip(&label.detail, LABEL_LETTERS_MAX.saturating_sub(taken));
    let text = ArrowText { number, name, detail, trouble };
    let is_strangers = words::is_strangers(packet);
    Arrow { from: packet.from, is_strangers, y: 0.0, arrivals: Vec::new(), text, role: label.role, tooltip }
}

fn spells(scenario: &Scenario) -> impl Iterator<Item = (Span, Trouble)> {
    scenario.faults.iter().filter_map(|fault| match *fault {
        Fault::Spell { span, trouble } => Some((span, trouble)),
        Fault::Packet { .. }
        | Fault::Forged { .. }
        | Fault::Flood { .. }
        | Fault::Rebind { .. }
        | Fault::Clock { .. } => None,
    })
}

/// A host whose device or memory fails says so in its own column.
fn notes_of_stalls(scenario: &Scenario, selection: &Selection<'_>) -> Vec<Note> {
    let last = selection.packets.iter().map(|(_, packet)| packet.sent_at).max().unwrap_or(Instant::ZERO);
    let is_drawn = |at: Instant| at <= last && selection.omission.is_none_or(|gap| at <= gap.after || at >= gap.until);
    let mut notes = Vec::new();
    for (span, trouble) in spells(scenario) {
        let (side, begins, ends) = match trouble {
            Trouble::Stall(side) => (side, "device stalls", "device works again"),
            Trouble::Starve(side) => (side, "packet memory used up", "packet memory back"),
            Trouble::Partition(_) | Trouble::BlackHole { .. } => continue,
        };
        for (at, text) in [(span.starts_at(), begins), (span.ends_at(), ends)] {
            if is_drawn(at) {
                notes.push(Note::new(side, at, Tone::Bad, text.to_owned()));
            }
        }
    }
    notes
}

fn bands(scenario: &Scenario, scale: &TimeScale) -> Vec<Band> {
    let Some(last) = scale.steps().last() else { return Vec::new() };
    let drawn = spells(scenario).filter(|(span, _)| span.starts_at() <= last.at);
    let band = |(span, trouble): (Span, Trouble)| {
        let bottom = if span.ends_at() > last.at { last.bottom + FOOT / 2.0 } else { scale.y(span.ends_at()) };
        Band { trouble, span, top: scale.y(span.starts_at()), bottom }
    };
    drawn.map(band).collect()
}

/// The typical time of a flight is this high; shorter for a lost packet, which does not come so far.
pub(super) use super::scale::FLIGHT_HEIGHT;
/// The part of their way at which lost packets end.
pub(super) const LOST_AT: f64 = 0.62;
/// Half the height of a cross.
const CROSS: f64 = 6.0;

/// Room for a note: from the picture's edge, or the times, to the window's column.
const NOTES_WIDTH: f64 = LANES[0] - LANE_GAP - WINDOW - LANE_GAP - TIME_END - 6.0;
/// Distances of lines of text, and of arrowheads.
const LABEL_ROW: f64 = 16.5;
const NOTE_ROW: f64 = 15.0;
const HEAD_ROW: f64 = 7.0;
const VERDICT_ROW: f64 = 20.0;
const AFTER_HEAD: f64 = 12.0;
const SILENCE_HEIGHT: f64 = 24.0;
const OMISSION_HEIGHT: f64 = 40.0;
/// Above and below a strip.
const STRIP_GAP: f64 = 9.0;
const HEAD: f64 = 30.0;
const FOOT: f64 = 40.0;
/// Letters of a packet's label: nearly the whole width of the wire.
const LABEL_LETTERS_MAX: usize = 84;
const NAME_LETTERS_MAX: usize = 24;
const TROUBLE_LETTERS_MAX: usize = 32;
