//! The daemons of a node, with their flags and configuration files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{BUSYBOX, Cni, Node, component::Component, credentials::Credentials, network::SERVICES};
use crate::{kubernetes, netns::Block};

const ETCD: &str = "http://127.0.0.1:2379";
const ETCD_PEERS: &str = "http://127.0.0.1:2380";

/// containerd's socket.
const CONTAINERD: &str = "unix:///run/containerd/containerd.sock";

/// The properties of the node that the daemons need.
pub(super) struct Plan<'a> {
    /// The folder with the node's state.
    pub(super) folder: &'a Path,
    /// The folder with Kubernetes' programs.
    pub(super) programs: &'a Path,
    /// The path of the node's control group, below the root of every hierarchy.
    pub(super) cgroup: &'a str,
    pub(super) block: &'a Block,
    pub(super) cni: Cni,
}

impl Plan<'_> {
    /// The URL of the API server.
    pub(super) fn url(&self) -> String {
        format!("https://{}:6443", self.block.node4())
    }

    /// The daemons that must run before the API can be used, in the order in which they are started.
    pub(super) fn foundation(&self) -> Result<[Component; 3]> {
        Ok([self.containerd()?, self.etcd()?, self.apiserver()])
    }

    /// The daemons that are clients of the API.
    pub(super) fn clients(&self) -> Result<[Component; 4]> {
        Ok([self.controller_manager(), self.scheduler(), self.kubelet()?, self.proxy()])
    }

    fn credentials(&self) -> Credentials {
        Credentials::of(self.folder)
    }

    /// Writes a file into the node's folder. Returns its path.
    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    fn containerd(&self) -> Result<Component> {
        let network = self.folder.join("cni");
        fs::create_dir_all(&network).with_context(|| format!("making {}", network.display()))?;
        self.write("cni/netpol.conflist", &self.cni.configuration(&self.block.pods4()).to_string())?;
        // Without CAP_SYS_RESOURCE, as in some sandboxes, a process can't lower its OOM score.
        let text = format!(
            r#"version = 2
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{}"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{}"
"#,
            BUSYBOX,
            network.display(),
        );
        let configuration = self.write("containerd.toml", &text)?;
        Ok(Component::new("containerd", "containerd").flag("config", configuration))
    }

    fn etcd(&self) -> Result<Component> {
        Ok(Component::new("etcd", kubernetes::etcd()?).flags([
            ("data-dir", "/run/etcd"),
            ("unsafe-no-fsync", "true"),
            ("listen-client-urls", ETCD),
            ("advertise-client-urls", ETCD),
            ("listen-peer-urls", ETCD_PEERS),
            ("initial-advertise-peer-urls", ETCD_PEERS),
            ("initial-cluster", &format!("default={ETCD_PEERS}")),
        ]))
    }

    fn apiserver(&self) -> Component {
        let credentials = self.credentials();
        Component::new("kube-apiserver", self.programs.join("kube-apiserver"))
            .flags([
                ("etcd-servers", ETCD),
                ("advertise-address", &self.block.node4().to_string()),
                ("secure-port", "6443"),
                ("service-cluster-ip-range", SERVICES),
                ("authorization-mode", "Node,RBAC"),
                ("enable-admission-plugins", "NodeRestriction"),
                ("allow-privileged", "true"),
                ("kubelet-preferred-address-types", "InternalIP"),
                ("service-account-issuer", "https://kubernetes.default.svc"),
                // The programs that are built here can't encode `endPort` in protobuf.
                ("storage-media-type", "application/json"),
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
                // This is the port without encryption.
                ("port", "0"),
            ])
            .flag("authentication-kubeconfig", credentials.kubeconfig("kube-controller-manager"))
            .flag("authorization-kubeconfig", credentials.kubeconfig("kube-controller-manager"))
            .flag("service-account-private-key-file", credentials.key())
            .flag("root-ca-file", credentials.serving().join("apiserver.crt"))
    }

    fn scheduler(&self) -> Component {
        let credentials = self.credentials();
        self.client("kube-scheduler")
            .flags([("leader-elect", "false"), ("port", "0")])
            .flag("authentication-kubeconfig", credentials.kubeconfig("kube-scheduler"))
            .flag("authorization-kubeconfig", credentials.kubeconfig("kube-scheduler"))
    }

    fn kubelet(&self) -> Result<Component> {
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
            "cgroupRoot": format!("/{}", self.cgroup),
            "failSwapOn": false,
            // Pods do not resolve names of the machine's network.
            "resolvConf": self.write("resolv.conf", "")?,
            "evictionHard": { "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
            // There is no registry from which a removed image could be pulled again.
            "imageGCHighThresholdPercent": 100,
        });
        let configuration = self.write("kubelet.json", &configuration.to_string())?;
        Ok(self.client("kubelet").flag("config", configuration).flags([
            ("container-runtime", "remote"),
            ("container-runtime-endpoint", CONTAINERD),
            ("hostname-override", Node::NAME),
            ("node-ip", &self.block.node4().to_string()),
            ("volume-plugin-dir", "/run/volume-plugins"),
        ]))
    }

    fn proxy(&self) -> Component {
        // The kernel allows only the machine's own network namespace to change conntrack settings.
        self.client("kube-proxy").flags([
            ("proxy-mode", "iptables"),
            ("cluster-cidr", &self.block.pods4()),
            ("hostname-override", Node::NAME),
            ("conntrack-max-per-core", "0"),
            ("conntrack-tcp-timeout-established", "0"),
            ("conntrack-tcp-timeout-close-wait", "0"),
        ])
    }

    /// Creates a daemon for one of Kubernetes' programs, with its own kubeconfig.
    fn client(&self, name: &'static str) -> Component {
        Component::new(name, self.programs.join(name)).flag("kubeconfig", self.credentials().kubeconfig(name))
    }
}
