//! smoltcp, which nobody here wrote: as a peer that our TCP talks with over a link with faults, and as a twin that gets the
//! same segments and must give the same answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

mod allowances;
mod faults;
mod node;
mod pair;
mod party;
mod peer;
mod trace;
mod twin;

/// Cases of a property: so many, or as many as the environment asks for.
fn cases(default: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(default)
}
