//! `netpol` on a live cluster: the same answers as for the same objects in files.

use std::{fs, path::PathBuf, process::Output};

use netpol_testkit::{
    apiserver::{ADMIN, AGENT, ApiServer, User},
    kubernetes,
    netns::Lab,
};

use crate::api::Api;

fn scenario() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/06-three-tiers")
}

/// The scenario as an API server takes it: containers there have an image.
fn manifests() -> String {
    let text = fs::read_to_string(scenario().join("manifests.yaml")).unwrap();
    text.replace("  - name: main\n", "  - name: main\n    image: lab\n")
}

/// Runs the command in the lab.
fn netpol(lab: &Lab, arguments: &[&str], source: [&str; 2]) -> Output {
    lab.command(env!("CARGO_BIN_EXE_netpol")).args(arguments).args(source).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a cluster has is in no file, and no line.
fn placeless(output: &[u8]) -> Vec<String> {
    text(output)
        .lines()
        .filter(|line| !line.contains("\"place\":"))
        .map(|line| line.trim_end_matches(',').to_owned())
        .collect()
}

#[test]
fn as_of_files() {
    if kubernetes::is_missing() {
        return;
    }
    let lab = Lab::new().unwrap();
    let apiserver = ApiServer::start_in(&lab).unwrap();
    Api::new(&lab, &apiserver).apply_text(&manifests());
    let kubeconfig = apiserver.kubeconfig(ADMIN).unwrap().display().to_string();
    let manifests = scenario().join("manifests.yaml").display().to_string();
    let queries = scenario().join("queries.jsonl").display().to_string();
    for arguments in [
        &["matrix", "--port", "8080", "--output", "csv"][..],
        &["check", "--queries", &queries, "--expect", "--output", "json"],
        &["explain", "--from", "10.0.0.1", "--to", "10.0.0.2", "--port", "8080", "--output", "json"],
    ] {
        let files = netpol(&lab, arguments, ["--manifests", &manifests]);
        let live = netpol(&lab, arguments, ["--kubeconfig", &kubeconfig]);
        assert!(!files.stdout.is_empty(), "{arguments:?}: {}", text(&files.stderr));
        assert_eq!(
            placeless(&live.stdout),
            placeless(&files.stdout),
            "{arguments:?}: {}",
            text(&live.stderr)
        );
        assert_eq!(live.status, files.status, "{arguments:?}");
    }
    let lint = |source| {
        let found: serde_json::Value =
            serde_json::from_slice(&netpol(&lab, &["lint", "--output", "json"], source).stdout).unwrap();
        let found = found.as_array().unwrap().iter();
        let mut codes: Vec<String> = found.map(|one| format!("{} {}", one["code"], one["object"])).collect();
        codes.sort();
        codes
    };
    assert_eq!(lint(["--kubeconfig", &kubeconfig]), lint(["--manifests", &manifests]));
}

/// What may not be read is said; without pods or policies there is no answer.
#[test]
fn rights_and_reach() {
    if kubernetes::is_missing() {
        return;
    }
    let lab = Lab::new().unwrap();
    let mut apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    api.apply_text(&manifests());
    let ask = |server: &ApiServer<'_>, user: User| {
        let kubeconfig = server.kubeconfig(user).unwrap().display().to_string();
        let output = netpol(&lab, &["matrix", "--port", "8080"], ["--kubeconfig", &kubeconfig]);
        (output.status.code(), text(&output.stderr))
    };
    let all = ["/pods", "/namespaces", "/services", "discovery.k8s.io/endpointslices"];
    api.allow_agent(&all);
    let (status, said) = ask(&apiserver, AGENT);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("no networkpolicies from the cluster: you may not list networkpolicies"), "{said}");

    api.allow_agent(&[&all[..], &["networking.k8s.io/networkpolicies"]].concat());
    let (status, said) = ask(&apiserver, AGENT);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(
        said,
        "netpol: no nodes from the cluster: you may not list nodes; what follows is without them\n"
    );

    apiserver.kill().unwrap();
    let (status, said) = ask(&apiserver, ADMIN);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("can't be reached"), "{said}");
}
