//! One end of a connection, looked up.

use std::{net::IpAddr, sync::Arc};

use super::{
    caveat::{Caveat, Caveats},
    compiled_pod_class::CompiledPodClass,
    peers::PeerId,
    rule::EndpointIps,
};
use crate::model::{ContainerPort, Node, Pod};

/// One end of a connection, looked up.
#[derive(Clone, Copy, Debug)]
pub(super) struct RuleEndpoint<'e> {
    pub(super) who: Subject<'e>,
    pub(super) ips: EndpointIps<'e>,
    /// What the lookup has to say.
    pub(super) caveats: Caveats,
}

/// Who is at an end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'e> {
    /// A pod that policies can select.
    Pod(&'e Arc<Pod>, &'e CompiledPodClass),
    /// A pod in its node's network, and that node.
    HostPod(&'e Arc<Pod>, Option<&'e Node>),
    /// A node.
    Node(&'e Node),
    /// Anyone else.
    Outside,
}

impl<'e> RuleEndpoint<'e> {
    pub(super) fn new(who: Subject<'e>, ips: EndpointIps<'e>) -> Self {
        Self { who, ips, caveats: Caveats::default() }
    }

    /// A pod that no policy can select, for the reason in the note.
    pub(super) fn unselectable(ips: EndpointIps<'e>, caveat: Caveat) -> Self {
        let mut end = Self::new(Subject::Outside, ips);
        end.caveats.add(caveat);
        end
    }

    pub(super) fn at(ip: IpAddr, who: Subject<'e>) -> Self {
        Self::new(who, EndpointIps::One(ip))
    }

    pub(super) fn pod(&self) -> Option<&'e Arc<Pod>> {
        match self.who {
            Subject::Pod(pod, _) => Some(pod),
            _ => None,
        }
    }

    pub(super) fn is_host_pod(&self) -> bool {
        matches!(self.who, Subject::HostPod(..))
    }

    /// The node whose address this end has.
    pub(super) fn node(&self) -> Option<&'e Node> {
        match self.who {
            Subject::Node(node) => Some(node),
            Subject::HostPod(_, node) => node,
            Subject::Pod(..) | Subject::Outside => None,
        }
    }

    pub(super) fn sets(&self) -> &'e [PeerId] {
        match self.who {
            Subject::Pod(_, profile) => &profile.sets,
            _ => &[],
        }
    }

    /// The ports that it declares.
    pub(super) fn declared(&self) -> &'e [ContainerPort] {
        match self.who {
            Subject::Pod(pod, _) => &pod.class.ports,
            _ => &[],
        }
    }

    /// Whether it is the node that the pod runs on, or a pod in that node's network.
    pub(super) fn hosts(&self, pod: &Pod) -> bool {
        let Some(home) = &pod.node else { return false };
        match self.who {
            Subject::Node(node) => node.name == *home,
            Subject::HostPod(host_pod, _) => host_pod.node.as_ref() == Some(home),
            Subject::Pod(..) | Subject::Outside => false,
        }
    }
}
