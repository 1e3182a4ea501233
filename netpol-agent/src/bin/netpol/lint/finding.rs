//! What lint finds.

use netpol_agent::model::FieldPath;
use serde::{Serialize, Serializer};

/// A mistake, where it is, and how to mend it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) code: Code,
    pub(super) severity: Severity,
    /// Kind and name.
    pub(super) object: Option<String>,
    /// The field; empty where it is about the whole.
    pub(super) path: FieldPath,
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) reason: String,
    pub(super) remedy: String,
}

/// How bad it is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Error,
    Warning,
    Info,
}

/// What kind of mistake. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Code {
    InvalidObject,
    SelectorMatchesNoPod,
    NamespaceSelectorMatchesNothing,
    AndOrSuspicion,
    NamespaceWithoutDefaultDeny,
    EgressOpenByDefault,
    EgressWithoutDns,
    PortNotExposed,
    NamedPortUndeclared,
    MetadataReachable,
    CidrCoversCluster,
    OneSidedPair,
    RuleShadowed,
    UnknownPeer,
}

impl Code {
    pub(super) const ALL: [Self; 14] = [
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
    ];

    pub(super) fn name(self) -> &'static str {
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
        }
    }

    pub(super) fn severity(self) -> Severity {
        match self {
            Self::InvalidObject => Severity::Error,
            Self::NamespaceWithoutDefaultDeny | Self::RuleShadowed | Self::CidrCoversCluster => {
                Severity::Info
            }
            _ => Severity::Warning,
        }
    }

    pub(super) fn summary(self) -> &'static str {
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
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
