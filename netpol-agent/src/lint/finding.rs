//! What lint finds.

use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::{declared::distance, model::FieldPath};

/// A mistake, where it is, and how to mend it.
#[derive(Clone, Debug, Serialize)]
pub struct LintFinding {
    /// What kind of mistake.
    pub code: LintCode,
    /// How bad it is.
    pub severity: Severity,
    /// Kind and name; `None` where it has none.
    pub object: Option<String>,
    /// The field; empty where it is about the whole.
    pub path: FieldPath,
    /// The file.
    pub file: String,
    /// The line, from 1; 0 for none.
    pub line: u32,
    /// What is wrong.
    pub reason: String,
    /// How to repair it.
    pub remedy: String,
}

/// How bad it is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// An object that the API server would refuse.
    Error,
    /// Probably not what was meant.
    Warning,
    /// Worth knowing.
    Info,
}

/// What kind of mistake. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LintCode {
    /// An object that the API server would refuse.
    InvalidObject,
    /// A selector that matches no pod.
    SelectorMatchesNoPod,
    /// A namespace selector that matches no namespace.
    NamespaceSelectorMatchesNothing,
    /// Two list items (OR) where one item (AND) may be meant.
    AndOrSuspicion,
    /// A namespace with pods that no policy isolates by default.
    NamespaceWithoutDefaultDeny,
    /// A policy that leaves egress open since policyTypes defaults to ingress.
    EgressOpenByDefault,
    /// Pods isolated for egress that can't resolve names.
    EgressWithoutDns,
    /// A port that none of the pods it is for declares.
    PortNotExposed,
    /// A port name that none of the pods it is for declares.
    NamedPortUndeclared,
    /// A rule that admits the cloud's metadata address.
    MetadataReachable,
    /// An address range that covers pods or Services.
    CidrCoversCluster,
    /// A connection that one side admits and the other denies.
    OneSidedPair,
    /// A rule that another one makes superfluous.
    RuleShadowed,
    /// A peer of an unknown kind, so that its rule fails closed.
    UnknownPeer,
    /// A rule whose address range admits nodes, for pods that are reached through nodes.
    IpBlockAdmitsNodes,
    /// A rule for clients whose addresses nodes replace on the way.
    SourceRewritten,
    /// A policy that selects a pod in its node's network.
    HostNetworkPodSelected,
    /// A peer that means pods in their node's network alone.
    HostNetworkPeer,
    /// A policy with egress rules only that denies all ingress since policyTypes is left out.
    IngressDeniedByDefault,
    /// Cluster-wide policies of one priority that contradict each other.
    EqualPriority,
    /// List items (OR) of which one admits what the other leaves out.
    ComplementaryPeers,
    /// An object that is given more than once.
    DuplicateObject,
    /// A placeholder of a template that was not rendered.
    TemplatePlaceholder,
    /// A workload that no policy selects, in a namespace with policies.
    WorkloadNotSelected,
    /// An annotation that ignores findings and does not say why.
    IgnoreWithoutReason,
}

