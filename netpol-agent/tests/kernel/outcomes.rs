//! What becomes of connections, in every way that there is.

use std::{net::SocketAddr, time::Duration};

use netpol_testkit::netns::{Attempt, Lab, Pod, PodSpec, Probe, Server, packet};

use crate::agent::{Feature, Watch, lacks};

fn two_pods() -> (Lab, Pod, Pod) {
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client").dual_stack()).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server").dual_stack()).unwrap();
    (lab, client, server)
}

const REFUSE: Duration = Duration::from_millis(300);

#[test]
fn every_protocol_in_both_families() {
    let (lab, client, server) = two_pods();
    let _servers = [
        Server::tcp(&server, 80).unwrap(),
        Server::udp(&server, 53).unwrap(),
        Server::udp_sink(&server, 514).unwrap(),
        Server::sctp(&server, 3868).unwrap(),
    ];
    let watch = Watch::start(&lab);
    for ip in server.ips() {
        for (probe, attempt) in [
            (Probe::tcp(ip, 80), Attempt::Answered),
            (Probe::tcp(ip, 81), Attempt::Refused),
            (Probe::udp(ip, 53), Attempt::Answered),
            (Probe::udp(ip, 54), Attempt::Refused),
            (Probe::one_way(ip, 514), Attempt::Sent),
            (Probe::sctp(ip, 3868), Attempt::Answered),
            (Probe::sctp(ip, 3869), Attempt::Refused),
            (Probe::echo(ip), Attempt::Answered),
        ] {
            assert_eq!(probe.run(&client).unwrap(), attempt, "{probe:?}");
        }
    }
    watch.until(16).check(&[
        "client > server:80 TCP4 established conforming",
        "client > server:80 TCP6 established conforming",
        "client > server:81 TCP4 refused conforming",
        "client > server:81 TCP6 refused conforming",
        "client > server:53 UDP4 established conforming",
        "client > server:53 UDP6 established conforming",
        "client > server:54 UDP4 refused conforming",
        "client > server:54 UDP6 refused conforming",
        "client > server:514 UDP4 delivered conforming",
        "client > server:514 UDP6 delivered conforming",
        "client > server:3868 SCTP4 established conforming",
        "client > server:3868 SCTP6 established conforming",
        "client > server:3869 SCTP4 refused conforming",
        "client > server:3869 SCTP6 refused conforming",
        "client > server ICMP4 established conforming",
        "client > server ICMPv66 established conforming",
    ]);
}

#[test]
fn netfilter_drops_and_rejects() {
    if lacks(Feature::DropReasons) {
        return;
    }
    let (lab, client, server) = two_pods();
    let _servers = [Server::tcp(&server, 80).unwrap(), Server::udp(&server, 80).unwrap()];
    lab.nft(
        "table inet filter {
            chain forward {
                type filter hook forward priority 0;
                tcp dport 1001 drop
                tcp dport 1002 reject with tcp reset
                tcp dport 1003 reject
                tcp dport 1004 reject with icmpx admin-prohibited
                udp dport 1001 drop
                udp dport 1003 reject
            }
        }",
    )
    .unwrap();
    let watch = Watch::start(&lab);
    for ip in server.ips() {
        for port in [1001, 1002, 1003, 1004] {
            Probe::tcp(ip, port).timeout(REFUSE).run(&client).unwrap();
        }
        for port in [1001, 1003] {
            Probe::udp(ip, port).timeout(REFUSE).run(&client).unwrap();
        }
    }
    let told = watch.until(12);
    told.check(&[
        "client > server:1001 TCP4 dropped over_blocked",
        "client > server:1001 TCP6 dropped over_blocked",
        "client > server:1002 TCP4 rejected over_blocked",
        "client > server:1002 TCP6 rejected over_blocked",
        "client > server:1003 TCP4 rejected over_blocked",
        "client > server:1003 TCP6 rejected over_blocked",
        "client > server:1004 TCP4 rejected over_blocked",
        "client > server:1004 TCP6 rejected over_blocked",
        "client > server:1001 UDP4 dropped over_blocked",
        "client > server:1001 UDP6 dropped over_blocked",
        "client > server:1003 UDP4 rejected over_blocked",
        "client > server:1003 UDP6 rejected over_blocked",
    ]);
    for flow in told.flows.iter().filter(|flow| flow["observed"]["kind"] == "dropped") {
        assert_eq!(flow["observed"]["drop_reason"], "NETFILTER_DROP", "{flow}");
        assert_eq!(flow["observed"]["hook"], "netfilter", "{flow}");
    }
}

