//! The ends of a connection as people name them.

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};

/// An end of a connection as a person names it. A namespace that is not given is left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointName {
    /// A pod, or a workload for its pods: `namespace/name`.
    Pod(String),
    /// The same by its name alone.
    Name(String),
    /// Whoever has an address: a pod, a Service, a node or someone outside.
    Ip(IpAddr),
    /// Any address of a range.
    Cidr(IpNet),
    /// Any public address.
    World,
    /// A node, by name.
    Node(String),
    /// The pods behind a Service.
    Service(Option<String>, String),
    /// The pods of a workload: its API kind, such as `Deployment`, its namespace and name.
    Workload(&'static str, Option<String>, String),
    /// A pod with these labels, be there one or not.
    Labels(Option<String>, BTreeMap<String, String>),
}

/// How the ends may be named, for errors.
const FORMS: &str = "name a pod as NAMESPACE/NAME, a workload as deploy/NAME, a Service as svc/NAME, a node as node/NAME, any pod as \
     label:KEY=VALUE,ns=NAMESPACE, or give an IP address, a CIDR or `world`";

/// Words for kinds, as `kubectl` has them, and the kinds.
const KINDS: [(&[&str], &str); 10] = [
    (&["pod", "pods", "po"], "Pod"),
    (&["service", "services", "svc"], "Service"),
    (&["node", "nodes", "no"], "Node"),
    (&["deployment", "deployments", "deploy"], "Deployment"),
    (&["statefulset", "statefulsets", "sts"], "StatefulSet"),
    (&["daemonset", "daemonsets", "ds"], "DaemonSet"),
    (&["replicaset", "replicasets", "rs"], "ReplicaSet"),
    (&["replicationcontroller", "replicationcontrollers", "rc"], "ReplicationController"),
    (&["job", "jobs"], "Job"),
    (&["cronjob", "cronjobs", "cj"], "CronJob"),
];

/// The kind that a word stands for; the API group may follow the word.
fn kind(word: &str) -> Option<&'static str> {
    let word = word.split('.').next().unwrap_or_default().to_ascii_lowercase();
    KINDS.iter().find(|(words, _)| words.contains(&word.as_str())).map(|(_, kind)| *kind)
}

impl FromStr for EndpointName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(ip) = text.trim_matches(['[', ']']).parse() {
            return Ok(Self::Ip(ip));
        }
        if let Ok(range) = text.parse::<IpNet>() {
            return Ok(Self::Cidr(range.trunc()));
        }
        if text == "world" {
            return Ok(Self::World);
        }
        if let Some(labels) = text.strip_prefix("label:").or_else(|| text.strip_prefix("labels:")) {
            return labels_of(labels);
        }
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(format!("{text:?} names nothing: {FORMS}"));
        }
        match *parts {
            [name] => Ok(service_by_dns(name).unwrap_or_else(|| Self::Name(name.to_owned()))),
            [first, name] => Ok(match kind(first) {
                Some(kind) => Self::of_kind(kind, None, name),
                None => Self::Pod(text.to_owned()),
            }),
            [first, second, name] => match (kind(first), kind(second)) {
                (_, Some(kind)) => Ok(Self::of_kind(kind, Some(first), name)),
                (Some(kind), None) => Ok(Self::of_kind(kind, Some(second), name)),
                (None, None) => Err(format!("{second:?} is no kind: {FORMS}")),
            },
            _ => Err(format!("{text:?} names nothing: {FORMS}")),
        }
    }
}

/// `name.namespace.svc`, and what may follow.
fn service_by_dns(text: &str) -> Option<EndpointName> {
    let mut parts = text.split('.');
    let (name, namespace) = (parts.next()?, parts.next()?);
    (parts.next()? == "svc").then(|| EndpointName::Service(Some(namespace.to_owned()), name.to_owned()))
}

/// `key=value,…`, with the namespace as `ns=…`.
fn labels_of(text: &str) -> Result<EndpointName, String> {
    let mut namespace = None;
    let mut labels = BTreeMap::new();
    for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(format!("{pair:?} is no label: write KEY=VALUE"));
        };
        let (key, value) = (key.trim(), value.trim().trim_start_matches('='));
        if key == "ns" || key == "namespace" {
            namespace = Some(value.to_owned());
        } else {
            labels.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(EndpointName::Labels(namespace, labels))
}

impl EndpointName {
    fn of_kind(kind: &'static str, namespace: Option<&str>, name: &str) -> Self {
        let (namespace, name) = (namespace.map(str::to_owned), name.to_owned());
        match (kind, namespace) {
            ("Pod", Some(namespace)) => Self::Pod(format!("{namespace}/{name}")),
            ("Pod", None) => Self::Name(name),
            ("Node", _) => Self::Node(name),
            ("Service", namespace) => Self::Service(namespace, name),
            (kind, namespace) => Self::Workload(kind, namespace, name),
        }
    }

    /// The same name, in this namespace where it names none.
    #[must_use]
    pub fn in_namespace(self, namespace: Option<&str>) -> Self {
        let Some(here) = namespace else { return self };
        let or_here = |own: Option<String>| Some(own.unwrap_or_else(|| here.to_owned()));
        match self {
            Self::Name(name) => Self::Pod(format!("{here}/{name}")),
            Self::Service(own, name) => Self::Service(or_here(own), name),
            Self::Workload(kind, own, name) => Self::Workload(kind, or_here(own), name),
            Self::Labels(own, labels) => Self::Labels(or_here(own), labels),
            other => other,
        }
    }

