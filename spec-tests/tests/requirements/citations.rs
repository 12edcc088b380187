//! Which function's comments name which labels.

/// A label, and the function or item whose comments name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Citation {
    /// `MUST-7`.
    pub(crate) label: String,
    /// `spec-tests/tests/rfc9293/options.rs: every_syn_offers_an_mss`.
    pub(crate) place: String,
    /// By a test: `// cites: MUST-7`.
    pub(crate) is_test: bool,
}

/// All that the comments of a file cite.
pub(crate) fn find_citations(path: &str, text: &str) -> Vec<Citation> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some((_, comment)) = line.split_once("//") else { continue };
        let item = enclosing_item(&lines, at);
        let place = item.map_or_else(|| path.to_owned(), |item| format!("{path}: {item}"));
        let is_test = comment.trim_start().starts_with("cites:");
        found.extend(labels(comment).map(|label| Citation { label: label.to_owned(), place: place.clone(), is_test }));
    }
    found
}

/// The labels of a text.
fn labels(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| {
        let number = ["MUST-", "SHLD-", "MAY-", "REC-"].iter().find_map(|kind| word.strip_prefix(kind));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// The item that a comment stands before, or else the function that it stands in; of a file's head, none.
fn enclosing_item<'t>(lines: &[&'t str], at: usize) -> Option<&'t str> {
    let is_head = lines[at].trim_start().starts_with("//!");
    let is_aside = |line: &&&str| line.trim_start().starts_with("//") || line.trim_start().starts_with("#[");
    let next = lines[at..].iter().find(|line| !is_aside(line)).filter(|_| is_aside(&&lines[at]));
    let before = || lines[..at].iter().rev().find_map(|line| item_name(line).filter(|_| line.contains("fn ")));
    if is_head { None } else { next.and_then(|line| item_name(line)).or_else(before) }
}

/// The name that a line declares: of a function, type, variant, field or constant.
fn item_name(line: &str) -> Option<&str> {
    let mut words = line.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let qualifiers = ["pub", "crate", "super", "in", "async", "unsafe", "extern"];
    let mut word = words.find(|word| !qualifiers.contains(word))?;
    while ["fn", "struct", "enum", "const", "static", "trait", "type", "mod"].contains(&word) {
        word = words.next()?;
        if word == "fn" {
            continue;
        }
        return Some(word);
    }
    let is_declaration =
        line.trim_start().starts_with("pub ") || line.trim_end().ends_with([',', '{']) && !line.contains('(');
    (is_declaration && !["let", "if", "match", "for", "while", "return", "else", "impl", "use"].contains(&word))
        .then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
//! RFC 9293: MUST-1.

/// Says it (MUST-2, SHLD-30).
// cites: MAY-4
#[test]
pub(crate) fn first() {
    let x = 1; // MUST-3: why
    // Twice: MUST-3.
    if x > 1 {}
}

pub(crate) struct Config {
    /// Seconds (MUST-28).
    pub interval: u64,
}
const NOT_ONE: &str = \"MUST-9\"; // MUST-, XMUST-4, MUST-4x
";

    #[test]
    fn a_comment_cites_for_what_it_stands_at() {
        let found: Vec<(String, String)> =
            find_citations("a.rs", TEXT).into_iter().map(|found| (found.label, found.place)).collect();
        let expected = [
            ("MUST-1", "a.rs"),
            ("MUST-2", "a.rs: first"),
            ("SHLD-30", "a.rs: first"),
            ("MAY-4", "a.rs: first"),
            ("MUST-3", "a.rs: first"),
            ("MUST-3", "a.rs: first"),
            ("MUST-28", "a.rs: interval"),
        ];
        assert_eq!(found, expected.map(|(label, place)| (label.to_owned(), place.to_owned())));
    }
}
