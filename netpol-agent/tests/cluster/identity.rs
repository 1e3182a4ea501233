//! Who was behind an address, at the time.

use std::{
    thread,
    time::{Duration, Instant},
};

use netpol_testkit::{
    apiserver::{ADMIN, ApiServer},
    kubernetes,
    netns::{Attempt, Lab, PodSpec, Probe, Server, Stack},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    agent::{Watch, eventually},
    api::{Api, pods},
};

/// Both families of a pod are known, and policies count for both.
#[test]
fn dual_stack() {
    if kubernetes::is_missing() {
        return;
    }
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client").dual_stack()).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server").label("app", "server").dual_stack()).unwrap();
    let six = lab.add_pod(PodSpec::new("shop", "six").stack(Stack::V6)).unwrap();
    let _listening = Server::tcp(&server, 80).unwrap();
    let apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    api.apply_lab(&lab);
    api.apply_text(
        "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server, namespace: shop}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress:
  - from: [{podSelector: {matchLabels: {lab/pod: client}}}]
    ports: [{protocol: TCP, port: 79, endPort: 81}]
",
    );
    let watch = Watch::start(&lab, &apiserver, ADMIN, &[]);
    let (v4, v6) = (server.ipv4().unwrap(), server.ipv6().unwrap());
    assert_eq!(Probe::tcp(v4, 80).run(&client).unwrap(), Attempt::Answered);
    watch.wait_for_flows(1.0);
    assert_eq!(Probe::tcp(v6, 80).run(&client).unwrap(), Attempt::Answered);
    watch.wait_for_flows(2.0);
    assert_eq!(Probe::tcp(v6, 80).run(&six).unwrap(), Attempt::Answered);
    watch.wait_for_flows(3.0);
    assert_eq!(
        watch.stop().connections(),
        [
            "client > server:80 conforming",
            "client > server:80 v6 conforming",
            "six > server:80 v6 not_enforced"
        ]
    );
}

/// A pod's address passes to another at once, and the API tells of it later: each connection is that pod's whose address
/// it was at the time.
#[test]
fn address_used_again() {
    if kubernetes::is_missing() {
        return;
    }
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let old = lab.add_pod(PodSpec::new("shop", "old")).unwrap();
    let address = old.ip();
    let apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    api.apply_lab(&lab);
    // The next pod waits for an address.
    api.create(&pods("shop"), &running("new"));
    let watch = Watch::start(&lab, &apiserver, ADMIN, &[]);
    let veths = |count: f64| {
        eventually("veths come and go", || watch.metric("netpol_veths_attached", "") == count);
    };

    // Lost on its way to the old pod: it is decided seconds later, when the address has long been the new pod's.
    lab.nft("table inet t { chain c { type filter hook forward priority 0; tcp dport 81 drop; }; }").unwrap();
    assert_eq!(Probe::tcp(address, 81).run(&client).unwrap(), Attempt::TimedOut);
    veths(2.0);
    lab.delete_pod(&old).unwrap();
    veths(1.0);
    let new = lab.add_pod(PodSpec::new("shop", "new").address(address)).unwrap();
    veths(2.0);
    let _listening = Server::tcp(&new, 80).unwrap();
    let connect = || assert_eq!(Probe::tcp(address, 80).run(&client).unwrap(), Attempt::Answered);
    // For the API, the address is still the old pod's; then it is nobody's; then it is the new pod's.
    connect();
    api.delete_pod(&old);
    connect();
    let generation = watch.generation();
    api.patch(&pods("shop"), "new", Some("status"), status(&address.to_string()));
    connect();
    watch.wait_for_state_after(generation);
    connect();
    watch.wait_for_flows(5.0);
    let new = "client > new:80 conforming";
    assert_eq!(watch.stop().connections(), ["client > old:81 over_blocked", new, new, new, new]);
}

