//! What is measured: a lab with pods and a policy, with the agent or without.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use netpol_testkit::{
    agent::{Agent, Printing},
    netns::{Lab, Pod, PodSpec},
};
use tempfile::TempDir;

use crate::build;

/// Where the agent serves its metrics, inside the lab.
pub(super) const METRICS: &str = "127.0.0.1:9464";

/// A lab, and the manifests that the agent reads.
pub(super) struct Subject {
    pub(super) lab: Lab,
    pub(super) pods: Vec<Pod>,
    manifests: TempDir,
}

impl Subject {
    /// Makes so many pods, and a policy for them.
    pub(super) fn new(pods: usize, policy: &str) -> Result<Self> {
        let lab = Lab::new()?;
        let pod =
            |index: usize| lab.add_pod(PodSpec::new("bench", &format!("pod-{index}")).label("app", "bench"));
        let pods = (0..pods).map(pod).collect::<Result<Vec<_>>>()?;
        let manifests = TempDir::with_prefix("netpol-bench-").context("making a folder for the manifests")?;
        lab.write_manifests(manifests.path())?;
        write(&manifests.path().join("policy.yaml"), policy)?;
        Ok(Self { lab, pods, manifests })
    }

    /// Starts the agent as a DaemonSet does: metrics, and nothing printed.
    pub(super) fn agent(&self) -> Result<Agent> {
        let manifests = self.manifests.path().as_os_str();
        let args =
            ["run".as_ref(), "--manifests".as_ref(), manifests, "--metrics-addr".as_ref(), METRICS.as_ref()];
        Agent::start(&self.lab, &build::agent(), args, Printing::Kept)
    }

    /// Measures in turn without and with the agent, so that what else happens on the machine hits both alike.
    pub(super) fn pairs<T>(
        &self,
        count: usize,
        mut measure: impl FnMut(&Self, Option<&Agent>) -> Result<T>,
    ) -> Result<Vec<[T; 2]>> {
        let mut pairs = Vec::new();
        for _ in 0..count {
            let off = measure(self, None)?;
            let agent = self.agent()?;
            let on = measure(self, Some(&agent))?;
            agent.stop()?;
            pairs.push([off, on]);
        }
        Ok(pairs)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// A policy of the bench's namespace with these ingress rules, as YAML in one line.
pub(super) fn policy(ingress: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: bench
  namespace: bench
spec:
  podSelector: {{}}
  policyTypes: [Ingress]
  ingress: {ingress}
"
    )
}

/// A policy that admits the pods to each other's port.
pub(super) fn admitting(port: u16) -> String {
    policy(&format!("[{{from: [{{podSelector: {{}}}}], ports: [{{port: {port}}}]}}]"))
}