/// A pod's own packet filter is no policy, be it the packet or the answer that it drops: the packet got there.
#[test]
fn drops_inside_the_pod() {
    if lacks(Feature::DropReasons) {
        return;
    }
    for (hook, end) in [("input", "dport"), ("output", "sport")] {
        let (lab, client, server) = two_pods();
        let _server = Server::tcp(&server, 80).unwrap();
        let chain =
            format!("chain {hook} {{\n type filter hook {hook} priority 0\n tcp {end} 80 drop\n }}\n");
        server.nft(&format!("table inet own {{\n {chain} }}\n")).unwrap();
        let watch = Watch::start(&lab);
        Probe::tcp(server.ip(), 80).timeout(REFUSE).run(&client).unwrap();
        watch.until(1).check(&["client > server:80 TCP4 delivered conforming"]);
    }
}

/// Dropped behind our programs for a reason that is no policy: it has not got there, whatever the reason.
#[test]
fn drops_in_a_queue() {
    let (lab, client, server) = two_pods();
    let _server = Server::tcp(&server, 80).unwrap();
    // The neighbour is known by then, so that the packet gets as far as the queue.
    assert_eq!(Probe::tcp(server.ip(), 80).run(&client).unwrap(), Attempt::Answered);
    let full = ["qdisc", "replace", "dev", server.host_ifname(), "root", "pfifo", "limit", "0"];
    lab.exec("tc", &full, "").unwrap();
    let watch = Watch::start(&lab);
    Probe::tcp(server.ip(), 80).timeout(REFUSE).run(&client).unwrap();
    watch.until(1).check(&["client > server:80 TCP4 unanswered unanswered"]);
}

/// Nobody answers, and nobody here drops: that proves nothing.
#[test]
fn black_hole() {
    let (lab, client, _) = two_pods();
    lab.ip("route add blackhole 198.51.100.7\n").unwrap();
    let watch = Watch::start(&lab);
    let hole = [198, 51, 100, 7];
    Probe::tcp(hole, 80).timeout(REFUSE).run(&client).unwrap();
    Probe::udp(hole, 80).timeout(REFUSE).run(&client).unwrap();
    watch.until(2).check(&[
        "client > world:80 TCP4 unanswered unanswered",
        "client > world:80 UDP4 unanswered unanswered",
    ]);
}

/// A SYN that is sent again is one attempt, not two.
#[test]
fn retransmissions_are_one_attempt() {
    if lacks(Feature::DropReasons) {
        return;
    }
    let (lab, client, server) = two_pods();
    lab.nft(
        "table inet filter {
 chain forward {
 type filter hook forward priority 0
 tcp dport 80 drop
 }
 }
",
    )
    .unwrap();
    let watch = Watch::start(&lab);
    Probe::tcp(server.ip(), 80).timeout(Duration::from_millis(1500)).run(&client).unwrap();
    let told = watch.until(1);
    told.check(&["client > server:80 TCP4 dropped over_blocked"]);
    assert_eq!(told.flows[0]["observed"]["retransmissions"], 1);
    assert_eq!(told.findings[0]["count"], 1);
}

