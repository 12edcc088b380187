//! The sequence diagram: a lane for each host, time running down, an arrow for each packet from when it was sent to when it
//! came. [`select`] decides what is drawn, [`layout`] where, [`svg`] how; [`page`] puts it into a page that needs
//! nothing else.

mod events;
mod layout;
mod page;
mod scale;
mod select;
mod svg;
#[cfg(test)]
mod tests;
mod window;

pub use page::page;

use crate::scenario::Side;

/// The picture's width, and where its columns stand: time, left notes, left window, left lane, the wire, and the same
/// mirrored. In the picture's own unit, one pixel at its natural size.
const WIDTH: f64 = 1280.0;
const TIME_END: f64 = 76.0;
const LANES: [f64; 2] = [372.0, 982.0];
/// Width of a congestion window's column, beside its lane.
const WINDOW: f64 = 58.0;
/// Between a lane and what stands beside it.
const LANE_GAP: f64 = 12.0;
/// Between a lane and the text about a packet.
const LABEL_GAP: f64 = 16.0;
/// A letter of a packet's label, which has a fixed width, and the mean one of a note.
const LABEL_LETTER: f64 = 6.35;
const NOTE_LETTER: f64 = 6.8;

/// 1 to the right of a lane is outside for the right host, -1 for the left.
const fn outward(side: Side) -> f64 {
    match side {
        Side::Left => -1.0,
        Side::Right => 1.0,
    }
}

const fn lane(side: Side) -> f64 {
    match side {
        Side::Left => LANES[0],
        Side::Right => LANES[1],
    }
}
