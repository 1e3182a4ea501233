//! The agent with the capabilities that its container has, and with fewer.

use std::{fs, path::Path, thread};

use caps::{CapSet, Capability, CapsHashSet};
use netpol_agent::kernel::{LoadOptions, load};
use netpol_testkit::{
    agent::{Agent, Printing},
    confined,
    netns::{Attempt, Lab, PodSpec, Probe, Server},
};
use tokio::runtime::Builder;

use crate::agent::{Feature, Watch, binary, eventually, lacks};

/// Those that the chart gives it.
const NEEDED: [&str; 3] = ["BPF", "PERFMON", "NET_ADMIN"];

/// They are enough for all that it does: attaching in either way, names by the addresses behind a veth, and drops with
/// their reasons.
#[test]
fn enough() {
    for mode in ["tcx", "clsact"] {
        if mode == "tcx" && lacks(Feature::Tcx) {
            continue;
        }
        let lab = Lab::new().unwrap();
        let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
        let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
        let _listening = Server::tcp(&server, 80).unwrap();
        let deny = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: shop}, \
                    spec: {podSelector: {}}}";
        let launcher = confined::capsh(&NEEDED, 0, None, &binary()).unwrap();
        let watch = Watch::launched(&lab, &launcher, &[deny], &["--attach", mode, "--node", Lab::NODE]);
        assert_eq!(Probe::tcp(server.ip(), 80).run(&client).unwrap(), Attempt::Answered, "{mode}");
        lab.nft("table inet enforcer {\nchain forward {\ntype filter hook forward priority 0\ntcp dport 81 drop\n}\n}\n")
            .unwrap();
        assert_eq!(Probe::tcp(server.ip(), 81).run(&client).unwrap(), Attempt::TimedOut, "{mode}");
        watch.wait_for("netpol_connections_total", 2.0);
        eventually("pods are counted", || watch.get("/metrics").contains("\nnetpol_pods_unseen{} 0\n"));
        let mut expected = vec!["client > server:80 TCP4 established not_enforced"];
        expected.push(if lacks(Feature::DropReasons) {
            "client > server:81 TCP4 unanswered presumed_enforced"
        } else {
            "client > server:81 TCP4 dropped enforced"
        });
        watch.stop().check(&expected);
    }
}

/// With one more it enters the pods' namespaces, and what it sees there is proof: nothing stops a
/// packet after that. The agent itself gives that capability up.
#[test]
fn inside_the_pods() {
    if lacks(Feature::Tcx) {
        return;
    }
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let _listening = Server::udp_sink(&server, 80).unwrap();
    let held = [&NEEDED[..], &["SYS_ADMIN"]].concat();
    let launcher = confined::capsh(&held, 0, None, &binary()).unwrap();
    let launcher = confined::with_mounted(lab.netns_dir(), launcher);
    let deny = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: shop}, spec: \
                {podSelector: {}}}";
    let watch = Watch::launched(&lab, &launcher, &[deny], &["--node", Lab::NODE, "--observe-at", "pod"]);
    let status = fs::read_to_string(format!("/proc/{}/status", watch.id())).unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim();
    let effective = u64::from_str_radix(effective, 16).unwrap();
    let kept = NEEDED.map(|name| format!("CAP_{name}").parse::<Capability>().unwrap().bitmask());
    assert_eq!(effective, kept.into_iter().sum::<u64>());
    assert_eq!(Probe::one_way(server.ip(), 80).run(&client).unwrap(), Attempt::Sent);
    let told = watch.until(1);
    told.check(&["client > server:80 UDP4 delivered not_enforced"]);
    let evidence = &told.findings[0]["evidence"];
    assert_eq!(evidence, "the packet was seen inside the destination pod");
}

/// A pod of this node whose interface the agent does not watch is counted, and one of another node is not.
#[test]
fn unseen_pods() {
    let lab = Lab::new().unwrap();
    lab.add_pod(PodSpec::new("shop", "seen")).unwrap();
    let pod = |name: &str, node: &str, address: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop}}, spec: {{nodeName: {node}}}, \
             status: {{phase: Running, podIPs: [{{ip: {address}}}]}}}}"
        )
    };
    let (here, elsewhere) = (pod("here", Lab::NODE, "192.0.2.1"), pod("elsewhere", "other", "192.0.2.2"));
    let watch = Watch::with(&lab, &[&here, &elsewhere], &["--node", Lab::NODE]);
    eventually("pods are counted", || watch.sum("netpol_pods_unseen") == 1.0);
    watch.stop();
}

/// The kernel refuses the programs to whoever lacks one of them.
#[test]
fn each_is_needed() {
    let capability = |name: &str| format!("CAP_{name}").parse::<Capability>().unwrap();
    // Capabilities are a thread's own.
    let load_without = |missing: Option<&str>| {
        let held: CapsHashSet =
            NEEDED.into_iter().filter(|name| Some(*name) != missing).map(capability).collect();
        thread::spawn(move || {
            caps::set(None, CapSet::Effective, &held).unwrap();
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let _guard = runtime.enter();
            load(LoadOptions::default()).map(drop).map_err(|error| error.to_string())
        })
        .join()
        .unwrap()
    };
    assert_eq!(load_without(None), Ok(()));
    for missing in NEEDED {
        let refused = load_without(Some(missing));
        assert!(
            refused.as_ref().is_err_and(|error| error.contains("Operation not permitted")),
            "{refused:?}"
        );
    }
}

/// The agent says which is missing, and what for, before it tries.
#[test]
fn missing_ones_are_named() {
    let lab = Lab::new().unwrap();
    for missing in NEEDED {
        let held: Vec<&str> = NEEDED.into_iter().filter(|capability| *capability != missing).collect();
        let launcher = confined::capsh(&held, 0, None, &binary()).unwrap();
        let (program, launcher) = launcher.split_first().unwrap();
        let arguments = launcher.iter().map(String::as_str).chain(["run", "--manifests", "/dev/null"]);
        let mut agent = Agent::spawn(&lab, Path::new(program), arguments, Printing::Kept).unwrap();
        let error = agent.wait_until_ready().unwrap_err().to_string();
        assert!(error.contains(&format!("missing CAP_{missing} (")), "{missing}: {error}");
    }
}
