//! The kinds of objects that the agent watches, and sets of them.

use super::ApiKind;

/// A kind of object that the cluster state consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// `v1` Pod.
    Pod,
    /// `v1` Namespace.
    Namespace,
    /// `v1` Node.
    Node,
    /// `v1` Service.
    Service,
    /// `discovery.k8s.io` EndpointSlice.
    EndpointSlice,
    /// `networking.k8s.io` NetworkPolicy.
    NetworkPolicy,
    /// `policy.networking.k8s.io` ClusterNetworkPolicy.
    ClusterNetworkPolicy,
    /// `policy.networking.k8s.io` AdminNetworkPolicy.
    AdminNetworkPolicy,
    /// `policy.networking.k8s.io` BaselineAdminNetworkPolicy.
    BaselineAdminNetworkPolicy,
}

impl ObjectKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Pod,
        Self::Namespace,
        Self::Node,
        Self::Service,
        Self::EndpointSlice,
        Self::NetworkPolicy,
        Self::ClusterNetworkPolicy,
        Self::AdminNetworkPolicy,
        Self::BaselineAdminNetworkPolicy,
    ];

    /// Returns the plural resource name, as in paths, metrics and RBAC rules.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        ApiKind::of(self).plural
    }

    /// Returns what can't be judged without this kind, for log messages.
    #[must_use]
    pub const fn needed_for(self) -> &'static str {
        match self {
            Self::Pod => "no connection can be judged",
            Self::Namespace => "no connection of a pod that policies select can be judged",
            Self::Node => "connections between pods and anything else can't be judged, nodes being unknown",
            Self::Service => {
                "connections between pods and anything else can't be judged, Services being unknown"
            }
            Self::EndpointSlice => "connections to Services can't be judged",
            Self::NetworkPolicy
            | Self::ClusterNetworkPolicy
            | Self::AdminNetworkPolicy
            | Self::BaselineAdminNetworkPolicy => "no connection can be judged, for any policy may decide it",
        }
    }

    /// Returns whether the kind is a policy.
    #[must_use]
    pub const fn is_policy(self) -> bool {
        matches!(
            self,
            Self::NetworkPolicy
                | Self::ClusterNetworkPolicy
                | Self::AdminNetworkPolicy
                | Self::BaselineAdminNetworkPolicy
        )
    }

    /// Returns whether no connection can be judged without this kind.
    #[must_use]
    pub const fn is_essential(self) -> bool {
        matches!(self, Self::Pod) || self.is_policy()
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u16);

impl Kinds {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// Returns whether the set contains a kind.
    #[must_use]
    pub const fn contains(self, kind: ObjectKind) -> bool {
        self.0 & (1 << kind as u16) != 0
    }

    /// Returns whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds a kind.
    pub const fn insert(&mut self, kind: ObjectKind) {
        self.0 |= 1 << kind as u16;
    }

    /// Adds all kinds of another set.
    pub const fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Removes a kind.
    pub const fn remove(&mut self, kind: ObjectKind) {
        self.0 &= !(1 << kind as u16);
    }

    /// Returns the kinds in the set.
    pub fn iter(self) -> impl Iterator<Item = ObjectKind> {
        ObjectKind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<ObjectKind> for Kinds {
    fn from_iter<I: IntoIterator<Item = ObjectKind>>(kinds: I) -> Self {
        let mut set = Self::NONE;
        kinds.into_iter().for_each(|kind| set.insert(kind));
        set
    }
}
