//! Creates the demo's pods, policies, servers and packet filter.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::folder;
use crate::netns::{Lab, Pod, PodSpec, Server};

/// The demo's cluster, before the agent starts. It is removed when this is dropped.
#[derive(Debug)]
pub struct DemoCluster {
    lab: Lab,
    manifests: TempDir,
    /// The servers. They listen until they are dropped.
    _servers: Vec<Server>,
}

impl DemoCluster {
    /// Creates the pods, starts their servers, loads the packet filter and writes the manifests.
    ///
    /// # Errors
    /// The process lacks root's capabilities, or `ip` or `nft` is missing.
    pub fn new() -> Result<Self> {
        let lab = Lab::new()?;
        for spec in specs() {
            lab.add_pod(spec)?;
        }
        let manifests = TempDir::with_prefix("netpol-demo-").context("making a folder for the manifests")?;
        write_manifests(&lab, manifests.path())?;
        load_filter(&lab)?;
        let servers = servers(&lab)?;
        Ok(Self { lab, manifests, _servers: servers })
    }

    /// The node and its pods.
    #[must_use]
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The folder with the cluster's manifests and the policies.
    #[must_use]
    pub fn manifests(&self) -> &Path {
        self.manifests.path()
    }

    /// The pod with this name. Names are unique across the demo's namespaces.
    pub(super) fn pod(&self, name: &str) -> Result<Pod> {
        pod(&self.lab, name)
    }
}

fn pod(lab: &Lab, name: &str) -> Result<Pod> {
    lab.pods()
        .into_iter()
        .find(|pod| pod.name() == name)
        .with_context(|| format!("the demo has no pod {name}"))
}

fn servers(lab: &Lab) -> Result<Vec<Server>> {
    Ok(vec![
        Server::tcp(pod(lab, "backend")?, 8080)?,
        Server::udp_sink(pod(lab, "backend")?, 514)?,
        Server::tcp(pod(lab, "database")?, 5432)?,
        Server::tcp(pod(lab, "redis")?, 6379)?,
        Server::udp(pod(lab, "dns")?, 53)?,
        Server::tcp(pod(lab, "dns")?, 53)?,
        Server::udp(pod(lab, "debug")?, 4444)?,
    ])
}

fn load_filter(lab: &Lab) -> Result<()> {
    let mut args = Vec::new();
    for pod in lab.pods() {
        args.extend(["--define".to_owned(), format!("{}={}", pod.name(), pod.ip())]);
    }
    args.extend(["--file".to_owned(), folder().join("enforcer.nft").display().to_string()]);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    lab.exec("nft", &args, "").context("loading the demo's packet filter").map(drop)
}

fn specs() -> [PodSpec; 6] {
    let shop = |name| PodSpec::new("shop", name).label("app", name);
    [
        shop("frontend"),
        shop("backend").port("http", 8080, "TCP").dual_stack(),
        shop("database").port("postgres", 5432, "TCP").dual_stack(),
        shop("redis").port("redis", 6379, "TCP"),
        PodSpec::new("kube-system", "dns").label("k8s-app", "kube-dns").port("dns", 53, "UDP"),
        PodSpec::new("tools", "debug").label("app", "debug"),
    ]
}

fn write_manifests(lab: &Lab, to: &Path) -> Result<()> {
    lab.write_manifests(to)?;
    let policies = folder().join("policies");
    let context = || format!("copying the policies in {}", policies.display());
    for entry in fs::read_dir(&policies).with_context(context)? {
        let entry = entry.with_context(context)?;
        fs::copy(entry.path(), to.join(entry.file_name())).with_context(context)?;
    }
    Ok(())
}
