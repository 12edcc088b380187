//! The last segments that crossed the device, as our host saw them: told with a failure.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write;
use std::rc::Rc;

use burstlane::observe::{Direction, FrameTap};
use burstlane::time::Instant;
use burstlane_tcp::wire::{Header, Ports};

use crate::world::NOWHERE;

/// Keeps what crosses a lane's interface. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Trace(Rc<RefCell<VecDeque<Segment>>>);

struct Segment {
    at: Instant,
    direction: Direction,
    is_lost: bool,
    ports: Ports,
    header: Header,
}

impl Trace {
    /// A line for each segment: when, which way (`x`: to us, but lost), ports, control, SEG.SEQ, payload, SEG.ACK, SEG.WND as on the wire.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for Segment { at, direction, is_lost, ports, header } in self.0.borrow().iter() {
            let Header { seq, ack, payload_bytes, window, control, timestamps, .. } = header;
            let arrow = match direction {
                Direction::In if *is_lost => 'x',
                Direction::In => '<',
                Direction::Out => '>',
            };
            let ms = at.as_nanos() as f64 / 1e6;
            let ack = ack.map_or("-".to_owned(), |ack| ack.0.to_string());
            let (source, destination) = (ports.source, ports.destination);
            let control = format!("{control:?}");
            writeln!(
                text,
                "  {ms:>9.3} {arrow} {source:>5}-{destination:<5} {control:<4} {:>10} ({payload_bytes:>5}) ack {ack:>10} win {window} ts {timestamps:?}",
                seq.0
            )
            .unwrap();
        }
        text
    }
}

impl FrameTap for Trace {
    fn frame(&mut self, now: Instant, _netif: u16, direction: Direction, bytes: &[u8], _comment: Option<&str>) {
        // Neither stack sends IP options here.
        let segment = match bytes.get(12..14) {
            Some([0x08, 0x00]) => bytes.get(34..),
            Some([0x86, 0xdd]) => bytes.get(54..),
            _ => None,
        };
        let Some(Ok((header, _, ports))) = segment.map(Header::parse) else { return };
        let is_lost = bytes.starts_with(&NOWHERE);
        let mut kept = self.0.borrow_mut();
        if kept.len() == SEGMENTS_MAX {
            kept.pop_front();
        }
        kept.push_back(Segment { at: now, direction, is_lost, ports, header });
    }
}

/// More than this nobody reads.
const SEGMENTS_MAX: usize = 100;
