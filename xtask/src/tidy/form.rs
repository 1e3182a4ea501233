//! The form of text files.

use super::Problem;

/// Past this, a source file has a second noun in it.
const MOST_LINES: usize = 600;

/// Files that others wrote, or programs do.
const FOREIGN: [&str; 3] = ["LICENSE-", "Cargo.lock", "proptest-regressions/"];

/// Where people keep their files on their own machines. In parts, or this file would break its own rule.
const PERSONAL: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")];

/// Marks of work that is left.
const LEFT: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

pub(super) fn check(path: &str, text: &str) -> Vec<Problem> {
    if FOREIGN.iter().any(|foreign| path.contains(foreign)) {
        return Vec::new();
    }
    let rust = path.ends_with(".rs");
    let mut problems = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        let mut problem = |what: &str| problems.push(Problem::new(path, index + 1, what));
        if line.ends_with([' ', '\t', '\r']) {
            problem("blanks at the end of the line");
        }
        if rust && line.contains('\t') {
            problem("a tab");
        }
        if names_personal_path(line) {
            problem("a path of somebody's own machine");
        }
        if leaves_work_without_reason(line) {
            problem("work is left without a reason: write the mark, a colon, and why it is left");
        }
    }
    if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
        problems.push(Problem::new(path, 0, "does not end with one line break"));
    }
    let lines = text.lines().count();
    if rust && lines > MOST_LINES {
        problems.push(Problem::new(
            path,
            0,
            format!("{lines} lines: past {MOST_LINES}, look for the second noun"),
        ));
    }
    problems
}

/// A whole path: the name of a folder below one of the project's own is none.
fn names_personal_path(line: &str) -> bool {
    PERSONAL.iter().any(|folder| {
        line.match_indices(folder).any(|(at, _)| {
            let goes_on = line[at + folder.len()..].starts_with(|char: char| char.is_ascii_alphanumeric());
            let begins =
                !line[..at].ends_with(|char: char| char.is_ascii_alphanumeric() || "._-*}$~".contains(char));
            goes_on && begins
        })
    })
}

/// A reason is a colon and at least two words.
fn leaves_work_without_reason(line: &str) -> bool {
    LEFT.iter().any(|mark| {
        line.match_indices(mark).any(|(at, _)| {
            let inside_word = line[..at].ends_with(|char: char| char.is_ascii_alphanumeric() || char == '_');
            let tail = &line[at + mark.len()..];
            let goes_on = tail.starts_with(|char: char| char.is_ascii_alphanumeric() || char == '_');
            let reason = tail.strip_prefix(": ").is_some_and(|reason| reason.split_whitespace().count() > 1);
            !inside_word && !goes_on && !reason
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_form_is_found() {
        let long = "a\n".repeat(MOST_LINES + 1);
        let [todo, fixme, _] = LEFT;
        let home = PERSONAL[0];
        for (path, text, lines) in [
            ("a.rs", "fn f() {}\n", vec![]),
            ("a.rs", "", vec![]),
            ("a.rs", "fn f() {} \n", vec![1]),
            ("a.md", "a\nb\t\n", vec![2]),
            ("a.rs", "a\r\n", vec![1]),
            ("a.rs", "\tfn f() {}\n", vec![1]),
            ("Makefile", "\tcommand\n", vec![]),
            ("a.rs", "fn f() {}", vec![0]),
            ("a.rs", "fn f() {}\n\n", vec![0]),
            ("a.rs", &long, vec![0]),
            ("a.md", &long, vec![]),
            ("a.rs", &format!("// {todo}\n"), vec![1]),
            ("a.rs", &format!("// {todo}: later\n"), vec![1]),
            ("a.rs", &format!("// {fixme}(me) this and that\n"), vec![1]),
            ("a.rs", &format!("// {todo}: kernels before 6.6 have no TCX\n"), vec![]),
            ("a.rs", &format!("let {todo}S = 1;\n"), vec![]),
            ("a.md", &format!("see {home}me/notes\n"), vec![1]),
            ("a.md", &format!("see docs{home}me/notes\n"), vec![]),
            ("LICENSE-MIT", "a \n", vec![]),
        ] {
            let found: Vec<_> = check(path, text).into_iter().map(|problem| problem.line).collect();
            assert_eq!(found, lines, "{path} {text:?}");
        }
    }
}
