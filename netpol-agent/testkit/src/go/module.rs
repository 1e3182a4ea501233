//! The Go modules whose programs the test kit needs.

use std::{hash::Hasher as _, path::PathBuf};

use anyhow::{Context as _, Result};
use fnv::FnvHasher;

use super::{build, compiler::Go};
use crate::cache;

const RECIPE: &str = include_str!("build.rs");

macro_rules! modules {
    ($($(#[doc = $doc:literal])* $variant:ident $folder:literal,)*) => {
        /// A Go module of the test kit's own, with the programs that it lists as tools.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Module {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Module {
            /// The module's name: its folder in `netpol-agent/testkit/go`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $folder,)*
                }
            }

            /// Its `go.mod` and `go.sum`.
            pub(super) fn files(self) -> [(&'static str, &'static str); 2] {
                match self {
                    $(Self::$variant => [
                        ("go.mod", include_str!(concat!("../../go/", $folder, "/go.mod"))),
                        ("go.sum", include_str!(concat!("../../go/", $folder, "/go.sum"))),
                    ],)*
                }
            }
        }
    };
}

modules! {
    /// kube-apiserver, kube-controller-manager, kube-proxy, kube-scheduler, kubectl and kubelet.
    Kubernetes "kubernetes",
    /// containerd, its shim for runc, and ctr.
    Containerd "containerd",
    /// etcd.
    Etcd "etcd",
    /// flannel's daemon.
    Flannel "flannel",
    /// flannel's CNI plugin.
    FlannelCni "flannel-cni",
    /// kube-router.
    KubeRouter "kube-router",
    /// kube-network-policies.
    KubeNetworkPolicies "kube-network-policies",
    /// Cilium's agent, operator and CNI plugin, and the sources of its eBPF programs.
    Cilium "cilium",
}

impl Module {
    /// The folder with the module's programs. They are built once for all checkouts of this user. Other callers wait
    /// meanwhile.
    ///
    /// # Errors
    /// Go is missing or too old, a module can't be fetched, or the build fails. The error has the end of Go's output.
    pub fn built(self) -> Result<PathBuf> {
        let name = self.name();
        cache::find_or_make(&format!("{name}-{:016x}", self.hash()), |folder, work| {
            let go = Go::find()?;
            let log = folder.with_extension("log");
            eprintln!("    building {name} from its Go module, once ({})", log.display());
            build::Build { module: self, go: &go, work, log: &log }.into(folder)
        })
        .with_context(|| format!("building {name}"))
    }

    /// The hash of the recipe: with it, an old build is not taken for a new one (FNV-1a, 64 bits).
    fn hash(self) -> u64 {
        let mut hasher = FnvHasher::default();
        hasher.write(RECIPE.as_bytes());
        for (_, text) in self.files() {
            hasher.write(text.as_bytes());
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_and_its_parts_have_one_version() {
        let [(_, text), _] = Module::Kubernetes.files();
        let version = build::version(text, "k8s.io/kubernetes").unwrap();
        let minor = version.strip_prefix("v1.").unwrap();
        let parts: Vec<_> = text.lines().filter(|line| line.contains("=>")).collect();
        assert_eq!(parts.len(), 33);
        for part in parts {
            assert!(part.ends_with(&format!(" v0.{minor}")), "{part} is not of {version}");
        }
    }
}
