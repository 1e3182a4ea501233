//! Connections among pods that come and go.

use std::{collections::HashMap, mem, net::Ipv4Addr, thread};

use netpol_testkit::{
    apiserver::{ADMIN, ApiServer},
    kubernetes,
    netns::{Attempt, Lab, Pod, PodSpec, Probe, Server},
};
use serde_json::Value;

use crate::{
    agent::{Watch, eventually},
    api::{Api, pods},
    identity::{running, status},
};

/// Pods that are in no lab, made and removed by the way.
const STRANGERS: u32 = 2000;

/// Pairs of addresses. Each passes from pods to pods.
const PAIRS: u16 = 3;

/// Connections of a pair at a time, which is twice.
const CONNECTIONS: usize = 5;

/// A pod, by name and uid.
type Name = (String, String);

/// Who was at both ends of the connections to a port: no two servers have the same.
type Truth = HashMap<u16, [Name; 2]>;

/// While 2,000 pods come and go, so do the pods that connect to each other, and their addresses are used again at once:
/// no connection is another pod's, and most are named.
#[test]
fn every_connection_is_its_own_pods() {
    if kubernetes::is_missing() {
        return;
    }
    let lab = Lab::new().unwrap();
    lab.label_namespace("shop", "team", "shop");
    let apiserver = ApiServer::start_in(&lab).unwrap();
    let api = Api::new(&lab, &apiserver);
    api.apply_lab(&lab);
    let watch = Watch::start(&lab, &apiserver, ADMIN, &[]);
    let truth = thread::scope(|scope| {
        let strangers = scope.spawn(|| strangers(&api));
        let mut churn = Churn { lab: &lab, api: &api, watch: &watch, pairs: Vec::new() };
        let rounds = (0..).take_while(|_| !strangers.is_finished());
        let truth: Truth = rounds.flat_map(|round| churn.round(round)).collect();
        strangers.join().unwrap();
        truth
    });
    let connections = truth.len() * 2 * CONNECTIONS;
    watch.wait_for_flows(connections as f64);
    let told = watch.stop();
    let (mut named, mut wrong) = (0, Vec::new());
    for flow in &told.flows {
        let port = flow["destination"]["port"].as_u64().unwrap();
        let ends = [&flow["source"], &flow["destination"]];
        for (end, right) in ends.into_iter().zip(&truth[&u16::try_from(port).unwrap()]) {
            match name(end) {
                Some(name) if name == *right => named += 1,
                Some(_) => wrong.push(format!("{right:?}: {flow}")),
                None => {}
            }
        }
    }
    println!("{} connections among {} pairs of pods, {named} ends named", told.flows.len(), truth.len());
    assert_eq!(told.flows.len(), connections, "{}", told.log);
    assert!(wrong.is_empty(), "{} wrong:\n{}\n{}", wrong.len(), wrong.join("\n"), told.log);
    assert!(named > connections, "of {connections} connections' ends, {named} are named\n{}", told.log);
}

/// The pod that an end is said to be.
fn name(end: &Value) -> Option<Name> {
    let text = |field: &str| end[field].as_str().unwrap().to_owned();
    (end["kind"] == "pod").then(|| (text("name"), text("uid")))
}

/// The pods that connect to each other.
struct Churn<'a> {
    lab: &'a Lab,
    api: &'a Api,
    watch: &'a Watch<'a>,
    /// Client and server.
    pairs: Vec<[Pod; 2]>,
}

impl Churn<'_> {
    /// Others take the places of all pods, and connect.
    fn round(&mut self, round: u16) -> Truth {
        // Every other time the API is told late: it still names the old pods when their addresses are used again.
        let is_late = round % 2 == 1;
        let old = mem::take(&mut self.pairs);
        let tell_end = || old.iter().flatten().for_each(|pod| self.api.delete_pod(pod));
        if !is_late {
            tell_end();
        }
        old.iter().flatten().for_each(|pod| self.lab.delete_pod(pod).unwrap());
        self.wait_for_veths(0);
        let pairs: Vec<_> =
            (0..PAIRS).map(|pair| self.pods(round, pair, old.get(usize::from(pair)))).collect();
        // Interfaces come first, and only then what runs in a pod.
        self.wait_for_veths(2 * PAIRS);
        let port = |pair| 1000 + round * PAIRS + pair;
        let _listening: Vec<_> = pairs
            .iter()
            .zip(0..)
            .map(|([_, server], pair)| Server::tcp(server, port(pair)).unwrap())
            .collect();
        let connect = || pairs.iter().zip(0..).for_each(|(pods, pair)| connect(pods, port(pair)));
        if is_late {
            connect();
            tell_end();
        }
        let names = pairs.iter().zip(0..).map(|(pods, pair)| {
            let names = pods.each_ref().map(|pod| self.tell(pod));
            (port(pair), names)
        });
        let truth = names.collect();
        connect();
        if !is_late {
            connect();
        }
        self.pairs = pairs;
        truth
    }

    fn wait_for_veths(&self, count: u16) {
        eventually("veths come and go", || {
            self.watch.metric("netpol_veths_attached", "") == f64::from(count)
        });
    }

    /// New pods, with the addresses of these.
    fn pods(&self, round: u16, pair: u16, old: Option<&[Pod; 2]>) -> [Pod; 2] {
        [("client", 0), ("server", 1)].map(|(role, end)| {
            let spec = PodSpec::new("shop", &format!("{role}-{pair}-{round}"));
            let address = old.map(|pods| pods[end].ip());
            self.lab.add_pod(address.into_iter().fold(spec, PodSpec::address)).unwrap()
        })
    }

    fn tell(&self, pod: &Pod) -> Name {
        let made = self.api.post(&pods("shop"), &running(pod.name()));
        self.api.patch(&pods("shop"), pod.name(), Some("status"), status(&pod.ip().to_string()));
        (pod.name().to_owned(), made["metadata"]["uid"].as_str().unwrap().to_owned())
    }
}

fn connect([client, server]: &[Pod; 2], port: u16) {
    for _ in 0..CONNECTIONS {
        assert_eq!(Probe::tcp(server.ip(), port).run(client).unwrap(), Attempt::Answered);
    }
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
