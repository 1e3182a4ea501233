//! Connections to Services, translated by real rules of the kernel's connection tracking.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use netpol_testkit::{
    apiserver::{ADMIN, ApiServer},
    kubernetes,
    netns::{Attempt, Lab, Pod, PodSpec, Probe, Server},
};
use serde_json::{Value, json};

use crate::{
    agent::Watch,
    api::{Api, pods},
};

/// The Service's addresses, in the ranges that the API server gives them from.
const ADDRESSES: [&str; 2] = ["10.96.0.10", "fd00:96::10"];

/// The node port of the Service's port 80.
const NODE_PORT: u16 = 30_080;

/// Where the packet filter, whose part kube-proxy has in a cluster, sends which port.
const PORTS: [(u16, u16); 6] = [(80, 8080), (81, 8081), (82, 8082), (83, 8083), (84, 8084), (85, 8085)];

/// A lab with a client, a server and a Service in front of it. `client` may reach the server's ports but 8084.
struct Shop {
    lab: Lab,
    client: Pod,
    server: Pod,
}

impl Shop {
    fn new() -> Self {
        let lab = Lab::new().unwrap();
        let client = lab.add_pod(PodSpec::new("shop", "client").dual_stack()).unwrap();
        let server = lab.add_pod(PodSpec::new("shop", "server").label("app", "server").dual_stack()).unwrap();
        Self { lab, client, server }
    }

    /// 81 is dropped, 82 rejected, 85 masqueraded, all of them after translation.
    fn translate(&self) {
        let (v4, v6) = (self.server.ipv4().unwrap(), self.server.ipv6().unwrap());
        let [service4, service6] = ADDRESSES;
        let node = self.lab.node_ipv4();
        let ports = PORTS.map(|(port, target)| format!("{port} : {target}")).join(", ");
        let rules = format!(
            "table inet proxy {{
                chain prerouting {{
                    type nat hook prerouting priority dstnat;
                    ip daddr {service4} tcp dport 80-85 dnat ip to {v4} : tcp dport map {{ {ports} }}
                    ip6 daddr {service6} tcp dport 80-85 dnat ip6 to {v6} : tcp dport map {{ {ports} }}
                    ip daddr {service4} udp dport 53 dnat ip to {v4}:5353
                    ip daddr {node} tcp dport {NODE_PORT} dnat ip to {v4}:8080
                }}
                chain postrouting {{
                    type nat hook postrouting priority srcnat;
                    tcp dport 8085 masquerade
                }}
                chain forward {{
                    type filter hook forward priority filter;
                    tcp dport 8081 drop
                    tcp dport 8082 reject with tcp reset
                }}
            }}"
        );
        self.lab.nft(&rules).unwrap();
    }

    fn tell(&self, api: &Api) {
        api.apply_lab(&self.lab);
        let ports: Vec<Value> = PORTS
            .iter()
            .map(|(port, target)| json!({ "name": format!("p{port}"), "port": port, "targetPort": target }))
            .chain([json!({ "name": "dns", "port": 53, "targetPort": 5353, "protocol": "UDP" })])
            .collect();
        let mut ports = Value::from(ports);
        ports[0]["nodePort"] = NODE_PORT.into();
        api.create(
            "/api/v1/namespaces/shop/services",
            &json!({
                "metadata": { "name": "server" },
                "spec": {
                    "type": "NodePort",
                    "clusterIPs": ADDRESSES,
                    "clusterIP": ADDRESSES[0],
                    "ipFamilies": ["IPv4", "IPv6"],
                    "ipFamilyPolicy": "RequireDualStack",
                    "ports": ports,
                },
            }),
        );
        for (family, address) in [
            ("IPv4", self.server.ipv4().unwrap().to_string()),
            ("IPv6", self.server.ipv6().unwrap().to_string()),
        ] {
            slice(api, family, "server", &address);
        }
        api.apply_text(POLICY);
    }
}

/// What the endpoint controller would say, in the version that the server has: up to 1.20 v1beta1 alone, since 1.25 v1
/// alone.
fn slice(api: &Api, family: &str, name: &str, address: &str) {
    let ports = PORTS
        .iter()
        .map(|(port, target)| json!({ "name": format!("p{port}"), "port": target, "protocol": "TCP" }));
    let ports: Vec<Value> =
        ports.chain([json!({ "name": "dns", "port": 5353, "protocol": "UDP" })]).collect();
    let version = if api.serves("/apis/discovery.k8s.io/v1/endpointslices") { "v1" } else { "v1beta1" };
    api.create(
        &format!("/apis/discovery.k8s.io/{version}/namespaces/shop/endpointslices"),
        &json!({
            "metadata": { "name": format!("{name}-{}", family.to_lowercase()), "labels": { "kubernetes.io/service-name": "server" } },
            "addressType": family,
            "endpoints": [{ "addresses": [address], "conditions": { "ready": true } }],
            "ports": ports,
        }),
    );
}

const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server, namespace: shop}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress:
  - from: [{podSelector: {matchLabels: {lab/pod: client}}}]
    ports: [{port: 8080}, {port: 8081}, {port: 8082}, {port: 8083}, {port: 8085}, {port: 5353, protocol: UDP}]
";

