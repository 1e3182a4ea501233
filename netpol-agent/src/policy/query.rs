//! A connection to judge.

use std::{net::IpAddr, sync::Arc};

use crate::model::{Node, Pod, Protocol};

/// A connection, by who opened it. Replies belong to it.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Who opened it.
    pub source: ConnectionPeer<'a>,
    /// Who answers, after translation of a Service's address.
    pub destination: ConnectionPeer<'a>,
    /// Its protocol.
    pub protocol: Protocol,
    /// The destination's port, after translation; 0 where the protocol has none.
    pub port: u16,
    /// Where it was made to a Service's address, or came through a load balancer: the addresses of which one was used.
    pub via_service: Option<&'a [IpAddr]>,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub enum ConnectionPeer<'a> {
    /// A pod, by any of its addresses.
    Pod(&'a Arc<Pod>),
    /// A pod, by this address of its own.
    PodAt(&'a Arc<Pod>, IpAddr),
    /// Whoever has the address: a pod, a node, or someone outside.
    Ip(IpAddr),
    /// A node, by an address of its own that the API does not list.
    NodeAt(&'a Arc<Node>, IpAddr),
}

impl<'a> ConnectionPeer<'a> {
    /// The pod, where it is known to be one.
    #[must_use]
    pub const fn pod(&self) -> Option<&'a Arc<Pod>> {
        match self {
            Self::Pod(pod) | Self::PodAt(pod, _) => Some(pod),
            Self::Ip(_) | Self::NodeAt(..) => None,
        }
    }

    /// The address, where one is meant.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Pod(_) => None,
            Self::PodAt(_, ip) | Self::Ip(ip) | Self::NodeAt(_, ip) => Some(*ip),
        }
    }
}
