//! The alerts, by Prometheus' own tool.

use std::{
    fs,
    process::{Command, Output},
};

use netpol_agent::cluster::yaml;
use serde::Deserialize as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::objects::Objects;

const RULES: &str = include_str!("../../../deploy/chart/alerts/netpol.yaml");
const TESTS: &str = include_str!("../../../deploy/chart/alerts/netpol.test.yaml");

/// `promtool check rules` and `promtool test rules`.
fn promtool(rules: &str) -> [Output; 2] {
    let folder = TempDir::with_prefix("netpol-test-").unwrap();
    fs::write(folder.path().join("netpol.yaml"), rules).unwrap();
    fs::write(folder.path().join("netpol.test.yaml"), TESTS).unwrap();
    [["check", "rules", "netpol.yaml"], ["test", "rules", "netpol.test.yaml"]]
        .map(|arguments| Command::new("promtool").args(arguments).current_dir(&folder).output().unwrap())
}

#[test]
fn rules() {
    for output in promtool(RULES) {
        assert!(output.status.success(), "{output:?}");
    }
}

/// Each way to break a rule fails the rules' own tests.
#[test]
fn broken_rules() {
    for (right, wrong) in [
        (
            "netpol_findings_open{kind=\"not_enforced\"} > 0",
            "netpol_findings_open{kind=\"not_enforced\"} > 2",
        ),
        ("netpol_findings_open{kind=\"not_enforced\"} > 0", "netpol_findings_open > 0"),
        ("netpol_findings_open{kind=\"over_blocked\"} > 0", "netpol_findings_open{kind=\"overblocked\"} > 0"),
        ("severity: critical", "severity: warning"),
        ("up{job=\"netpol-agent\"} == 0", "up == 0"),
        ("for: 5m", "for: 6m"),
        ("absent(up{job=\"netpol-agent\"})", "absent(up)"),
        ("{daemonset=\"netpol-agent\"} > 0", " > 0"),
        ("netpol_resource_unknown == 1", "netpol_resource_unknown == 2"),
        ("netpol_resource_unknown == 1", "netpol_resource_unknown"),
        ("netpol_pods_unseen > 0", "netpol_pods_unseen > 2"),
        ("{cause!~\"slow_reader|too_many_events\"}", ""),
        ("slow_reader|too_many_events", "slow_reader"),
        ("slow_reader|too_many_events", "too_many_events"),
        (
            "increase(netpol_records_lost_total{cause!~\"slow_reader|too_many_events\"}[10m])",
            "netpol_records_lost_total",
        ),
    ] {
        let broken = RULES.replacen(right, wrong, 1);
        assert_ne!(broken, RULES, "{right} is no part of the rules");
        let [_, tested] = promtool(&broken);
        assert!(!tested.status.success(), "{right} became {wrong}, and no test noticed");
    }
    let [checked, _] = promtool(&RULES.replacen("== 1) > 0", "== 1 > 0", 1));
    assert!(!checked.status.success(), "{checked:?}");
}

/// What the chart hands to the Prometheus operator is the same.
#[test]
fn prometheus_rule() {
    let plain = Value::deserialize(&yaml::documents(RULES).remove(0).unwrap()).unwrap();
    assert_eq!(Objects::rendered(&["monitoring.alerts=true"]).field("PrometheusRule", "/spec"), &plain);
}
