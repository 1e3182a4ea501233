//! The lab: one node, and its pods.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Deref,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::net::if_::if_nametoindex;
use tempfile::TempDir;

use super::{
    Namespace, Pod, PodSpec, Stack,
    address::Block,
    manifest,
    pod::{Mac, PodInner},
};

/// One node: a network namespace that forwards between its pods and has its own packet filter.
///
/// A lab has all methods of a [`Namespace`], for the node's namespace. All methods take `&self`, so pods can be
/// created from several threads.
#[derive(Debug)]
pub struct Lab {
    netns: Namespace,
    /// A file for each pod's namespace, as container runtimes keep them in `/run/netns`.
    namespaces: TempDir,
    block: Block,
    serial: AtomicU16,
    outsiders: AtomicU16,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pods: BTreeMap<(String, String), Pod>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
}

/// The names and numbers of the two ends of a new pod's veth pair.
struct Wiring {
    host_ifname: String,
    mac: Mac,
    host_mac: Mac,
    ipv4: Option<Ipv4Addr>,
    ipv6: Option<Ipv6Addr>,
}

impl Lab {
    /// The node's name in manifests.
    pub const NODE: &str = "lab";

    /// Creates a node without pods.
    ///
    /// # Errors
    /// The process lacks root's capabilities, or `ip` is missing.
    pub fn new() -> Result<Self> {
        let lab = Self {
            netns: Namespace::new()?,
            namespaces: TempDir::with_prefix("netpol-netns-").context("making a folder for namespaces")?,
            block: Block::claim()?,
            serial: AtomicU16::new(0),
            outsiders: AtomicU16::new(0),
            state: Mutex::default(),
        };
        lab.sysctl("net/ipv4/ip_forward", "1")?;
        lab.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        Ok(lab)
    }

    /// The lab's number. No other lab on the machine has it at the same time.
    pub fn number(&self) -> u16 {
        self.block.index()
    }

    /// The node's IPv4 address.
    pub fn node_ipv4(&self) -> Ipv4Addr {
        self.block.node4()
    }

    /// The node's IPv6 address.
    pub fn node_ipv6(&self) -> Ipv6Addr {
        self.block.node6()
    }

    /// A folder with a file for each pod's namespace, as `/run/netns` of a node. Hosts outside the cluster have none.
    pub fn netns_dir(&self) -> &Path {
        self.namespaces.path()
    }

    /// The IPv4 network of the pods' addresses.
    pub fn pod_cidr4(&self) -> String {
        self.block.cidr4()
    }

    /// The IPv6 network of the pods' addresses.
    pub fn pod_cidr6(&self) -> String {
        self.block.cidr6()
    }

