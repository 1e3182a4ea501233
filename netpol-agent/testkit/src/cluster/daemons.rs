//! The daemons of a cluster, with their flags and configuration files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{
    BUSYBOX, Proxy,
    addresses::{Addresses, SERVICES},
    component::Component,
    credentials::Credentials,
    node::Node,
    programs::Programs,
};

const ETCD: &str = "http://127.0.0.1:2379";
const ETCD_PEERS: &str = "http://127.0.0.1:2380";

/// containerd's socket.
const CONTAINERD: &str = "unix:///run/containerd/containerd.sock";

/// The folder of CNI configurations, in memory on each node.
pub(super) const CNI: &str = "/etc/cni/net.d";

/// The properties of the cluster that the daemons need.
#[derive(Debug)]
pub(super) struct Plan {
    /// The cluster's name on the machine.
    pub(super) name: String,
    /// The folder with the cluster's state.
    pub(super) folder: PathBuf,
    pub(super) programs: Programs,
    pub(super) addresses: Addresses,
    pub(super) proxy: Proxy,
}

impl Plan {
    /// The URL of the API server.
    pub(super) fn url(&self) -> String {
        let [control, _] = self.addresses.node(1);
        format!("https://{control}:6443")
    }

    pub(super) fn credentials(&self) -> Credentials {
        Credentials::of(&self.folder)
    }

    /// The path of a node's control group, below the root of every hierarchy.
    pub(super) fn cgroup(&self, node: &str) -> String {
        format!("{}/{node}", self.name)
    }

    /// containerd, which needs no API.
    pub(super) fn containerd(&self, node: &Node) -> Result<Component> {
        let folders: Vec<_> = self.programs.cni().iter().map(|folder| format!("{folder:?}")).collect();
        // Without CAP_SYS_RESOURCE, as in some sandboxes, a process can't lower its OOM score.
        let text = format!(
            r#"version = 3
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{BUSYBOX}"
[plugins."io.containerd.cri.v1.runtime"]
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [{}]
conf_dir = "{CNI}"
"#,
            folders.join(", "),
        );
        let configuration = write(node.folder(), "containerd.toml", &text)?;
        Ok(Component::new("containerd", "containerd").flag("config", configuration))
    }

    /// What must run on the first node before the API can be used, in the order in which it is started.
    pub(super) fn control(&self) -> [Component; 2] {
        [self.etcd(), self.apiserver()]
    }

    /// The clients of the API that run on the first node alone.
    pub(super) fn controllers(&self) -> [Component; 2] {
        [self.controller_manager(), self.scheduler()]
    }

    fn etcd(&self) -> Component {
        Component::new("etcd", &self.programs.etcd).flags([
            ("data-dir", "/run/etcd"),
            ("unsafe-no-fsync", "true"),
            ("listen-client-urls", ETCD),
            ("advertise-client-urls", ETCD),
            ("listen-peer-urls", ETCD_PEERS),
            ("initial-advertise-peer-urls", ETCD_PEERS),
            ("initial-cluster", &format!("default={ETCD_PEERS}")),
        ])
    }

    fn apiserver(&self) -> Component {
        let credentials = self.credentials();
        let [control, _] = self.addresses.node(1);
        Component::new("kube-apiserver", self.programs.kubernetes.join("kube-apiserver"))
            .flags([
                ("etcd-servers", ETCD),
                ("advertise-address", &control.to_string()),
                ("secure-port", "6443"),
                ("service-cluster-ip-range", &SERVICES.join(",")),
                ("authorization-mode", "Node,RBAC"),
                ("enable-admission-plugins", "NodeRestriction"),
                ("allow-privileged", "true"),
                ("kubelet-preferred-address-types", "InternalIP"),
                ("service-account-issuer", "https://kubernetes.default.svc"),
            ])
            .flag("cert-dir", credentials.serving())
            .flag("token-auth-file", credentials.tokens())
            .flag("service-account-signing-key-file", credentials.key())
            .flag("service-account-key-file", credentials.key())
            .flag("kubelet-client-certificate", credentials.certificate())
            .flag("kubelet-client-key", credentials.key())
    }

