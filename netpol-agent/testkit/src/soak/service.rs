//! Services: an address of their own or a node port, translated by nftables on the node.

use std::{
    fmt::{self, Write as _},
    net::{IpAddr, SocketAddr},
};

use super::{member::Member, tuple::Transport};

/// A Service.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) namespace: &'static str,
    pub(super) transport: Transport,
    /// Its own address and port.
    pub(super) address: SocketAddr,
    /// The port at the node's address, if it has one.
    pub(super) node_port: Option<u16>,
    /// The members that answer for it, by number.
    pub(super) backends: Vec<usize>,
    /// Their port.
    pub(super) target: u16,
}

impl Service {
    /// The addresses that connections to it end at.
    pub(super) fn endpoints(&self, members: &[Member]) -> Vec<SocketAddr> {
        let ips = self.backends.iter().filter_map(|number| members[*number].ip(self.address.is_ipv6()));
        ips.map(|ip| SocketAddr::new(ip, self.target)).collect()
    }

    /// The Service and its EndpointSlice, as YAML documents.
    pub(super) fn manifest(&self, members: &[Member]) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = self.write(&mut text, members);
        text
    }

    fn write(&self, out: &mut String, members: &[Member]) -> fmt::Result {
        let Self { name, namespace, transport, address, target, .. } = self;
        let (family, slices) = if address.is_ipv6() { ("IPv6", "IPv6") } else { ("IPv4", "IPv4") };
        let (kind, node_port) = match self.node_port {
            Some(port) => ("NodePort", format!(", nodePort: {port}")),
            None => ("ClusterIP", String::new()),
        };
        let (transport, ip, port) = (transport.name(), address.ip(), address.port());
        writeln!(out, "---\napiVersion: v1\nkind: Service")?;
        writeln!(out, "metadata: {{name: {name}, namespace: {namespace}}}")?;
        writeln!(out, "spec:\n  type: {kind}\n  clusterIP: \"{ip}\"\n  clusterIPs: [\"{ip}\"]")?;
        writeln!(out, "  ipFamilies: [{family}]\n  ports:")?;
        writeln!(
            out,
            "  - {{name: main, protocol: {transport}, port: {port}, targetPort: {target}{node_port}}}"
        )?;
        writeln!(out, "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: {slices}")?;
        writeln!(out, "metadata:\n  name: {name}-1\n  namespace: {namespace}")?;
        writeln!(out, "  labels: {{kubernetes.io/service-name: {name}}}")?;
        writeln!(out, "ports:\n- {{name: main, protocol: {transport}, port: {target}}}\nendpoints:")?;
        for number in &self.backends {
            let member = &members[*number];
            let Some(ip) = member.ip(address.is_ipv6()) else { continue };
            writeln!(out, "- addresses: [\"{ip}\"]\n  conditions: {{ready: true}}")?;
            writeln!(
                out,
                "  targetRef: {{kind: Pod, name: {}, namespace: {}}}",
                member.name, member.namespace
            )?;
        }
        Ok(())
    }
}

/// The ruleset of nftables that translates the addresses, in turn for each packet that opens a connection: one that is
/// sent again after a drop may go elsewhere.
pub(super) fn ruleset(services: &[Service], members: &[Member], node: [IpAddr; 2]) -> String {
    let mut text = String::from("table inet services {\n chain prerouting {\n");
    text.push_str("  type nat hook prerouting priority -100\n");
    for service in services {
        let endpoints = service.endpoints(members);
        let is_ipv6 = service.address.is_ipv6();
        let family = if is_ipv6 { "ip6" } else { "ip" };
        let transport = service.transport.lower();
        let map: Vec<_> = endpoints
            .iter()
            .enumerate()
            .map(|(number, to)| format!("{number} : {} . {}", to.ip(), to.port()))
            .collect();
        let target = format!(
            "dnat {family} addr . port to numgen inc mod {} map {{ {} }}",
            endpoints.len(),
            map.join(", ")
        );
        let mut ways = vec![service.address];
        ways.extend(service.node_port.map(|port| SocketAddr::new(node[usize::from(is_ipv6)], port)));
        for way in ways {
            // Writing to a String can't fail.
            let _ = writeln!(text, "  {family} daddr {} {transport} dport {} {target}", way.ip(), way.port());
        }
    }
    text.push_str(" }\n}\n");
    text
}
