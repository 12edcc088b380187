//! The last segments that our host saw, for a person who looks for the reason of a failure.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write;
use std::rc::Rc;

use burstlane::observe::{Direction, FrameTap};
use burstlane::time::Instant;
use burstlane_spec::decode::{Content, Decoded, Rules, Segment, decode};

/// The last frames that crossed a lane's interfaces.
#[derive(Clone, Default)]
pub(crate) struct Trace(Rc<RefCell<VecDeque<Seen>>>);

type Seen = (Instant, Direction, Vec<u8>);

impl FrameTap for Trace {
    fn frame(&mut self, now: Instant, _: u16, direction: Direction, bytes: &[u8], _: Option<&str>) {
        let mut frames = self.0.borrow_mut();
        if frames.len() == FRAMES_MAX {
            frames.pop_front();
        }
        frames.push_back((now, direction, bytes.to_vec()));
    }
}

impl Trace {
    /// The number of the last SYN or SYN-ACK in this direction.
    pub(crate) fn last_syn(&self, way: Direction) -> Option<u32> {
        self.last(way, |segment| segment.flags & 2 != 0).map(|segment| segment.seq)
    }

    /// The last segment in this direction, its text left out.
    pub(crate) fn last_segment(&self, way: Direction) -> Option<Segment<'static>> {
        self.last(way, |_| true)
    }

    fn last(&self, way: Direction, test: impl Fn(&Segment<'_>) -> bool) -> Option<Segment<'static>> {
        self.0.borrow().iter().rev().filter(|(_, direction, _)| *direction == way).find_map(
            |(_, _, bytes)| match decode(bytes, &Rules::default()) {
                Ok(Decoded::Ip(_, Content::Tcp(segment))) if test(&segment) => {
                    Some(Segment { payload: &[], ..segment })
                }
                _ => None,
            },
        )
    }

    /// One line a frame.
    pub(crate) fn show(&self) -> String {
        let mut text = String::new();
        for (at, direction, bytes) in self.0.borrow().iter() {
            let arrow = if *direction == Direction::Out { "->" } else { "<-" };
            match decode(bytes, &Rules::default()) {
                Ok(Decoded::Ip(_, Content::Tcp(segment))) => {
                    writeln!(text, "  {at} {arrow} {}", show(&segment)).unwrap();
                }
                Ok(Decoded::Ip(_, other)) => writeln!(text, "  {at} {arrow} {other:?}").unwrap(),
                Ok(Decoded::Arp) => {}
                Err(flaw) => writeln!(text, "  {at} {arrow} {flaw}").unwrap(),
            }
        }
        text
    }
}

/// A segment as packetdrill writes it, more or less.
pub(crate) fn show(segment: &Segment<'_>) -> String {
    let flags: String = ['F', 'S', 'R', 'P', '.', 'U']
        .iter()
        .enumerate()
        .filter(|(bit, _)| segment.flags >> bit & 1 != 0)
        .map(|(_, letter)| *letter)
        .collect();
    let ack = segment.ack.map_or_else(String::new, |ack| format!(" ack {ack}"));
    let sack = segment.options.sack();
    let sack = if sack.is_empty() { String::new() } else { format!(" sack {sack:?}") };
    format!("{flags} seq {}({}){ack} win {}{sack}", segment.seq, segment.payload.len(), segment.window)
}

const FRAMES_MAX: usize = 80;
