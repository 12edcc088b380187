//! `docs/rfc9293.md` is made from the sources: clause → code → test for each of the RFC's 119 labels. What code or test cites
//! a label says so in a comment; `spec-tests/exceptions.toml` says why one has none. No MUST is without a test or a reason.
//!
//! `BURSTLANE_BLESS=1 cargo test -p burstlane-spec --test requirements` writes the page anew.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test: what is missing fails it")]

mod citations;
mod page;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use citations::{Citation, find_citations};
use page::{Entry, render};

#[test]
fn the_page_says_what_the_sources_say() {
    let page = render(&entries());
    let path = root().join("docs/rfc9293.md");
    if std::env::var_os("BURSTLANE_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/rfc9293.md is out of date: BURSTLANE_BLESS=1 cargo test -p burstlane-spec --test requirements"
    );
}

#[test]
fn nothing_required_is_without_a_test_or_a_reason() {
    let lacking: Vec<String> = entries()
        .iter()
        .filter(|entry| entry.tests.is_empty() && entry.exception.is_none())
        .map(|entry| format!("{} ({}): {}", entry.label, entry.section, entry.clause))
        .collect();
    assert!(lacking.is_empty(), "neither a test cites these nor does exceptions.toml:\n{}", lacking.join("\n"));
}

#[test]
fn reasons_are_for_what_has_no_test() {
    for entry in entries() {
        let needless = entry.exception.is_some() && !entry.tests.is_empty();
        assert!(!needless, "{} has a test: exceptions.toml need not name it", entry.label);
    }
}

#[test]
fn only_known_labels_are_cited() {
    let labels: Vec<String> = catalogue().into_iter().map(|[label, ..]| label).collect();
    let unknown = |citation: &Citation| !labels.contains(&citation.label);
    let wrong: Vec<Citation> = code().into_iter().chain(tests()).filter(unknown).collect();
    assert!(wrong.is_empty(), "RFC 9293 has no such label: {wrong:?}");
    let named = exceptions().into_keys().filter(|label| !labels.contains(label)).collect::<Vec<_>>();
    assert!(named.is_empty(), "exceptions.toml names what RFC 9293 has not: {named:?}");
}

#[test]
fn the_catalogue_is_whole() {
    let count = |kind: &str| catalogue().iter().filter(|[label, ..]| label.starts_with(kind)).count();
    assert_eq!(["MUST-", "SHLD-", "MAY-", "REC-"].map(count), [69, 31, 18, 1]);
}

fn entries() -> Vec<Entry> {
    let (code, tests, mut exceptions) = (code(), tests(), exceptions());
    let places = |of: &[Citation], label: &str| {
        let mut places: Vec<String> = of.iter().filter(|c| c.label == label).map(|c| c.place.clone()).collect();
        places.dedup();
        places
    };
    let entry = |[label, section, clause]: [String; 3]| Entry {
        code: places(&code, &label),
        tests: places(&tests, &label),
        exception: exceptions.remove(&label),
        label,
        section,
        clause,
    };
    catalogue().into_iter().map(entry).collect()
}

/// Label, section and what it asks.
fn catalogue() -> Vec<[String; 3]> {
    let text = std::fs::read_to_string(root().join("spec-tests/rfc9293.tsv")).unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    let row = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>().try_into();
    rows.map(|line| row(line).unwrap_or_else(|_| panic!("three columns, not: {line}"))).collect()
}

fn exceptions() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("spec-tests/exceptions.toml")).unwrap();
    toml::from_str(&text).unwrap()
}

/// What the sources of TCP and of what lies beneath it name.
fn code() -> Vec<Citation> {
    let beneath = ["framework/src", "transports/tcp/src"].iter().flat_map(|folder| of_folder(folder));
    beneath.filter(|citation| !citation.is_test).collect()
}

/// What tests cite, wherever they are.
fn tests() -> Vec<Citation> {
    let folders = ["spec-tests/tests", "framework/src", "transports/tcp/src"];
    folders.iter().flat_map(|folder| of_folder(folder)).filter(|citation| citation.is_test).collect()
}

fn of_folder(folder: &str) -> Vec<Citation> {
    let mut paths = Vec::new();
    collect(&root().join(folder), &mut paths);
    // Its own examples are no citations.
    paths.retain(|path| !path.ends_with("requirements/citations.rs"));
    let root = root();
    let files = paths.iter().map(|path| {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
        (name, std::fs::read_to_string(path).unwrap())
    });
    files.flat_map(|(name, text)| find_citations(&name, &text)).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
