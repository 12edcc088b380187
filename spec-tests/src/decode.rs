//! An independent decoder of what we send, and [`CheckedDriver`], which puts it between a lane and its device, so that every
//! frame of every test is looked at. The decoder is a crate of its own, which knows no frames and no drivers.

mod checked;
#[cfg(test)]
mod tests;

pub use burstlane_decode::*;
pub use checked::CheckedDriver;
