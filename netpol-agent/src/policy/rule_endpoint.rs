//! The source or destination of a connection, resolved to a pod, a node or an outside address.

use std::{net::IpAddr, sync::Arc};

use super::{
    caveat::{Caveat, Caveats},
    compiled_pod_class::CompiledPodClass,
    peers::PeerId,
    rule::EndpointIps,
};
use crate::model::{ContainerPort, Node, Pod};

/// The source or destination of a connection, resolved.
#[derive(Clone, Copy, Debug)]
pub(super) struct RuleEndpoint<'e> {
    pub(super) subject: Subject<'e>,
    pub(super) ips: EndpointIps<'e>,
    /// The caveats that result from resolving it.
    pub(super) caveats: Caveats,
}

/// What an endpoint was resolved to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'e> {
    /// A pod that policies can select.
    Pod(&'e Arc<Pod>, &'e CompiledPodClass),
    /// A host-network pod, and its node if it is known.
    HostPod(&'e Arc<Pod>, Option<&'e Node>),
    /// A node.
    Node(&'e Node),
    /// Anything else: an address outside the cluster, or a pod that no policy can select.
    Outside,
}

impl<'e> RuleEndpoint<'e> {
    pub(super) fn new(subject: Subject<'e>, ips: EndpointIps<'e>) -> Self {
        Self { subject, ips, caveats: Caveats::default() }
    }

    /// Creates an endpoint for a pod that no policy can select. The caveat is the reason.
    pub(super) fn unselectable(ips: EndpointIps<'e>, caveat: Caveat) -> Self {
        let mut endpoint = Self::new(Subject::Outside, ips);
        endpoint.caveats.add(caveat);
        endpoint
    }

    pub(super) fn at(ip: IpAddr, subject: Subject<'e>) -> Self {
        Self::new(subject, EndpointIps::One(ip))
    }

    pub(super) fn pod(&self) -> Option<&'e Arc<Pod>> {
        match self.subject {
            Subject::Pod(pod, _) => Some(pod),
            _ => None,
        }
    }

    pub(super) fn is_host_pod(&self) -> bool {
        matches!(self.subject, Subject::HostPod(..))
    }

    /// The node whose address this endpoint has.
    pub(super) fn node(&self) -> Option<&'e Node> {
        match self.subject {
            Subject::Node(node) => Some(node),
            Subject::HostPod(_, node) => node,
            Subject::Pod(..) | Subject::Outside => None,
        }
    }

    pub(super) fn sets(&self) -> &'e [PeerId] {
        match self.subject {
            Subject::Pod(_, compiled) => &compiled.sets,
            _ => &[],
        }
    }

    /// The container ports that the endpoint declares.
    pub(super) fn declared(&self) -> &'e [ContainerPort] {
        match self.subject {
            Subject::Pod(pod, _) => &pod.class.ports,
            _ => &[],
        }
    }

    /// Returns true if the endpoint is the node that the pod runs on, or a host-network pod on that node.
    pub(super) fn is_node_of(&self, pod: &Pod) -> bool {
        let Some(home) = &pod.node else { return false };
        match self.subject {
            Subject::Node(node) => node.name == *home,
            Subject::HostPod(host_pod, _) => host_pod.node.as_ref() == Some(home),
            Subject::Pod(..) | Subject::Outside => false,
        }
    }
}