    fn controller_manager(&self) -> Component {
        let credentials = self.credentials();
        self.client("kube-controller-manager")
            .flags([
                ("use-service-account-credentials", "true"),
                ("leader-elect", "false"),
                ("cert-dir", "/run/kube-controller-manager"),
                ("allocate-node-cidrs", "true"),
                ("cluster-cidr", &self.addresses.pods().join(",")),
                ("service-cluster-ip-range", &SERVICES.join(",")),
            ])
            .flag("authentication-kubeconfig", credentials.kubeconfig("kube-controller-manager"))
            .flag("authorization-kubeconfig", credentials.kubeconfig("kube-controller-manager"))
            .flag("service-account-private-key-file", credentials.key())
            .flag("root-ca-file", credentials.serving().join("apiserver.crt"))
    }

    fn scheduler(&self) -> Component {
        let credentials = self.credentials();
        self.client("kube-scheduler")
            .flags([("leader-elect", "false"), ("cert-dir", "/run/kube-scheduler")])
            .flag("authentication-kubeconfig", credentials.kubeconfig("kube-scheduler"))
            .flag("authorization-kubeconfig", credentials.kubeconfig("kube-scheduler"))
    }

    pub(super) fn kubelet(&self, node: &Node) -> Result<Component> {
        let name = node.name();
        let configuration = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": { "enabled": false },
                "webhook": { "enabled": false },
                "x509": { "clientCAFile": self.credentials().certificate() },
            },
            "authorization": { "mode": "AlwaysAllow" },
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{}", self.cgroup(&name)),
            "containerRuntimeEndpoint": CONTAINERD,
            // Machines with version 1 of control groups are as good for tests.
            "failCgroupV1": false,
            "failSwapOn": false,
            // Pods do not resolve names of the machine's network.
            "resolvConf": write(node.folder(), "resolv.conf", "")?,
            "evictionHard": { "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
            // There is no registry from which a removed image could be pulled again.
            "imageGCHighThresholdPercent": 100,
            "nodeStatusUpdateFrequency": "1s",
            "volumePluginDir": "/run/volume-plugins",
        });
        let configuration = write(node.folder(), "kubelet.json", &configuration.to_string())?;
        let addresses = node.addresses().map(|address| address.to_string());
        Ok(Component::new("kubelet", self.programs.kubernetes.join("kubelet"))
            .flag("kubeconfig", self.credentials().kubeconfig(&name))
            .flag("config", configuration)
            .flags([("hostname-override", &*name), ("node-ip", &addresses.join(","))]))
    }

    /// kube-proxy, unless the plugin takes its place.
    pub(super) fn kube_proxy(&self, node: &Node) -> Option<Component> {
        let mode = match self.proxy {
            Proxy::Iptables => "iptables",
            Proxy::Nftables => "nftables",
            Proxy::None => return None,
        };
        // The kernel allows only the machine's own network namespace to change conntrack settings.
        Some(self.client("kube-proxy").flags([
            ("proxy-mode", mode),
            ("cluster-cidr", &self.addresses.pods().join(",")),
            ("hostname-override", &node.name()),
            ("conntrack-max-per-core", "0"),
            ("conntrack-tcp-timeout-established", "0"),
            ("conntrack-tcp-timeout-close-wait", "0"),
        ]))
    }

    /// Creates a daemon for one of Kubernetes' programs, with its own kubeconfig.
    fn client(&self, name: &'static str) -> Component {
        let kubeconfig = self.credentials().kubeconfig(name);
        Component::new(name, self.programs.kubernetes.join(name)).flag("kubeconfig", kubeconfig)
    }
}

/// Writes a file into a folder. Returns its path.
pub(super) fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
