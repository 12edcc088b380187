//! What is mutated, and which tests judge it: the likeliest and cheapest first.

use crate::mutant::Mutant;

/// A crate of which something is mutated.
pub struct Part {
    /// As it is called in the report.
    pub name: &'static str,
    pub package: &'static str,
    /// Where the sources are that are mutated.
    pub folders: &'static [&'static str],
    /// The crate's root.
    pub root: &'static str,
    /// Test programs that judge it, `package/target`, with the tests that are run of each (all, if none are named).
    judges: &'static [Judge],
}

type Judge = (&'static str, &'static [&'static str]);

/// All of them.
pub const CRATES: &[Part] = &[
    Part {
        name: "tcp",
        package: "burstlane-tcp",
        folders: &["transports/tcp/src/"],
        root: "transports/tcp/src/lib.rs",
        judges: &[
            ("burstlane-tcp/lib", &[]),
            ("burstlane-spec/rfc9293", &[]),
            ("burstlane-spec/rfc6298", &[]),
            ("burstlane-spec/rfc7323", &[]),
            ("burstlane-spec/rfc2018", &[]),
            ("burstlane-spec/rfc2883", &[]),
            ("burstlane-spec/rfc8985", &[]),
            ("burstlane-spec/rfc9438", &[]),
            ("burstlane-spec/tcp_oracle", &[]),
            ("burstlane-spec/one_burst", &[]),
            ("burstlane-spec/coalesced", &[]),
            ("burstlane-spec/hostile", &[]),
            ("burstlane-spec/letting_go", &[]),
            ("burstlane-spec/faces", &[]),
            ("burstlane-spec/async_waker", &[]),
            ("burstlane-spec/determinism", &[]),
            ("burstlane-spec/smoltcp", &[]),
            ("burstlane-spec/seeds", &["tcp_seeds_000"]),
            ("burstlane-spec/conformance", &["tcp::"]),
        ],
    },
    Part {
        name: "rudp",
        package: "burstlane-rudp",
        folders: &["transports/rudp/src/"],
        root: "transports/rudp/src/lib.rs",
        judges: &[
            ("burstlane-rudp/lib", &[]),
            ("burstlane-rudp/life", &[]),
            ("burstlane-rudp/lossy", &[]),
            ("burstlane-rudp/moving", &[]),
            ("burstlane-spec/determinism", &[]),
            ("burstlane-spec/seeds", &["rudp_seeds_000"]),
            ("burstlane-spec/conformance", &["rudp::"]),
        ],
    },
    Part {
        name: "toolkit",
        package: "burstlane",
        folders: &["framework/src/toolkit/", "framework/src/congestion/"],
        root: "framework/src/lib.rs",
        judges: &[
            ("burstlane/lib", &["toolkit::", "congestion::"]),
            ("burstlane-rudp/life", &[]),
            ("burstlane-rudp/lossy", &[]),
            ("burstlane-rudp/moving", &[]),
            ("burstlane-tcp/lib", &[]),
            ("burstlane-spec/rfc9293", &[]),
            ("burstlane-spec/rfc6298", &[]),
            ("burstlane-spec/rfc2018", &[]),
            ("burstlane-spec/rfc2883", &[]),
            ("burstlane-spec/rfc8985", &[]),
            ("burstlane-spec/rfc9438", &[]),
            ("burstlane-spec/rfc7323", &[]),
            ("burstlane-spec/tcp_oracle", &[]),
            ("burstlane-spec/letting_go", &[]),
            ("burstlane-spec/faces", &[]),
            ("burstlane-spec/async_waker", &[]),
            ("burstlane-spec/determinism", &[]),
            ("burstlane-spec/remote", &[]),
            ("burstlane-spec/seeds", &["seeds_000"]),
            ("burstlane-spec/conformance", &["tcp::", "rudp::"]),
        ],
    },
];

/// A test program, and which of its tests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// `package/target`.
    pub program: &'static str,
    /// Parts of the names of those that are run; all, if empty.
    pub filters: Vec<String>,
}

impl Step {
    fn new(&(program, filters): &Judge) -> Self {
        Self { program, filters: filters.iter().map(|&filter| filter.to_owned()).collect() }
    }
}

/// The crate of a file.
pub fn part_of(file: &str) -> &'static Part {
    let is_home = |part: &&Part| part.folders.iter().any(|folder| file.starts_with(folder));
    CRATES.iter().find(is_home).expect("only files of these crates are mutated")
}

/// What a mutant has to survive, in order: the unit tests of its file, then all that judge its crate.
pub fn steps(mutant: &Mutant) -> Vec<Step> {
    let part = part_of(&mutant.file);
    let own = Step { program: part.judges[0].0, filters: vec![module_of(&mutant.file)] };
    std::iter::once(own).chain(part.judges.iter().map(Step::new)).collect()
}

/// What is run once without any mutant, and must pass.
pub fn all_steps() -> Vec<Step> {
    let mut all: Vec<_> = CRATES.iter().flat_map(|part| part.judges).map(Step::new).collect();
    all.sort();
    all.dedup();
    all
}

/// `toolkit::ledger::` for `framework/src/toolkit/ledger/board.rs`: the module whose tests know most of the file.
fn module_of(file: &str) -> String {
    let inner = file.split_once("/src/").map_or(file, |(_, inner)| inner);
    let mut names: Vec<_> = inner.trim_end_matches(".rs").split('/').filter(|name| *name != "mod").collect();
    names.truncate(2);
    format!("{}::", names.join("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_named_as_tests_are() {
        assert_eq!(module_of("framework/src/toolkit/ledger/board.rs"), "toolkit::ledger::");
        assert_eq!(module_of("framework/src/congestion/mod.rs"), "congestion::");
        assert_eq!(module_of("transports/tcp/src/wire.rs"), "wire::");
    }

    #[test]
    fn folders_belong_to_one_crate() {
        for part in CRATES {
            for folder in part.folders {
                assert_eq!(part_of(&format!("{folder}x.rs")).name, part.name);
            }
        }
    }
}
