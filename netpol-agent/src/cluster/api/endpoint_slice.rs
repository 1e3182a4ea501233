//! An EndpointSlice as it is written: `v1` and `v1beta1` do not differ in what is read.

use serde::Deserialize;

use super::{
    check::{At, Invalid, ip, port, protocol},
    metadata::ObjectMeta,
};
use crate::model::{self, object::EndpointPort};

/// The label that names the Service.
const SERVICE: &str = "kubernetes.io/service-name";

/// `discovery.k8s.io` EndpointSlice.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiEndpointSlice {
    metadata: ObjectMeta,
    address_type: String,
    #[serde(default)]
    endpoints: Option<Vec<Endpoint>>,
    #[serde(default)]
    ports: Option<Vec<Port>>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    addresses: Vec<String>,
    #[serde(default)]
    conditions: Option<Conditions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Port {
    name: Option<String>,
    port: Option<i64>,
    protocol: Option<String>,
}

impl TryFrom<ApiEndpointSlice> for model::EndpointSlice {
    type Error = Invalid;

    fn try_from(api: ApiEndpointSlice) -> Result<Self, Invalid> {
        let (namespace, name) = (api.metadata.namespace()?, api.metadata.name()?);
        // A slice without a Service belongs to none: the API has its name as the empty one.
        let labels = api.metadata.labels()?;
        let service = labels.get(SERVICE).unwrap_or_default();
        // Domain names come in slices of their own.
        let is_ip = matches!(api.address_type.as_str(), "IPv4" | "IPv6" | "IP");
        let endpoints = api.endpoints.filter(|_| is_ip).unwrap_or_default();
        let ready = endpoints.into_iter().filter(|endpoint| {
            endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false)
        });
        let addresses = ready.flat_map(|endpoint| endpoint.addresses);
        let at = At::root("endpoints");
        Ok(Self {
            key: format!("{namespace}/{name}").into(),
            service: format!("{namespace}/{service}").into(),
            // The server does not look at all of these, and nobody can be reached at what is no address or no port.
            ready: addresses.filter_map(|text| ip(&text, at).ok()).collect(),
            ports: api.ports.unwrap_or_default().into_iter().filter_map(endpoint_port).collect(),
        })
    }
}

fn endpoint_port(api: Port) -> Option<EndpointPort> {
    let at = At::root("ports");
    Some(EndpointPort {
        name: api.name.filter(|name| !name.is_empty()).map(Into::into),
        port: port(api.port?, at).ok()?,
        protocol: protocol(api.protocol.as_deref(), at).ok()?,
    })
}
