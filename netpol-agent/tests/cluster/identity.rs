//! Who was behind an address, at the time.

use serde_json::json;
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
    let new = json!({
        "metadata": { "name": "new" },
        "spec": { "nodeName": Lab::NODE, "containers": [{ "name": "main", "image": "lab" }] },
    });
    api.create(&pods("shop"), &new);
    let watch = Watch::start(&lab, &apiserver, ADMIN, &[]);

    // Lost on its way to the old pod: it is decided seconds later, when the address has long been the new pod's.
    lab.nft("table inet t { chain c { type filter hook forward priority 0; tcp dport 81 drop; }; }").unwrap();
    assert_eq!(Probe::tcp(address, 81).run(&client).unwrap(), Attempt::TimedOut);
    let generation = watch.generation();
    lab.delete_pod(&old).unwrap();
    api.delete_pod(&old);
    let status = json!({ "status": { "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] } });
    api.patch(&pods("shop"), "new", Some("status"), status);
    let new = lab.add_pod(PodSpec::new("shop", "new").address(address)).unwrap();
    watch.wait_for_state_after(generation);
    let _listening = Server::tcp(&new, 80).unwrap();
    assert_eq!(Probe::tcp(address, 80).run(&client).unwrap(), Attempt::Answered);
    watch.wait_for_flows(2.0);
    assert_eq!(watch.stop().connections(), ["client > old:81 over_blocked", "client > new:80 conforming"]);
}
