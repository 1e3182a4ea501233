//! An API server that is not there, goes away, or forgets.

use nix::sys::signal::Signal;
use xtask::{
    apiserver::{ADMIN, ApiServer},
    lab::{Attempt, Lab, PodSpec, Probe, Server},
};

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

/// While the API server is away, flows are judged by what was known last, until that is too old. Then it is back with
/// changes that were made behind the agent's back, and without the past (410).
#[test]
fn killed_and_compacted() {
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
