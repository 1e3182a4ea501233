//! The examples of docs/examples that are about the chart and Prometheus.

use std::{fs, path::Path, process::Command};

use netpol_testkit::helm::Helm;
use tempfile::TempDir;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples");

const RULES: &str = include_str!("../../../deploy/chart/alerts/netpol.yaml");

/// The chart refuses values that it does not know, so an example with an old name fails here.
#[test]
fn values_are_accepted_and_matter() {
    let helm = Helm::find_or_fetch().unwrap();
    let usual = helm.template(&[]).unwrap();
    let files = fs::read_dir(Path::new(EXAMPLES).join("helm-values")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect();
    assert!(!files.is_empty());
    for file in files {
        let rendered = helm.template(&["--values", file.to_str().unwrap()]).unwrap();
        assert_ne!(rendered, usual, "{} changes nothing", file.display());
    }
}

/// `promtool` has no Kubernetes discovery in Debian's build, so that block is replaced.
#[test]
fn prometheus_takes_the_configuration() {
    let text = fs::read_to_string(format!("{EXAMPLES}/prometheus/prometheus.yaml")).unwrap();
    let discovery = "    kubernetes_sd_configs:\n      - role: endpointslice\n        namespaces:\n          names: [netpol]\n";
    let checkable = text.replacen(discovery, "    static_configs: []\n", 1);
    assert_ne!(checkable, text, "the discovery of the example is another one");
    let folder = TempDir::with_prefix("netpol-test-").unwrap();
    fs::write(folder.path().join("prometheus.yaml"), checkable).unwrap();
    fs::write(folder.path().join("netpol-alerts.yaml"), RULES).unwrap();
    let output = Command::new("promtool")
        .args(["check", "config", "prometheus.yaml"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
