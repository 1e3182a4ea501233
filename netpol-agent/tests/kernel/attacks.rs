//! Hostile packets: a pod hides no leak of its own, and changes nothing of what is said about others. docs/threat-model.md
//! lists the rows.

use std::{
    net::{IpAddr, SocketAddr},
    thread,
    time::Duration,
};

use netpol_testkit::netns::{Lab, Pod, PodSpec, Probe, Server, packet};

use crate::agent::{Feature, Watch, eventually, lacks};

/// All connections to these pods are denied.
const DENY: &str = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: shop}, spec: {podSelector: {}}}";

struct Scene {
    lab: Lab,
    client: Pod,
    server: Pod,
    third: Pod,
}

impl Scene {
    fn new(namespace: &str) -> Self {
        let lab = Lab::new().unwrap();
        let pod = |name| lab.add_pod(PodSpec::new(namespace, name).dual_stack()).unwrap();
        let [client, server, third] = ["client", "server", "third"].map(pod);
        Self { lab, client, server, third }
    }

    /// The client's and the server's addresses of one family, with these ports.
    fn ends(&self, is_ipv6: bool, ports: [u16; 2]) -> [SocketAddr; 2] {
        let of = |pod: &Pod| -> IpAddr { pod.ips().into_iter().find(|ip| ip.is_ipv6() == is_ipv6).unwrap() };
        [(of(&self.client), ports[0]).into(), (of(&self.server), ports[1]).into()]
    }

    fn enforce(&self, rules: &str) {
        let chain = format!("chain forward {{\ntype filter hook forward priority 0\n{rules}\n}}\n");
        self.lab.nft(&format!("table inet enforcer {{\n{chain}}}\n")).unwrap();
    }
}

/// Who sends which packet.
type Deed = (fn(&Scene) -> &Pod, fn(SocketAddr, SocketAddr) -> Vec<u8>);

const CLIENT: fn(&Scene) -> &Pod = |scene| &scene.client;
const SERVER: fn(&Scene) -> &Pod = |scene| &scene.server;
const THIRD: fn(&Scene) -> &Pod = |scene| &scene.third;

const DATAGRAM: fn(SocketAddr, SocketAddr) -> Vec<u8> =
    |client, server| packet::udp(client, server, b"leaks");
const SYN: fn(SocketAddr, SocketAddr) -> Vec<u8> =
    |client, server| packet::tcp(client, server, packet::SYN, b"");

fn check(namespace: &str, rows: &[(&str, &str, &[Deed], &str)]) {
    if lacks(Feature::Tcx) || lacks(Feature::DropReasons) {
        return;
    }
    let scene = Scene::new(namespace);
    let rules: Vec<String> =
        rows.iter().zip(9001_u16..).map(|(row, port)| row.1.replace("PORT", &port.to_string())).collect();
    scene.enforce(&rules.join("\n"));
    let sinks = (9001..).take(rows.len()).map(|port| Server::udp_sink(&scene.server, port).unwrap());
    let _sinks: Vec<_> = sinks.collect();
    let watch = Watch::with(&scene.lab, &[DENY], &["--node", Lab::NODE]);
    for is_ipv6 in [false, true] {
        for ((_, _, deeds, _), port) in rows.iter().zip(9001..) {
            let [client, server] = scene.ends(is_ipv6, [port + 20_000, port]);
            for (who, packet) in *deeds {
                who(&scene).send(&packet(client, server)).unwrap();
            }
        }
    }
    let told = watch.until(2 * rows.len()).connections();
    for ((what, _, _, expected), port) in rows.iter().zip(9001..) {
        for family in [4, 6] {
            let expected = expected.replace("PORT", &port.to_string()).replace("IP", &family.to_string());
            // What others do in the pods' names may be told, too.
            assert!(told.contains(&expected), "{what}: no {expected:?} in {told:#?}");
            let about = expected.split(' ').take(4).collect::<Vec<_>>().join(" ");
            let wrong = told.iter().filter(|line| line.starts_with(&about) && **line != expected);
            let wrong: Vec<_> =
                wrong.filter(|line| line.ends_with("enforced") || line.ends_with("blocked")).collect();
            assert!(wrong.is_empty(), "{what}: {wrong:?} beside {expected:?}");
        }
    }
}

#[test]
fn nothing_hides_a_leak() {
    let leak = "client > server:PORT UDPIP delivered not_enforced";
    check(
        "shop",
        &[
            (
                "a packet of the same tuple dies on the way",
                "",
                &[
                    (CLIENT, |from, to| packet::with_ttl(packet::udp(from, to, b"dies"), 1)),
                    (CLIENT, DATAGRAM),
                ],
                leak,
            ),
            (
                "a later packet of the same tuple dies on the way",
                "",
                &[
                    (CLIENT, DATAGRAM),
                    (CLIENT, |from, to| packet::with_ttl(packet::udp(from, to, b"dies"), 1)),
                ],
                leak,
            ),
            (
                "one of several is dropped",
                "udp dport PORT udp length 12 drop",
                &[(CLIENT, |from, to| packet::udp(from, to, b"drop")), (CLIENT, DATAGRAM)],
                leak,
            ),
            (
                "the receiver knocks first, with a packet that dies",
                "",
                &[
                    (SERVER, |client, server| packet::with_ttl(packet::udp(server, client, b"knock"), 1)),
                    (CLIENT, DATAGRAM),
                ],
                leak,
            ),
            (
                "the answer is dropped, and the request got in",
                "udp sport PORT drop",
                &[(CLIENT, DATAGRAM), (SERVER, |client, server| packet::udp(server, client, b"answer"))],
                "client > server:PORT UDPIP dropped not_enforced",
            ),
            (
                "the sender itself pretends to be refused",
                "",
                &[
                    (CLIENT, SYN),
                    (CLIENT, |client, server| packet::tcp(server, client, packet::RST | packet::ACK, b"")),
                    (CLIENT, |client, server| {
                        packet::prohibited(client.ip(), client.ip(), &SYN(client, server))
                    }),
                ],
                "client > server:PORT TCPIP refused not_enforced",
            ),
            (
                "another pod pretends to refuse",
                "",
                &[
                    (CLIENT, DATAGRAM),
                    (THIRD, |client, server| {
                        packet::prohibited(server.ip(), client.ip(), &DATAGRAM(client, server))
                    }),
                ],
                leak,
            ),
        ],
    );
}

