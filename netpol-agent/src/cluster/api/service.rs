//! A Service as it is written.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Deserialize;

use super::{
    check::{At, Invalid, each, port, protocol},
    metadata::ObjectMeta,
    network_policy::IntOrName,
};
use crate::model::{
    self,
    object::{Exposure, ServicePort, TargetPort},
};

/// `v1` Service.
#[derive(Debug, Deserialize)]
pub struct ApiService {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Option<Spec>,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    #[serde(rename = "externalIPs")]
    external_ips: Option<Vec<String>>,
    selector: Option<BTreeMap<String, Option<String>>>,
    ports: Option<Vec<Port>>,
    internal_traffic_policy: Option<String>,
    external_traffic_policy: Option<String>,
    load_balancer_source_ranges: Option<Vec<String>>,
    #[serde(rename = "type")]
    type_: Option<String>,
}

impl Spec {
    /// How it is reached from outside of the cluster, and whose address its pods then see.
    fn exposure(&self) -> Exposure {
        let is_external = self.external_ips.as_ref().is_some_and(|ips| !ips.is_empty())
            || matches!(self.type_.as_deref(), Some("NodePort" | "LoadBalancer"));
        match (is_external, self.external_traffic_policy.as_deref()) {
            (false, _) => Exposure::Inside,
            (true, Some("Local")) => Exposure::KeepsSource,
            (true, _) => Exposure::NodeTakesSource,
        }
    }

    /// Service proxies drop what these keep out (KEP-2086 for the traffic policies).
    fn is_choosy(&self) -> bool {
        let policies = [&self.internal_traffic_policy, &self.external_traffic_policy];
        policies.into_iter().any(|policy| policy.as_deref() == Some("Local"))
            || self.load_balancer_source_ranges.as_ref().is_some_and(|ranges| !ranges.is_empty())
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    #[serde(default)]
    name: Option<String>,
    port: i64,
    #[serde(default)]
    node_port: Option<i64>,
    #[serde(default)]
    protocol: Option<String>,
    #[serde(default)]
    target_port: Option<IntOrName>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    load_balancer: Option<LoadBalancer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    ingress: Option<Vec<LoadBalancerIngress>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoadBalancerIngress {
    ip: Option<String>,
}

impl TryFrom<ApiService> for model::Service {
    type Error = Invalid;

    fn try_from(api: ApiService) -> Result<Self, Invalid> {
        let spec = At::root("spec");
        let written = api.spec.unwrap_or_default();
        let is_choosy = written.is_choosy();
        let exposure = written.exposure();
        let is_headless = written.cluster_ip.as_deref() == Some("None");
        let balancer = api.status.unwrap_or_default().load_balancer.unwrap_or_default();
        let cluster_ips = addresses(written.cluster_ips.into_iter().flatten().chain(written.cluster_ip));
        let balanced = balancer.ingress.into_iter().flatten().filter_map(|entry| entry.ip);
        let mut ips = addresses(written.external_ips.into_iter().flatten().chain(balanced));
        ips.extend(&cluster_ips);
        ips.sort();
        ips.dedup();
        let selector = written.selector.filter(|selector| !selector.is_empty());
        let selector =
            selector.map(|pairs| pairs.into_iter().map(|(k, v)| (k, v.unwrap_or_default())).collect());
        let (namespace, name) = (api.metadata.namespace()?, api.metadata.name()?);
        Ok(Self {
            key: format!("{namespace}/{name}").into(),
            namespace,
            ips: ips.into(),
            cluster_ips: cluster_ips.into(),
            is_choosy,
            exposure,
            is_headless,
            selector,
            ports: each(spec.key("ports"), written.ports.unwrap_or_default(), service_port)?.into(),
        })
    }
}

/// Sorted. A headless Service's address is the word "None".
fn addresses(texts: impl Iterator<Item = String>) -> Vec<IpAddr> {
    let mut ips: Vec<IpAddr> = texts.filter_map(|text| text.parse().ok()).collect();
    ips.iter_mut().for_each(|ip| *ip = ip.to_canonical());
    ips.sort();
    ips.dedup();
    ips
}

fn service_port(api: Port, at: At<'_>) -> Result<ServicePort, Invalid> {
    let number = port(api.port, at.key("port"))?;
    let target = match api.target_port {
        None | Some(IntOrName::Int(0)) => TargetPort::Number(number),
        Some(IntOrName::Int(target)) => TargetPort::Number(port(target, at.key("targetPort"))?),
        Some(IntOrName::Name(name)) => TargetPort::Named(name.into()),
    };
    let node_port = api.node_port.filter(|number| *number != 0);
    Ok(ServicePort {
        name: api.name.filter(|name| !name.is_empty()).map(Into::into),
        port: number,
        node_port: node_port.map(|number| port(number, at.key("nodePort"))).transpose()?,
        protocol: protocol(api.protocol.as_deref(), at.key("protocol"))?,
        target,
    })
}
