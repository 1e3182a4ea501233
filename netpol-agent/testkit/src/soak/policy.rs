//! The soak's own policies, and how they are written as manifests.

use std::{
    fmt::{self, Write as _},
    net::IpAddr,
};

use super::{member::Member, tuple::Transport};

/// A label: key and value.
pub(super) type Label = (&'static str, &'static str);

/// A NetworkPolicy, as far as the soak uses them.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) namespace: &'static str,
    /// Which pods of the namespace it selects. `None`: all.
    pub(super) selects: Option<Label>,
    /// `None`: it does not isolate for this direction.
    pub(super) ingress: Option<Vec<Admission>>,
    /// `None`: it does not isolate for this direction.
    pub(super) egress: Option<Vec<Admission>>,
}

/// A rule: what it admits.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    /// Empty: everybody.
    pub(super) peers: Vec<Peer>,
    /// Empty: everything.
    pub(super) ports: Vec<PortRange>,
}

/// One entry of `from` or `to`.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// Pods of the policy's own namespace.
    Own { pods: Option<Label> },
    /// Pods of namespaces with a label, or of all namespaces.
    Namespaces { namespaces: Option<Label>, pods: Option<Label> },
    /// A range of addresses with one exception.
    Range { network: IpAddr, length: u8, except: Option<IpAddr> },
}

/// Ports of a transport, both ends included.
#[derive(Clone, Copy, Debug)]
pub(super) struct PortRange {
    pub(super) transport: Transport,
    pub(super) first: u16,
    pub(super) last: u16,
}

/// The direction of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

impl Policy {
    /// Whether it selects this pod.
    pub(super) fn selects(&self, member: &Member) -> bool {
        member.namespace == self.namespace && has(member, self.selects)
    }

    /// The rules for a direction, if it isolates for it.
    pub(super) fn rules(&self, direction: Direction) -> Option<&[Admission]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }

    /// As a YAML document.
    pub(super) fn manifest(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:")?;
        writeln!(out, "  name: {}\n  namespace: {}", self.name, self.namespace)?;
        writeln!(out, "spec:\n  podSelector: {}\n  policyTypes:", selector(self.selects))?;
        for (name, rules) in [("Ingress", &self.ingress), ("Egress", &self.egress)] {
            if rules.is_some() {
                writeln!(out, "  - {name}")?;
            }
        }
        for (name, end, rules) in [("ingress", "from", &self.ingress), ("egress", "to", &self.egress)] {
            let Some(rules) = rules else { continue };
            let rules: Vec<_> = rules.iter().map(|rule| rule.yaml(end)).collect();
            writeln!(out, "  {name}: [{}]", rules.join(", "))?;
        }
        Ok(())
    }
}

impl Admission {
    /// Whether it admits a peer on a port, for a policy of this namespace.
    pub(super) fn admits(
        &self,
        namespace: &str,
        peer: &Member,
        ip: IpAddr,
        transport: Transport,
        port: u16,
    ) -> bool {
        (self.peers.is_empty() || self.peers.iter().any(|entry| entry.matches(namespace, peer, ip)))
            && (self.ports.is_empty() || self.ports.iter().any(|range| range.contains(transport, port)))
    }

    fn yaml(&self, end: &str) -> String {
        let peers: Vec<_> = self.peers.iter().map(Peer::yaml).collect();
        let ports: Vec<_> = self.ports.iter().map(PortRange::yaml).collect();
        let mut parts = Vec::new();
        if !peers.is_empty() {
            parts.push(format!("{end}: [{}]", peers.join(", ")));
        }
        if !ports.is_empty() {
            parts.push(format!("ports: [{}]", ports.join(", ")));
        }
        format!("{{{}}}", parts.join(", "))
    }
}

impl Peer {
    fn matches(&self, own: &str, peer: &Member, ip: IpAddr) -> bool {
        match self {
            Self::Own { pods } => peer.is_pod() && peer.namespace == own && has(peer, *pods),
            Self::Namespaces { namespaces, pods } => {
                peer.is_pod()
                    && namespaces.is_none_or(|label| peer.namespace_label() == label)
                    && has(peer, *pods)
            }
            Self::Range { network, length, except } => {
                is_within(ip, *network, *length) && except.is_none_or(|except| except != ip)
            }
        }
    }

    fn yaml(&self) -> String {
        match self {
            Self::Own { pods } => format!("{{podSelector: {}}}", selector(*pods)),
            Self::Namespaces { namespaces, pods: None } => {
                format!("{{namespaceSelector: {}}}", selector(*namespaces))
            }
            Self::Namespaces { namespaces, pods } => {
                format!("{{namespaceSelector: {}, podSelector: {}}}", selector(*namespaces), selector(*pods))
            }
            Self::Range { network, length, except } => {
                let host = if network.is_ipv4() { 32 } else { 128 };
                let except = except.map(|ip| format!(", except: [\"{ip}/{host}\"]")).unwrap_or_default();
                format!("{{ipBlock: {{cidr: \"{network}/{length}\"{except}}}}}")
            }
        }
    }
}

impl PortRange {
    fn contains(&self, transport: Transport, port: u16) -> bool {
        self.transport == transport && (self.first..=self.last).contains(&port)
    }

    fn yaml(&self) -> String {
        let end = if self.last > self.first { format!(", endPort: {}", self.last) } else { String::new() };
        format!("{{protocol: {}, port: {}{end}}}", self.transport.name(), self.first)
    }
}

fn has(member: &Member, label: Option<Label>) -> bool {
    label.is_none_or(|label| member.label == label)
}

fn selector(label: Option<Label>) -> String {
    label.map_or_else(|| "{}".to_owned(), |(key, value)| format!("{{matchLabels: {{{key}: {value}}}}}"))
}

fn is_within(ip: IpAddr, network: IpAddr, length: u8) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let shift = 32 - u32::from(length);
            u64::from(u32::from(ip)) >> shift == u64::from(u32::from(network)) >> shift
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let shift = 128 - u32::from(length);
            u128::from(ip).checked_shr(shift) == u128::from(network).checked_shr(shift)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (ip, network, length, expected) in [
            ("198.18.0.1", "198.18.0.0", 15, true),
            ("198.20.0.1", "198.18.0.0", 15, false),
            ("198.18.0.1", "0.0.0.0", 0, true),
            ("2001:db8:1::1", "2001:db8::", 32, true),
            ("2001:db9::1", "2001:db8::", 32, false),
            ("2001:db8::1", "198.18.0.0", 15, false),
        ] {
            let within = is_within(ip.parse().unwrap(), network.parse().unwrap(), length);
            assert_eq!(within, expected, "{ip} {network}/{length}");
        }
    }
}
