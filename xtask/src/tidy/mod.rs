//! `tidy`: the tree's own rules, each a function from text to what is wrong with it.

mod form;
mod layers;
mod names;
mod source;
mod top;
mod unsafety;

use std::{fmt, fs};

use anyhow::{Context as _, Result, bail};

use crate::tool;

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    path: String,
    /// From 1; 0 for the file as a whole.
    line: usize,
    what: String,
}

impl Problem {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Checks every file that is in git, or could be.
///
/// # Errors
/// If any rule is broken; each breach is on stderr.
pub(crate) fn run() -> Result<()> {
    let files = files()?;
    let mut problems = top::check(&files);
    let mut names = names::Names::default();
    for path in &files {
        let bytes = fs::read(tool::root().join(path)).with_context(|| format!("reading {path}"))?;
        // What is not text has no form to speak of.
        if let Ok(text) = String::from_utf8(bytes) {
            problems.extend(check(path, &text));
            if path.ends_with(".rs") {
                names.add(path, &source::strip(&text));
            }
        }
    }
    problems.extend(names.clashes());
    for problem in &problems {
        eprintln!("{problem}");
    }
    match problems.len() {
        0 => Ok(()),
        1 => bail!("one breach of the tree's rules, see above"),
        count => bail!("{count} breaches of the tree's rules, see above"),
    }
}

fn check(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = form::check(path, text);
    if path.ends_with(".rs") {
        let code = source::strip(text);
        problems.extend(layers::check(path, &code));
        problems.extend(unsafety::check(path, &code));
    }
    problems
}

/// Paths from the workspace's folder, of files that exist.
fn files() -> Result<Vec<String>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let list = tool::output(tool::command("git").args(list))
        .context("`git ls-files` fails: `tidy` needs git, and a checkout")?;
    let paths = list.split('\0').filter(|path| !path.is_empty());
    Ok(paths.filter(|path| tool::root().join(path).is_file()).map(str::to_owned).collect())
}
