//! What a lane tells about itself: typed events, series of them, and captures of its frames.
//!
//! Three things may watch, and none changes what happens:
//!
//! * an [`Observer`] receives an [`Event`] for each step of a flow's life: opened, state changed, segment sent, timer
//!   fired, congestion window moved, closed;
//! * a [`Recorder`] is an observer that keeps one flow's series in bounded memory, for plots and tests;
//! * a [`FrameTap`] receives every frame that crosses an interface; [`Capture`] writes them as pcapng.
//!
//! Nobody watching costs one branch per event: the event is not even built. Whoever watches may allocate and write; it
//! is then their time, in the lane's turn, so an observer never blocks.
//!
//! Counters are not here: they belong to what they count.

mod capture;
mod event;
mod observers;
mod recorder;

pub use capture::{Capture, Direction, FrameTap, LaneTap};
pub use event::{Event, FlowRef};
pub use observers::{NoObserver, Observer, Observers};
pub use recorder::{Recorder, Sample};
