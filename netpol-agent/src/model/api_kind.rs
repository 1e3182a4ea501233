//! The one table of the kinds of objects: what the Kubernetes API calls each, and by which versions it can be read.

use super::ObjectKind;

/// A kind of object as the API serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiKind {
    /// The kind.
    pub kind: ObjectKind,
    /// Its name in `kind:`.
    pub name: &'static str,
    /// What a collection of them is called, in paths, metrics and RBAC rules.
    pub plural: &'static str,
    /// Its API group; empty for the core group.
    pub group: &'static str,
    /// The versions that can be read, the best first. All of them say the same of what is read here.
    pub versions: &'static [&'static str],
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Whether every API server serves it in the first of these versions. Otherwise it has to be asked which one it serves,
    /// if any.
    pub always_served: bool,
}

const NETWORKING: &str = "networking.k8s.io";
const POLICY: &str = "policy.networking.k8s.io";

/// All kinds that the agent reads.
const TABLE: [ApiKind; ObjectKind::ALL.len()] = [
    core(ObjectKind::Pod, "Pod", "pods", true),
    core(ObjectKind::Namespace, "Namespace", "namespaces", false),
    core(ObjectKind::Node, "Node", "nodes", false),
    core(ObjectKind::Service, "Service", "services", true),
    ApiKind {
        kind: ObjectKind::EndpointSlice,
        name: "EndpointSlice",
        plural: "endpointslices",
        group: "discovery.k8s.io",
        versions: &["v1", "v1beta1"],
        namespaced: true,
        always_served: false,
    },
    ApiKind {
        kind: ObjectKind::NetworkPolicy,
        name: "NetworkPolicy",
        plural: "networkpolicies",
        group: NETWORKING,
        versions: &["v1"],
        namespaced: true,
        always_served: true,
    },
    // Which of these a cluster has depends on the CRDs that are installed (network-policy-api v0.1 and v0.2).
    cluster_wide(
        ObjectKind::ClusterNetworkPolicy,
        "ClusterNetworkPolicy",
        "clusternetworkpolicies",
        &["v1beta1", "v1alpha2"],
    ),
    cluster_wide(ObjectKind::AdminNetworkPolicy, "AdminNetworkPolicy", "adminnetworkpolicies", &["v1alpha1"]),
    cluster_wide(
        ObjectKind::BaselineAdminNetworkPolicy,
        "BaselineAdminNetworkPolicy",
        "baselineadminnetworkpolicies",
        &["v1alpha1"],
    ),
];

const fn core(kind: ObjectKind, name: &'static str, plural: &'static str, namespaced: bool) -> ApiKind {
    ApiKind { kind, name, plural, group: "", versions: &["v1"], namespaced, always_served: true }
}

const fn cluster_wide(
    kind: ObjectKind,
    name: &'static str,
    plural: &'static str,
    versions: &'static [&'static str],
) -> ApiKind {
    ApiKind { kind, name, plural, group: POLICY, versions, namespaced: false, always_served: false }
}

impl ApiKind {
    /// What the API calls a kind.
    #[must_use]
    pub const fn of(kind: ObjectKind) -> &'static Self {
        // The table is in the order of the kinds, which a test checks.
        &TABLE[kind as usize]
    }

    /// The kind that `apiVersion:` and `kind:` name, in a version that can be read.
    #[must_use]
    pub fn find(api_version: &str, name: &str) -> Option<&'static Self> {
        TABLE.iter().find(|kind| {
            kind.name == name && kind.versions.iter().any(|version| kind.api_version(version) == api_version)
        })
    }

    /// The kind that `kind:` names, in the group of `apiVersion:`, whatever the version.
    #[must_use]
    pub fn find_in_group(api_version: &str, name: &str) -> Option<&'static Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        // NetworkPolicy was in this group until Kubernetes 1.16.
        let group = if group == "extensions" { NETWORKING } else { group };
        TABLE.iter().find(|kind| kind.name == name && kind.group == group)
    }

    /// `group/version`, or the version alone in the core group.
    #[must_use]
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// Where a version of its group says which kinds it has.
    #[must_use]
    pub fn group_path(&self, version: &str) -> String {
        let root = if self.group.is_empty() { "api" } else { "apis" };
        format!("/{root}/{}", self.api_version(version))
    }

    /// Where all objects of the kind are.
    #[must_use]
    pub fn path(&self, version: &str) -> String {
        format!("{}/{}", self.group_path(version), self.plural)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_kinds() {
        for kind in ObjectKind::ALL {
            let api = ApiKind::of(kind);
            assert_eq!(api.kind, kind);
            assert_eq!(format!("{kind:?}"), api.name);
            assert!(!api.versions.is_empty(), "{kind:?}");
        }
    }

    #[test]
    fn what_is_found() {
        for (api_version, name, exact, in_group) in [
            ("v1", "Pod", true, true),
            ("apps/v1", "Pod", false, false),
            ("v2", "Pod", false, true),
            ("networking.k8s.io/v1", "NetworkPolicy", true, true),
            ("extensions/v1beta1", "NetworkPolicy", false, true),
            ("crd.projectcalico.org/v1", "NetworkPolicy", false, false),
            ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", true, true),
            ("policy.networking.k8s.io/v1beta1", "ClusterNetworkPolicy", true, true),
            ("policy.networking.k8s.io/v1alpha2", "AdminNetworkPolicy", false, true),
            ("v1", "NetworkPolicy", false, false),
        ] {
            assert_eq!(ApiKind::find(api_version, name).is_some(), exact, "{api_version} {name}");
            assert_eq!(ApiKind::find_in_group(api_version, name).is_some(), in_group, "{api_version} {name}");
        }
        let pods = ApiKind::of(ObjectKind::Pod);
        assert_eq!(pods.path("v1"), "/api/v1/pods");
        let policies = ApiKind::of(ObjectKind::NetworkPolicy);
        assert_eq!(policies.path("v1"), "/apis/networking.k8s.io/v1/networkpolicies");
    }
}
