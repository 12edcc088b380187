use proptest::prelude::*;

use super::layout::{Arrow, Layout};
use super::{LABEL_GAP, LABEL_LETTER, lane, outward};
use crate::failure::tests::{any_recording, troubled};
use crate::failure::{Report, by_command};
use crate::scenario::Side;

/// What a text covers: left, right, top, bottom.
type Box = [f64; 4];

fn label_box(arrow: &Arrow) -> Box {
    let from = lane(arrow.from) - outward(arrow.from) * LABEL_GAP;
    let to = from - outward(arrow.from) * arrow.text.letters() as f64 * LABEL_LETTER;
    [from.min(to), from.max(to), arrow.y - 12.0, arrow.y]
}

fn overlap(a: &Box, b: &Box) -> bool {
    a[0] < b[1] && b[0] < a[1] && a[2] < b[3] && b[2] < a[3]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn no_text_covers_another_and_what_is_lower_came_later(recording in any_recording()) {
        let scenario = troubled();
        let report = Report { scenario: &scenario, recording: &recording, broken: None, name_packet: None, rerun: by_command };
        let layout = Layout::of(&report);
        let labels: Vec<Box> = layout.arrows.iter().map(label_box).collect();
        for (i, one) in labels.iter().enumerate() {
            for other in &labels[i + 1..] {
                prop_assert!(!overlap(one, other), "{:?} covers {:?}", one, other);
            }
        }
        for side in Side::BOTH {
            let notes: Vec<_> = layout.notes.iter().filter(|(_, note)| note.side == side).collect();
            for pair in notes.windows(2) {
                let lines = pair[0].1.lines.len() as f64;
                prop_assert!(pair[1].0 >= pair[0].0 + lines * 14.0, "notes of {}", side);
            }
        }
        // Of all that is drawn, with its time.
        let mut drawn: Vec<_> = layout.notes.iter().map(|(y, note)| (note.at, *y)).collect();
        for (arrow, packet) in layout.arrows.iter().zip(&recording.packets) {
            drawn.push((packet.sent_at, arrow.y));
            let mut arrivals: Vec<_> = packet.arrivals.iter().map(|(at, _)| *at).collect();
            arrivals.sort_unstable();
            prop_assert_eq!(arrivals.len(), arrow.arrivals.len());
            drawn.extend(arrivals.into_iter().zip(&arrow.arrivals).map(|(at, (y, _))| (at, *y)));
        }
        drawn.sort_by_key(|(at, _)| *at);
        let mut highest_now = 0.0_f64;
        for same_time in drawn.chunk_by(|a, b| a.0 == b.0) {
            let top = same_time.iter().map(|(_, y)| *y).fold(f64::MAX, f64::min);
            prop_assert!(top >= highest_now, "{:?} at {} stands above what came before, {}", same_time, top, highest_now);
            highest_now = same_time.iter().map(|(_, y)| *y).fold(highest_now, f64::max);
        }
        prop_assert!(highest_now < layout.height);
    }
}
