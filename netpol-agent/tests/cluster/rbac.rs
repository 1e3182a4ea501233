//! Rights that are missing, taken away and given back.

use netpol_testkit::{
    apiserver::{AGENT, ApiServer},
    kubernetes,
    netns::{Attempt, Lab, PodSpec, Probe, Server},
};

use crate::{
    agent::{Watch, eventually},
    api::Api,
};

pub(crate) const ALL: [&str; 6] = [
    "/pods",
    "/namespaces",
    "/nodes",
    "/services",
    "discovery.k8s.io/endpointslices",
    "networking.k8s.io/networkpolicies",
];

/// Without nodes, what goes between pods is judged, and nothing else is; with them, all is.
#[test]
fn one_kind() {
    if kubernetes::is_missing() {
        return;
    }
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let outside = lab.add_pod(PodSpec::outside("outside")).unwrap();
    let _listening = Server::tcp(&server, 80).unwrap();
    let connect = |from| assert_eq!(Probe::tcp(server.ip(), 80).run(from).unwrap(), Attempt::Answered);
    let apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    api.apply_lab(&lab);
    let but_nodes: Vec<&str> = ALL.into_iter().filter(|resource| *resource != "/nodes").collect();
    api.allow_agent(&but_nodes);

    let watch = Watch::start(&lab, &apiserver, AGENT, &[]);
    connect(&client);
    watch.wait_for_flows(1.0);
    connect(&outside);
    watch.wait_for_flows(2.0);
    let generation = watch.generation();
    api.allow_agent(&ALL);
    watch.wait_for_state_after(generation);
    connect(&outside);
    watch.wait_for_flows(3.0);
    let refused = watch.metric("netpol_watch_troubles_total", "resource=\"nodes\",cause=\"forbidden\"");
    let told = watch.stop();
    assert_eq!(
        told.connections(),
        [
            "client > server:80 conforming",
            "world > server:80 undecidable stale",
            "world > server:80 conforming"
        ]
    );
    assert!(refused >= 2.0, "{refused}");
    assert_eq!(told.log.matches("not allowed to").count(), 1, "said once:\n{}", told.log);
    assert!(told.log.contains("verbs list and watch on nodes in the core API group"), "{}", told.log);
    assert!(told.log.contains("nodes are watched again"), "{}", told.log);
}

/// Without a right on policies nothing can be judged. The agent says so and gets ready all the same: an update of a
/// cluster's agents goes on, and metrics tell who is blind.
#[test]
fn policies() {
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
    let but_policies: Vec<&str> =
        ALL.into_iter().filter(|resource| !resource.contains("networkpolicies")).collect();
    api.allow_agent(&but_policies);

    let watch = Watch::start(&lab, &apiserver, AGENT, &[]);
    let unknown = || watch.metric("netpol_resource_unknown", "resource=\"networkpolicies\"");
    assert_eq!(unknown(), 1.0);
    connect();
    watch.wait_for_flows(1.0);
    api.allow_agent(&ALL);
    eventually("policies are known", || unknown() == 0.0);
    connect();
    watch.wait_for_flows(2.0);
    assert_eq!(
        watch.stop().connections(),
        ["client > server:80 undecidable stale", "client > server:80 conforming"]
    );
}

/// Rights that are taken away while the agent runs: it goes on, and catches up once they are back.
#[test]
fn taken_and_given_back() {
    if kubernetes::is_missing() {
        return;
    }
    let lab = Lab::new().unwrap();
    lab.add_pod(PodSpec::new("shop", "first")).unwrap();
    let mut apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    api.apply_lab(&lab);
    api.allow_agent(&ALL);
    let watch = Watch::start(&lab, &apiserver, AGENT, &[]);
    api.allow_agent(&[]);
    // Open watches go on without their rights; new ones do not begin.
    apiserver.restart().unwrap();
    eventually("all kinds are refused", || {
        ALL.iter().all(|resource| {
            let (_, plural) = resource.split_once('/').unwrap();
            let labels = format!("resource=\"{plural}\",cause=\"forbidden\"");
            watch.metric("netpol_watch_troubles_total", &labels) >= 1.0
        })
    });
    let second = lab.add_pod(PodSpec::new("shop", "second")).unwrap();
    let third = lab.add_pod(PodSpec::new("shop", "third")).unwrap();
    api.apply_lab(&lab);
    let generation = watch.generation();
    api.allow_agent(&ALL);
    watch.wait_for_state_after(generation);
    let _listening = Server::tcp(&third, 80).unwrap();
    assert_eq!(Probe::tcp(third.ip(), 80).run(&second).unwrap(), Attempt::Answered);
    watch.wait_for_flows(1.0);
    assert_eq!(watch.stop().connections(), ["second > third:80 conforming"]);
}
