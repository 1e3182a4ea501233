//! Who was behind an address, at the time.

use std::{net::Ipv4Addr, thread};

use serde_json::{Value, json};
use xtask::{
    apiserver::{ADMIN, ApiServer},
    lab::{Attempt, Lab, PodSpec, Probe, Server, Stack},
};

use crate::{
    agent::Watch,
    api::{Api, pods},
};

/// Both families of a pod are known, and policies count for both.
#[test]
fn dual_stack() {
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

/// A pod's address is another's within 50 ms: each connection is that pod's whose address it was at the time.
#[test]
fn address_used_again() {
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

    // Lost on its way to the old pod: it is decided seconds later, when the address has long been the new pod's.
    lab.nft("table inet t { chain c { type filter hook forward priority 0; tcp dport 81 drop; }; }").unwrap();
    assert_eq!(Probe::tcp(address, 81).run(&client).unwrap(), Attempt::TimedOut);
    let generation = watch.generation();
    lab.delete_pod(&old).unwrap();
    let new = lab.add_pod(PodSpec::new("shop", "new").address(address)).unwrap();
    api.delete_pod(&old);
    api.patch(&pods("shop"), "new", Some("status"), status(&address.to_string()));
    watch.wait_for_state_after(generation);
    let _listening = Server::tcp(&new, 80).unwrap();
    assert_eq!(Probe::tcp(address, 80).run(&client).unwrap(), Attempt::Answered);
    watch.wait_for_flows(2.0);
    assert_eq!(watch.stop().connections(), ["client > old:81 over_blocked", "client > new:80 conforming"]);
}

/// What a pod does before its address is known is judged by what is known of it then: `web` is admitted, and `shut` is
/// isolated, which nobody enforces here.
#[test]
fn connected_before_it_is_known() {
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

/// Pods that are in no lab, made and removed by the way.
const STRANGERS: u32 = 2000;

/// Pods that have the same address, one after the other.
const ROUNDS: u16 = 20;

/// While 2,000 pods come and go, pods that share an address are connected to, each on a port of its own: no connection
/// is another pod's. One whose pod was gone before its news came may be nobody's, or no state may have had the pod: it
/// is not judged then.
#[test]
fn churn() {
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let first = lab.add_pod(PodSpec::new("shop", "first")).unwrap();
    let address = first.ip();
    lab.delete_pod(&first).unwrap();
    let apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    api.apply_lab(&lab);
    let watch = Watch::start(&lab, &apiserver, ADMIN, &[]);
    thread::scope(|scope| {
        let strangers = scope.spawn(|| strangers(&api));
        for round in 0..ROUNDS {
            let name = format!("round-{round}");
            let pod = lab.add_pod(PodSpec::new("shop", &name).address(address)).unwrap();
            let _listening = Server::tcp(&pod, 1000 + round).unwrap();
            api.create(&pods("shop"), &running(&name));
            api.patch(&pods("shop"), &name, Some("status"), status(&address.to_string()));
            assert_eq!(Probe::tcp(address, 1000 + round).run(&client).unwrap(), Attempt::Answered);
            api.delete_pod(&pod);
            lab.delete_pod(&pod).unwrap();
        }
        strangers.join().unwrap();
    });
    watch.wait_for_flows(ROUNDS.into());
    let told = watch.stop();
    let right = |round: u16| format!("client > round-{round}:{} conforming", 1000 + round);
    let unjudged =
        |name: &str, round: u16| format!("client > {name}:{} undecidable recent_change", 1000 + round);
    let connections = told.connections();
    assert_eq!(connections.len(), usize::from(ROUNDS), "{connections:#?}");
    let mut named = 0;
    for (round, connection) in (0..ROUNDS).zip(&connections) {
        named += u16::from(*connection == right(round));
        let expected = [right(round), unjudged("world", round), unjudged(&format!("round-{round}"), round)];
        assert!(expected.contains(connection), "{connections:#?}\n{}", told.log);
    }
    assert!(named > 0, "{connections:#?}");
}

fn strangers(api: &Api) {
    for number in 0..STRANGERS {
        let name = format!("stranger-{number}");
        // They share a few addresses, which are nobody's in the lab.
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 1)) + number % 50);
        api.create(&pods("default"), &running(&name));
        api.patch(&pods("default"), &name, Some("status"), status(&address.to_string()));
        api.delete(&pods("default"), &name);
    }
}

fn running(name: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": { "nodeName": Lab::NODE, "containers": [{ "name": "main", "image": "lab" }] },
    })
}

fn status(address: &str) -> Value {
    json!({ "status": { "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] } })
}
