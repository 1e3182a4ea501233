//! The table of the API kinds that the agent reads: group, versions, names.
//!
//! Everything that needs a resource path, an `apiVersion` or a plural takes it from here.

use super::ObjectKind;

/// An API kind: how the API server names and serves one kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiKind {
    /// The kind.
    pub kind: ObjectKind,
    /// The value of `kind:`, such as `NetworkPolicy`.
    pub name: &'static str,
    /// The plural resource name, as in paths, metrics and RBAC rules.
    pub plural: &'static str,
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The versions that the agent can read, in order of preference. The fields that the agent reads are the same in
    /// all of them.
    pub versions: &'static [&'static str],
    /// Whether the kind is namespaced.
    pub namespaced: bool,
    /// Whether every API server serves the first of these versions. Otherwise the agent asks the API server which one
    /// it serves, if any.
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
    // The CRDs that are installed decide which of these a cluster serves (network-policy-api v0.1 and v0.2).
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
    /// Returns the API kind of a kind of object.
    #[must_use]
    pub const fn of(kind: ObjectKind) -> &'static Self {
        // The table has the order of `ObjectKind`; a test checks this.
        &TABLE[kind as usize]
    }

    /// Finds the kind that `apiVersion:` and `kind:` name. The version must be one that the agent can read.
    #[must_use]
    pub fn find(api_version: &str, name: &str) -> Option<&'static Self> {
        TABLE.iter().find(|kind| {
            kind.name == name && kind.versions.iter().any(|version| kind.api_version(version) == api_version)
        })
    }

    /// Finds the kind that `kind:` names in the group of `apiVersion:`, in any version.
    #[must_use]
    pub fn find_in_group(api_version: &str, name: &str) -> Option<&'static Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        // NetworkPolicy was in this group until Kubernetes 1.16.
        let group = if group == "extensions" { NETWORKING } else { group };
        TABLE.iter().find(|kind| kind.name == name && kind.group == group)
    }

    /// Returns `group/version`, or only the version in the core group.
    #[must_use]
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// Returns the discovery path of a version of the kind's group. The API server lists the kinds of that version
    /// there.
    #[must_use]
    pub fn group_path(&self, version: &str) -> String {
        let root = if self.group.is_empty() { "api" } else { "apis" };
        format!("/{root}/{}", self.api_version(version))
    }

    /// Returns the path that lists all objects of the kind.
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
