//! `networking.k8s.io/v1` NetworkPolicy, with its defaults applied.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use serde::{Deserialize, Serialize};

use super::{LabelSelector, PolicyDirection, PolicyKind, PolicyRef, Protocol};

/// A NetworkPolicy whose defaults are applied and whose fields are checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPolicy {
    /// The policy's name.
    pub id: PolicyRef,
    /// The policy's namespace.
    pub namespace: Arc<str>,
    /// The pods in the policy's namespace that it isolates.
    pub pods: LabelSelector,
    /// The ingress rules; `None` if the policy does not isolate for ingress.
    pub ingress: Option<Vec<Rule>>,
    /// The egress rules; `None` if the policy does not isolate for egress.
    pub egress: Option<Vec<Rule>>,
    /// Whether `policyTypes` was set or defaulted.
    pub types: PolicyTypes,
}

/// Where the policy types come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PolicyTypes {
    /// `policyTypes` lists them.
    Written,
    /// They are defaulted: ingress, and egress if there are egress rules.
    Defaulted,
}

/// A rule. It allows connections with any of the peers on any of the ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// The peers. An empty list matches all, including nodes and addresses outside the cluster.
    pub peers: Vec<Peer>,
    /// The ports. An empty list matches all ports of all protocols.
    pub ports: Vec<Port>,
}

/// A peer of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Peer {
    /// Pods, selected by their namespaces and labels.
    Pods {
        /// Selects the namespaces; `None` for the policy's own namespace.
        namespaces: Option<LabelSelector>,
        /// Selects pods in these namespaces.
        pods: LabelSelector,
    },
    /// A CIDR range.
    Block(IpBlock),
}

/// A CIDR range with exceptions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IpBlock {
    /// The range, with host bits cleared.
    pub cidr: IpNet,
    /// The exceptions, each inside the range.
    pub except: Vec<IpNet>,
}

impl IpBlock {
    /// Returns whether an address is in the range and in no exception. An IPv4 address never matches an IPv6 range, or
    /// the reverse.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.cidr.contains(&ip) && !self.except.iter().any(|hole| hole.contains(&ip))
    }
}

/// A port, a port range or all ports of one protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Port {
    /// The protocol.
    pub protocol: Protocol,
    /// The port or ports.
    pub number: PortNumber,
}

/// The port numbers of a [`Port`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PortNumber {
    /// All ports.
    Any,
    /// From the first to the last port, both included.
    Range(u16, u16),
    /// A container port of the destination pod, by name.
    Named(Box<str>),
}

impl NetworkPolicy {
    /// Returns the reference to a NetworkPolicy.
    #[must_use]
    pub fn reference(namespace: Arc<str>, name: Arc<str>) -> PolicyRef {
        PolicyRef { kind: PolicyKind::NetworkPolicy, namespace: Some(namespace), name }
    }

    /// Returns the rules of one direction; `None` if the policy does not isolate for it.
    #[must_use]
    pub fn rules(&self, direction: PolicyDirection) -> Option<&[Rule]> {
        match direction {
            PolicyDirection::Ingress => self.ingress.as_deref(),
            PolicyDirection::Egress => self.egress.as_deref(),
        }
    }
}
