//! What is wrong is said in one line that tells what to do, and the exit status says so, too.

use std::{fs, process::Command};

use netpol_testkit::{
    agent::{Agent, Printing},
    netns::{Lab, PodSpec},
};
use tempfile::TempDir;

use crate::agent::{METRICS, binary, eventually, get, try_metric};

fn check(what: &str, mut command: Command, expected: &str) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{what}: must fail");
    assert!(stderr.contains(expected), "{what}: {stderr:?} does not say {expected:?}");
    assert!(!stderr.contains("panicked"), "{what}: {stderr}");
}

fn agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments);
    command
}

/// The agent in a changed surrounding, which ends with it.
fn changed(prefix: &str, manifests: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--net",
        "sh",
        "-c",
        &format!("{prefix} \"$AGENT\" run --manifests \"$MANIFESTS\""),
    ]);
    // A folder that everybody may read: the unprivileged agent gets as far as it would on a node.
    command.env("AGENT", binary()).env("MANIFESTS", manifests);
    command
}

#[test]
fn refusals() {
    let folder = TempDir::with_prefix("netpol-test-").unwrap();
    let lab = Lab::new().unwrap();
    lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    lab.write_manifests(folder.path()).unwrap();
    let good = folder.path().display().to_string();
    let empty = TempDir::with_prefix("netpol-test-").unwrap();
    let empty = empty.path().display().to_string();

    check("unknown flag", agent(&["run", "--manifest", &good]), "--manifests");
    let mut alone = agent(&["run"]);
    alone.env("KUBECONFIG", "/nowhere").env_remove("KUBERNETES_SERVICE_HOST");
    check("no cluster", alone, "--manifests");
    check("no such context", agent(&["run", "--context", "c", "--kubeconfig", &good]), &good);
    check(
        "Events of files",
        agent(&["run", "--manifests", &good, "--events"]),
        "cannot be used with '--events'",
    );
    check("no such folder", agent(&["run", "--manifests", "/nowhere"]), "/nowhere");
    check("empty folder", agent(&["run", "--manifests", &empty]), "no Kubernetes object");
    check("ring", agent(&["run", "--manifests", &good, "--ring-kib", "5"]), "power of two");
    check("address", agent(&["run", "--manifests", &good, "--metrics-addr", "here"]), "--metrics-addr");
    check("no privileges", changed("exec setpriv --reuid 65534 --clear-groups", &good), "CAP_BPF");
    check("no BTF", changed("mount -t tmpfs none /sys/kernel/btf && exec", &good), "CONFIG_DEBUG_INFO_BTF");
}

/// One bad file costs that file, not the start.
#[test]
fn a_broken_manifest_among_good_ones() {
    let lab = Lab::new().unwrap();
    lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    for (name, text, line) in [
        ("not-yaml", "a: [\n", 2),
        (
            "cidr",
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\nspec:\n  podSelector: {}\n  ingress:\n  - from:\n    - ipBlock: {cidr: 10.0.0.0/99}\n",
            8,
        ),
    ] {
        let folder = TempDir::with_prefix("netpol-test-").unwrap();
        lab.write_manifests(folder.path()).unwrap();
        fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
        let mut command = lab.command(binary());
        let manifests = folder.path().display().to_string();
        command.args(["run", "--manifests", &manifests, "--metrics-addr", "203.0.113.1:1"]);
        // It gets as far as the address, which is not this machine's.
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("cannot listen"), "{stderr}");
        assert!(stderr.contains(&format!("{name}.yaml:{line}")), "{name}: {stderr}");
    }
}

/// A policy that can't be read may decide any connection: nothing is judged, and the agent is not ready, until it can.
#[test]
fn broken_at_the_start() {
    let lab = Lab::new().unwrap();
    lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let folder = TempDir::with_prefix("netpol-test-").unwrap();
    lab.write_manifests(folder.path()).unwrap();
    let policy = folder.path().join("policy.yaml");
    let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\nspec: {podSelector: {matchLabel: {}}}\n";
    fs::write(&policy, text).unwrap();
    let manifests = folder.path().display().to_string();
    let arguments = ["run", "--manifests", &manifests, "--metrics-addr", METRICS];
    let mut agent = Agent::spawn(&lab, &binary(), arguments, Printing::Kept).unwrap();
    let series = "netpol_resource_unknown{resource=\"networkpolicies\"}";
    eventually("policies are not known", || try_metric(&lab, series) == Some(1.0));
    eventually("the pod is seen", || try_metric(&lab, "netpol_veths_attached") == Some(1.0));
    assert!(get(&lab, "/readyz").unwrap().starts_with("HTTP/1.1 503"));
    fs::write(&policy, text.replace("matchLabel:", "matchLabels:")).unwrap();
    agent.wait_until_ready().unwrap();
    eventually("policies are known", || try_metric(&lab, series) == Some(0.0));
    let (_, log) = agent.end().unwrap();
    assert!(log.contains("no connection is judged until that is repaired"), "{log}");
}
