//! The conformance kit: properties of any transport, each judged by many scenarios that it draws itself, and shrunk when one
//! breaks a law.
//!
//! ```ignore
//! burstlane_spec::conformance! { MyTransport, MyConfig::default(), Promises::reliable() }
//! ```
//! gives a module a test for each campaign that the promises call for. `PROPTEST_CASES` says how many scenarios each draws;
//! `BURSTLANE_REPLAY` names a scenario file to run once more.

mod campaign;
mod draw;
mod fairness;
mod hunt;
mod quiet;
mod replay;

pub use campaign::Campaign;
pub use hunt::{Failure, assert_holds, assert_stays_mended, cases_asked, hunt};
pub use replay::{replay, replay_what_is_asked};

/// Tests of a transport, one for each [`Campaign`]: `conformance! { Transport, config }` with the promises of a reliable
/// transport, or `conformance! { Transport, config, promises }`, or `conformance! { subject }`.
#[macro_export]
macro_rules! conformance {
    // The internal rules come first, and a subject is tried before a type: what does not parse as a type is an error at once.
    (@all $subject:expr) => {
        $crate::conformance! { @each $subject;
            survives_anything = Anything,
            survives_loss = Loss,
            survives_partitions = Partitions,
            survives_slow_readers = SlowReaders,
            survives_early_ends = EarlyEnds,
            gives_up_on_silence = Silence,
            treats_damage_as_loss = Damage,
            ignores_strangers = Strangers,
            withstands_floods = Flood,
            withstands_tampering = Tampering,
            survives_rebinding = Rebinding,
            keeps_lanes_apart = Lanes,
            repeats_itself_exactly = Repetition,
            shares_fairly = Fairness,
        }
    };
    (@each $subject:expr; $($name:ident = $campaign:ident,)*) => {
        #[test]
        fn what_broke_once_stays_mended() {
            $crate::conformance::assert_stays_mended(&$subject, env!("CARGO_MANIFEST_DIR"));
        }
        #[test]
        fn replays_what_is_asked() {
            $crate::conformance::replay_what_is_asked(&$subject);
        }
        $(
            #[test]
            fn $name() {
                let campaign = $crate::conformance::Campaign::$campaign;
                $crate::conformance::assert_holds(&$subject, campaign, env!("CARGO_MANIFEST_DIR"));
            }
        )*
    };
    ($subject:expr $(,)?) => {
        $crate::conformance! { @all $subject }
    };
    ($transport:ty, $config:expr $(,)?) => {
        $crate::conformance! { @all $crate::Subject::<$transport>::new($config, $crate::Promises::reliable()) }
    };
    ($transport:ty, $config:expr, $promises:expr $(,)?) => {
        $crate::conformance! { @all $crate::Subject::<$transport>::new($config, $promises) }
    };
}
