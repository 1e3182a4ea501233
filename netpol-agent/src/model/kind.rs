//! Kinds of objects that cluster state is made of, and those that are not known.

use super::ApiKind;

/// A kind of object that cluster state is made of.
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
    /// All of them.
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

    /// What the API calls a collection of them, in metrics and in RBAC rules, too.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        ApiKind::of(self).plural
    }

    /// What can't be judged without it.
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

    /// Whether its objects are policies.
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

    /// Whether nothing at all can be judged without it.
    #[must_use]
    pub const fn is_essential(self) -> bool {
        matches!(self, Self::Pod) || self.is_policy()
    }
}

/// Kinds of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u16);

impl Kinds {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether a kind is among them.
    #[must_use]
    pub const fn contains(self, kind: ObjectKind) -> bool {
        self.0 & (1 << kind as u16) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds one.
    pub const fn insert(&mut self, kind: ObjectKind) {
        self.0 |= 1 << kind as u16;
    }

    /// Adds all of another set.
    pub const fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Takes one away.
    pub const fn remove(&mut self, kind: ObjectKind) {
        self.0 &= !(1 << kind as u16);
    }

    /// Those that are among them.
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