    /// Adds a label to a Kubernetes namespace, for [`Self::write_manifests`].
    pub fn label_namespace(&self, namespace: &str, key: &str, value: &str) {
        let mut state = self.state();
        state.namespaces.entry(namespace.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
    }

    /// Creates a pod as the CNI's `ptp` plugin does: the veth pair, the addresses inside the pod, and then the host
    /// end.
    ///
    /// # Errors
    /// A pod with that name exists, the lab has no free addresses, or `ip` fails.
    pub fn add_pod(&self, spec: PodSpec) -> Result<Pod> {
        self.add_pod_with(spec, |_| Ok(())).map(|(pod, ())| pod)
    }

    /// Like [`Self::add_pod`]. Runs `prepare` when the pod's namespace has its interface and addresses, and before a
    /// packet can get in or out.
    ///
    /// # Errors
    /// The same as for [`Self::add_pod`], and those of `prepare`.
    pub fn add_pod_with<T>(
        &self,
        spec: PodSpec,
        prepare: impl FnOnce(&Namespace) -> Result<T>,
    ) -> Result<(Pod, T)> {
        let key = (spec.namespace.clone(), spec.name.clone());
        ensure!(!self.state().pods.contains_key(&key), "pod {}/{} exists already", key.0, key.1);
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let wiring = self.wiring(&spec, serial)?;
        let netns = Namespace::new()?;
        let context = || format!("making pod {}/{}", spec.namespace, spec.name);
        if !spec.outside {
            symlink(netns.path(), self.netns_file(&wiring.host_ifname)).with_context(context)?;
        }
        netns.ip(&self.inner_end(&wiring, spec.bridged)).with_context(context)?;
        let prepared = prepare(&netns).with_context(context)?;
        self.netns.ip(&self.host_end(&wiring)).with_context(context)?;
        netns.wait_until_running(Pod::IFNAME).with_context(context)?;
        self.wait_until_running(&wiring.host_ifname).with_context(context)?;
        let host_ifindex = self.run(|| if_nametoindex(wiring.host_ifname.as_str()))?.with_context(context)?;
        let pod = Pod {
            inner: Arc::new(PodInner {
                uid: format!("00000000-0000-4000-8000-{:06x}{serial:06x}", self.block.index()),
                ipv4: wiring.ipv4,
                ipv6: wiring.ipv6,
                host_ifname: wiring.host_ifname,
                host_ifindex,
                mac: wiring.mac,
                host_mac: wiring.host_mac,
                netns,
                spec,
            }),
        };
        let mut state = self.state();
        if !pod.inner.spec.outside {
            state.namespaces.entry(key.0.clone()).or_default();
        }
        state.pods.insert(key, pod.clone());
        Ok((pod, prepared))
    }

    /// Removes a pod. Its interface is removed at once. Its namespace is removed with the last clone of `pod` and the
    /// last socket in it.
    ///
    /// # Errors
    /// The pod's interface does not exist any more.
    pub fn delete_pod(&self, pod: &Pod) -> Result<()> {
        self.state().pods.remove(&(pod.namespace().to_owned(), pod.name().to_owned()));
        if !pod.inner.spec.outside {
            fs::remove_file(self.netns_file(pod.host_ifname())).context("removing a pod's namespace")?;
        }
        self.ip(&format!("link del {}\n", pod.host_ifname())).map(drop)
    }

    /// The current pods, sorted by namespace and name. Hosts outside the cluster are not included.
    pub fn pods(&self) -> Vec<Pod> {
        self.state().pods.values().filter(|pod| !pod.inner.spec.outside).cloned().collect()
    }

    /// Writes the node, the namespaces and the pods as Kubernetes manifests to `lab.yaml` in `folder`. The file is
    /// replaced atomically.
    ///
    /// # Errors
    /// The folder can't be written to.
    pub fn write_manifests(&self, folder: &Path) -> Result<()> {
        let pods = self.pods();
        let node = manifest::NodeObject {
            name: Self::NODE,
            ips: [self.node_ipv4().into(), self.node_ipv6().into()],
            cidrs: [self.pod_cidr4(), self.pod_cidr6()],
        };
        let text = manifest::render(&node, &self.state().namespaces, &pods);
        manifest::replace(&folder.join("lab.yaml"), &text)
    }

    fn netns_file(&self, host_ifname: &str) -> PathBuf {
        self.namespaces.path().join(format!("cni-{host_ifname}"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wiring(&self, spec: &PodSpec, serial: u16) -> Result<Wiring> {
        if serial >= Block::PODS {
            bail!("the lab has no addresses left: a lab makes at most {} pods in its life", Block::PODS);
        }
        let (ipv4, ipv6) = self.addresses(spec, serial)?;
        let [high, low] = self.block.index().to_be_bytes();
        let [upper, lower] = serial.to_be_bytes();
        let prefix = if spec.outside { "uplink" } else { "veth" };
        Ok(Wiring {
            // The names are as long and as meaningless as the names that CNI plugins use.
            host_ifname: format!("{prefix}{:08x}", mix(u32::from_be_bytes([high, low, upper, lower]))),
            mac: [0x0a, 0x58, high, low, upper, lower],
            host_mac: [0x0a, 0x59, high, low, upper, lower],
            ipv4,
            ipv6,
        })
    }

    fn addresses(&self, spec: &PodSpec, serial: u16) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>)> {
        let mut ipv4 = None;
        let mut ipv6 = None;
        for address in &spec.addresses {
            match address {
                IpAddr::V4(address) => ipv4 = Some(*address),
                IpAddr::V6(address) => ipv6 = Some(*address),
            }
        }
        if !spec.addresses.is_empty() {
            return Ok((ipv4, ipv6));
        }
        let (next4, next6) = if spec.outside {
            let serial = self.outsiders.fetch_add(1, Ordering::Relaxed);
            ensure!(serial < Block::OUTSIDERS, "a lab has at most {} outsiders", Block::OUTSIDERS);
            (self.block.outside4(serial), self.block.outside6(serial))
        } else {
            (self.block.pod4(serial), self.block.pod6(serial))
        };
        Ok(match spec.stack {
            Stack::V4 => (Some(next4), None),
            Stack::V6 => (None, Some(next6)),
            Stack::Dual => (Some(next4), Some(next6)),
        })
    }

    /// The `ip` commands inside the pod.
    fn inner_end(&self, wiring: &Wiring, bridged: bool) -> String {
        let (end, host) = (Pod::IFNAME, &wiring.host_ifname);
        let mut lines = format!(
            "link add {end} address {} type veth peer name {host} address {} netns {}\n",
            mac(wiring.mac),
            mac(wiring.host_mac),
            self.path().display(),
        );
        let dev = if bridged {
            let bridge = Pod::BRIDGE;
            let _ = writeln!(lines, "link add {bridge} type bridge mcast_snooping 0");
            let _ = writeln!(lines, "link set {end} master {bridge} addrgenmode none up");
            bridge
        } else {
            end
        };
        let mut add = |own: String, node: String, length: u8| {
            let nodad = if length == 128 { " nodad" } else { "" };
            let _ = writeln!(lines, "addr add {own}/{length} dev {dev}{nodad}");
            let _ = writeln!(lines, "link set {dev} up");
            let _ = writeln!(lines, "route add {node}/{length} dev {dev}");
            let _ = writeln!(lines, "route add default via {node} dev {dev}");
        };
        if let Some(own) = wiring.ipv4 {
            add(own.to_string(), self.node_ipv4().to_string(), 32);
        }
        if let Some(own) = wiring.ipv6 {
            add(own.to_string(), self.node_ipv6().to_string(), 128);
        }
        lines
    }

    /// The `ip` commands for the host end.
    fn host_end(&self, wiring: &Wiring) -> String {
        let dev = &wiring.host_ifname;
        let mut lines = format!("link set {dev} up\n");
        if let Some(pod) = wiring.ipv4 {
            let node = self.node_ipv4();
            let _ = writeln!(lines, "addr add {node}/32 dev {dev}");
            let _ = writeln!(lines, "route add {pod}/32 dev {dev} src {node}");
        }
        if let Some(pod) = wiring.ipv6 {
            let node = self.node_ipv6();
            let _ = writeln!(lines, "addr add {node}/128 dev {dev} nodad");
            let _ = writeln!(lines, "route add {pod}/128 dev {dev} src {node}");
        }
        lines
    }
}

impl Deref for Lab {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.netns
    }
}

impl AsRef<Namespace> for Lab {
    fn as_ref(&self) -> &Namespace {
        &self.netns
    }
}

fn mac(mac: Mac) -> String {
    let bytes: Vec<_> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}

/// Spreads a number over 32 bits, one to one (the finalizer of MurmurHash3).
fn mix(mut number: u32) -> u32 {
    number ^= number >> 16;
    number = number.wrapping_mul(0x85eb_ca6b);
    number ^= number >> 13;
    number = number.wrapping_mul(0xc2b2_ae35);
    number ^ (number >> 16)
}
