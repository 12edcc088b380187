//! The congestion window of each host's flow as a curve beside its lane: what was allowed, and what of it was used.

use burstlane::time::Instant;

use super::select::Selection;
use crate::recording::Happening;
use crate::scenario::Side;

/// One host's curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WindowCurve {
    pub(super) flow: usize,
    /// The largest window, bytes.
    pub(super) largest: u64,
    pub(super) points: Vec<WindowPoint>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WindowPoint {
    pub(super) at: Instant,
    pub(super) cwnd: u64,
    pub(super) in_flight: u64,
}

impl WindowCurve {
    /// The curve of the flow of which the host told most; none if it told of none.
    pub(super) fn of(selection: &Selection<'_>, side: Side) -> Option<Self> {
        let all = || {
            selection.events.iter().filter(|event| event.side == side).filter_map(|event| match event.what {
                Happening::Congestion { cwnd, in_flight, .. } => {
                    Some((event.flow?, WindowPoint { at: event.at, cwnd, in_flight }))
                }
                _ => None,
            })
        };
        let mut counts: Vec<(usize, usize)> = Vec::new();
        for (flow, _) in all() {
            match counts.iter_mut().find(|(known, _)| *known == flow) {
                Some((_, count)) => *count += 1,
                None => counts.push((flow, 1)),
            }
        }
        let (flow, _) = counts.into_iter().rev().max_by_key(|(_, count)| *count)?;
        let mut points: Vec<WindowPoint> = Vec::new();
        for (_, point) in all().filter(|(of, _)| *of == flow) {
            // Of several at one instant the last holds.
            points.pop_if(|last| last.at == point.at);
            points.push(point);
        }
        let largest = points.iter().map(|point| point.cwnd.max(point.in_flight)).max().unwrap_or(0).max(1);
        Some(Self { flow, largest, points })
    }
}

/// Bytes in three digits: `900 B`, `14.6 kB`, `1.2 MB`.
pub(super) fn bytes(value: u64) -> String {
    let (scaled, unit) = match value {
        0..1_000 => return format!("{value} B"),
        1_000..1_000_000 => (value as f64 / 1e3, "kB"),
        1_000_000..1_000_000_000 => (value as f64 / 1e6, "MB"),
        _ => (value as f64 / 1e9, "GB"),
    };
    let digits = usize::from(scaled < 99.95);
    format!("{scaled:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{EventRecord, Recording};

    #[test]
    fn of_two_flows_the_busier_is_drawn_and_of_one_instant_the_last_word() {
        let event = |nanos: u64, flow, cwnd| EventRecord {
            side: Side::Left,
            at: Instant::from_nanos(nanos),
            flow: Some(flow),
            what: Happening::Congestion { cwnd, ssthresh: u64::MAX, in_flight: 5 },
        };
        let events = vec![event(1, 0, 10), event(2, 1, 20), event(2, 1, 30), event(3, 1, 25)];
        let recording = Recording { events, ..Recording::default() };
        let selection = Selection::of(&recording);
        let curve = WindowCurve::of(&selection, Side::Left).unwrap();
        assert_eq!((curve.flow, curve.largest, curve.points.len()), (1, 30, 2));
        assert_eq!(WindowCurve::of(&selection, Side::Right), None);
    }

    #[test]
    fn bytes_have_three_digits() {
        assert_eq!(
            [900, 14_600, 123_456, 1_200_000].map(bytes),
            ["900 B", "14.6 kB", "123 kB", "1.2 MB"].map(str::to_owned)
        );
    }
}