/// `client > server:8080 via shop/server:80 established conforming`.
fn short(flow: &Value) -> String {
    let name = |end: &str| flow[end]["name"].as_str().unwrap_or("world").to_owned();
    let service = &flow["service"];
    let via = match service["name"].as_str() {
        Some(service_name) => format!(" via {service_name}:{}", service["port"]),
        None => String::new(),
    };
    let family = if flow["destination"]["ip"].as_str().unwrap().contains(':') { " v6" } else { "" };
    format!(
        "{} > {}:{}{via}{family} {} {}",
        name("source"),
        name("destination"),
        flow["destination"]["port"],
        flow["observed"]["kind"].as_str().unwrap(),
        flow["outcome"].as_str().unwrap()
    )
}

fn told(watch: Watch<'_>) -> Vec<String> {
    let told = watch.stop();
    let mut lines: Vec<String> = told.flows.iter().map(short).collect();
    lines.sort();
    lines
}

/// One connection is one flow: from the pod that opened it to the endpoint that was chosen, whatever became of it.
#[test]
fn endpoint_on_this_node() {
    if kubernetes::is_missing() {
        return;
    }
    let shop = Shop::new();
    let (lab, client) = (&shop.lab, &shop.client);
    let _servers = [
        Server::tcp(&shop.server, 8080).unwrap(),
        Server::tcp(&shop.server, 8084).unwrap(),
        Server::tcp(&shop.server, 8085).unwrap(),
        Server::udp(&shop.server, 5353).unwrap(),
    ];
    shop.translate();
    let apiserver = ApiServer::start_in(lab).unwrap();
    shop.tell(&Api::new(lab, &apiserver));
    let watch = Watch::start(lab, &apiserver, ADMIN, &[]);
    let wait = Duration::from_millis(300);
    for address in ADDRESSES {
        let address: IpAddr = address.parse().unwrap();
        for (port, expected) in [
            (80, Attempt::Answered),
            (81, Attempt::TimedOut),
            (82, Attempt::Refused),
            (83, Attempt::Refused),
            (84, Attempt::Answered),
            (85, Attempt::Answered),
        ] {
            assert_eq!(
                Probe::tcp(address, port).timeout(wait).run(client).unwrap(),
                expected,
                "{address} {port}"
            );
        }
    }
    let service: IpAddr = ADDRESSES[0].parse().unwrap();
    assert_eq!(Probe::udp(service, 53).run(client).unwrap(), Attempt::Answered);
    assert_eq!(Probe::tcp(lab.node_ipv4(), NODE_PORT).run(client).unwrap(), Attempt::Answered);
    watch.wait_for_flows(14.0);
    let mut expected = vec![
        "client > server:5353 via server:53 established conforming".to_owned(),
        format!("client > server:8080 via server:{NODE_PORT} established conforming"),
    ];
    for family in ["", " v6"] {
        for (target, port, what) in [
            (8080, 80, "established conforming"),
            (8081, 81, "dropped over_blocked"),
            (8082, 82, "rejected over_blocked"),
            (8083, 83, "refused conforming"),
            (8084, 84, "established not_enforced"),
            (8085, 85, "established conforming"),
        ] {
            expected.push(format!("client > server:{target} via server:{port}{family} {what}"));
        }
    }
    expected.sort();
    assert_eq!(told(watch), expected);
}

/// An endpoint that no veth leads to, as those on other nodes: connection tracking tells which it was, though the
/// verdicts differ between the two that there are.
#[test]
fn endpoint_on_another_node() {
    if kubernetes::is_missing() {
        return;
    }
    let shop = Shop::new();
    let (lab, client) = (&shop.lab, &shop.client);
    let far = Ipv4Addr::new(198, 51, 100, 9);
    lab.ip(&format!("addr add {far}/32 dev lo\n")).unwrap();
    let _server = Server::tcp(lab, 8080).unwrap();
    let [service, _] = ADDRESSES;
    lab.nft(&format!(
        "table ip proxy {{ chain prerouting {{
            type nat hook prerouting priority dstnat;
            ip daddr {service} tcp dport 80 dnat to {far}:8080
        }}; }}"
    ))
    .unwrap();
    let apiserver = ApiServer::start_in(lab).unwrap();
    let api = Api::new(lab, &apiserver);
    shop.tell(&api);
    // No policy selects it.
    api.create(
        &pods("shop"),
        &json!({
            "metadata": { "name": "far" },
            "spec": { "nodeName": "elsewhere", "containers": [{ "name": "main", "image": "lab" }] },
        }),
    );
    let address = far.to_string();
    let status = json!({ "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] });
    api.patch(&pods("shop"), "far", Some("status"), json!({ "status": status }));
    slice(&api, "IPv4", "far", &address);
    let watch = Watch::start(lab, &apiserver, ADMIN, &[]);
    let service: IpAddr = service.parse().unwrap();
    assert_eq!(Probe::tcp(service, 80).run(client).unwrap(), Attempt::Answered);
    // Nobody translates this one, and its endpoints are not judged alike.
    let wait = Duration::from_millis(300);
    assert_ne!(Probe::tcp(service, 84).timeout(wait).run(client).unwrap(), Attempt::Answered);
    watch.wait_for_flows(2.0);
    assert_eq!(
        told(watch),
        [
            "client > far:8080 via server:80 established conforming",
            "client > server:84 via server:84 unanswered undecidable"
        ]
    );
}
