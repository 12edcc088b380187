//! Events in words, as they stand beside a lane: what one host told at one instant is one note, of one or more lines.

use burstlane::time::Instant;

use super::NOTE_LETTER;
use super::select::{Selection, is_note};
use crate::recording::{EventRecord, Happening};
use crate::scenario::Side;

/// What a host told at an instant.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Note {
    pub(super) side: Side,
    pub(super) at: Instant,
    pub(super) lines: Vec<Vec<Piece>>,
    /// The mark on the lane: that of the weightiest piece.
    pub(super) tone: Tone,
}

/// A few words of one colour.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) tone: Tone,
    pub(super) text: String,
    /// How often in a row it was said.
    times: usize,
}

/// Kinds of events; later ones weigh more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    App,
    State,
    Timer,
    Bad,
}

impl Note {
    /// A note of one piece.
    pub(super) fn new(side: Side, at: Instant, tone: Tone, text: String) -> Self {
        Self { side, at, lines: vec![vec![Piece { tone, text, times: 1 }]], tone }
    }

    /// All notes, by time, each no wider than `width`.
    pub(super) fn all(selection: &Selection<'_>, has_many_flows: bool, width: f64) -> Vec<Self> {
        let mut notes: Vec<Self> = Vec::new();
        let letters_max = (width / NOTE_LETTER) as usize;
        for event in selection.events.iter().filter(|event| is_note(event)) {
            let (tone, text) = words(event, has_many_flows);
            let place = notes.iter().rposition(|note| note.side == event.side).filter(|i| notes[*i].at == event.at);
            let place = place.unwrap_or_else(|| {
                notes.push(Self { side: event.side, at: event.at, lines: Vec::new(), tone });
                notes.len() - 1
            });
            notes[place].add(tone, &text, letters_max);
        }
        notes
    }

    /// Adds a piece behind the others, in lines of its own if it is long.
    fn add(&mut self, tone: Tone, text: &str, letters_max: usize) {
        self.tone = self.tone.max(tone);
        let last = self.lines.last_mut().and_then(|line| line.last_mut());
        if let Some(last) = last.filter(|last| last.tone == tone && last.text == text) {
            last.times += 1;
            return;
        }
        for (i, text) in wrap(text, letters_max).into_iter().enumerate() {
            let piece = Piece { tone, text, times: 1 };
            match self.lines.last_mut() {
                Some(line) if i == 0 && letters(line) + piece.text.chars().count() <= letters_max => line.push(piece),
                _ => self.lines.push(vec![piece]),
            }
        }
    }
}

impl Piece {
    /// The words, and how often they were said.
    pub(super) fn words(&self) -> String {
        if self.times > 1 { format!("{} ×{}", self.text, self.times) } else { self.text.clone() }
    }
}

fn letters(line: &[Piece]) -> usize {
    line.iter().map(|piece| piece.words().chars().count() + SEPARATOR).sum()
}

/// A text in lines, broken between words where that can be done.
fn wrap(text: &str, letters_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= letters_max => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(clip(word, letters_max)),
        }
    }
    lines.truncate(LINES_MAX);
    lines
}

fn words(event: &EventRecord, has_many_flows: bool) -> (Tone, String) {
    let (tone, text) = match &event.what {
        Happening::Opened => (Tone::State, "opened".to_owned()),
        Happening::Closed { reason } => (Tone::State, format!("over: {reason}")),
        Happening::State { to, .. } => (Tone::State, to.clone()),
        Happening::Timer { name } => (Tone::Timer, format!("timer: {name}")),
        Happening::Lost { offset, bytes } => (Tone::Bad, format!("judged lost: {offset}+{bytes}")),
        Happening::Dropped { reason } => (Tone::Bad, format!("dropped: {reason}")),
        Happening::App { what } => (Tone::App, what.clone()),
        Happening::Congestion { .. } | Happening::Rtt { .. } => (Tone::App, String::new()),
    };
    let flow = event.flow.filter(|_| has_many_flows).map(|flow| format!("#{flow} ")).unwrap_or_default();
    (tone, flow + &text)
}

/// The first `letters_max` letters of a text, the last of them a sign that there were more.
pub(super) fn clip(text: &str, letters_max: usize) -> String {
    if text.chars().count() <= letters_max {
        return text.to_owned();
    }
    text.chars().take(letters_max.saturating_sub(1)).chain(['…']).collect()
}

/// Lines of one event's words.
const LINES_MAX: usize = 3;
/// Letters of ` · `.
const SEPARATOR: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Recording;

    #[test]
    fn what_is_told_at_one_instant_is_one_note() {
        let event = |nanos: u64, side, what| EventRecord { side, at: Instant::from_nanos(nanos), flow: Some(1), what };
        let state = |to: &str| Happening::State { from: "CLOSED".into(), to: to.into() };
        let events = vec![
            event(1, Side::Left, state("SYN-SENT")),
            event(1, Side::Right, state("LISTEN")),
            event(1, Side::Left, Happening::Timer { name: "retransmit".into() }),
            event(1, Side::Left, Happening::Lost { offset: 1000, bytes: 1460 }),
            event(2, Side::Left, Happening::Congestion { cwnd: 1, ssthresh: 1, in_flight: 1 }),
            event(2, Side::Left, state("ESTABLISHED")),
            event(3, Side::Right, Happening::App { what: "sends 5".into() }),
            event(3, Side::Right, Happening::App { what: "sends 5".into() }),
        ];
        let recording = Recording { events, ..Recording::default() };
        let notes = Note::all(&Selection::of(&recording), true, 35.0 * NOTE_LETTER);
        let texts: Vec<Vec<Vec<String>>> = notes
            .iter()
            .map(|note| note.lines.iter().map(|line| line.iter().map(Piece::words).collect()).collect())
            .collect();
        assert_eq!(
            texts,
            [
                vec![vec!["#1 SYN-SENT", "#1 timer: retransmit"], vec!["#1 judged lost: 1000+1460"]],
                vec![vec!["#1 LISTEN"]],
                vec![vec!["#1 ESTABLISHED"]],
                vec![vec!["#1 sends 5 ×2"]],
            ]
        );
        assert_eq!(notes[0].tone, Tone::Bad);
        assert_eq!(clip("ESTABLISHED", 5), "ESTA…");
        assert_eq!(wrap("dropped: out of the window", 12), ["dropped: out", "of the", "window"]);
    }
}
