//! A ClusterNetworkPolicy as it is written.

use serde::Deserialize;

use super::{
    check::{At, Invalid, each, port, port_name},
    metadata::ObjectMeta,
    peer::{ApiPeer, ApiSubject, MAX_ITEMS, at_most, limited},
};
use crate::model::{
    ClusterPolicy, PolicyKind, PolicyRef, Protocol,
    cluster_policy::{Action, Tier, TierPeer, TierPort, TierRule},
    network_policy::{Port, PortNumber},
};

/// `policy.networking.k8s.io/v1alpha2` ClusterNetworkPolicy; `v1beta1` has the same fields.
#[derive(Debug, Deserialize)]
pub struct ApiClusterNetworkPolicy {
    metadata: ObjectMeta,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    tier: String,
    priority: i64,
    subject: ApiSubject,
    #[serde(default)]
    ingress: Option<Vec<IngressRule>>,
    #[serde(default)]
    egress: Option<Vec<EgressRule>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IngressRule {
    #[serde(default)]
    name: Option<String>,
    action: String,
    #[serde(default)]
    from: Option<Vec<ApiPeer>>,
    #[serde(default)]
    protocols: Option<Vec<WireProtocol>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EgressRule {
    #[serde(default)]
    name: Option<String>,
    action: String,
    #[serde(default)]
    to: Option<Vec<ApiPeer>>,
    #[serde(default)]
    protocols: Option<Vec<WireProtocol>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WireProtocol {
    tcp: Option<WirePorts>,
    udp: Option<WirePorts>,
    sctp: Option<WirePorts>,
    destination_named_port: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WirePorts {
    destination_port: Option<WirePort>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WirePort {
    number: Option<i64>,
    range: Option<ApiRange>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiRange {
    #[serde(default)]
    pub(super) protocol: Option<String>,
    pub(super) start: i64,
    pub(super) end: i64,
}

impl TryFrom<ApiClusterNetworkPolicy> for ClusterPolicy {
    type Error = Invalid;

    fn try_from(api: ApiClusterNetworkPolicy) -> Result<Self, Invalid> {
        let name = api.metadata.name()?;
        let at = At::root("spec");
        let ingress = at_most(api.spec.ingress, MAX_ITEMS, at.key("ingress"))?;
        let egress = at_most(api.spec.egress, MAX_ITEMS, at.key("egress"))?;
        Ok(Self {
            id: PolicyRef { kind: PolicyKind::ClusterNetworkPolicy, namespace: None, name },
            tier: tier(&api.spec.tier, at.key("tier"))?,
            priority: priority(api.spec.priority, at.key("priority"))?,
            subject: api.spec.subject.check(at.key("subject"))?,
            ingress: each(at.key("ingress"), ingress, |rule, at| {
                let parts = (rule.name, rule.action, rule.from, rule.protocols);
                checked_rule(parts, "from", at)
            })?,
            egress: each(at.key("egress"), egress, |rule, at| {
                let parts = (rule.name, rule.action, rule.to, rule.protocols);
                checked_rule(parts, "to", at)
            })?,
        })
    }
}

type Parts = (Option<String>, String, Option<Vec<ApiPeer>>, Option<Vec<WireProtocol>>);

fn checked_rule(
    (name, action, peers, protocols): Parts,
    list: &str,
    at: At<'_>,
) -> Result<TierRule, Invalid> {
    let action = match action.as_str() {
        "Accept" => Action::Accept,
        "Deny" => Action::Deny,
        "Pass" => Action::Pass,
        other => {
            return Err(at
                .key("action")
                .invalid(format!("{other:?} is no action: use Accept, Deny or Pass")));
        }
    };
    let peers = limited(peers.unwrap_or_default(), MAX_ITEMS, at.key(list))?;
    let peers = each(at.key(list), peers, ApiPeer::check)?;
    let ports = protocols
        .map(|protocols| {
            let at = at.key("protocols");
            each(at, limited(protocols, MAX_ITEMS, at)?, checked_protocol)
        })
        .transpose()?;
    let rule = TierRule { name: name.map(Into::into), action, peers, ports };
    sound(&rule, list, at)?;
    Ok(rule)
}

/// What only makes sense together: the checks between a rule's fields.
pub(super) fn sound(rule: &TierRule, list: &str, at: At<'_>) -> Result<(), Invalid> {
    let at_peers = at.key(list);
    let named = rule.ports.iter().flatten().any(|port| matches!(port, TierPort::Named(_)));
    for (i, peer) in rule.peers.iter().enumerate() {
        let outside = matches!(peer, TierPeer::Networks(_) | TierPeer::Nodes(_) | TierPeer::DomainNames(_));
        let at = at_peers.index(i);
        if outside && list == "from" {
            return Err(at.invalid("networks, nodes and domainNames are for egress rules only"));
        }
        if outside && named {
            return Err(
                at.invalid("a named port goes with pods only: networks, nodes and domain names have none")
            );
        }
        if matches!(peer, TierPeer::DomainNames(_)) && !matches!(rule.action, Action::Accept | Action::Allow)
        {
            return Err(at.key("domainNames").invalid("domain names are for accepting rules only"));
        }
    }
    Ok(())
}

fn checked_protocol(api: WireProtocol, at: At<'_>) -> Result<TierPort, Invalid> {
    let numbered = |key: &'static str, protocol, api: WirePorts| {
        let at = at.key(key);
        let number = checked_port(api.destination_port, at.key("destinationPort"))?;
        Ok(TierPort::Port(Port { protocol, number }))
    };
    match (api.tcp, api.udp, api.sctp, api.destination_named_port) {
        (Some(ports), None, None, None) => numbered("tcp", Protocol::Tcp, ports),
        (None, Some(ports), None, None) => numbered("udp", Protocol::Udp, ports),
        (None, None, Some(ports), None) => numbered("sctp", Protocol::Sctp, ports),
        (None, None, None, Some(name)) => {
            Ok(TierPort::Named(port_name(&name, at.key("destinationNamedPort"))?))
        }
        _ => Err(at.invalid("needs exactly one of tcp, udp, sctp and destinationNamedPort")),
    }
}

fn checked_port(api: Option<WirePort>, at: At<'_>) -> Result<PortNumber, Invalid> {
    match api.map(|port| (port.number, port.range)) {
        Some((Some(number), None)) => {
            let number = port(number, at.key("number"))?;
            Ok(PortNumber::Range(number, number))
        }
        Some((None, Some(ends))) => range(&ends, at.key("range")),
        Some(_) => Err(at.invalid("needs exactly one of `number` and `range`")),
        None => Err(at.invalid("is needed (leave `protocols` out to mean all)")),
    }
}

pub(super) fn range(api: &ApiRange, at: At<'_>) -> Result<PortNumber, Invalid> {
    let (start, end) = (port(api.start, at.key("start"))?, port(api.end, at.key("end"))?);
    if start < end {
        return Ok(PortNumber::Range(start, end));
    }
    Err(at.key("end").invalid(format!("{end} must be greater than `start`, {start}")))
}

fn tier(text: &str, at: At<'_>) -> Result<Tier, Invalid> {
    match text {
        "Admin" => Ok(Tier::Admin),
        "Baseline" => Ok(Tier::Baseline),
        other => Err(at.invalid(format!("{other:?} is no tier: use Admin or Baseline"))),
    }
}

pub(super) fn priority(number: i64, at: At<'_>) -> Result<u16, Invalid> {
    match u16::try_from(number) {
        Ok(priority @ 0..=1000) => Ok(priority),
        _ => Err(at.invalid(format!("{number} is no priority: use 0 to 1000, lowest first"))),
    }
}
