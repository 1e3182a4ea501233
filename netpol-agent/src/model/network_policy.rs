//! `networking.k8s.io/v1` NetworkPolicy, with its defaults applied.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use serde::{Deserialize, Serialize};

use super::{LabelSelector, PolicyDirection, PolicyKind, PolicyRef, Protocol};

/// A NetworkPolicy whose defaults are applied and whose fields are checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPolicy {
    /// Its name.
    pub id: PolicyRef,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// The pods of its namespace that it isolates.
    pub pods: LabelSelector,
    /// The rules for what may reach those pods; `None` where it does not speak of ingress.
    pub ingress: Option<Vec<Rule>>,
    /// The rules for what those pods may reach; `None` where it does not speak of egress.
    pub egress: Option<Vec<Rule>>,
    /// Whether `policyTypes` was written, or follows from what else was.
    pub types: PolicyTypes,
}

/// How a policy came to its types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PolicyTypes {
    /// `policyTypes` lists them.
    Written,
    /// By default: ingress, and egress where it has egress rules.
    Defaulted,
}

/// Admits connections: any of the peers, on any of the ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// The peers; empty for all, the outside and nodes included.
    pub peers: Vec<Peer>,
    /// The ports; empty for all ports of all protocols.
    pub ports: Vec<Port>,
}

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Peer {
    /// Pods: of the matching namespaces, or of the policy's own where that is `None`.
    Pods {
        /// Which namespaces.
        namespaces: Option<LabelSelector>,
        /// Which of their pods.
        pods: LabelSelector,
    },
    /// Addresses.
    Block(IpBlock),
}

/// A range of addresses with holes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IpBlock {
    /// The range, host bits cleared.
    pub cidr: IpNet,
    /// The holes, each inside the range.
    pub except: Vec<IpNet>,
}

impl IpBlock {
    /// Whether an address is in the range and in no hole. Families never match one another.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.cidr.contains(&ip) && !self.except.iter().any(|hole| hole.contains(&ip))
    }
}

/// A port or ports of one protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Port {
    /// The protocol.
    pub protocol: Protocol,
    /// Which of its ports.
    pub number: PortNumber,
}

/// Which ports of a protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PortNumber {
    /// All of them.
    Any,
    /// From the first to the last, both included.
    Range(u16, u16),
    /// What the destination pod calls so.
    Named(Box<str>),
}

impl NetworkPolicy {
    /// The name of the policy in a namespace.
    #[must_use]
    pub fn reference(namespace: Arc<str>, name: Arc<str>) -> PolicyRef {
        PolicyRef { kind: PolicyKind::NetworkPolicy, namespace: Some(namespace), name }
    }

    /// The rules of one direction; `None` where it does not speak of it.
    #[must_use]
    pub fn rules(&self, direction: PolicyDirection) -> Option<&[Rule]> {
        match direction {
            PolicyDirection::Ingress => self.ingress.as_deref(),
            PolicyDirection::Egress => self.egress.as_deref(),
        }
    }
}
