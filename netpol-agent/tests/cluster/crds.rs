//! Policies of kinds that are installed while the agent runs.

use netpol_testkit::{
    apiserver::{ADMIN, ApiServer},
    kubernetes,
    netns::{Attempt, Lab, PodSpec, Probe, Server},
};
use serde_json::{Value, json};

use crate::{
    agent::{Watch, eventually},
    api::Api,
};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

const POLICIES: &str = "/apis/policy.networking.k8s.io/v1alpha1/adminnetworkpolicies";

/// Installs all kinds of policies that are not built in, and waits until the server has them.
pub(crate) fn install_all(api: &Api) {
    for (kind, version) in [
        ("ClusterNetworkPolicy", "v1alpha2"),
        ("AdminNetworkPolicy", "v1alpha1"),
        ("BaselineAdminNetworkPolicy", "v1alpha1"),
    ] {
        let definition = definition(kind, version);
        api.create(CRDS, &definition);
        let plural = definition["spec"]["names"]["plural"].as_str().unwrap();
        let path = format!("/apis/policy.networking.k8s.io/{version}/{plural}");
        eventually("the server has the kind", || api.serves(&path));
    }
}

fn definition(kind: &str, version: &str) -> Value {
    let singular = kind.to_lowercase();
    let plural = singular.replace("policy", "policies");
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "metadata": {
            "name": format!("{plural}.policy.networking.k8s.io"),
            // The API server wants to know who has approved of a kind in its own domain.
            "annotations": { "api-approved.kubernetes.io": "unapproved, a test" },
        },
        "spec": {
            "group": "policy.networking.k8s.io",
            "scope": "Cluster",
            "names": {
                "plural": plural,
                "singular": singular,
                "kind": kind,
                "listKind": format!("{kind}List"),
            },
            "versions": [{
                "name": version, "served": true, "storage": true, "schema": { "openAPIV3Schema": schema },
            }],
        },
    })
}

fn policy() -> Value {
    json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha1",
        "kind": "AdminNetworkPolicy",
        "metadata": { "name": "closed" },
        "spec": {
            "priority": 10,
            "subject": { "namespaces": {} },
            "ingress": [{ "action": "Deny", "from": [{ "namespaces": {} }] }],
        },
    })
}

/// A kind that comes is watched, and one that goes takes its policies along.
#[test]
fn installed_late() {
    if kubernetes::is_missing() {
        return;
    }
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let _listening = Server::tcp(&server, 80).unwrap();
    let connect = || assert_eq!(Probe::tcp(server.ip(), 80).run(&client).unwrap(), Attempt::Answered);
    let apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    api.apply_lab(&lab);
    let watch = Watch::start(&lab, &apiserver, ADMIN, &[]);
    connect();
    watch.wait_for_flows(1.0);

    api.create(CRDS, &definition("AdminNetworkPolicy", "v1alpha1"));
    let generation = watch.generation();
    eventually("the server has the kind", || api.try_create(POLICIES, &policy()));
    watch.wait_for_state_after(generation);
    connect();
    watch.wait_for_flows(2.0);

    let generation = watch.generation();
    api.delete(CRDS, "adminnetworkpolicies.policy.networking.k8s.io");
    watch.wait_for_state_after(generation);
    connect();
    watch.wait_for_flows(3.0);
    assert_eq!(
        watch.stop().connections(),
        ["client > server:80 conforming", "client > server:80 not_enforced", "client > server:80 conforming"]
    );
}
