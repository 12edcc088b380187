//! A mutant: one small mistake at one place of a source file, and how the file reads with it.

use std::ops::Range;

/// A mistake that could be planted.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// The file, from the root of the repository.
    pub file: String,
    /// Line and column, from 1.
    pub line: usize,
    pub column: usize,
    /// The bytes that read differently.
    pub range: Range<usize>,
    /// The line, without what surrounds it.
    pub source: String,
    /// What stands there, shortened, and what is made of it.
    pub what: String,
    pub form: Form,
}

/// How both readings are put into one program, which chooses when it runs.
#[derive(Clone, Debug)]
pub enum Form {
    /// An expression, and another in its place.
    Instead(String),
    /// A condition that always has this value.
    Condition(bool),
    /// A statement that is left out.
    LeftOut,
    /// A function that returns this at once; the range is empty, behind its brace.
    ReturnedAtOnce(String),
}

impl Mutant {
    /// `file:line:column: what`.
    pub fn name(&self) -> String {
        format!("{}:{}:{}: {}", self.file, self.line, self.column, self.what)
    }

    /// What replaces the range: both readings of `original`, of which the mutant's is chosen by `number`.
    pub fn schema(&self, original: &str, number: usize) -> String {
        let active = format!("crate::mutant({number})");
        match &self.form {
            Form::Instead(mutated) => format!("(if {active} {{ {mutated} }} else {{ {original} }})"),
            Form::Condition(true) => format!("({active} || ({original}))"),
            Form::Condition(false) => format!("(!{active} && ({original}))"),
            Form::LeftOut => format!("if !{active} {{ {original} }}"),
            Form::ReturnedAtOnce(value) => format!(" if {active} {{ return {value}; }} "),
        }
    }

    /// Whether both cannot stand in one program, because one's text contains the other's.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.file == other.file && self.range.start < other.range.end && other.range.start < self.range.end
    }
}

/// A file with mutants in it.
pub struct Mutated {
    pub text: String,
    /// Where in it each mutant stands, by number.
    pub places: Vec<(usize, Range<usize>)>,
}

/// Plants mutants that do not overlap, each with its number.
pub fn plant<'a>(original: &str, mutants: impl IntoIterator<Item = (usize, &'a Mutant)>) -> Mutated {
    let mut mutants: Vec<_> = mutants.into_iter().collect();
    mutants.sort_by_key(|(_, mutant)| (mutant.range.start, mutant.range.end));
    let mut mutated = Mutated { text: String::with_capacity(original.len() * 2), places: vec![] };
    let mut copied = 0;
    for (number, mutant) in mutants {
        mutated.text += &original[copied..mutant.range.start];
        let start = mutated.text.len();
        mutated.text += &mutant.schema(&original[mutant.range.clone()], number);
        mutated.places.push((number, start..mutated.text.len()));
        copied = mutant.range.end;
    }
    mutated.text += &original[copied..];
    mutated
}

/// What each crate's `lib.rs` ends with: whether the mutant of this number is the one that the environment names.
pub const SWITCH: &str = r#"
#[doc(hidden)]
#[inline]
pub(crate) fn mutant(number: u32) -> bool {
    use std::sync::atomic::{AtomicU32, Ordering};
    const UNREAD: u32 = u32::MAX;
    static ACTIVE: AtomicU32 = AtomicU32::new(UNREAD);
    #[cold]
    fn read() -> u32 {
        let named = std::env::var("BURSTLANE_MUTANT").ok().and_then(|number| number.parse().ok());
        let active = named.unwrap_or(UNREAD - 1);
        ACTIVE.store(active, Ordering::Relaxed);
        active
    }
    let active = ACTIVE.load(Ordering::Relaxed);
    (if active == UNREAD { read() } else { active }) == number
}
"#;

/// The variable that it reads.
pub const SWITCH_VARIABLE: &str = "BURSTLANE_MUTANT";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::mutants_in;

    #[test]
    fn what_is_planted_parses_and_stands_where_it_says() {
        let text = "fn f(a: u32) -> u32 { if a as u64 > 3 { g(); return a - 1; } a + a }\nfn g() {}\n";
        let all = mutants_in("f.rs", text).unwrap();
        for (number, mutant) in all.iter().enumerate() {
            let mutated = plant(text, [(number, mutant)]);
            syn::parse_file(&mutated.text).unwrap_or_else(|error| panic!("{error}: {}", mutated.text));
            let [(planted, place)] = &mutated.places[..] else { panic!("one was planted") };
            assert_eq!(*planted, number);
            assert!(mutated.text[place.clone()].contains(&format!("crate::mutant({number})")));
        }
    }
}
