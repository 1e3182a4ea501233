//! What there is to say about a verdict beyond the verdict.

use std::fmt;

/// Why a verdict is not as sure as it looks, or what else to know about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Caveat {
    /// A NetworkPolicy of a pod's namespace can't be read.
    UnreadablePolicy,
    /// A protocol that NetworkPolicies say nothing about.
    Protocol,
    /// One end is a pod in its node's network.
    HostNetwork,
    /// A pod to the node it runs on.
    OwnNode,
    /// A pod to itself through a Service.
    Hairpin,
    /// An address range decides, and the address was translated.
    TranslatedAddress,
    /// The source may have been translated to a node, which is not judged like it.
    TranslatedSource,
    /// Two policies of the same priority contradict each other.
    EqualPriority,
    /// A domain name would have to be resolved.
    DomainName,
    /// A pod is not of the state that was compiled.
    UnknownPod,
    /// An address range is all that admits traffic between pods.
    BlockMatchesPod,
    /// A rule with a peer of an unknown kind failed closed.
    UnknownPeer,
    /// A pod has ended.
    FinishedPod,
    /// A pod has no address.
    NoAddress,
}

impl Caveat {
    const ALL: [Self; 14] = [
        Self::UnreadablePolicy,
        Self::Protocol,
        Self::HostNetwork,
        Self::OwnNode,
        Self::Hairpin,
        Self::TranslatedAddress,
        Self::TranslatedSource,
        Self::EqualPriority,
        Self::DomainName,
        Self::UnknownPod,
        Self::BlockMatchesPod,
        Self::UnknownPeer,
        Self::FinishedPod,
        Self::NoAddress,
    ];

    /// Whether the outcome is up to the implementation, or can't be known: no finding may rest on it.
    #[must_use]
    pub fn undefines(self) -> bool {
        self <= Self::UnknownPod
    }

    /// The note as a sentence.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::UnreadablePolicy => {
                "a NetworkPolicy of the pod's namespace can't be read, and may say something else"
            }
            Self::Protocol => "NetworkPolicy defines nothing for protocols other than TCP, UDP and SCTP",
            Self::HostNetwork => {
                "host-network pods are up to the implementation; taken as traffic of their node, which no policy selects"
            }
            Self::OwnNode => {
                "traffic from a pod to its own node is up to the implementation: the API says both that policies apply and that it is always allowed"
            }
            Self::Hairpin => "a pod's traffic to itself through a Service is up to the implementation",
            Self::TranslatedAddress => {
                "an address range decides here, and whether it sees addresses before or after a Service's translation is up to the implementation"
            }
            Self::TranslatedSource => {
                "a node's port or a load balancer's address was used, where a node may take the source's place, and the node is not judged like the source"
            }
            Self::EqualPriority => {
                "policies of the same tier and priority contradict each other, and which one wins is up to the implementation"
            }
            Self::DomainName => {
                "a rule accepts by domain name, and which addresses the name has is not known here"
            }
            Self::UnknownPod => "a pod is not part of the state that the verdict is from",
            Self::BlockMatchesPod => {
                "an ipBlock admits a pod's address: the API says so, but Cilium and some others do not match pods by ipBlock"
            }
            Self::UnknownPeer => {
                "a rule has a peer of an unknown kind and fails closed: accepting rules match nothing, others deny all"
            }
            Self::FinishedPod => {
                "a pod has ended: policies no longer select it, and its address may be another's"
            }
            Self::NoAddress => "a pod has no address yet: policies do not select it",
        }
    }
}

impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A set of notes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Caveats(u16);

impl Caveats {
    /// Adds a note.
    pub fn add(&mut self, caveat: Caveat) {
        self.0 |= 1 << caveat as u8;
    }

    /// Adds all of another set.
    pub fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether a note is among them.
    #[must_use]
    pub fn contains(self, caveat: Caveat) -> bool {
        self.0 & (1 << caveat as u8) != 0
    }

    /// The notes, in the order of [`Caveat`].
    pub fn iter(self) -> impl Iterator<Item = Caveat> {
        Caveat::ALL.into_iter().filter(move |caveat| self.contains(*caveat))
    }
}