    /// What is missing, where a name alone was given.
    pub(super) fn without_namespace(name: &str) -> String {
        format!("{name:?} needs a namespace (-n NAMESPACE): {FORMS}")
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = |namespace: &Option<String>, name: &str| match namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        };
        match self {
            Self::Pod(name) | Self::Name(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
            Self::Cidr(range) => range.fmt(f),
            Self::World => f.write_str("world"),
            Self::Node(name) => write!(f, "Node {name}"),
            Self::Service(namespace, name) => write!(f, "Service {}", key(namespace, name)),
            Self::Workload(kind, namespace, name) => write!(f, "{kind} {}", key(namespace, name)),
            Self::Labels(namespace, labels) => {
                let pairs = labels.iter().map(|(key, value)| format!("{key}={value}"));
                let namespace = namespace.iter().map(|namespace| format!("ns={namespace}"));
                write!(f, "label:{}", pairs.chain(namespace).collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// As JSON: text as on the command line, or an object such as `{"pod": "shop/web"}`.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "an end is an object such as {\"pod\": \"shop/web\"} or {\"ip\": \"8.8.8.8\"}, or a text"
)]
enum WrittenEndpoint {
    Text(String),
    Fields(EndpointFields),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct EndpointFields {
    pod: Option<String>,
    ip: Option<String>,
    cidr: Option<String>,
    node: Option<String>,
    service: Option<String>,
    workload: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    namespace: Option<String>,
}

impl<'de> Deserialize<'de> for EndpointName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = match WrittenEndpoint::deserialize(deserializer)? {
            WrittenEndpoint::Text(text) => text.parse(),
            WrittenEndpoint::Fields(fields) => fields.name(),
        };
        name.map_err(de::Error::custom)
    }
}

impl EndpointFields {
    fn name(self) -> Result<EndpointName, String> {
        let Self { pod, ip, cidr, node, service, workload, labels, namespace } = self;
        let name = match (pod, ip, cidr, node, service, workload, labels) {
            (Some(pod), None, None, None, None, None, None) => pod.parse()?,
            (None, Some(ip), None, None, None, None, None) => {
                EndpointName::Ip(ip.parse().map_err(|_| format!("{ip:?} is no IP address"))?)
            }
            (None, None, Some(range), None, None, None, None) => {
                let range: IpNet = range.parse().map_err(|_| format!("{range:?} is no CIDR"))?;
                EndpointName::Cidr(range.trunc())
            }
            (None, None, None, Some(node), None, None, None) => EndpointName::Node(node),
            (None, None, None, None, Some(service), None, None) => match service.split_once('/') {
                Some((namespace, name)) => EndpointName::Service(Some(namespace.to_owned()), name.to_owned()),
                None => EndpointName::Service(None, service),
            },
            (None, None, None, None, None, Some(workload), None) => workload.parse()?,
            (None, None, None, None, None, None, Some(labels)) => EndpointName::Labels(None, labels),
            _ => {
                return Err(format!(
                    "an end is one of pod, ip, cidr, node, service, workload and labels: {FORMS}"
                ));
            }
        };
        Ok(name.in_namespace(namespace.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_people_write_them() {
        for (text, namespace, expected) in [
            ("shop/web", None, "shop/web"),
            ("web", Some("shop"), "shop/web"),
            ("pod/web", Some("shop"), "shop/web"),
            ("deploy/web", Some("shop"), "Deployment shop/web"),
            ("deployment.apps/web", None, "Deployment web"),
            ("shop/sts/db", Some("other"), "StatefulSet shop/db"),
            ("svc/shop/api", None, "Service shop/api"),
            ("api.shop.svc.cluster.local", None, "Service shop/api"),
            ("node/n1", Some("shop"), "Node n1"),
            ("label:app=web,ns=shop", None, "label:app=web,ns=shop"),
            ("label:app=web", Some("shop"), "label:app=web,ns=shop"),
            ("world", None, "world"),
            ("10.1.2.3/8", None, "10.0.0.0/8"),
            ("[fd00::1]", None, "fd00::1"),
        ] {
            let name: EndpointName = text.parse().unwrap();
            assert_eq!(name.in_namespace(namespace).to_string(), expected, "{text}");
        }
        for text in ["", "/web", "a/b/c", "a/b/c/d", "label:app"] {
            assert!(text.parse::<EndpointName>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_as_json() {
        for (text, expected) in [
            (r#"{"pod": "shop/web"}"#, "shop/web"),
            (r#"{"pod": "web", "namespace": "shop"}"#, "shop/web"),
            (r#"{"ip": "8.8.8.8"}"#, "8.8.8.8"),
            (r#"{"service": "shop/api"}"#, "Service shop/api"),
            (r#"{"workload": "deploy/web", "namespace": "shop"}"#, "Deployment shop/web"),
            (r#"{"labels": {"app": "web"}, "namespace": "shop"}"#, "label:app=web,ns=shop"),
            (r#""svc/shop/api""#, "Service shop/api"),
        ] {
            assert_eq!(serde_json::from_str::<EndpointName>(text).unwrap().to_string(), expected, "{text}");
        }
        for text in [r#"{"ip": "10.0.0"}"#, r#"{"pod": "a/b", "ip": "10.0.0.1"}"#, "{}", r#"{"pode": "a/b"}"#]
        {
            assert!(serde_json::from_str::<EndpointName>(text).is_err(), "{text}");
        }
    }
}
