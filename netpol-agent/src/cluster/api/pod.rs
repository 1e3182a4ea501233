//! A Pod as it is written.

use std::{net::IpAddr, sync::Arc};

use serde::Deserialize;

use super::{
    check::{At, Invalid, each, ip, port, port_name, protocol},
    metadata::ObjectMeta,
};
use crate::model::{self, ContainerPort, PodClass, PodPhase};

/// `v1` Pod.
#[derive(Debug, Deserialize)]
pub struct ApiPod {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Option<PodSpec>,
    #[serde(default)]
    status: Option<Status>,
}

/// The spec of a pod, in a pod or in a workload's template.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    host_network: Option<bool>,
    node_name: Option<String>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
}

impl PodSpec {
    /// Whether the pod lives in its node's network.
    pub(super) fn host_network(&self) -> bool {
        self.host_network.unwrap_or(false)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    ports: Option<Vec<Port>>,
    restart_policy: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    container_port: i64,
    #[serde(default)]
    protocol: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodIp {
    ip: Option<String>,
}

impl TryFrom<ApiPod> for model::Pod {
    type Error = Invalid;

    fn try_from(api: ApiPod) -> Result<Self, Invalid> {
        let (namespace, name) = (api.metadata.namespace()?, api.metadata.name()?);
        let spec = api.spec.unwrap_or_default();
        let host_network = spec.host_network();
        let node = spec.node_name.clone().filter(|node| !node.is_empty()).map(Arc::from);
        Ok(Self {
            key: format!("{namespace}/{name}").into(),
            uid: api.metadata.uid.as_deref().unwrap_or_default().into(),
            class: Arc::new(PodClass::new(namespace, api.metadata.labels()?, declared_ports(spec)?.into())),
            phase: phase(api.status.as_ref())?,
            ips: ips(api.status.unwrap_or_default())?.into(),
            host_network,
            node,
            workload: api.metadata.workload(),
            created: api.metadata.creation_timestamp,
            is_ending: api.metadata.deletion_timestamp.is_some(),
        })
    }
}

/// The ports that its containers declare. An init container that restarts runs beside the others and serves as they do.
pub(super) fn declared_ports(written: PodSpec) -> Result<Vec<ContainerPort>, Invalid> {
    let PodSpec { containers, init_containers, .. } = written;
    let spec = At::root("spec");
    let declared = |list: &str, containers: Option<Vec<Container>>, all: bool| {
        let lists = each(spec.key(list), containers.unwrap_or_default(), |container, at| {
            let serves = all || container.restart_policy.as_deref() == Some("Always");
            let ports = container.ports.filter(|_| serves).unwrap_or_default();
            each(at.key("ports"), ports, container_port)
        })?;
        Ok(lists.into_iter().flatten())
    };
    let mut ports: Vec<_> = declared("containers", containers, true)?
        .chain(declared("initContainers", init_containers, false)?)
        .collect();
    ports.sort();
    ports.dedup();
    Ok(ports)
}

fn container_port(api: Port, at: At<'_>) -> Result<ContainerPort, Invalid> {
    let name = api.name.filter(|name| !name.is_empty());
    Ok(ContainerPort {
        port: port(api.container_port, at.key("containerPort"))?,
        protocol: protocol(api.protocol.as_deref(), at.key("protocol"))?,
        name: name.map(|name| port_name(&name, at.key("name"))).transpose()?,
    })
}

/// A status that has no phase yet, as hand-written manifests have it, says by its address that the pod runs.
fn phase(status: Option<&Status>) -> Result<PodPhase, Invalid> {
    let Some(status) = status else { return Ok(PodPhase::Declared) };
    match status.phase.as_deref() {
        None | Some("") if status.pod_ip.is_some() || status.pod_ips.is_some() => Ok(PodPhase::Running),
        None | Some("" | "Pending") => Ok(PodPhase::Pending),
        Some("Running") => Ok(PodPhase::Running),
        Some("Succeeded") => Ok(PodPhase::Succeeded),
        Some("Failed") => Ok(PodPhase::Failed),
        Some("Unknown") => Ok(PodPhase::Unknown),
        Some(other) => {
            let reason = format!("{other:?} is no phase: use Pending, Running, Succeeded, Failed or Unknown");
            Err(At::root("status").key("phase").invalid(reason))
        }
    }
}

fn ips(status: Status) -> Result<Vec<IpAddr>, Invalid> {
    let root = At::root("status");
    let list = status.pod_ips.unwrap_or_default().into_iter().map(|entry| entry.ip);
    let mut ips = each(root.key("podIPs"), list.collect(), |text, at| {
        text.filter(|text| !text.is_empty()).map(|text| ip(&text, at.key("ip"))).transpose()
    })?;
    if let Some(text) = status.pod_ip.filter(|text| !text.is_empty()) {
        ips.push(Some(ip(&text, root.key("podIP"))?));
    }
    let mut ips: Vec<_> = ips.into_iter().flatten().collect();
    ips.sort();
    ips.dedup();
    Ok(ips)
}
