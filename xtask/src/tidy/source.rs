//! Rust source without what is not code.

/// The source with comments, strings and character literals blanked out, line by line as it was.
pub(super) fn strip(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = blank_length(rest, code.chars().next_back());
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let (blank, tail) = rest.split_at(length);
            code.push(' ');
            code.extend(blank.chars().filter(|char| *char == '\n'));
            rest = tail;
        }
    }
    code
}

/// How many bytes from here on are no code.
fn blank_length(rest: &str, before: Option<char>) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return comment_length(rest);
    }
    if rest.starts_with('"') {
        return quoted_length(rest, '"');
    }
    let in_word = before.is_some_and(|char| char.is_alphanumeric() || char == '_');
    // A raw string; the `b` or `c` that may stand before its `r` stays.
    if rest.starts_with('r') && (!in_word || matches!(before, Some('b' | 'c'))) {
        return raw_length(rest).unwrap_or(0);
    }
    if rest.starts_with('\'') { char_length(rest) } else { 0 }
}

/// Block comments nest.
fn comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let tail = &rest.as_bytes()[at..];
        let step = if tail.starts_with(b"/*") {
            depth += 1;
            2
        } else if tail.starts_with(b"*/") {
            depth -= 1;
            2
        } else {
            1
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, char) in rest.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if char == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_length(rest: &str) -> Option<usize> {
    let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
    rest[1 + hashes..].starts_with('"').then_some(())?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = hashes + 2;
    Some(rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len()))
}

/// Zero for a lifetime.
fn char_length(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), _) => quoted_length(rest, '\''),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        for (source, code) in [
            ("a // b\nc", "a  \nc"),
            ("a /* b /* c */ d */ e", "a   e"),
            ("a /* b\n\n */ c", "a  \n\n c"),
            ("f(\"b\\\"c\") d", "f( ) d"),
            ("f(r#\"b\"c\"#) d", "f( ) d"),
            ("f(br\"b\\\") d", "f(b ) d"),
            ("'a' 'b'", "   "),
            ("'\\'' x", "  x"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("for r in rows", "for r in rows"),
            ("\"open", " "),
            ("é // ü", "é  "),
        ] {
            assert_eq!(strip(source), code, "{source:?}");
        }
    }
}
