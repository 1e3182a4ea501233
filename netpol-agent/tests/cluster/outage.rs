//! An API server that is not there, goes away, or forgets.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

use netpol_testkit::{
    apiserver::{ADMIN, ApiServer},
    kubernetes,
    netns::{Attempt, Lab, Pod, PodSpec, Probe, Server},
};
use nix::sys::signal::Signal;

use crate::{
    agent::{Watch, eventually},
    api::Api,
};

const DENY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
";

/// The agent waits for the API server, without judging anything meanwhile.
#[test]
fn start_before() {
    if kubernetes::is_missing() {
        return;
    }
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let _listening = Server::tcp(&server, 80).unwrap();
    let mut apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    api.apply_lab(&lab);
    apiserver.kill().unwrap();

    let watch = Watch::spawn(&lab, &apiserver, ADMIN, &[]);
    eventually("an attempt has failed", || watch.metric("netpol_watch_troubles_total", "unreachable") >= 1.0);
    eventually("both veths are watched", || watch.metric("netpol_veths_attached", "") == 2.0);
    assert!(!watch.is_ready());
    assert_eq!(Probe::tcp(server.ip(), 80).run(&client).unwrap(), Attempt::Answered);
    watch.wait_for_flows(1.0);

    apiserver.restart().unwrap();
    eventually("the agent is ready", || watch.is_ready());
    assert_eq!(Probe::tcp(server.ip(), 80).run(&client).unwrap(), Attempt::Answered);
    watch.wait_for_flows(2.0);
    let told = watch.stop();
    assert_eq!(told.connections(), ["world > world:80 undecidable stale", "client > server:80 conforming"]);
    assert_eq!(told.log.matches("can't be reached").count(), 1, "said once:\n{}", told.log);
}

/// Connections that clients make all the time, while the API server is killed and comes back: each is told, as what it was.
#[test]
fn killed_in_the_middle_of_traffic() {
    if kubernetes::is_missing() {
        return;
    }
    const CLIENTS: u16 = 3;
    let lab = Lab::new().unwrap();
    let clients: Vec<Pod> = (0..CLIENTS)
        .map(|number| lab.add_pod(PodSpec::new("shop", &format!("client-{number}"))).unwrap())
        .collect();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let _listening = Server::tcp(&server, 80).unwrap();
    let mut apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    api.apply_lab(&lab);
    api.apply_text(DENY);
    let watch = Watch::start(&lab, &apiserver, ADMIN, &[]);
    let (over, made) = (AtomicBool::new(false), AtomicU32::new(0));
    let connect = |client: &Pod| {
        while !over.load(Ordering::Relaxed) {
            assert_eq!(Probe::tcp(server.ip(), 80).run(client).unwrap(), Attempt::Answered);
            made.fetch_add(1, Ordering::Relaxed);
        }
    };
    let go_on = |what: &str| {
        let before = made.load(Ordering::Relaxed);
        eventually(what, || made.load(Ordering::Relaxed) > before + 50);
    };
    let troubles = |cause: &str| watch.metric("netpol_watch_troubles_total", cause);
    thread::scope(|scope| {
        clients.iter().for_each(|client| drop(scope.spawn(|| connect(client))));
        // Whatever fails below, the clients end.
        let _over = Set(&over);
        go_on("connections before");
        apiserver.kill().unwrap();
        eventually("the agent has noticed", || troubles("unreachable") >= 1.0);
        go_on("connections meanwhile");
        apiserver.restart().unwrap();
        eventually("the agent is back", || watch.metric("netpol_snapshot_age_seconds", "") == 0.0);
        go_on("connections after");
    });
    let made = made.into_inner();
    watch.wait_for_flows(made.into());
    let told = watch.stop();
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for connection in told.connections() {
        *counts.entry(connection).or_default() += 1;
    }
    let right: Vec<String> =
        (0..CLIENTS).map(|number| format!("client-{number} > server:80 not_enforced")).collect();
    assert!(counts.keys().eq(&right), "{counts:#?}\n{}", told.log);
    assert_eq!(counts.values().sum::<u32>(), made, "{counts:#?}\n{}", told.log);
}

/// Sets a flag once it is dropped.
struct Set<'a>(&'a AtomicBool);

impl Drop for Set<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// While the API server is away, flows are judged by what was known last, until that is too old. Then it is back with
/// changes that were made behind the agent's back, and without the past (410).
#[test]
fn killed_and_compacted() {
    if kubernetes::is_missing() {
        return;
    }
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let _listening = Server::tcp(&server, 80).unwrap();
    let connect = || assert_eq!(Probe::tcp(server.ip(), 80).run(&client).unwrap(), Attempt::Answered);
    let mut apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    api.apply_lab(&lab);
    api.apply_text(DENY);

    let watch = Watch::start(&lab, &apiserver, ADMIN, &["--stale-after", "5"]);
    connect();
    watch.wait_for_flows(1.0);
    apiserver.kill().unwrap();
    connect();
    watch.wait_for_flows(2.0);
    eventually("knowledge is too old", || watch.metric("netpol_snapshot_age_seconds", "") > 5.5);
    connect();
    watch.wait_for_flows(3.0);

    // A change that the agent, held still meanwhile, can't ask for any more.
    watch.signal(Signal::SIGSTOP);
    apiserver.restart().unwrap();
    api.delete("/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies", "deny");
    apiserver.compact_and_restart().unwrap();
    watch.signal(Signal::SIGCONT);
    eventually("knowledge is fresh", || watch.metric("netpol_snapshot_age_seconds", "") == 0.0);
    let labels = "resource=\"networkpolicies\",cause=\"expired\"";
    let expired = watch.metric("netpol_watch_troubles_total", labels);
    connect();
    watch.wait_for_flows(4.0);
    let told = watch.stop();
    assert_eq!(
        told.connections(),
        [
            "client > server:80 not_enforced",
            "client > server:80 not_enforced",
            "client > server:80 undecidable stale",
            "client > server:80 conforming",
        ],
        "{}",
        told.log
    );
    assert!(expired >= 1.0, "{}", told.log);
}
