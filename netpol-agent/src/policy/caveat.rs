//! Caveats: the reasons why a verdict is uncertain, and other facts that a reader of the verdict should know.
//!
//! Some caveats make a verdict undecidable ([`Caveat::undefines`]). Others only explain it.

use std::fmt;

/// A reason why a verdict is uncertain, or another fact that a reader of the verdict should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Caveat {
    /// A NetworkPolicy in a pod's namespace can't be read.
    UnreadablePolicy,
    /// NetworkPolicy does not define the protocol.
    Protocol,
    /// The source or the destination is a host-network pod.
    HostNetwork,
    /// The traffic is from a pod to the node it runs on.
    OwnNode,
    /// The traffic is from a pod to itself through a Service.
    Hairpin,
    /// The verdict depends on an address range (`ipBlock` or `networks`), and the address was translated.
    TranslatedAddress,
    /// The source address may have been translated to a node's address, and the node gets another verdict.
    TranslatedSource,
    /// Two policies with the same priority contradict each other.
    EqualPriority,
    /// The verdict depends on the addresses of a domain name, which the agent does not resolve.
    DomainName,
    /// A pod is not part of the snapshot that was compiled.
    UnknownPod,
    /// Traffic between pods is allowed only by an `ipBlock`.
    BlockMatchesPod,
    /// A rule has a peer of an unknown kind, so it failed closed.
    UnknownPeer,
    /// A pod has finished (`Succeeded` or `Failed`).
    FinishedPod,
    /// A pod has no IP address yet.
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

    /// Returns true if the outcome is implementation-defined or can't be known. No finding may depend on such a
    /// verdict.
    #[must_use]
    pub fn undefines(self) -> bool {
        self <= Self::UnknownPod
    }

    /// The caveat as a sentence.
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

/// A set of caveats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Caveats(u16);

impl Caveats {
    /// Adds a caveat.
    pub fn add(&mut self, caveat: Caveat) {
        self.0 |= 1 << caveat as u8;
    }

    /// Adds all caveats of another set.
    pub fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Returns true if the set contains the caveat.
    #[must_use]
    pub fn contains(self, caveat: Caveat) -> bool {
        self.0 & (1 << caveat as u8) != 0
    }

    /// The caveats, in the order of [`Caveat`].
    pub fn iter(self) -> impl Iterator<Item = Caveat> {
        Caveat::ALL.into_iter().filter(move |caveat| self.contains(*caveat))
    }
}