/// The agent has no time to hear that a pod's address has passed to another, and the API is late, too: connections to that
/// one are not the old pod's.
#[test]
fn address_used_again_unheard() {
    if kubernetes::is_missing() {
        return;
    }
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let old = lab.add_pod(PodSpec::new("shop", "old")).unwrap();
    let address = old.ip();
    let apiserver = ApiServer::start_in(&lab).unwrap();
    Api::new(&lab, &apiserver).apply_lab(&lab);
    let watch = Watch::start(&lab, &apiserver, ADMIN, &[]);
    let connect = || assert_eq!(Probe::tcp(address, 80).run(&client).unwrap(), Attempt::Answered);
    let listening = Server::tcp(&old, 80).unwrap();
    connect();
    watch.wait_for_flows(1.0);
    drop(listening);
    watch.signal(Signal::SIGSTOP);
    let start = Instant::now();
    lab.delete_pod(&old).unwrap();
    let deleted = start.elapsed();
    let new = lab.add_pod(PodSpec::new("shop", "new").address(address)).unwrap();
    println!(
        "the old pod went within {deleted:?}, and the new one had its address {:?} later",
        start.elapsed() - deleted
    );
    let _listening = Server::tcp(&new, 80).unwrap();
    connect();
    connect();
    // Longer than the news of a veth usually takes.
    thread::sleep(Duration::from_millis(200));
    watch.signal(Signal::SIGCONT);
    watch.wait_for_flows(3.0);
    let told = watch.stop();
    let names: Vec<&Value> = told.flows.iter().map(|flow| &flow["destination"]["name"]).collect();
    assert_eq!(names, [&json!("old"), &Value::Null, &Value::Null], "{}", told.log);
    for flow in &told.flows[1..] {
        assert_eq!(
            (&flow["outcome"], &flow["expected"]["reason"]),
            (&json!("undecidable"), &json!("recent_change"))
        );
    }
}

/// What a pod does before its address is known is judged by what is known of it then: `web` is admitted, and `shut` is
/// isolated, which nobody enforces here.
#[test]
fn connected_before_it_is_known() {
    if kubernetes::is_missing() {
        return;
    }
    let lab = Lab::new().unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server").label("app", "server")).unwrap();
    let _listening = Server::tcp(&server, 80).unwrap();
    let apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    api.apply_lab(&lab);
    api.apply_text(
        "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server, namespace: shop}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: Exists}]}}]}]
",
    );
    api.apply_text(
        "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: shut, namespace: shop}
spec: {podSelector: {matchLabels: {app: shut}}, policyTypes: [Egress]}
",
    );
    let names = ["web", "shut"];
    for name in names {
        let mut pod = running(name);
        pod["metadata"]["labels"] = json!({ "app": name });
        api.create(&pods("shop"), &pod);
    }
    let watch = Watch::start(&lab, &apiserver, ADMIN, &[]);
    for name in names {
        let pod = lab.add_pod(PodSpec::new("shop", name)).unwrap();
        assert_eq!(Probe::tcp(server.ip(), 80).run(&pod).unwrap(), Attempt::Answered);
        api.patch(&pods("shop"), name, Some("status"), status(&pod.ip().to_string()));
    }
    watch.wait_for_flows(2.0);
    assert_eq!(watch.stop().connections(), ["web > server:80 conforming", "shut > server:80 not_enforced"]);
}

/// A pod is told with all that it is known by.
#[test]
fn what_is_told() {
    if kubernetes::is_missing() {
        return;
    }
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let spec = PodSpec::new("shop", "web-5d9c7b-x").label("pod-template-hash", "5d9c7b");
    let server = lab.add_pod(spec).unwrap();
    let _listening = Server::tcp(&server, 80).unwrap();
    let apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    api.apply_lab(&lab);
    let owner = json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9c7b", "uid": "1", "controller": true });
    api.patch(&pods("shop"), "web-5d9c7b-x", None, json!({ "metadata": { "ownerReferences": [owner] } }));
    let watch = Watch::start(&lab, &apiserver, ADMIN, &[]);
    assert_eq!(Probe::tcp(server.ip(), 80).run(&client).unwrap(), Attempt::Answered);
    watch.wait_for_flows(1.0);
    let mut told = watch.stop();
    let end = &mut told.flows[0]["destination"];
    // The API server gives it.
    assert!(!end["uid"].take().as_str().unwrap().is_empty());
    assert_eq!(
        *end,
        json!({
            "kind": "pod",
            "namespace": "shop",
            "name": "web-5d9c7b-x",
            "uid": null,
            "labels": { "lab/pod": "web-5d9c7b-x", "pod-template-hash": "5d9c7b" },
            "workload": { "kind": "Deployment", "name": "web" },
            "node": Lab::NODE,
            "ip": server.ip(),
            "port": 80,
        })
    );
}

pub(crate) fn running(name: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": { "nodeName": Lab::NODE, "containers": [{ "name": "main", "image": "lab" }] },
    })
}

pub(crate) fn status(address: &str) -> Value {
    json!({ "status": { "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] } })
}
