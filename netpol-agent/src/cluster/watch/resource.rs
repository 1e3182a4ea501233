//! Where the API keeps each kind, and how to read it.

use super::watch_error::Forbidden;
use crate::model::ObjectKind;

/// A kind as the API serves it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resource {
    pub(super) kind: ObjectKind,
    group: &'static str,
    /// Those that can be read, the best first.
    pub(super) versions: &'static [&'static str],
    /// Whether every server has it.
    pub(super) built_in: bool,
}

impl Resource {
    pub(super) const fn of(kind: ObjectKind) -> Self {
        let (group, versions, built_in): (_, &[&str], _) = match kind {
            ObjectKind::Pod | ObjectKind::Namespace | ObjectKind::Node | ObjectKind::Service => {
                ("", &["v1"], true)
            }
            ObjectKind::EndpointSlice => ("discovery.k8s.io", &["v1", "v1beta1"], false),
            ObjectKind::NetworkPolicy => ("networking.k8s.io", &["v1"], true),
            ObjectKind::ClusterNetworkPolicy => ("policy.networking.k8s.io", &["v1beta1", "v1alpha2"], false),
            ObjectKind::AdminNetworkPolicy | ObjectKind::BaselineAdminNetworkPolicy => {
                ("policy.networking.k8s.io", &["v1alpha1"], false)
            }
        };
        Self { kind, group, versions, built_in }
    }

    /// Where a version of its group tells what it has.
    pub(super) fn group_path(self, version: &str) -> String {
        if self.group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{}/{version}", self.group)
        }
    }

    /// Where all objects are.
    pub(super) fn path(self, version: &str) -> String {
        format!("{}/{}", self.group_path(version), self.kind.plural())
    }

    /// What to say where a verb is not allowed.
    pub(super) const fn forbidden(self, verb: &'static str) -> Forbidden {
        Forbidden { verb, resource: self.kind.plural(), group: self.group }
    }
}
