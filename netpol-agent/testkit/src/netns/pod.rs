//! The pods of a lab: their specification, and the running pod.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Deref,
    sync::Arc,
};

use super::Namespace;

/// Which address families a pod has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stack {
    /// IPv4 only.
    #[default]
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Dual,
}

/// The specification of a pod.
#[derive(Clone, Debug)]
pub struct PodSpec {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) ports: Vec<Port>,
    pub(super) stack: Stack,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) outside: bool,
    pub(super) bridged: bool,
}

/// A named container port in a pod's manifest.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) number: u16,
    pub(super) protocol: &'static str,
}

impl PodSpec {
    /// Specifies a pod with an IPv4 address, no labels and no named ports.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            labels: BTreeMap::new(),
            ports: Vec::new(),
            stack: Stack::V4,
            addresses: Vec::new(),
            outside: false,
            bridged: false,
        }
    }

    /// Specifies a host outside the cluster, on a veth of the node. It is in no manifest, and its addresses are not
    /// pod addresses.
    pub fn outside(name: &str) -> Self {
        Self { outside: true, ..Self::new("", name) }
    }

    /// Puts the addresses on a bridge that the veth's far end is a port of, as on the machine under a node in a
    /// container. The far end itself has none.
    #[must_use]
    pub fn bridged(self) -> Self {
        Self { bridged: true, ..self }
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds a named container port; `protocol` is `TCP`, `UDP` or `SCTP`.
    #[must_use]
    pub fn port(mut self, name: &str, number: u16, protocol: &'static str) -> Self {
        self.ports.push(Port { name: name.to_owned(), number, protocol });
        self
    }

    /// Sets the address families.
    #[must_use]
    pub fn stack(mut self, stack: Stack) -> Self {
        self.stack = stack;
        self
    }

    /// Sets both address families.
    #[must_use]
    pub fn dual_stack(self) -> Self {
        self.stack(Stack::Dual)
    }

    /// Sets an address instead of the next free one of its family, for example to reuse an address.
    #[must_use]
    pub fn address(mut self, address: impl Into<IpAddr>) -> Self {
        self.addresses.push(address.into());
        self
    }
}

/// A running pod: a network namespace on a veth pair of the node. Clones are the same pod.
///
/// A pod has all methods of a [`Namespace`].
#[derive(Clone, Debug)]
pub struct Pod {
    pub(super) inner: Arc<PodInner>,
}

#[derive(Debug)]
pub(super) struct PodInner {
    pub(super) spec: PodSpec,
    pub(super) uid: String,
    pub(super) ipv4: Option<Ipv4Addr>,
    pub(super) ipv6: Option<Ipv6Addr>,
    pub(super) host_ifname: String,
    pub(super) host_ifindex: u32,
    pub(super) mac: Mac,
    pub(super) host_mac: Mac,
    pub(super) netns: Namespace,
}

/// A link-layer address.
pub(super) type Mac = [u8; 6];

impl Pod {
    /// The interface inside the pod.
    pub const IFNAME: &str = "eth0";

    /// The bridge inside a host that is [bridged](PodSpec::bridged).
    pub(super) const BRIDGE: &str = "br0";

    /// The Kubernetes namespace.
    pub fn namespace(&self) -> &str {
        &self.inner.spec.namespace
    }

    /// The pod's name.
    pub fn name(&self) -> &str {
        &self.inner.spec.name
    }

    /// The pod's uid, as in its manifest.
    pub fn uid(&self) -> &str {
        &self.inner.uid
    }

    /// The pod's addresses, IPv4 first.
    pub fn ips(&self) -> Vec<IpAddr> {
        let ipv4 = self.ipv4().map(IpAddr::V4);
        ipv4.into_iter().chain(self.ipv6().map(IpAddr::V6)).collect()
    }

    /// The pod's first address.
    pub fn ip(&self) -> IpAddr {
        self.ipv4().map(IpAddr::V4).or(self.ipv6().map(IpAddr::V6)).unwrap_or(Ipv4Addr::UNSPECIFIED.into())
    }

    /// The IPv4 address, if it has one.
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        self.inner.ipv4
    }

    /// The IPv6 address, if it has one.
    pub fn ipv6(&self) -> Option<Ipv6Addr> {
        self.inner.ipv6
    }

    /// The name of the veth's host end.
    pub fn host_ifname(&self) -> &str {
        &self.inner.host_ifname
    }

    /// The index of the veth's host end, in the node's namespace.
    pub fn host_ifindex(&self) -> u32 {
        self.inner.host_ifindex
    }
}

impl Deref for Pod {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.inner.netns
    }
}

impl AsRef<Namespace> for Pod {
    fn as_ref(&self) -> &Namespace {
        &self.inner.netns
    }
}
