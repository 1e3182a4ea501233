//! A Node as it is written.

use serde::Deserialize;

use super::{
    check::{At, Invalid, cidr},
    metadata::ObjectMeta,
};
use crate::model;

/// `v1` Node.
#[derive(Debug, Deserialize)]
pub struct ApiNode {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Option<Spec>,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Debug, Deserialize)]
struct Spec {
    #[serde(rename = "podCIDR", default)]
    pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs", default)]
    pod_cidrs: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Status {
    #[serde(default)]
    addresses: Option<Vec<Address>>,
}

#[derive(Debug, Deserialize)]
struct Address {
    address: String,
}

impl TryFrom<ApiNode> for model::Node {
    type Error = Invalid;

    fn try_from(api: ApiNode) -> Result<Self, Invalid> {
        let spec = At::root("spec");
        let mut pod_cidrs = Vec::new();
        if let Some(written) = api.spec {
            for text in written.pod_cidrs.into_iter().flatten().chain(written.pod_cidr) {
                pod_cidrs.push(cidr(&text, spec.key("podCIDRs"))?);
            }
        }
        pod_cidrs.sort();
        pod_cidrs.dedup();
        let addresses = api.status.and_then(|status| status.addresses).unwrap_or_default();
        // Host names and DNS names stand in the same list.
        let ips = addresses.iter().filter_map(|entry| entry.address.parse().ok());
        Ok(Self {
            name: api.metadata.name()?,
            labels: api.metadata.labels()?,
            ips: ips.map(|ip: std::net::IpAddr| ip.to_canonical()).collect(),
            pod_cidrs: pod_cidrs.into(),
        })
    }
}