/// Between a pod and what is outside, both ways, and from the node.
#[test]
fn the_world_and_the_node() {
    let lab = Lab::new().unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server").dual_stack()).unwrap();
    let world = lab.add_pod(PodSpec::outside("world").dual_stack()).unwrap();
    let _servers = [Server::tcp(&server, 80).unwrap(), Server::tcp(&world, 443).unwrap()];
    let watch = Watch::start(&lab);
    for (to, from) in server.ips().into_iter().zip(world.ips()) {
        assert_eq!(Probe::tcp(to, 80).run(&world).unwrap(), Attempt::Answered);
        assert_eq!(Probe::tcp(from, 443).run(&server).unwrap(), Attempt::Answered);
    }
    assert_eq!(Probe::tcp(server.ip(), 80).run(&lab).unwrap(), Attempt::Answered);
    watch.until(5).check(&[
        "server > world:443 TCP4 established conforming",
        "server > world:443 TCP6 established conforming",
        "world > server:80 TCP4 established conforming",
        "world > server:80 TCP6 established conforming",
        "lab > server:80 TCP4 established not_applicable",
    ]);
}

/// A conversation that is older than the agent: connection tracking still knows who began it.
#[test]
fn an_answer_after_a_long_time() {
    let (lab, client, server) = two_pods();
    let _sinks = [Server::udp_sink(&client, 40_000).unwrap(), Server::udp_sink(&server, 50_000).unwrap()];
    let [from, to] =
        [(&client, 40_000), (&server, 50_000)].map(|(pod, port)| SocketAddr::new(pod.ip(), port));
    let address = client.ip();
    let rules = format!("ct state established accept\n ip daddr {address} drop");
    let hook = "type filter hook forward priority 0";
    lab.nft(&format!("table inet filter {{\n chain forward {{\n {hook}\n {rules}\n }}\n }}\n")).unwrap();
    client.send(&packet::udp(from, to, b"?")).unwrap();
    let deny = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: shop}, \
                spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{protocol: UDP, port: 50000}]}]}}";
    let watch = Watch::with(&lab, &[deny], &[]);
    server.send(&packet::udp(to, from, b"!")).unwrap();
    let told = watch.until(1);
    told.check(&["server > client:40000 UDP4 delivered undecidable"]);
    assert_eq!(told.flows[0]["expected"]["reason"], "pre_existing");
}

/// An association that is begun anew from the same port is another one: its INIT has another tag.
#[test]
fn sctp_anew() {
    let (lab, client, server) = two_pods();
    lab.nft("table inet filter {\n chain forward {\n type filter hook forward priority 0\n meta l4proto sctp drop\n }\n }\n")
        .unwrap();
    let [from, to] = [(&client, 40_000), (&server, 3868)].map(|(pod, port)| SocketAddr::new(pod.ip(), port));
    let watch = Watch::start(&lab);
    for tag in [7_u32, 7, 8] {
        let rest = [[0, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]].concat();
        let init = [&[1, 0, 0, 20][..], &tag.to_be_bytes(), &rest].concat();
        client.send(&packet::sctp(from, to, 0, &init)).unwrap();
    }
    let told = watch.until(2);
    assert_eq!(told.flows.len(), 2, "{:?}", told.flows);
}

/// A pod that sends from another's address: counted, and nobody is blamed.
#[test]
fn spoofed_source() {
    let (lab, client, server) = two_pods();
    let victim = lab.add_pod(PodSpec::new("shop", "victim")).unwrap();
    let _server = Server::udp_sink(&server, 80).unwrap();
    let watch = Watch::start(&lab);
    let spoofed = packet::udp((victim.ip(), 40_000).into(), (server.ip(), 80).into(), b"not me");
    client.send(&spoofed).unwrap();
    let told = watch.until(1);
    told.check(&["victim > server:80 UDP4 delivered undecidable"]);
    assert_eq!(told.flows[0]["expected"]["reason"], "spoofed_source");
    assert!(told.findings.is_empty());
}