impl LintCode {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::InvalidObject,
        Self::SelectorMatchesNoPod,
        Self::NamespaceSelectorMatchesNothing,
        Self::AndOrSuspicion,
        Self::NamespaceWithoutDefaultDeny,
        Self::EgressOpenByDefault,
        Self::EgressWithoutDns,
        Self::PortNotExposed,
        Self::NamedPortUndeclared,
        Self::MetadataReachable,
        Self::CidrCoversCluster,
        Self::OneSidedPair,
        Self::RuleShadowed,
        Self::UnknownPeer,
        Self::IpBlockAdmitsNodes,
        Self::SourceRewritten,
        Self::HostNetworkPodSelected,
        Self::HostNetworkPeer,
        Self::IngressDeniedByDefault,
        Self::EqualPriority,
        Self::ComplementaryPeers,
        Self::DuplicateObject,
        Self::TemplatePlaceholder,
        Self::WorkloadNotSelected,
        Self::IgnoreWithoutReason,
    ];

    /// Its name in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidObject => "invalid-object",
            Self::SelectorMatchesNoPod => "selector-matches-no-pod",
            Self::NamespaceSelectorMatchesNothing => "namespace-selector-matches-nothing",
            Self::AndOrSuspicion => "and-or-suspicion",
            Self::NamespaceWithoutDefaultDeny => "namespace-without-default-deny",
            Self::EgressOpenByDefault => "egress-open-by-default",
            Self::EgressWithoutDns => "egress-without-dns",
            Self::PortNotExposed => "port-not-exposed",
            Self::NamedPortUndeclared => "named-port-undeclared",
            Self::MetadataReachable => "metadata-reachable",
            Self::CidrCoversCluster => "cidr-covers-cluster",
            Self::OneSidedPair => "one-sided-pair",
            Self::RuleShadowed => "rule-shadowed",
            Self::UnknownPeer => "unknown-peer",
            Self::IpBlockAdmitsNodes => "ipblock-admits-nodes",
            Self::SourceRewritten => "source-rewritten",
            Self::HostNetworkPodSelected => "host-network-pod-selected",
            Self::HostNetworkPeer => "host-network-peer",
            Self::IngressDeniedByDefault => "ingress-denied-by-default",
            Self::EqualPriority => "equal-priority",
            Self::ComplementaryPeers => "complementary-peers",
            Self::DuplicateObject => "duplicate-object",
            Self::TemplatePlaceholder => "template-placeholder",
            Self::WorkloadNotSelected => "workload-not-selected",
            Self::IgnoreWithoutReason => "ignore-without-reason",
        }
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::InvalidObject => Severity::Error,
            Self::NamespaceWithoutDefaultDeny
            | Self::RuleShadowed
            | Self::CidrCoversCluster
            | Self::WorkloadNotSelected => Severity::Info,
            _ => Severity::Warning,
        }
    }

    /// What it is, in a sentence.
    #[must_use]
    pub fn summary(self) -> &'static str {
        match self {
            Self::InvalidObject => "An object that the API server would refuse.",
            Self::SelectorMatchesNoPod => "A selector that matches no pod.",
            Self::NamespaceSelectorMatchesNothing => "A namespace selector that matches no namespace.",
            Self::AndOrSuspicion => "Two list items (OR) where one item (AND) may be meant.",
            Self::NamespaceWithoutDefaultDeny => "A namespace with pods that no policy isolates by default.",
            Self::EgressOpenByDefault => {
                "A policy that leaves egress open since policyTypes defaults to ingress."
            }
            Self::EgressWithoutDns => "Pods isolated for egress that can't resolve names.",
            Self::PortNotExposed => "A port that none of the pods it is for declares.",
            Self::NamedPortUndeclared => "A port name that none of the pods it is for declares.",
            Self::MetadataReachable => "A rule that admits the cloud's metadata address.",
            Self::CidrCoversCluster => "An address range that covers pods or Services.",
            Self::OneSidedPair => "A connection that one side admits and the other denies.",
            Self::RuleShadowed => "A rule that another one makes superfluous.",
            Self::UnknownPeer => "A peer of an unknown kind, so that its rule fails closed.",
            Self::IpBlockAdmitsNodes => {
                "A rule whose address range admits nodes, for pods that are reached through nodes."
            }
            Self::SourceRewritten => "A rule for clients whose addresses nodes replace on the way.",
            Self::HostNetworkPodSelected => "A policy that selects a pod in its node's network.",
            Self::HostNetworkPeer => "A peer that means pods in their node's network alone.",
            Self::IngressDeniedByDefault => {
                "A policy with egress rules only that denies all ingress since policyTypes is left out."
            }
            Self::EqualPriority => "Cluster-wide policies of one priority that contradict each other.",
            Self::ComplementaryPeers => "List items (OR) of which one admits what the other leaves out.",
            Self::DuplicateObject => "An object that is given more than once.",
            Self::TemplatePlaceholder => "A placeholder of a template that was not rendered.",
            Self::WorkloadNotSelected => "A workload that no policy selects, in a namespace with policies.",
            Self::IgnoreWithoutReason => "An annotation that ignores findings and does not say why.",
        }
    }
}

/// A word that is no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no finding {0:?}; nearest is {1:?}")]
pub struct UnknownLintCode(String, &'static str);

impl FromStr for LintCode {
    type Err = UnknownLintCode;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|code| code.name() == name);
        let nearest = || Self::ALL.iter().map(|code| code.name()).min_by_key(|known| distance(known, name));
        found.ok_or_else(|| UnknownLintCode(name.to_owned(), nearest().unwrap_or_default()))
    }
}

impl Serialize for LintCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
