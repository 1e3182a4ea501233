//! A NetworkPolicy as it is written, and what its gaps mean.

use serde::Deserialize;

use super::{
    check::{At, Invalid, cidr, each, port, port_name, protocol},
    metadata::ObjectMeta,
    selector::ApiSelector,
};
use crate::model::{
    self, LabelSelector,
    network_policy::{IpBlock, Peer, PolicyTypes, Port, PortNumber, Rule},
};

/// `networking.k8s.io/v1` NetworkPolicy.
#[derive(Debug, Deserialize)]
pub struct ApiNetworkPolicy {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Option<Spec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Spec {
    pod_selector: Option<ApiSelector>,
    policy_types: Option<Vec<String>>,
    ingress: Option<Vec<IngressRule>>,
    egress: Option<Vec<EgressRule>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct IngressRule {
    from: Option<Vec<ApiPeer>>,
    ports: Option<Vec<WirePort>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EgressRule {
    to: Option<Vec<ApiPeer>>,
    ports: Option<Vec<WirePort>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ApiPeer {
    pod_selector: Option<ApiSelector>,
    namespace_selector: Option<ApiSelector>,
    ip_block: Option<ApiIpBlock>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiIpBlock {
    cidr: String,
    #[serde(default)]
    except: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WirePort {
    protocol: Option<String>,
    port: Option<IntOrName>,
    end_port: Option<i64>,
}

/// A number, or the name of a port.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "must be a port number, or a port name in quotes")]
pub(super) enum IntOrName {
    Int(i64),
    Name(String),
}

impl TryFrom<ApiNetworkPolicy> for model::NetworkPolicy {
    type Error = Invalid;

    fn try_from(api: ApiNetworkPolicy) -> Result<Self, Invalid> {
        let (namespace, name) = (api.metadata.namespace()?, api.metadata.name()?);
        let at = At::root("spec");
        let spec = api.spec.unwrap_or_default();
        let ingress = each(at.key("ingress"), spec.ingress.unwrap_or_default(), |rule, at| {
            checked_rule(rule.from, "from", rule.ports, at)
        })?;
        let egress = each(at.key("egress"), spec.egress.unwrap_or_default(), |rule, at| {
            checked_rule(rule.to, "to", rule.ports, at)
        })?;
        let written = spec.policy_types.filter(|types| !types.is_empty());
        let types = if written.is_some() { PolicyTypes::Written } else { PolicyTypes::Defaulted };
        let (has_ingress, has_egress) = match written {
            Some(written) => directions(&written, at.key("policyTypes"))?,
            None => (true, !egress.is_empty()),
        };
        Ok(Self {
            id: Self::reference(namespace.clone(), name),
            namespace,
            pods: optional(spec.pod_selector, at.key("podSelector"))?.unwrap_or_default(),
            ingress: has_ingress.then_some(ingress),
            egress: has_egress.then_some(egress),
            types,
        })
    }
}

/// Whether ingress and egress are among the types.
fn directions(types: &[String], at: At<'_>) -> Result<(bool, bool), Invalid> {
    if types.len() > 2 {
        return Err(at.invalid("at most two types: Ingress and Egress"));
    }
    for (i, name) in types.iter().enumerate() {
        if !matches!(name.as_str(), "Ingress" | "Egress") {
            return Err(at.index(i).invalid(format!("{name:?} is no policy type: use Ingress or Egress")));
        }
    }
    let has = |wanted: &str| types.iter().any(|name| name == wanted);
    Ok((has("Ingress"), has("Egress")))
}

fn checked_rule(
    peers: Option<Vec<ApiPeer>>,
    list: &str,
    ports: Option<Vec<WirePort>>,
    at: At<'_>,
) -> Result<Rule, Invalid> {
    Ok(Rule {
        peers: each(at.key(list), peers.unwrap_or_default(), checked_peer)?,
        ports: each(at.key("ports"), ports.unwrap_or_default(), checked_port)?,
    })
}

fn checked_peer(api: ApiPeer, at: At<'_>) -> Result<Peer, Invalid> {
    match (api.ip_block, api.namespace_selector, api.pod_selector) {
        (Some(block), None, None) => Ok(Peer::Block(checked_block(block, at.key("ipBlock"))?)),
        (Some(_), _, _) => Err(at
            .key("ipBlock")
            .invalid("must stand alone: give ipBlock and the selectors a list item each (they are ORed)")),
        (None, None, None) => Err(at.invalid(
            "a peer needs podSelector, namespaceSelector or ipBlock: leave the list out to mean everyone",
        )),
        (None, namespaces, pods) => Ok(Peer::Pods {
            namespaces: optional(namespaces, at.key("namespaceSelector"))?,
            pods: optional(pods, at.key("podSelector"))?.unwrap_or_default(),
        }),
    }
}

fn checked_block(api: ApiIpBlock, at: At<'_>) -> Result<IpBlock, Invalid> {
    let range = cidr(&api.cidr, at.key("cidr"))?;
    let mut except = each(at.key("except"), api.except.unwrap_or_default(), |text, at| {
        let hole = cidr(&text, at)?;
        if range.contains(&hole) && range.prefix_len() < hole.prefix_len() {
            return Ok(hole);
        }
        Err(at.invalid(format!("{text:?} must be a smaller range inside {:?}", api.cidr)))
    })?;
    except.sort();
    except.dedup();
    Ok(IpBlock { cidr: range, except })
}

fn checked_port(api: WirePort, at: At<'_>) -> Result<Port, Invalid> {
    let protocol = protocol(api.protocol.as_deref(), at.key("protocol"))?;
    let at_end = at.key("endPort");
    let number = match (api.port, api.end_port) {
        (None, None) => PortNumber::Any,
        (None, Some(_)) => return Err(at_end.invalid("needs `port`, the first port of the range")),
        (Some(IntOrName::Name(name)), None) => PortNumber::Named(port_name(&name, at.key("port"))?),
        (Some(IntOrName::Name(_)), Some(_)) => {
            return Err(at_end.invalid("goes with a numeric `port` only, not with a name"));
        }
        (Some(IntOrName::Int(first)), end) => {
            let first = port(first, at.key("port"))?;
            let last = end.map_or(Ok(first), |end| port(end, at_end))?;
            if last < first {
                return Err(at_end.invalid(format!("{last} is less than `port`, {first}")));
            }
            PortNumber::Range(first, last)
        }
    };
    Ok(Port { protocol, number })
}

fn optional(api: Option<ApiSelector>, at: At<'_>) -> Result<Option<LabelSelector>, Invalid> {
    api.map(|selector| selector.check(at)).transpose()
}