#[test]
fn nothing_is_said_of_others() {
    let stopped = "tcp dport PORT drop";
    check(
        "shop",
        &[
            (
                "another pod answers in the server's name",
                stopped,
                &[
                    (CLIENT, SYN),
                    (THIRD, |client, server| packet::tcp(server, client, packet::SYN | packet::ACK, b"")),
                ],
                "client > server:PORT TCPIP dropped enforced",
            ),
            (
                "another pod sends datagrams in the server's name",
                "udp dport PORT drop",
                &[(CLIENT, DATAGRAM), (THIRD, |client, server| packet::udp(server, client, b"forged"))],
                "client > server:PORT UDPIP dropped enforced",
            ),
            (
                "another pod sends in the client's name, and that gets in",
                "udp dport PORT udp length 13 drop",
                &[(CLIENT, DATAGRAM), (THIRD, |client, server| packet::udp(client, server, b"in its name"))],
                "client > server:PORT UDPIP dropped enforced",
            ),
        ],
    );
}

/// Another pod pretends that an allowed connection was refused.
#[test]
fn no_refusal_is_made_up() {
    if lacks(Feature::Tcx) {
        return;
    }
    let scene = Scene::new("free");
    let _servers = [Server::tcp(&scene.server, 80).unwrap(), Server::udp_sink(&scene.server, 514).unwrap()];
    let watch = Watch::with(&scene.lab, &[DENY], &["--node", Lab::NODE]);
    for is_ipv6 in [false, true] {
        let [client, server] = scene.ends(is_ipv6, [40_080, 80]);
        scene.client.send(&SYN(client, server)).unwrap();
        scene.third.send(&packet::tcp(server, client, packet::RST | packet::ACK, b"")).unwrap();
        let [client, server] = scene.ends(is_ipv6, [40_514, 514]);
        for blamed in
            [server.ip(), if is_ipv6 { scene.lab.node_ipv6().into() } else { scene.lab.node_ipv4().into() }]
        {
            scene.client.send(&DATAGRAM(client, server)).unwrap();
            scene.third.send(&packet::prohibited(blamed, client.ip(), &DATAGRAM(client, server))).unwrap();
        }
    }
    watch.until(4).check(&[
        "client > server:80 TCP4 established conforming",
        "client > server:80 TCP6 established conforming",
        "client > server:514 UDP4 delivered conforming",
        "client > server:514 UDP6 delivered conforming",
    ]);
}

/// A pod sets another's address on its own interface, and one of the outside: what is said of theirs stays.
#[test]
fn a_stolen_address() {
    let scene = Scene::new("shop");
    let _server = Server::tcp(&scene.server, 80).unwrap();
    let watch = Watch::with(&scene.lab, &[DENY], &["--node", Lab::NODE]);
    let stolen = scene.server.ipv4().unwrap();
    scene
        .third
        .as_ref()
        .ip(&format!("addr add {stolen}/32 dev {0}\naddr add 192.0.2.7/32 dev {0}\n", Pod::IFNAME))
        .unwrap();
    Probe::tcp(stolen, 80).run(&scene.client).unwrap();
    watch.until(1).check(&["client > server:80 TCP4 established not_enforced"]);
}

/// One pod sends SYNs as fast as it can, to a table that is small; another pod's leak, which takes two seconds to decide, is
/// told all the same.
#[test]
fn a_flood() {
    if lacks(Feature::Tcx) {
        return;
    }
    let scene = Scene::new("shop");
    let _sink = Server::udp_sink(&scene.server, 9).unwrap();
    scene.enforce("tcp dport 80 drop");
    let watch = Watch::with(&scene.lab, &[DENY], &["--node", Lab::NODE, "--max-connections", "256"]);
    let [client, server] = scene.ends(false, [20_001, 9]);
    let [_, victim] = scene.ends(false, [0, 80]);
    let flood = |burst: u16| {
        let from = |port| SocketAddr::from((scene.third.ipv4().unwrap(), port));
        let syns: Vec<_> = (0..100).map(|port| SYN(from(10_000 + burst * 100 + port), victim)).collect();
        scene.third.send_all(&syns).unwrap();
        thread::sleep(Duration::from_millis(50));
    };
    (0..4).for_each(flood);
    scene.client.send(&DATAGRAM(client, server)).unwrap();
    (4..60).for_each(flood);
    eventually("the leak is told", || watch.sum("netpol_findings_open") >= 1.0);
    let told = watch.stop().connections();
    let leak = "client > server:9 UDP4 delivered not_enforced".to_owned();
    assert!(told.contains(&leak), "{} others", told.len());
}
