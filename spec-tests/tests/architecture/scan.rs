//! Rust source as the rules see it: what is code and what is comment or text, where tests begin. A scanner and not a
//! parser: it knows enough of the syntax not to be misled by strings, lifetimes and nested comments.

/// `source` with comments and the insides of string and character literals blanked out, line by line as before.
pub(crate) fn code(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let skipped = comment_len(rest).or_else(|| literal_len(rest, out.chars().next_back()));
        let len = skipped.unwrap_or(c.len_utf8());
        let (token, after) = rest.split_at(len);
        if skipped.is_some() {
            out.push(' ');
            out.extend(token.chars().filter(|&c| c == '\n'));
        } else {
            out.push(c);
        }
        rest = after;
    }
    out
}

/// The part of a file in front of its tests: the line `#[cfg(test)]` and what follows. Tests stand last in a file.
pub(crate) fn without_tests(source: &str) -> &str {
    let mut from = 0;
    for line in source.split_inclusive('\n') {
        if line.trim_end() == "#[cfg(test)]" {
            return source.get(..from).unwrap_or(source);
        }
        from += line.len();
    }
    source
}

/// Identifiers, keywords and numbers of one line of code, in order.
pub(crate) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Length of the comment that `rest` begins with.
fn comment_len(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0, 0);
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(rest.len())
}

/// Length of the string or character literal that `rest` begins with; `before` is the character in front of it.
fn literal_len(rest: &str, before: Option<char>) -> Option<usize> {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if let Some(raw) = rest.strip_prefix('r').filter(|_| !in_word || before == Some('b')) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw.get(hashes..)?.starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = 1 + hashes + 1;
            return Some(rest.get(body..)?.find(&end).map_or(rest.len(), |at| body + at + end.len()));
        }
    }
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut inside = rest.char_indices().skip(1);
    if quote == '\'' {
        // A lifetime is a quote, a name, and no closing quote behind its first letter.
        let (_, first) = inside.next()?;
        let (at, second) = inside.next()?;
        if first != '\\' {
            return (second == '\'').then_some(at + 1);
        }
        return rest.get(at + second.len_utf8()..)?.find('\'').map(|end| at + second.len_utf8() + end + 1);
    }
    while let Some((at, c)) = inside.next() {
        match c {
            '\\' => drop(inside.next()),
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

#[test]
fn comments_and_literals_are_no_code() {
    for (source, expected) in [
        ("a // b \"c\nd", "a  \nd"),
        ("a /* b /* c */ \n d */ e", "a  \n e"),
        (r#"let s = "un\"safe"; f"#, "let s =  ; f"),
        (r##"let s = r#"un"safe"#; f"##, "let s =  ; f"),
        ("let c = '\"'; f", "let c =  ; f"),
        (r"let c = '\''; let d = '\u{1f}'; f", "let c =  ; let d =  ; f"),
        ("fn f<'a>(x: &'a str) -> &'a str", "fn f<'a>(x: &'a str) -> &'a str"),
        ("let var = bar\"x\"", "let var = bar "),
    ] {
        assert_eq!(code(source), expected, "{source}");
    }
}

#[test]
fn tests_end_the_part_that_ships() {
    assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests;\n"), "a\n");
    assert_eq!(without_tests("a\n"), "a\n");
}
