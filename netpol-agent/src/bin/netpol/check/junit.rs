//! A report as test runners write it (JUnit's XML), for CI systems that show it.

use std::fmt::Write as _;

use netpol_agent::check::{CheckOutcome, CheckQuery, CheckResult};

use super::title;

/// A query as a test case.
pub(super) struct Case {
    name: String,
    outcome: Outcome,
}

enum Outcome {
    Passed,
    Failed(String),
    Error(String),
}

impl Case {
    /// Of a query at a place. With `expect` it fails where its answer is not the one that it says.
    pub(super) fn new(place: &str, result: &CheckResult, query: Option<&CheckQuery>, expect: bool) -> Self {
        let name = query.map_or_else(|| place.to_owned(), title);
        let outcome = match (&result.outcome, query.and_then(|query| query.expect).filter(|_| expect)) {
            (CheckOutcome::Failed { error }, _) => Outcome::Error(error.clone()),
            (CheckOutcome::Answered(answer), Some(expected)) if !expected.is_met(answer) => {
                let got = if answer.allowed { "allow" } else { "deny" };
                let wanted = format!("{expected:?}").to_lowercase();
                Outcome::Failed(format!("{place}: expected {wanted}, got {got}"))
            }
            (CheckOutcome::Answered(_), _) => Outcome::Passed,
        };
        Self { name, outcome }
    }
}

/// The whole report.
pub(super) fn report(cases: &[Case]) -> String {
    let count = |is_it: fn(&Outcome) -> bool| cases.iter().filter(|case| is_it(&case.outcome)).count();
    let failures = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let errors = count(|outcome| matches!(outcome, Outcome::Error(_)));
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let tests = cases.len();
    let _ = writeln!(
        xml,
        "<testsuites><testsuite name=\"netpol check\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">"
    );
    for Case { name, outcome } in cases {
        let name = escaped(name);
        let _ = match outcome {
            Outcome::Passed => writeln!(xml, "  <testcase classname=\"netpol\" name=\"{name}\"/>"),
            Outcome::Failed(why) => writeln!(
                xml,
                "  <testcase classname=\"netpol\" name=\"{name}\"><failure message=\"{}\"/></testcase>",
                escaped(why)
            ),
            Outcome::Error(why) => writeln!(
                xml,
                "  <testcase classname=\"netpol\" name=\"{name}\"><error message=\"{}\"/></testcase>",
                escaped(why)
            ),
        };
    }
    xml.push_str("</testsuite></testsuites>\n");
    xml
}

/// Text for an attribute; what XML 1.0 can't say at all is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' | '\r' => escaped.push(' '),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            other => escaped.push(other),
        }
    }
    escaped
}
