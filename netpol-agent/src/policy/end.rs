//! One end of a connection, looked up.

use std::{net::IpAddr, sync::Arc};

use super::{
    note::{Note, Notes},
    peers::PeerId,
    profile::Profile,
    rule::Addresses,
};
use crate::model::{ContainerPort, Node, Pod};

/// One end of a connection, looked up.
#[derive(Clone, Copy, Debug)]
pub(super) struct End<'e> {
    pub(super) who: Who<'e>,
    pub(super) ips: Addresses<'e>,
    /// What the lookup has to say.
    pub(super) notes: Notes,
}

/// Who is at an end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Who<'e> {
    /// A pod that policies can select.
    Pod(&'e Arc<Pod>, &'e Profile),
    /// A pod in its node's network, and that node.
    HostPod(&'e Arc<Pod>, Option<&'e Node>),
    /// A node.
    Node(&'e Node),
    /// Anyone else.
    Outside,
}

impl<'e> End<'e> {
    pub(super) fn new(who: Who<'e>, ips: Addresses<'e>) -> Self {
        Self { who, ips, notes: Notes::default() }
    }

    /// A pod that no policy can select, for the reason in the note.
    pub(super) fn unselectable(ips: Addresses<'e>, note: Note) -> Self {
        let mut end = Self::new(Who::Outside, ips);
        end.notes.add(note);
        end
    }

    pub(super) fn at(ip: IpAddr, who: Who<'e>) -> Self {
        Self::new(who, Addresses::One(ip))
    }

    pub(super) fn pod(&self) -> Option<&'e Arc<Pod>> {
        match self.who {
            Who::Pod(pod, _) => Some(pod),
            _ => None,
        }
    }

    pub(super) fn is_host_pod(&self) -> bool {
        matches!(self.who, Who::HostPod(..))
    }

    /// The node whose address this end has.
    pub(super) fn node(&self) -> Option<&'e Node> {
        match self.who {
            Who::Node(node) => Some(node),
            Who::HostPod(_, node) => node,
            Who::Pod(..) | Who::Outside => None,
        }
    }

    pub(super) fn sets(&self) -> &'e [PeerId] {
        match self.who {
            Who::Pod(_, profile) => &profile.sets,
            _ => &[],
        }
    }

    /// The ports that it declares.
    pub(super) fn declared(&self) -> &'e [ContainerPort] {
        match self.who {
            Who::Pod(pod, _) => &pod.class.ports,
            _ => &[],
        }
    }

    /// Whether it is the node that the pod runs on, or a pod in that node's network.
    pub(super) fn hosts(&self, pod: &Pod) -> bool {
        let Some(home) = &pod.node else { return false };
        match self.who {
            Who::Node(node) => node.name == *home,
            Who::HostPod(host_pod, _) => host_pod.node.as_ref() == Some(home),
            Who::Pod(..) | Who::Outside => false,
        }
    }
}
