//! The users' scenarios: every query answered as it should be, every mistake found.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use crate::run::{SCENARIOS, netpol, scenario};

#[test]
fn every_query_has_its_answer() {
    for name in SCENARIOS {
        let queries = format!("tests/scenarios/{name}/queries.jsonl");
        let run = netpol(&["check", "-f", &scenario(name), "-q", &queries, "--expect"]);
        assert_eq!(run.status, 0, "{name}: {}", run.err);
        assert!(
            run.err.ends_with(" expectations met, 0 queries without one, 0 not answered\n"),
            "{name}: {}",
            run.err
        );
    }
}

/// `lint.txt` has a line for each finding that must be there: its code and object; after `!` one that must not be.
#[test]
fn every_mistake_is_found() {
    for name in SCENARIOS {
        let run = netpol(&["lint", "-f", &scenario(name), "-o", "json"]);
        let findings: Vec<Value> = serde_json::from_str(&run.out).unwrap();
        let found = |finding: &Value| {
            let text = |key: &str| finding[key].as_str().unwrap().to_owned();
            format!("{} {}", text("code"), text("object"))
        };
        let found: BTreeSet<String> = findings.iter().map(found).collect();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
        for line in fs::read_to_string(format!("{folder}/{name}/lint.txt")).unwrap().lines() {
            match line.strip_prefix('!') {
                Some(unwanted) => assert!(!found.contains(unwanted), "{name}: {found:?}"),
                None => assert!(found.contains(line), "{name}: no {line} in {found:?}"),
            }
        }
    }
}

#[test]
fn a_forgotten_dns_rule_is_named() {
    let run = netpol(&["lint", "-f", &scenario("02-dns-after-default-deny")]);
    assert!(
        run.out.contains("egress to DNS (UDP 53 and TCP 53) denied by forgot/default-deny-all"),
        "{}",
        run.out
    );
}
