//! The chart on a real API server: its objects, the rights that it gives, and the agent with those rights alone.

use netpol_testkit::{
    apiserver::ApiServer,
    helm::Helm,
    kubernetes,
    netns::{Attempt, Lab, PodSpec, Probe, Server},
};
use serde_json::{Value, json};

use crate::{
    agent::{Watch, eventually},
    api::{Api, documents, pods},
    container::Container,
    crds,
};

const DENY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
";

/// All Events, as kubectl asks for them.
const EVENTS: &str = "/api/v1/events";

/// What the chart renders to, without the kinds of the Prometheus operator.
fn rendered(values: &[&str]) -> Vec<Value> {
    let arguments: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
    documents(&Helm::find_or_fetch().unwrap().template(&arguments).unwrap()).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap()
}

/// The server takes every object, knows every field, and lets a pod of the DaemonSet in.
#[test]
fn objects() {
    if kubernetes::is_missing() {
        return;
    }
    let lab = Lab::new().unwrap();
    let apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    for values in [
        &["createNamespace=true"][..],
        &[
            "createNamespace=true",
            "security.seLinuxOptions.type=spc_t",
            "security.seccompProfile.type=Localhost",
            "security.seccompProfile.localhostProfile=netpol.json",
            "networkPolicy.scrapers[0].namespaceSelector.matchLabels.name=monitoring",
            "imagePullSecrets[0].name=key",
            "agent.log=debug",
            "podAnnotations.a=b",
        ],
    ] {
        let objects = rendered(values);
        objects.iter().for_each(|object| api.apply_strictly(object));
        let template = &of_kind(&objects, "DaemonSet")["spec"]["template"];
        let pod = json!({ "metadata": { "name": "netpol-agent-1" }, "spec": template["spec"] });
        let pod = api.post(&pods("netpol"), &pod);
        // What the class `system-node-critical` is made of.
        assert_eq!(pod["spec"]["priority"], 2_000_001_000);
        api.delete(&pods("netpol"), "netpol-agent-1");
    }
}

/// A field that there is not is refused: otherwise the test above would say nothing.
#[test]
#[should_panic(expected = "hostNetworks")]
fn strange_fields() {
    let lab = Lab::new().unwrap();
    let apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    let mut objects = rendered(&["createNamespace=true"]);
    for object in &mut objects {
        if object["kind"] == "DaemonSet" {
            object["spec"]["template"]["spec"]["hostNetworks"] = json!(true);
        }
        api.apply_strictly(object);
    }
}

/// The agent may list and watch what it watches, and create Events where it is to tell of findings, and nothing else.
#[test]
fn rights() {
    if kubernetes::is_missing() {
        return;
    }
    let lab = Lab::new().unwrap();
    let apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    rendered(&["createNamespace=true"]).iter().for_each(|object| api.apply_strictly(object));
    let may = |verb: &str, resource: &str| api.agent_may(verb, resource);
    for resource in [
        "/pods",
        "/namespaces",
        "/nodes",
        "/services",
        "discovery.k8s.io/endpointslices",
        "networking.k8s.io/networkpolicies",
        "policy.networking.k8s.io/clusternetworkpolicies",
        "policy.networking.k8s.io/adminnetworkpolicies",
        "policy.networking.k8s.io/baselineadminnetworkpolicies",
    ] {
        for verb in ["list", "watch"] {
            assert!(may(verb, resource), "{verb} {resource}");
        }
        for verb in ["get", "create", "update", "patch", "delete", "deletecollection", "*"] {
            assert!(!may(verb, resource), "{verb} {resource}");
        }
    }
    for resource in [
        "/secrets",
        "/configmaps",
        "/serviceaccounts",
        "/pods/exec",
        "/nodes/proxy",
        "apps/daemonsets",
        "/events",
        "*/*",
    ] {
        for verb in ["get", "list", "watch", "create"] {
            assert!(!may(verb, resource), "{verb} {resource}");
        }
    }
    let on_events = || {
        let verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "*"];
        verbs.into_iter().filter(|verb| may(verb, "events.k8s.io/events")).collect::<Vec<_>>()
    };
    assert_eq!(on_events(), ["create"]);
    let without = rendered(&["createNamespace=true", "events.enabled=false"]);
    without.iter().for_each(|object| api.apply_strictly(object));
    eventually("the right is taken away", || on_events().is_empty());
}

/// The image, started as the DaemonSet says, as its ServiceAccount: it gets ready, nothing is refused to it, and it finds
/// what is to be found.
#[test]
fn as_a_pod() {
    if kubernetes::is_missing() {
        return;
    }
    runs_in_a_pod(&[]);
}

/// The same, where the capabilities of the binary's file can't be used.
#[test]
fn as_root() {
    if kubernetes::is_missing() {
        return;
    }
    runs_in_a_pod(&["security.runAsUser=0"]);
}

fn runs_in_a_pod(values: &[&str]) {
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let _listening = Server::tcp(&server, 80).unwrap();
    let apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    api.apply_lab(&lab);
    api.apply_text(DENY);
    crds::install_all(&api);
    let objects = rendered(&[&["createNamespace=true", "agent.format=json"], values].concat());
    objects.iter().for_each(|object| api.apply_strictly(object));
    let token = api.post(
        "/api/v1/namespaces/netpol/serviceaccounts/netpol-agent/token",
        &json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} }),
    );

    let container = Container::of(of_kind(&objects, "DaemonSet"));
    let mut agent = container.start(&lab, &apiserver, token["status"]["token"].as_str().unwrap());
    agent.wait_until_ready().unwrap();
    let watch = Watch::of(&lab, agent);
    assert!(watch.is_ready());
    assert_eq!(Probe::tcp(server.ip(), 80).run(&client).unwrap(), Attempt::Answered);
    lab.nft("table inet enforcer {\nchain forward {\ntype filter hook forward priority 0\ntcp dport 81 drop\n}\n}\n").unwrap();
    assert_eq!(Probe::tcp(server.ip(), 81).run(&client).unwrap(), Attempt::TimedOut);
    watch.wait_for_flows(2.0);
    assert_eq!(watch.metric("netpol_findings_open", "not_enforced"), 1.0);
    // Unless the kernel gives no reasons, and there is but silence.
    let seen = watch.metric("netpol_connections_total", "outcome=\"enforced\"");
    assert_eq!(seen + watch.metric("netpol_connections_total", "outcome=\"presumed_enforced\""), 1.0);
    assert_eq!(watch.metric("netpol_watch_troubles_total", "forbidden"), 0.0);
    assert_eq!(watch.metric("netpol_resource_unknown", ""), 0.0);
    eventually("pods are counted", || watch.has_metric("netpol_pods_unseen"));
    assert_eq!(watch.metric("netpol_pods_unseen", ""), 0.0);
    eventually("the finding is told", || watch.metric("netpol_events_written_total", "") == 1.0);
    assert_eq!(api.list(EVENTS, "reason=PolicyNotEnforced").len(), 1);
    let told = watch.stop();
    assert_eq!((told.flows.len(), told.findings.len()), (0, 1), "{}", told.log);
    assert_eq!(told.findings[0]["kind"], "not_enforced");
    assert!(!told.log.contains("WARN"), "{}", told.log);
}
