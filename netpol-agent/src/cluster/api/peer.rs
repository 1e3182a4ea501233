//! What the cluster-wide kinds have in common: subjects, selectors of pods, and peers that are not known.

use serde::{Deserialize, de::IgnoredAny};

use super::{
    check::{At, Invalid, cidr, each},
    selector::{ApiSelector, Expression, MatchLabels},
};
use crate::model::{
    LabelSelector,
    cluster_policy::{PodSet, TierPeer},
};

/// The API's limit for rules, peers, ports, networks and names alike, v1alpha2.
pub(super) const MAX_ITEMS: usize = 25;

/// Which pods a policy speaks of.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApiSubject {
    namespaces: Option<ApiSelector>,
    pods: Option<NamespacedPods>,
}

/// Pods of some namespaces, the selectors side by side.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct NamespacedPods {
    namespace_selector: Option<ApiSelector>,
    pod_selector: Option<ApiSelector>,
}

/// A peer of any version.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ApiPeer {
    namespaces: Option<Namespaces>,
    pods: Option<PeerPods>,
    nodes: Option<ApiSelector>,
    networks: Option<Vec<String>>,
    domain_names: Option<Vec<String>>,
}

/// A namespace selector, flat, or one level further in as it was before v0.1.5.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Namespaces {
    match_labels: Option<MatchLabels>,
    match_expressions: Option<Vec<Expression>>,
    namespace_selector: Option<ApiSelector>,
    same_labels: Option<IgnoredAny>,
    not_same_labels: Option<IgnoredAny>,
}

/// Pods as a peer, in either form as well.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct PeerPods {
    namespace_selector: Option<ApiSelector>,
    namespaces: Option<Namespaces>,
    pod_selector: Option<ApiSelector>,
}

impl ApiSubject {
    pub(super) fn check(self, at: At<'_>) -> Result<PodSet, Invalid> {
        match (self.namespaces, self.pods) {
            (Some(namespaces), None) => {
                let namespaces = namespaces.check(at.key("namespaces"))?;
                Ok(PodSet { namespaces, pods: LabelSelector::default() })
            }
            (None, Some(pods)) => {
                let at = at.key("pods");
                Ok(PodSet {
                    namespaces: optional(pods.namespace_selector, at.key("namespaceSelector"))?,
                    pods: optional(pods.pod_selector, at.key("podSelector"))?,
                })
            }
            _ => Err(at.invalid("needs exactly one of `namespaces` and `pods`")),
        }
    }
}

impl ApiPeer {
    /// The peer. One of which nothing is known, or in whose place a field stands that is not known, is
    /// [`TierPeer::Unknown`]; two at once are an error.
    pub(super) fn check(self, at: At<'_>) -> Result<TierPeer, Invalid> {
        let mut peers = Vec::new();
        if let Some(namespaces) = self.namespaces {
            let set = namespaces.check(at.key("namespaces"))?;
            peers.push(
                set.map_or(TierPeer::Unknown, |namespaces| pods_of(namespaces, LabelSelector::default())),
            );
        }
        if let Some(pods) = self.pods {
            peers.push(pods.check(at.key("pods"))?);
        }
        if let Some(nodes) = self.nodes {
            peers.push(TierPeer::Nodes(nodes.check(at.key("nodes"))?));
        }
        if let Some(networks) = self.networks {
            let networks = limited(networks, MAX_ITEMS, at.key("networks"))?;
            let networks = each(at.key("networks"), networks, |text, at| cidr(&text, at))?;
            peers.push(TierPeer::Networks(networks));
        }
        if let Some(names) = self.domain_names {
            let names = limited(names, MAX_ITEMS, at.key("domainNames"))?;
            peers.push(TierPeer::DomainNames(each(at.key("domainNames"), names, domain_name)?));
        }
        match (peers.pop(), peers.pop()) {
            (Some(peer), None) => Ok(peer),
            (None, _) => Ok(TierPeer::Unknown),
            (Some(_), Some(_)) => {
                Err(at.invalid("a peer is exactly one thing: give each a list item (they are ORed)"))
            }
        }
    }
}

impl Namespaces {
    /// The selector; `None` where the peer is of a form whose meaning depends on the subject.
    fn check(self, at: At<'_>) -> Result<Option<LabelSelector>, Invalid> {
        if self.same_labels.is_some() || self.not_same_labels.is_some() {
            return Ok(None);
        }
        match self.namespace_selector {
            Some(nested) => nested.check(at.key("namespaceSelector")).map(Some),
            None => {
                let flat = ApiSelector {
                    match_labels: self.match_labels,
                    match_expressions: self.match_expressions,
                };
                flat.check(at).map(Some)
            }
        }
    }
}

impl PeerPods {
    fn check(self, at: At<'_>) -> Result<TierPeer, Invalid> {
        let pods = optional(self.pod_selector, at.key("podSelector"))?;
        let namespaces = match self.namespaces {
            Some(nested) => nested.check(at.key("namespaces"))?,
            None => Some(optional(self.namespace_selector, at.key("namespaceSelector"))?),
        };
        Ok(namespaces.map_or(TierPeer::Unknown, |namespaces| pods_of(namespaces, pods)))
    }
}

fn pods_of(namespaces: LabelSelector, pods: LabelSelector) -> TierPeer {
    TierPeer::Pods(PodSet { namespaces, pods })
}

fn optional(api: Option<ApiSelector>, at: At<'_>) -> Result<LabelSelector, Invalid> {
    api.unwrap_or_default().check(at)
}

/// A list that is there must have items, and not too many.
pub(super) fn limited<T>(items: Vec<T>, most: usize, at: At<'_>) -> Result<Vec<T>, Invalid> {
    match items.len() {
        0 => Err(at.invalid("must have at least one item")),
        n if n > most => Err(at.invalid(format!("has {n} items, and the API takes at most {most}"))),
        _ => Ok(items),
    }
}

/// A list that may be missing or empty, but not too long.
pub(super) fn at_most<T>(items: Option<Vec<T>>, most: usize, at: At<'_>) -> Result<Vec<T>, Invalid> {
    match items {
        Some(items) if !items.is_empty() => limited(items, most, at),
        _ => Ok(Vec::new()),
    }
}

fn domain_name(text: String, at: At<'_>) -> Result<Box<str>, Invalid> {
    let name = text.strip_prefix("*.").unwrap_or(&text);
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut labels = 0;
    let form = name.split('.').all(|label| {
        labels += 1;
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let alphanumeric = |c: char| c.is_ascii_alphanumeric();
        inner && label.starts_with(alphanumeric) && label.ends_with(alphanumeric)
    });
    if form && labels > 1 {
        return Ok(text.into());
    }
    Err(at.invalid(format!(
        "{text:?} is no domain name: write example.com, or *.example.com for all names below it"
    )))
}
