//! The input of the policy engine: a connection that is to be evaluated.
//!
//! Its source and destination may be pods, nodes or addresses.

use std::{net::IpAddr, sync::Arc};

use crate::model::{Node, Pod, Protocol};

/// A connection, in the direction in which it was opened. Reply packets belong to the same connection.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The peer that opened the connection.
    pub source: ConnectionPeer<'a>,
    /// The peer that the connection was opened to, after translation of a Service's address.
    pub destination: ConnectionPeer<'a>,
    /// The protocol.
    pub protocol: Protocol,
    /// The destination port, after translation. 0 if the protocol has no ports.
    pub port: u16,
    /// The candidates for the original destination address, if the connection was opened to a Service's address or
    /// came through a load balancer. One of them was used.
    pub via_service: Option<&'a [IpAddr]>,
}

/// The source or the destination of a connection.
#[derive(Clone, Copy, Debug)]
pub enum ConnectionPeer<'a> {
    /// A pod. The connection uses any of its addresses.
    Pod(&'a Arc<Pod>),
    /// A pod. The connection uses this one of its addresses.
    PodAt(&'a Arc<Pod>, IpAddr),
    /// The pod, the node or the peer outside the cluster that has the address.
    Ip(IpAddr),
    /// A node. The connection uses an address of the node that the API does not list.
    NodeAt(&'a Arc<Node>, IpAddr),
}

impl<'a> ConnectionPeer<'a> {
    /// The pod. `None` if the peer is given by an address or is a node.
    #[must_use]
    pub const fn pod(&self) -> Option<&'a Arc<Pod>> {
        match self {
            Self::Pod(pod) | Self::PodAt(pod, _) => Some(pod),
            Self::Ip(_) | Self::NodeAt(..) => None,
        }
    }

    /// The address. `None` if the peer is a pod with any of its addresses.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Pod(_) => None,
            Self::PodAt(_, ip) | Self::Ip(ip) | Self::NodeAt(_, ip) => Some(*ip),
        }
    }
}
