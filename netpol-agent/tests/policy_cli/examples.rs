//! The examples of docs/examples, run as their README says.

use crate::run::netpol;

const MANIFESTS: &str = "../docs/examples/policy-tests/manifests.yaml";
const QUERIES: &str = "../docs/examples/policy-tests/queries.jsonl";

#[test]
fn policy_tests_pass() {
    let run = netpol(&["check", "--manifests", MANIFESTS, "--queries", QUERIES, "--expect"]);
    assert_eq!(
        (run.status, run.err.as_str()),
        (0, "8 of 8 expectations met, 0 queries without one, 0 not answered\n"),
        "{}",
        run.out
    );
}

#[test]
fn policy_tests_have_no_mistakes() {
    let run = netpol(&["lint", "--manifests", MANIFESTS]);
    assert_eq!((run.status, run.out.as_str()), (0, "errors: 0, warnings: 0, hints: 0\n"), "{}", run.err);
}
