//! Findings as Kubernetes Events, read back from the API server.

use netpol_testkit::{
    apiserver::{ADMIN, AGENT, ApiServer},
    kubernetes,
    netns::{Attempt, Lab, Pod, PodSpec, Probe, Server},
};
use serde_json::{Value, json};

use crate::{
    agent::{Watch, eventually},
    api::{Api, pods},
    rbac::ALL,
};

const DENY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}
";

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";

/// Rejects what goes to a port, as an enforcer may.
const ENFORCER: &str = "table inet enforcer {
    chain forward {
        type filter hook forward priority filter
        tcp dport 80 reject with tcp reset
    }
}
";

/// A client, and a server that nothing may reach and everything does.
struct Shop {
    lab: Lab,
    client: Pod,
    server: Pod,
}

impl Shop {
    fn new() -> Self {
        let lab = Lab::new().unwrap();
        let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
        let server = lab.add_pod(PodSpec::new("shop", "server").label("app", "server")).unwrap();
        Self { lab, client, server }
    }

    fn tell(&self, api: &Api) {
        api.apply_lab(&self.lab);
        api.apply_text(DENY);
    }

    fn connect(&self, port: u16, expected: Attempt) {
        assert_eq!(Probe::tcp(self.server.ip(), port).run(&self.client).unwrap(), expected, "{port}");
    }
}

fn written(watch: &Watch<'_>) -> f64 {
    watch.metric("netpol_events_written_total", "")
}

fn failed(watch: &Watch<'_>) -> f64 {
    watch.metric("netpol_events_failed_total", "cause=\"forbidden\"")
}

/// Events, in the order of the connections that they are about.
fn events(api: &Api) -> Vec<Value> {
    let mut events = api.list(EVENTS, "");
    events.sort_by_key(|event| event["eventTime"].as_str().unwrap().to_owned());
    events
}

fn notes(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["note"].as_str().unwrap()).collect()
}

/// A policy that nothing enforces is one Event, however many connections it is about, and its end another one.
#[test]
fn told_once_and_resolved() {
    if kubernetes::is_missing() {
        return;
    }
    let shop = Shop::new();
    let _listening = Server::tcp(&shop.server, 80).unwrap();
    let apiserver = ApiServer::start_in(&shop.lab).unwrap();
    let api = Api::new(&shop.lab, &apiserver);
    shop.tell(&api);
    api.allow_agent_and_events(&ALL);
    let watch = Watch::start(&shop.lab, &apiserver, AGENT, &["--events", "--node", Lab::NODE]);
    for _ in 0..30 {
        shop.connect(80, Attempt::Answered);
    }
    watch.wait_for_flows(30.0);
    shop.lab.nft(ENFORCER).unwrap();
    shop.connect(80, Attempt::Refused);
    // They are written one after the other: no other one is on its way.
    eventually("both Events are written", || written(&watch) >= 2.0);
    let told = watch.stop();
    assert!(!told.log.contains("WARN"), "{}", told.log);

    let events = events(&api);
    let about = |event: &Value| {
        let fields = ["type", "reason", "note"].map(|field| event[field].as_str().unwrap().to_owned());
        (fields, event["regarding"]["name"].clone())
    };
    let expected = [
        [
            "Warning",
            "PolicyNotEnforced",
            "shop/client got through to shop/server on TCP port 80, which policies deny. Seen: SYN-ACK reached the \
             source pod's interface. It is denied: ingress of shop/server by shop/deny.",
        ],
        [
            "Normal",
            "PolicyNotEnforcedResolved",
            "shop/client no longer gets through to shop/server on TCP port 80 against the policies. It was denied: \
             ingress of shop/server by shop/deny.",
        ],
    ];
    let expected = expected.map(|fields| (fields.map(str::to_owned), json!("server")));
    assert_eq!(events.iter().map(about).collect::<Vec<_>>(), expected);
    whole(&api, &events[0]);
}

/// What else an Event says, and that it is found as `kubectl describe pod` looks for it.
fn whole(api: &Api, event: &Value) {
    let server = api.list(&pods("shop"), "metadata.name=server").remove(0);
    let uid = server["metadata"]["uid"].as_str().unwrap();
    assert_eq!(
        event["regarding"],
        json!({ "apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "server", "uid": uid })
    );
    assert_eq!(
        event["related"],
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "namespace": "shop",
            "name": "deny",
        })
    );
    assert_eq!(event["action"], "Connect");
    assert_eq!(event["reportingController"], "netpol-agent");
    assert_eq!(event["reportingInstance"], Lab::NODE);
    let of_the_pod =
        format!("involvedObject.name=server,involvedObject.namespace=shop,involvedObject.uid={uid}");
    let described = api.list("/api/v1/namespaces/shop/events", &of_the_pod);
    assert!(described.iter().any(|found| found["metadata"]["name"] == event["metadata"]["name"]));
}

