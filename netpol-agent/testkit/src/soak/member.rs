//! Who takes part in a round: pods, and hosts outside the cluster.

use std::net::IpAddr;

use super::policy::Label;

/// The namespaces of a round's pods, each with the label that policies select it by.
pub(super) const NAMESPACES: [(&str, Label); 2] = [("blue", ("team", "blue")), ("red", ("team", "red"))];

/// The labels of pods.
pub(super) const LABELS: [Label; 3] = [("app", "web"), ("app", "api"), ("app", "db")];

/// A pod or a host outside the cluster.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// Empty for a host outside.
    pub(super) namespace: &'static str,
    pub(super) label: Label,
    pub(super) ips: Vec<IpAddr>,
}

impl Member {
    /// Whether policies can select it.
    pub(super) fn is_pod(&self) -> bool {
        !self.namespace.is_empty()
    }

    /// The label of its namespace.
    pub(super) fn namespace_label(&self) -> Label {
        NAMESPACES.iter().find(|(name, _)| *name == self.namespace).map_or(("", ""), |(_, label)| *label)
    }

    /// Its address of this family.
    pub(super) fn ip(&self, is_ipv6: bool) -> Option<IpAddr> {
        self.ips.iter().copied().find(|ip| ip.is_ipv6() == is_ipv6)
    }
}
