//! The demo's outcome, exactly: each connection and each finding that it is made for, and nothing else.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Output as Printed},
};

use netpol_testkit::demo::{DemoCluster, Output, run, run_with};
use serde_json::Value;
use tempfile::TempDir;

const AGENT: &str = env!("CARGO_BIN_EXE_netpol-agent");

/// Each attempt of the demo's traffic: who, to whom, what was seen, how it compares with the policies.
const FLOWS: [&str; 22] = [
    "frontend -> dns UDP 53 IPv4: established, conforming",
    "frontend -> backend TCP 8080 IPv4: established, conforming",
    "backend -> dns UDP 53 IPv4: established, conforming",
    "backend -> database TCP 5432 IPv4: established, conforming",
    "backend -> database TCP 5432 IPv6: established, conforming",
    "backend -> redis TCP 6379 IPv4: established, conforming",
    "database -> dns UDP 53 IPv4: established, conforming",
    "debug -> dns TCP 53 IPv4: established, conforming",
    "dns -> debug ICMP IPv4: established, conforming",
    "dns -> debug TCP 8081 IPv4: refused, conforming",
    "frontend -> database TCP 5432 IPv4: dropped, enforced",
    "frontend -> redis TCP 6379 IPv4: rejected, enforced",
    "frontend -> debug UDP 4444 IPv4: dropped, enforced",
    "database -> backend TCP 8080 IPv4: dropped, enforced",
    "debug -> backend TCP 8080 IPv4: rejected, enforced",
    "debug -> redis TCP 6379 IPv4: established, not_enforced",
    "debug -> database TCP 9187 IPv4: refused, not_enforced",
    "debug -> backend UDP 514 IPv4: delivered, not_enforced",
    "database -> backend TCP 8080 IPv6: established, not_enforced",
    "backend -> dns TCP 53 IPv4: rejected, over_blocked",
    "frontend -> backend ICMP IPv4: established, undecidable",
    "backend -> database ICMPv6 IPv6: established, undecidable",
];

const OUTCOMES: [(&str, u64); 5] =
    [("conforming", 10), ("enforced", 5), ("not_enforced", 4), ("over_blocked", 1), ("undecidable", 2)];

/// Each finding, with the policies that it concerns.
const FINDINGS: [&str; 5] = [
    "not_enforced debug -> redis TCP 6379: shop/default-deny, shop/redis",
    "not_enforced debug -> database TCP 9187: shop/database, shop/default-deny",
    "not_enforced debug -> backend UDP 514: shop/backend, shop/default-deny",
    "not_enforced database -> backend TCP 8080: shop/allow-dns, shop/backend, shop/default-deny",
    "over_blocked backend -> dns TCP 53: kube-system/dns, shop/allow-dns",
];

#[test]
fn findings_and_counts() {
    let cluster = DemoCluster::new().unwrap();
    let printed = run(&cluster, Path::new(AGENT), Output::Json).unwrap();
    let lines: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_type = |name| lines.iter().filter(move |line| line["type"] == name);

    assert_eq!(sorted(of_type("flow").map(flow)), sorted(FLOWS.into_iter().map(str::to_owned)));
    let summary = of_type("summary").next().unwrap();
    let outcomes: Value =
        OUTCOMES.into_iter().map(|(name, count)| (name.to_owned(), Value::from(count))).collect();
    assert_eq!(summary["flows"], outcomes);
    let findings = summary["findings"].as_array().unwrap();
    assert_eq!(sorted(findings.iter().map(finding)), sorted(FINDINGS.into_iter().map(str::to_owned)));
    for finding in findings {
        assert_eq!((&finding["status"], &finding["count"]), (&"open".into(), &1.into()), "{finding}");
        assert!(!text(&finding["evidence"]).is_empty(), "{finding}");
    }
    assert_eq!(summary["records_lost"], 0);
}

/// The pipeline is a function of its inputs: a run that was captured gives the same lines, to the byte, as often as it is
/// replayed, and the lines are those of the run itself.
#[test]
fn a_captured_run() {
    let cluster = DemoCluster::new().unwrap();
    let folder = TempDir::with_prefix("netpol-test-").unwrap();
    let capture = folder.path().join("capture");
    let args: [&OsStr; 4] =
        ["--manifests".as_ref(), cluster.manifests().as_os_str(), "--capture".as_ref(), capture.as_ref()];
    let live = run_with(&cluster, Path::new(AGENT), &args, Output::Json).unwrap();
    assert_eq!(live.lines().filter(|line| line.contains("\"flow\"")).count(), FLOWS.len());
    let first = replay(&capture);
    assert!(first.status.success(), "{first:?}");
    assert_eq!(String::from_utf8_lossy(&first.stdout), live, "replayed and live");
    assert_eq!(replay(&capture).stdout, first.stdout, "replayed twice");

    std::fs::write(&capture, "nothing of the kind\n").unwrap();
    let refused = replay(&capture);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && message.contains("is no capture of netpol"), "{message}");
}

fn replay(capture: &Path) -> Printed {
    let mut command = Command::new(AGENT);
    command.arg("replay").arg(capture).args(["--output", "json", "--summary"]).output().unwrap()
}

fn flow(line: &Value) -> String {
    let port = line["destination"]["port"].as_u64().map_or_else(String::new, |port| format!(" {port}"));
    let family = if text(&line["destination"]["ip"]).contains(':') { "IPv6" } else { "IPv4" };
    format!("{}{port} {family}: {}, {}", ends(line), text(&line["observed"]["kind"]), text(&line["outcome"]))
}

fn finding(line: &Value) -> String {
    let policies = line["policies"].as_array().unwrap().iter();
    let policies: Vec<_> =
        policies.map(|policy| format!("{}/{}", text(&policy["namespace"]), text(&policy["name"]))).collect();
    format!("{} {} {}: {}", text(&line["kind"]), ends(line), line["port"], policies.join(", "))
}

fn ends(line: &Value) -> String {
    let name = |end: &str| text(&line[end]["name"]).to_owned();
    format!("{} -> {} {}", name("source"), name("destination"), text(&line["protocol"]))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn sorted(rows: impl Iterator<Item = String>) -> Vec<String> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    rows
}
