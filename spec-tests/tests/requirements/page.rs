//! The page as a reader sees it.

use std::fmt::Write as _;

/// One label, and who speaks of it.
pub(crate) struct Entry {
    pub(crate) label: String,
    pub(crate) section: String,
    pub(crate) clause: String,
    pub(crate) code: Vec<String>,
    pub(crate) tests: Vec<String>,
    /// Why there is no test.
    pub(crate) exception: Option<String>,
}

/// The page, in Markdown.
pub(crate) fn render(entries: &[Entry]) -> String {
    let tested = entries.iter().filter(|entry| !entry.tests.is_empty()).count();
    let mut page = format!(
        "# RFC 9293, clause by clause\n\n\
         Made from the sources by `BURSTLANE_BLESS=1 cargo test -p burstlane-spec --test requirements`, which without the variable\n\
         checks it. Labels are those of the RFC's Appendix B. {tested} of {} have tests; for each of the others the reason stands\n\
         in its row, from `spec-tests/exceptions.toml`.\n\n\
         | label | section | asks | code | tests |\n|---|---|---|---|---|\n",
        entries.len()
    );
    for Entry { label, section, clause, code, tests, exception } in entries {
        let tests = exception.as_ref().map_or_else(|| places(tests), |reason| format!("none: {reason}"));
        let _ = writeln!(page, "| {label} | {section} | {clause} | {} | {tests} |", places(code));
    }
    page
}

/// ``established.rs: `run`, `predicted` ``: paths without what all of them begin with.
fn places(places: &[String]) -> String {
    let short = |place: &String| {
        let place = place.trim_start_matches("spec-tests/tests/").trim_start_matches("transports/");
        match place.split_once(": ") {
            Some((path, item)) => format!("{path} `{item}`"),
            None => place.to_owned(),
        }
    };
    places.iter().map(short).collect::<Vec<_>>().join("<br>")
}
