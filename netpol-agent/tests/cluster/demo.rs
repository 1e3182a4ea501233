//! The demo's scenario, told by the API instead of by files: the agent says the same.

use netpol_testkit::{
    apiserver::{ADMIN, ApiServer},
    demo::{DemoCluster, Output, run, run_with},
    kubernetes,
};
use serde_json::Value;

use crate::{agent::binary, api::Api};

#[test]
fn same_findings() {
    if kubernetes::is_missing() {
        return;
    }
    let from_files = told(&run(&DemoCluster::new().unwrap(), &binary(), Output::Json).unwrap());
    let cluster = DemoCluster::new().unwrap();
    let server = ApiServer::start_in(cluster.lab()).unwrap();
    Api::new(cluster.lab(), &server).apply_folder(cluster.manifests());
    let kubeconfig = server.kubeconfig(ADMIN).unwrap();
    let source = ["--kubeconfig".as_ref(), kubeconfig.as_os_str()];
    let from_api = told(&run_with(&cluster, &binary(), &source, Output::Json).unwrap());
    assert_eq!(from_api, from_files);
    let findings = from_api.iter().filter(|line| line.starts_with("finding"));
    assert_eq!(findings.count(), 5, "{from_api:#?}");
}

/// Flows and findings in short, sorted.
fn told(printed: &str) -> Vec<String> {
    let lines = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines = lines.filter(|line| line["type"] != "summary");
    let mut told: Vec<String> = lines
        .map(|line| {
            let ends =
                ["source", "destination"].map(|end| line[end]["name"].as_str().unwrap_or("world").to_owned());
            let [what, kind, protocol] =
                ["type", "kind", "protocol"].map(|field| line[field].as_str().unwrap_or_default().to_owned());
            let [expected, policies] = ["expected", "policies"].map(|field| line[field].to_string());
            format!(
                "{what} {kind} {} > {} {protocol} {} {} {expected} {policies}",
                ends[0], ends[1], line["port"], line["outcome"]
            )
        })
        .collect();
    told.sort();
    told
}
