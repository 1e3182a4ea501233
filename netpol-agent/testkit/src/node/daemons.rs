//! The daemons of a node, and what they are told.

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

/// Where containerd listens.
const CONTAINERD: &str = "unix:///run/containerd/containerd.sock";

/// What the daemons have to know of the node.
pub(super) struct Plan<'a> {
    /// With the node's state.
    pub(super) folder: &'a Path,
    /// With Kubernetes' programs.
    pub(super) programs: &'a Path,
    /// Below the root of every hierarchy.
    pub(super) cgroup: &'a str,
    pub(super) block: &'a Block,
    pub(super) cni: Cni,
}

impl Plan<'_> {
    /// Where the API server listens.
    pub(super) fn url(&self) -> String {
        format!("https://{}:6443", self.block.node4())
    }

    /// What has to run before anything can talk to the API, in the order of starting.
    pub(super) fn foundation(&self) -> Result<[Component; 3]> {
        Ok([self.containerd()?, self.etcd()?, self.apiserver()])
    }

    /// The clients of the API.
    pub(super) fn clients(&self) -> Result<[Component; 4]> {
        Ok([self.controller_manager(), self.scheduler(), self.kubelet()?, self.proxy()])
    }

    fn credentials(&self) -> Credentials {
        Credentials::of(self.folder)
    }

    /// Writes a file into the node's folder; returns its path.
    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    fn containerd(&self) -> Result<Component> {
        let network = self.folder.join("cni");
        fs::create_dir_all(&network).with_context(|| format!("making {}", network.display()))?;
        self.write("cni/netpol.conflist", &self.cni.configuration(&self.block.pods4()).to_string())?;
        // Without CAP_SYS_RESOURCE, as in some sandboxes, no process can be made less likely to be killed for memory.
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
                // The programs that are built here have no protobuf form for `endPort`.
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
                // The one without encryption.
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
            // No pod looks up names of the machine's network.
            "resolvConf": self.write("resolv.conf", "")?,
            "evictionHard": { "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
            // There is no registry to get an image from again.
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
        // The kernel lets only the machine's own network namespace change what it tracks.
        self.client("kube-proxy").flags([
            ("proxy-mode", "iptables"),
            ("cluster-cidr", &self.block.pods4()),
            ("hostname-override", Node::NAME),
            ("conntrack-max-per-core", "0"),
            ("conntrack-tcp-timeout-established", "0"),
            ("conntrack-tcp-timeout-close-wait", "0"),
        ])
    }

    /// One of Kubernetes' programs, with a kubeconfig of its own.
    fn client(&self, name: &'static str) -> Component {
        Component::new(name, self.programs.join(name)).flag("kubeconfig", self.credentials().kubeconfig(name))
    }
}
