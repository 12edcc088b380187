//! smoltcp, which nobody here wrote: as a peer that our TCP talks with over a link with faults, and as a twin that gets the
//! same segments and must give the same answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what is wrong fails it"
)]

use proptest::test_runner::{Config as ProptestConfig, RngSeed};

mod allowances;
mod faults;
mod node;
mod pair;
mod party;
mod peer;
mod trace;
mod twin;

/// So many cases, always the same ones: a change of ours must not fail by what smoltcp does wrong and nobody has met yet. With
/// `PROPTEST_CASES` set, as many as that says, each time others.
fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return default;
    }
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(1), ..default }
}
