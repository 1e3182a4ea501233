//! What people give `netpol` to read, and where its output goes.

use std::{
    fs::{self, File},
    process::{Command, Stdio},
};

use crate::run::{netpol, netpol_with_input, scenario};

const POLICY: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: closed, namespace: lake}\nspec: {podSelector: {}, policyTypes: [Ingress]}\n";

const WORKLOAD: &str = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: boat, namespace: lake}\nspec: {template: {metadata: {labels: {app: boat}}, spec: {containers: [{name: c}]}}}\n";

#[test]
fn standard_input_and_several_paths() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    fs::write(&policy, POLICY).unwrap();
    let policy = policy.to_str().unwrap();
    let arguments =
        ["explain", "-f", policy, "-f", "-", "--from", "8.8.8.8", "--to", "lake/boat", "--port", "1"];
    let run = netpol_with_input(&arguments, WORKLOAD);
    assert!(run.out.starts_with("8.8.8.8 -> lake/boat TCP 1: denied"), "{}{}", run.out, run.err);
    let both = netpol_with_input(&["check", "-f", "-", "-q", "-"], WORKLOAD);
    assert_eq!(both.status, 2);
    assert!(both.err.contains("can't both come from standard input"), "{}", both.err);
}

#[test]
fn what_is_passed_over_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("m.yaml"), POLICY.to_owned() + WORKLOAD).unwrap();
    fs::write(folder.path().join("values.yaml"), "replicas: 2\n").unwrap();
    fs::write(folder.path().join("kustomization.yaml"), "resources: [m.yaml]\n").unwrap();
    let path = folder.path().to_str().unwrap();
    let query = r#"{"src":{"ip":"8.8.8.8"},"dst":{"pod":"lake/boat"},"port":80,"expect":"deny"}"#;
    let run = netpol_with_input(&["check", "-f", path, "-q", "-", "--expect"], query);
    assert_eq!(run.status, 0, "{}", run.err);
    assert!(run.err.starts_with("netpol: passed over what is no input of network policy: 2 (-v lists it)\n"));
    let lint = netpol(&["lint", "-f", path, "-v"]);
    assert_eq!(lint.status, 0, "{}", lint.out);
    assert!(lint.err.contains("values.yaml:1: no Kubernetes object in this file\n"), "{}", lint.err);
}

#[test]
fn a_check_of_nothing_is_no_success() {
    let manifests = scenario("12-service-port");
    let run = netpol_with_input(&["check", "-f", &manifests, "-q", "-"], "\n");
    assert_eq!((run.status, run.err.contains("no query in -")), (2, true), "{}", run.err);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    fs::write(&file, POLICY.to_owned() + WORKLOAD + "---\napiVersion: v1\nkind: Pod\nmetadata: {}\n")
        .unwrap();
    let query = r#"{"src":{"ip":"8.8.8.8"},"dst":{"pod":"lake/boat"}}"#;
    let run = netpol_with_input(&["check", "-f", file.to_str().unwrap(), "-q", "-"], query);
    assert_eq!(run.status, 1, "{}", run.err);
    assert!(run.err.ends_with("allowed: 0, denied: 1, undefined: 0, not answered: 0\n"), "{}", run.err);
}

#[test]
fn check_as_junit() {
    let queries = r#"{"id":"<a>","src":{"pod":"shop/web"},"dst":{"pod":"shop/api"},"port":80,"expect":"deny"}
{"id":"b","src":{"pod":"shop/web"},"dst":{"pod":"shop/nobody"},"port":80}
{"id":"c","src":{"pod":"shop/web"},"dst":{"pod":"shop/api"},"port":80,"expect":"allow"}"#;
    let arguments = ["check", "-f", &scenario("12-service-port"), "-q", "-", "--expect", "-o", "junit"];
    let run = netpol_with_input(&arguments, queries);
    assert_eq!(run.status, 1);
    assert!(run.out.contains(r#"tests="3" failures="1" errors="1""#), "{}", run.out);
    assert!(run.out.contains("&lt;a&gt;: shop/web -&gt; shop/api TCP 80"), "{}", run.out);
}

#[test]
fn a_duplicate_is_told_with_both_places() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    fs::write(&file, format!("{POLICY}---\n{}{WORKLOAD}", POLICY.replace("[Ingress]", "[Egress]"))).unwrap();
    let path = file.to_str().unwrap();
    let run = netpol(&["matrix", "-f", path, "--port", "80"]);
    let told = format!(
        "netpol: {path}:6: NetworkPolicy lake/closed is given twice: this one replaces the one in {path}:1\n"
    );
    assert!(run.err.contains(&told), "{}", run.err);
}

/// Closed pipes and full disks: no panic, and at most one line.
#[test]
fn output_that_nobody_reads() {
    let manifests = scenario("06-three-tiers");
    for arguments in [
        vec!["lint", "-f", &manifests],
        vec!["matrix", "-f", &manifests, "--port", "80"],
        vec!["list", "-f", &manifests],
        vec!["explain", "-f", &manifests, "--from", "8.8.8.8", "--to", "8.8.4.4"],
        vec!["check", "-f", &manifests, "-q", "tests/scenarios/06-three-tiers/queries.jsonl"],
    ] {
        let run = |out: Stdio, err: Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_netpol"));
            command.args(&arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdout(out).stderr(err);
            command.output().unwrap()
        };
        let full = run(File::create("/dev/full").unwrap().into(), Stdio::piped());
        let text = String::from_utf8(full.stderr).unwrap();
        assert_eq!(
            (full.status.code(), text.contains("panicked")),
            (Some(2), false),
            "{arguments:?}: {text}"
        );
        assert!(text.contains("No space left on device"), "{arguments:?}: {text}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let closed = run(writer.into(), Stdio::piped());
        let text = String::from_utf8(closed.stderr).unwrap();
        assert_eq!(
            (closed.status.code(), text.contains("panicked")),
            (Some(0), false),
            "{arguments:?}: {text}"
        );
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mute = run(Stdio::null(), writer.into());
        assert!(matches!(mute.status.code(), Some(0 | 1)), "{arguments:?}: {:?}", mute.status);
    }
}
