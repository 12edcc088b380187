//! What is drawn of a long run: its beginning and its end, and how much lies between.

use burstlane::time::Instant;

use crate::recording::{EventRecord, Happening, PacketRecord, Recording};

/// The part of a recording that is drawn.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    /// Packets and their places in the recording.
    pub(super) packets: Vec<(usize, &'a PacketRecord)>,
    pub(super) events: Vec<&'a EventRecord>,
    pub(super) omission: Option<Omission>,
    /// Events that were too many, though their packets were not.
    pub(super) events_left_out: usize,
}

/// A stretch of time that is not drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Omission {
    pub(super) after: Instant,
    pub(super) until: Instant,
    pub(super) packets: usize,
}

impl<'a> Selection<'a> {
    pub(super) fn of(recording: &'a Recording) -> Self {
        let all = &recording.packets;
        let mut packets: Vec<(usize, &PacketRecord)> = all.iter().enumerate().collect();
        let mut omission = None;
        if all.len() > PACKETS_MAX {
            let late = all.len() - PACKETS_MAX / 2;
            packets.retain(|(i, _)| *i < PACKETS_MAX / 2 || *i >= late);
            omission = Some(Omission {
                after: all[PACKETS_MAX / 2 - 1].sent_at,
                until: all[late].sent_at,
                packets: late - PACKETS_MAX / 2,
            });
        }
        let is_drawn = |at| omission.is_none_or(|Omission { after, until, .. }| at <= after || at >= until);
        let mut events: Vec<&EventRecord> = recording.events.iter().filter(|event| is_drawn(event.at)).collect();
        let notes = events.iter().filter(|event| is_note(event)).count();
        let mut place = 0;
        events.retain(|event| {
            let is_kept = !is_note(event) || place < NOTES_MAX / 2 || place + NOTES_MAX / 2 >= notes;
            place += usize::from(is_note(event));
            is_kept
        });
        Self { packets, events, omission, events_left_out: notes.saturating_sub(NOTES_MAX) }
    }
}

/// Whether an event is told in words; the others are curves.
pub(super) const fn is_note(event: &EventRecord) -> bool {
    !matches!(event.what, Happening::Congestion { .. } | Happening::Rtt { .. })
}

/// Most packets that are drawn: a page of a few hundred kilobytes, which a person can still scroll through.
pub(super) const PACKETS_MAX: usize = 600;
/// Most events that are told beside the lanes.
const NOTES_MAX: usize = 1600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Side;

    #[test]
    fn of_a_long_run_beginning_and_end_are_kept() {
        let at = |i: usize| Instant::from_nanos(i as u64);
        let packets = (0..5000).map(|i| PacketRecord {
            number: Some(i as u32),
            from: Side::Left,
            sent_at: at(i),
            bytes: vec![],
            arrivals: vec![],
            trouble: None,
        });
        let timer =
            |i| EventRecord { side: Side::Left, at: at(i), flow: None, what: Happening::Timer { name: String::new() } };
        let recording = Recording { packets: packets.collect(), events: (0..5000).map(timer).collect(), left_out: 0 };
        let selection = Selection::of(&recording);
        assert_eq!(selection.packets.len(), PACKETS_MAX);
        assert_eq!(selection.omission, Some(Omission { after: at(299), until: at(4700), packets: 4400 }));
        assert_eq!((selection.events.len(), selection.events_left_out), (600, 0));
        let few = Recording { packets: recording.packets[..3].to_vec(), ..recording };
        let selection = Selection::of(&few);
        assert_eq!((selection.events.len(), selection.events_left_out), (NOTES_MAX, 3400));
        assert_eq!(selection.events.last().unwrap().at, at(4999));
    }
}
