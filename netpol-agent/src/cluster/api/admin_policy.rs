//! AdminNetworkPolicy and BaselineAdminNetworkPolicy as they are written.

use serde::Deserialize;

use super::{
    check::{At, Invalid, each, port, port_name, protocol},
    cluster_network_policy::{ApiRange, priority, range, sound},
    metadata::ObjectMeta,
    peer::{ApiPeer, ApiSubject, at_most, limited},
};
use crate::model::{
    ClusterPolicy, PolicyKind, PolicyRef,
    cluster_policy::{Action, Tier, TierPort, TierRule},
    network_policy::{Port, PortNumber},
};

/// The API's limit for rules, peers and ports, v1alpha1.
const MAX_ITEMS: usize = 100;

/// `policy.networking.k8s.io/v1alpha1` AdminNetworkPolicy.
#[derive(Debug, Deserialize)]
pub struct ApiAdminNetworkPolicy {
    metadata: ObjectMeta,
    spec: AdminSpec,
}

/// `policy.networking.k8s.io/v1alpha1` BaselineAdminNetworkPolicy.
#[derive(Debug, Deserialize)]
pub struct ApiBaselineAdminNetworkPolicy {
    metadata: ObjectMeta,
    spec: BaselineSpec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AdminSpec {
    priority: i64,
    subject: ApiSubject,
    #[serde(default)]
    ingress: Option<Vec<IngressRule>>,
    #[serde(default)]
    egress: Option<Vec<EgressRule>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BaselineSpec {
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
    ports: Option<Vec<WirePort>>,
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
    ports: Option<Vec<WirePort>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WirePort {
    port_number: Option<WireNumber>,
    port_range: Option<ApiRange>,
    named_port: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireNumber {
    #[serde(default)]
    protocol: Option<String>,
    port: i64,
}

impl TryFrom<ApiAdminNetworkPolicy> for ClusterPolicy {
    type Error = Invalid;

    fn try_from(api: ApiAdminNetworkPolicy) -> Result<Self, Invalid> {
        let name = api.metadata.name()?;
        let at = At::root("spec");
        Ok(Self {
            id: PolicyRef { kind: PolicyKind::AdminNetworkPolicy, namespace: None, name },
            tier: Tier::Admin,
            priority: priority(api.spec.priority, at.key("priority"))?,
            subject: api.spec.subject.check(at.key("subject"))?,
            ingress: ingress(api.spec.ingress, Tier::Admin, at)?,
            egress: egress(api.spec.egress, Tier::Admin, at)?,
        })
    }
}

impl TryFrom<ApiBaselineAdminNetworkPolicy> for ClusterPolicy {
    type Error = Invalid;

    fn try_from(api: ApiBaselineAdminNetworkPolicy) -> Result<Self, Invalid> {
        let name = api.metadata.name()?;
        if &*name != "default" {
            let metadata = At::root("metadata");
            return Err(metadata
                .key("name")
                .invalid("there is one baseline at most, and its name must be `default`"));
        }
        let at = At::root("spec");
        Ok(Self {
            id: PolicyRef { kind: PolicyKind::BaselineAdminNetworkPolicy, namespace: None, name },
            tier: Tier::Baseline,
            priority: 0,
            subject: api.spec.subject.check(at.key("subject"))?,
            ingress: ingress(api.spec.ingress, Tier::Baseline, at)?,
            egress: egress(api.spec.egress, Tier::Baseline, at)?,
        })
    }
}

fn ingress(rules: Option<Vec<IngressRule>>, tier: Tier, at: At<'_>) -> Result<Vec<TierRule>, Invalid> {
    each(at.key("ingress"), at_most(rules, MAX_ITEMS, at.key("ingress"))?, |rule, at| {
        checked_rule((rule.name, rule.action, rule.from, rule.ports), "from", tier, at)
    })
}

fn egress(rules: Option<Vec<EgressRule>>, tier: Tier, at: At<'_>) -> Result<Vec<TierRule>, Invalid> {
    each(at.key("egress"), at_most(rules, MAX_ITEMS, at.key("egress"))?, |rule, at| {
        checked_rule((rule.name, rule.action, rule.to, rule.ports), "to", tier, at)
    })
}

type Parts = (Option<String>, String, Option<Vec<ApiPeer>>, Option<Vec<WirePort>>);

fn checked_rule(
    (name, action, peers, ports): Parts,
    list: &str,
    tier: Tier,
    at: At<'_>,
) -> Result<TierRule, Invalid> {
    let action = match (action.as_str(), tier) {
        ("Allow", _) => Action::Allow,
        ("Deny", _) => Action::Deny,
        ("Pass", Tier::Admin) => Action::Pass,
        (other, Tier::Admin) => {
            return Err(at.key("action").invalid(format!("{other:?} is no action: use Allow, Deny or Pass")));
        }
        (other, Tier::Baseline) => {
            return Err(at
                .key("action")
                .invalid(format!("{other:?} is no baseline action: use Allow or Deny")));
        }
    };
    let at_peers = at.key(list);
    let peers = each(at_peers, limited(peers.unwrap_or_default(), MAX_ITEMS, at_peers)?, ApiPeer::check)?;
    // Before v0.1.5 an empty list of ports was legal and meant all of them.
    let ports = ports.filter(|ports| !ports.is_empty());
    let at_ports = at.key("ports");
    let ports =
        ports.map(|ports| each(at_ports, limited(ports, MAX_ITEMS, at_ports)?, checked_port)).transpose()?;
    let rule = TierRule { name: name.map(Into::into), action, peers, ports };
    sound(&rule, list, at)?;
    Ok(rule)
}

fn checked_port(api: WirePort, at: At<'_>) -> Result<TierPort, Invalid> {
    match (api.port_number, api.port_range, api.named_port) {
        (Some(number), None, None) => {
            let at = at.key("portNumber");
            let protocol = protocol(number.protocol.as_deref(), at.key("protocol"))?;
            let number = port(number.port, at.key("port"))?;
            Ok(TierPort::Port(Port { protocol, number: PortNumber::Range(number, number) }))
        }
        (None, Some(ends), None) => {
            let at = at.key("portRange");
            let protocol = protocol(ends.protocol.as_deref(), at.key("protocol"))?;
            Ok(TierPort::Port(Port { protocol, number: range(&ends, at)? }))
        }
        (None, None, Some(name)) => Ok(TierPort::Named(port_name(&name, at.key("namedPort"))?)),
        _ => Err(at.invalid("needs exactly one of portNumber, portRange and namedPort")),
    }
}