/// Without the right, the agent says so once and does all else; given later, the right counts.
#[test]
fn the_right_comes_later() {
    if kubernetes::is_missing() {
        return;
    }
    let shop = Shop::new();
    let _listening = [80, 81, 82].map(|port| Server::tcp(&shop.server, port).unwrap());
    let apiserver = ApiServer::start_in(&shop.lab).unwrap();
    let api = Api::new(&shop.lab, &apiserver);
    shop.tell(&api);
    api.allow_agent(&ALL);
    let watch = Watch::start(&shop.lab, &apiserver, AGENT, &["--events", "--node", Lab::NODE]);
    for (port, count) in [(80, 1.0), (81, 2.0)] {
        shop.connect(port, Attempt::Answered);
        eventually("an Event is given up", || failed(&watch) == count);
    }
    assert_eq!(watch.metric("netpol_findings_open", "not_enforced"), 2.0);
    assert_eq!(written(&watch), 0.0);
    api.allow_agent_and_events(&ALL);
    eventually("the right is there", || api.agent_may("create", "events.k8s.io/events"));
    shop.connect(82, Attempt::Answered);
    eventually("an Event is written", || written(&watch) == 1.0);
    let told = watch.stop();
    let events = events(&api);
    assert_eq!(notes(&events).len(), 1, "{events:?}");
    assert!(notes(&events)[0].contains("TCP port 82"), "{events:?}");
    assert_eq!(told.findings.len(), 3);
    let said = "can't be written as Events: not allowed to create events: give the agent's ClusterRole the verb create on \
                events in events.k8s.io";
    assert_eq!(told.log.matches(said).count(), 1, "said once:\n{}", told.log);
    assert!(told.log.contains("written as Events again"), "{}", told.log);
}

/// Not every refusal is a missing right: in a namespace that is being deleted nothing is made any more.
#[test]
fn a_namespace_that_goes() {
    if kubernetes::is_missing() {
        return;
    }
    let shop = Shop::new();
    let _listening = Server::tcp(&shop.server, 80).unwrap();
    let apiserver = ApiServer::start_in(&shop.lab).unwrap();
    let api = Api::new(&shop.lab, &apiserver);
    shop.tell(&api);
    let watch = Watch::start(&shop.lab, &apiserver, ADMIN, &["--events"]);
    // No controller empties it here.
    api.delete("/api/v1/namespaces", "shop");
    shop.connect(80, Attempt::Answered);
    eventually("the Event is given up", || {
        watch.metric("netpol_events_failed_total", "cause=\"refused\"") == 1.0
    });
    let told = watch.stop();
    assert!(told.log.contains("being terminated"), "{}", told.log);
    assert!(!told.log.contains("ClusterRole"), "{}", told.log);
}

/// An API server that is away holds up Events and nothing else, not even the agent's end.
#[test]
fn an_outage() {
    if kubernetes::is_missing() {
        return;
    }
    let shop = Shop::new();
    let _listening = [80, 81].map(|port| Server::tcp(&shop.server, port).unwrap());
    let mut apiserver = ApiServer::start_in(&shop.lab).unwrap();
    let api = Api::new(&shop.lab, &apiserver);
    shop.tell(&api);
    let watch = Watch::start(&shop.lab, &apiserver, ADMIN, &["--events"]);
    apiserver.kill().unwrap();
    shop.connect(80, Attempt::Answered);
    watch.wait_for_flows(1.0);
    apiserver.restart().unwrap();
    eventually("the Event is written", || written(&watch) == 1.0);
    apiserver.kill().unwrap();
    shop.connect(81, Attempt::Answered);
    watch.wait_for_flows(2.0);
    let told = watch.stop();
    let said = "can't be written as Events: the API server can't be reached";
    assert_eq!(told.log.matches(said).count(), 2, "said once each time:\n{}", told.log);
    apiserver.restart().unwrap();
    let events = events(&api);
    assert_eq!(notes(&events).len(), 1, "{events:?}");
    assert!(notes(&events)[0].contains("TCP port 80"), "{events:?}");
}

/// What both ends see is told by the agent on the denied pod's node; what is seen here alone, here.
#[test]
fn a_pod_of_another_node() {
    if kubernetes::is_missing() {
        return;
    }
    let shop = Shop::new();
    let _listening = Server::tcp(&shop.server, 80).unwrap();
    let apiserver = ApiServer::start_in(&shop.lab).unwrap();
    let api = Api::new(&shop.lab, &apiserver);
    shop.tell(&api);
    let watch = Watch::start(&shop.lab, &apiserver, ADMIN, &["--events", "--node", "elsewhere"]);
    shop.connect(80, Attempt::Answered);
    watch.wait_for_flows(1.0);
    shop.connect(81, Attempt::Refused);
    eventually("an Event is written", || written(&watch) == 1.0);
    assert_eq!(watch.stop().findings.len(), 2);
    let events = events(&api);
    assert_eq!(notes(&events).len(), 1, "{events:?}");
    assert!(notes(&events)[0].contains("TCP port 81"), "{events:?}");
    assert_eq!(events[0]["reportingInstance"], "elsewhere");
}

/// More findings than may be told: some are written, some wait, the others are counted, and the agent's end waits for none.
#[test]
fn a_flood() {
    if kubernetes::is_missing() {
        return;
    }
    let shop = Shop::new();
    let apiserver = ApiServer::start_in(&shop.lab).unwrap();
    let api = Api::new(&shop.lab, &apiserver);
    shop.tell(&api);
    let watch = Watch::start(&shop.lab, &apiserver, ADMIN, &["--events"]);
    (1..=100).for_each(|port| shop.connect(port, Attempt::Refused));
    watch.wait_for_flows(100.0);
    assert_eq!(watch.metric("netpol_findings_open", "not_enforced"), 100.0);
    let lost = || watch.metric("netpol_records_lost_total", "cause=\"too_many_events\"");
    eventually("Events are lost, and counted", || lost() >= 1.0);
    eventually("the first Events are written", || written(&watch) >= 25.0);
    let told = watch.stop();
    assert_eq!(told.findings.len(), 100);
    assert!(events(&api).len() < 100);
}
