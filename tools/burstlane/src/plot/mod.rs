//! Pictures of a run without a plotting library: a line of block characters for the terminal, and an SVG for a browser.

mod scale;
mod sparkline;
mod svg;

pub(crate) use scale::Unit;
pub(crate) use sparkline::{over_time, sparkline};
pub(crate) use svg::{Panel, Series, Style, render};
