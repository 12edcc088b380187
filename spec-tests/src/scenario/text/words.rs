//! A line of a scenario file as words: separated by blanks, commas and semicolons words of their own, names with odd
//! characters in quotes, nothing behind `#`.

use std::borrow::Cow;

use super::ScenarioError;

/// A word and where it stands in its line, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    at: usize,
}

/// What is left of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    line: usize,
    text: &'a str,
    at: usize,
}

type Result<T> = std::result::Result<T, ScenarioError>;

impl<'a> Words<'a> {
    /// The words of line `line`, counted from 1.
    pub(super) const fn new(line: usize, text: &'a str) -> Self {
        Self { line, text, at: 0 }
    }

    /// Takes the next word; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Word<'a>> {
        let rest = self.text.get(self.at..)?;
        let trimmed = rest.trim_start();
        let at = self.text.len() - trimmed.len();
        let first = trimmed.chars().next().filter(|c| *c != '#')?;
        let bytes = match first {
            ',' | ';' => 1,
            '"' => quoted_bytes(trimmed),
            _ => trimmed.find(|c: char| c.is_whitespace() || ",;#".contains(c)).unwrap_or(trimmed.len()),
        };
        self.at = at + bytes;
        Some(Word { text: &trimmed[..bytes], at })
    }

    /// The next word, left where it is.
    pub(super) fn peek(&self) -> Option<Word<'a>> {
        let mut ahead = *self;
        ahead.next()
    }

    /// Takes the next word if it is this one.
    pub(super) fn skip(&mut self, word: &str) -> bool {
        let is_there = self.peek().is_some_and(|next| next.text == word);
        if is_there {
            self.next();
        }
        is_there
    }

    /// Takes a word that must be this one.
    pub(super) fn keyword(&mut self, word: &str) -> Result<()> {
        self.value(word, |text| (text == word).then_some(()))
    }

    /// Takes a word that `read` understands.
    pub(super) fn value<T>(&mut self, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let word = self.next();
        word.and_then(|word| read(word.text)).ok_or_else(|| self.unexpected(word, expected))
    }

    /// Takes a whole number.
    pub(super) fn number<T: std::str::FromStr>(&mut self, expected: &str) -> Result<T> {
        self.value(expected, |text| text.parse().ok())
    }

    /// Takes a name, quoted or not.
    pub(super) fn name(&mut self, expected: &str) -> Result<String> {
        self.value(expected, unquote)
    }

    /// Nothing more must come.
    pub(super) fn end(&mut self) -> Result<()> {
        match self.next() {
            None => Ok(()),
            word => Err(self.unexpected(word, "the end of the line")),
        }
    }

    /// The complaint about a word, or about the end of the line.
    pub(super) fn unexpected(&self, word: Option<Word<'_>>, expected: &str) -> ScenarioError {
        let at = word.map_or_else(|| self.text.trim_end().len(), |word| word.at);
        let found = match word {
            None => "the end of the line".to_owned(),
            Some(word) if word.text.chars().count() <= FOUND_MAX => format!("'{}'", word.text.escape_debug()),
            Some(word) => format!("'{}...'", word.text.chars().take(FOUND_MAX).collect::<String>().escape_debug()),
        };
        let column = self.text[..at].chars().count() + 1;
        ScenarioError { line: self.line, column, found, expected: expected.to_owned() }
    }
}

/// A name as a word: as it is if it reads back so, else in quotes.
pub(super) fn quote(name: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.:/+".contains(c);
    if !name.is_empty() && name.chars().all(is_plain) {
        return Cow::Borrowed(name);
    }
    let mut out = String::from('"');
    for c in name.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
    out.push('"');
    Cow::Owned(out)
}

/// What [`quote`] was given.
fn unquote(word: &str) -> Option<String> {
    let Some(inside) = word.strip_prefix('"') else {
        return word.starts_with(|c| c != ',' && c != ';').then(|| word.to_owned());
    };
    let mut chars = inside.strip_suffix('"')?.chars();
    let mut name = String::new();
    while let Some(c) = chars.next() {
        name.push(match (c, c == '\\') {
            ('"', _) => return None,
            (c, false) => c,
            (_, true) => match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                c @ ('"' | '\\') => c,
                _ => return None,
            },
        });
    }
    Some(name)
}

/// Bytes up to and with the closing quote; all if there is none.
fn quoted_bytes(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Characters of a wrong word that are repeated in the complaint about it.
const FOUND_MAX: usize = 40;
