//! Flow filters of a client's request. All fields of a filter must match, each with any of its values.

use std::{net::IpAddr, ops::RangeInclusive};

use ipnet::IpNet;
use regex::Regex;
use tonic::Status;

use super::{
    endpoint::CLUSTER,
    proto::flow::{self, Endpoint, Flow, FlowFilter, Service, TcpFlags, layer4::Protocol},
    selector::Selector,
};

/// The number of filters that a request may have in each of its lists.
const MAX_FILTERS: usize = 256;

type Test = Box<dyn Fn(&Flow) -> bool + Send + Sync>;

/// The filters of a request.
pub(super) struct Filters {
    /// A flow must match one of these. If there is none, all flows match.
    allow: Vec<Filter>,
    /// A flow must match none of these.
    deny: Vec<Filter>,
}

/// A filter: all of its tests must match.
struct Filter(Vec<Test>);

impl Filters {
    /// Creates the filters from a request's lists.
    ///
    /// # Errors
    ///
    /// A value can't be parsed, or a filter is not supported.
    pub(super) fn new(allow: Vec<FlowFilter>, deny: Vec<FlowFilter>) -> Result<Self, Status> {
        Ok(Self { allow: list("whitelist", allow)?, deny: list("blacklist", deny)? })
    }

    /// Returns true if a flow passes the filters.
    pub(super) fn pass(&self, flow: &Flow) -> bool {
        let allowed = self.allow.is_empty() || self.allow.iter().any(|filter| filter.matches(flow));
        allowed && !self.deny.iter().any(|filter| filter.matches(flow))
    }
}

fn list(name: &str, filters: Vec<FlowFilter>) -> Result<Vec<Filter>, Status> {
    if filters.len() > MAX_FILTERS {
        return Err(Status::invalid_argument(format!(
            "{name}: {} filters, at most {MAX_FILTERS}",
            filters.len()
        )));
    }
    let compile = |(index, filter)| {
        Filter::new(filter).map_err(|InvalidSelector { field, why }| match field {
            "experimental.cel_expression" => Status::unimplemented(format!("{name}[{index}].{field}: {why}")),
            _ => Status::invalid_argument(format!("{name}[{index}].{field}: {why}")),
        })
    };
    filters.into_iter().enumerate().map(compile).collect()
}

/// A field with an invalid value.
struct InvalidSelector {
    field: &'static str,
    why: String,
}

impl Filter {
    fn matches(&self, flow: &Flow) -> bool {
        self.0.iter().all(|test| test(flow))
    }

    fn new(filter: FlowFilter) -> Result<Self, InvalidSelector> {
        // All fields are listed, so that none is forgotten.
        let FlowFilter {
            source_ip,
            source_pod,
            destination_ip,
            destination_pod,
            verdict,
            event_type,
            source_fqdn,
            destination_fqdn,
            http_status_code,
            source_label,
            destination_label,
            protocol,
            source_port,
            destination_port,
            reply,
            source_service,
            destination_service,
            dns_query,
            source_identity,
            destination_identity,
            http_method,
            http_path,
            tcp_flags,
            node_name,
            ip_version,
            source_workload,
            destination_workload,
            trace_id,
            uuid,
            traffic_direction,
            http_url,
            http_header,
            drop_reason_desc,
            source_ip_xlated,
            interface,
            node_labels,
            source_cluster_name,
            destination_cluster_name,
            ip_trace_id,
            encrypted,
            experimental,
        } = filter;
        let mut tests = Tests::default();

        tests.add("source_ip", &source_ip, network, |net, flow| has(net, source_address(flow)))?;
        tests.add("destination_ip", &destination_ip, network, |net, flow| {
            has(net, destination_address(flow))
        })?;
        tests.add("source_pod", &source_pod, Name::parse, |name, flow| name.is_pod(flow.source.as_ref()))?;
        tests.add("destination_pod", &destination_pod, Name::parse, |name, flow| {
            name.is_pod(flow.destination.as_ref())
        })?;
        tests.add("source_service", &source_service, Name::parse, |name, flow| {
            name.is_service(flow.source_service.as_ref())
        })?;
        tests.add("destination_service", &destination_service, Name::parse, |name, flow| {
            name.is_service(flow.destination_service.as_ref())
        })?;
        tests.add("source_label", &source_label, selector, |selector, flow| {
            selects(selector, flow.source.as_ref())
        })?;
        tests.add("destination_label", &destination_label, selector, |selector, flow| {
            selects(selector, flow.destination.as_ref())
        })?;
        tests.add("source_port", &source_port, ports, |ports, flow| {
            port_pair(flow).is_some_and(|[source, _]| ports.contains(&source))
        })?;
        tests.add("destination_port", &destination_port, ports, |ports, flow| {
            port_pair(flow).is_some_and(|[_, destination]| ports.contains(&destination))
        })?;
        tests.add("protocol", &protocol, Layer::parse, Layer::is_of)?;
        tests.add("node_name", &node_name, node_pattern, |pattern, flow| {
            pattern.is_match(&format!("{CLUSTER}/{}", flow.node_name))
        })?;

        tests.any(source_identity, |id, flow| flow.source.as_ref().is_some_and(|end| end.identity == *id));
        tests.any(destination_identity, |id, flow| {
            flow.destination.as_ref().is_some_and(|end| end.identity == *id)
        });
        tests.any(source_workload, |workload, flow| made_by(flow.source.as_ref(), workload));
        tests.any(destination_workload, |workload, flow| made_by(flow.destination.as_ref(), workload));
        tests.any(source_cluster_name, |name, flow| in_cluster(flow.source.as_ref(), name));
        tests.any(destination_cluster_name, |name, flow| in_cluster(flow.destination.as_ref(), name));
        tests.any(verdict, |verdict, flow| flow.verdict == *verdict);
        tests.any(event_type, |wanted, flow| {
            flow.event_type.is_some_and(|event| {
                event.r#type == wanted.r#type && (!wanted.match_sub_type || event.sub_type == wanted.sub_type)
            })
        });
        tests.any(reply, |reply, flow| flow.is_reply == Some(*reply));
        tests.any(tcp_flags, |flags, flow| flags_of(flow).is_some_and(|has| includes(&has, flags)));
        tests.any(ip_version, |version, flow| flow.ip.as_ref().is_some_and(|ip| ip.ip_version == *version));
        tests.any(uuid, |uuid, flow| flow.uuid == *uuid);
        tests.any(traffic_direction, |direction, flow| flow.traffic_direction == *direction);
        tests.any(drop_reason_desc, |reason, flow| flow.drop_reason_desc == *reason);
        tests.any(interface, |interface, flow| {
            flow.interface.as_ref().is_some_and(|of_flow| {
                (interface.index == 0 || interface.index == of_flow.index)
                    && (interface.name.is_empty() || interface.name == of_flow.name)
            })
        });
        tests.any(encrypted, |encrypted, flow| flow.ip.as_ref().is_some_and(|ip| ip.encrypted == *encrypted));

        // The agent does not observe names, requests and traces, so no flow has these fields.
        tests.never(&[&source_fqdn, &destination_fqdn, &http_status_code, &dns_query, &http_method]);
        tests.never(&[&http_path, &http_url, &trace_id, &source_ip_xlated, &node_labels]);
        if !http_header.is_empty() || !ip_trace_id.is_empty() {
            tests.0.push(Box::new(|_| false));
        }
        if experimental.is_some_and(|experimental| !experimental.cel_expression.is_empty()) {
            let why = "expressions in CEL are not supported".to_owned();
            return Err(InvalidSelector { field: "experimental.cel_expression", why });
        }
        Ok(Self(tests.0))
    }
}

#[derive(Default)]
struct Tests(Vec<Test>);

impl Tests {
    /// Adds the test for a field whose values have to be parsed.
    fn add<T: Send + Sync + 'static>(
        &mut self,
        field: &'static str,
        values: &[String],
        parse: impl Fn(&str) -> Result<T, String>,
        test: impl Fn(&T, &Flow) -> bool + Send + Sync + 'static,
    ) -> Result<(), InvalidSelector> {
        let parsed: Result<Vec<T>, String> = values.iter().map(|value| parse(value)).collect();
        self.any(parsed.map_err(|why| InvalidSelector { field, why })?, test);
        Ok(())
    }

    /// Adds the test for a field. A field without values matches all flows.
    fn any<T: Send + Sync + 'static>(
        &mut self,
        values: Vec<T>,
        test: impl Fn(&T, &Flow) -> bool + Send + Sync + 'static,
    ) {
        if !values.is_empty() {
            self.0.push(Box::new(move |flow| values.iter().any(|value| test(value, flow))));
        }
    }

    /// Adds a test that never matches if one of these fields has values: no flow has these fields.
    fn never(&mut self, fields: &[&Vec<String>]) {
        if fields.iter().any(|values| !values.is_empty()) {
            self.0.push(Box::new(|_| false));
        }
    }
}

/// A pod or Service as `namespace/prefix of a name`. Without a slash, the namespace is `default`. An empty namespace
/// matches any.
struct Name {
    namespace: String,
    prefix: String,
}

impl Name {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty; give [namespace/][prefix of a name]".to_owned());
        }
        let (namespace, prefix) = text.split_once('/').unwrap_or(("default", text));
        Ok(Self { namespace: namespace.to_owned(), prefix: prefix.to_owned() })
    }

    fn is(&self, namespace: &str, name: &str) -> bool {
        !name.is_empty()
            && (self.namespace.is_empty() || self.namespace == namespace)
            && name.starts_with(&self.prefix)
    }

    fn is_pod(&self, end: Option<&Endpoint>) -> bool {
        end.is_some_and(|end| self.is(&end.namespace, &end.pod_name))
    }

    fn is_service(&self, service: Option<&Service>) -> bool {
        service.is_some_and(|service| self.is(&service.namespace, &service.name))
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(address).ok_or_else(|| format!("{text:?} is no IP address and no CIDR"))
}

fn has(net: &IpNet, address: Option<&str>) -> bool {
    address.and_then(|address| address.parse::<IpAddr>().ok()).is_some_and(|address| net.contains(&address))
}

fn source_address(flow: &Flow) -> Option<&str> {
    flow.ip.as_ref().map(|ip| &*ip.source)
}

fn destination_address(flow: &Flow) -> Option<&str> {
    flow.ip.as_ref().map(|ip| &*ip.destination)
}

fn selector(text: &str) -> Result<Selector, String> {
    Selector::parse(text).map_err(|error| error.to_string())
}

fn selects(selector: &Selector, end: Option<&Endpoint>) -> bool {
    end.is_some_and(|end| selector.matches(&end.labels))
}

fn made_by(end: Option<&Endpoint>, wanted: &flow::Workload) -> bool {
    end.is_some_and(|end| {
        end.workloads.iter().any(|workload| {
            (wanted.name.is_empty() || wanted.name == workload.name)
                && (wanted.kind.is_empty() || wanted.kind == workload.kind)
        })
    })
}

fn in_cluster(end: Option<&Endpoint>, name: &str) -> bool {
    end.is_some_and(|end| end.cluster_name == name)
}

/// Parses a port or a range of ports.
fn ports(text: &str) -> Result<RangeInclusive<u32>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) if first <= last => Ok(u32::from(first)..=u32::from(last)),
        _ => Err(format!("{text:?} is no port, and no range of ports such as 8000-8999")),
    }
}

fn port_pair(flow: &Flow) -> Option<[u32; 2]> {
    match flow.l4.as_ref()?.protocol.as_ref()? {
        Protocol::Tcp(layer) => Some([layer.source_port, layer.destination_port]),
        Protocol::Udp(layer) => Some([layer.source_port, layer.destination_port]),
        Protocol::Sctp(layer) => Some([layer.source_port, layer.destination_port]),
        Protocol::IcmPv4(_) | Protocol::IcmPv6(_) => None,
    }
}

/// A protocol, by its name in filters.
enum Layer {
    Tcp,
    Udp,
    Sctp,
    Icmp,
    Icmpv4,
    Icmpv6,
    /// A protocol of layer 7, which the agent does not observe.
    Unseen,
}

impl Layer {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(match &*text.to_ascii_lowercase() {
            "tcp" => Self::Tcp,
            "udp" => Self::Udp,
            "sctp" => Self::Sctp,
            "icmp" => Self::Icmp,
            "icmpv4" => Self::Icmpv4,
            "icmpv6" => Self::Icmpv6,
            "dns" | "http" | "kafka" | "vrrp" | "igmp" => Self::Unseen,
            _ => return Err(format!("{text:?} is no protocol: tcp, udp, sctp, icmp, icmpv4, icmpv6")),
        })
    }

    fn is_of(&self, flow: &Flow) -> bool {
        let Some(protocol) = flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) else { return false };
        match self {
            Self::Tcp => matches!(protocol, Protocol::Tcp(_)),
            Self::Udp => matches!(protocol, Protocol::Udp(_)),
            Self::Sctp => matches!(protocol, Protocol::Sctp(_)),
            Self::Icmp => matches!(protocol, Protocol::IcmPv4(_) | Protocol::IcmPv6(_)),
            Self::Icmpv4 => matches!(protocol, Protocol::IcmPv4(_)),
            Self::Icmpv6 => matches!(protocol, Protocol::IcmPv6(_)),
            Self::Unseen => false,
        }
    }
}

fn flags_of(flow: &Flow) -> Option<TcpFlags> {
    match flow.l4.as_ref()?.protocol.as_ref()? {
        Protocol::Tcp(tcp) => tcp.flags,
        _ => None,
    }
}

/// Returns true if all flags of `wanted` are set.
fn includes(flags: &TcpFlags, wanted: &TcpFlags) -> bool {
    let list = |flags: &TcpFlags| {
        let TcpFlags { fin, syn, rst, psh, ack, urg, ece, cwr, ns } = *flags;
        [fin, syn, rst, psh, ack, urg, ece, cwr, ns]
    };
    list(wanted).into_iter().zip(list(flags)).all(|(wanted, set)| set || !wanted)
}

/// A node as `cluster/node`. Both may contain `*` for any text. Without a slash, it is a node's name in any cluster.
/// An empty part matches any.
fn node_pattern(text: &str) -> Result<Regex, String> {
    let (cluster, node) = text.split_once('/').unwrap_or(("", text));
    let is_part = |char: char| char.is_ascii_alphanumeric() || "-._*".contains(char);
    if text.is_empty() || !cluster.chars().chain(node.chars()).all(is_part) {
        return Err(format!("{text:?} is no [cluster/]node with * for any part"));
    }
    let part = |pattern: &str| match pattern {
        "" => "[^/]*".to_owned(),
        _ => regex::escape(&pattern.to_ascii_lowercase()).replace(r"\*", "[^/]*"),
    };
    Regex::new(&format!("(?i)^{}/{}$", part(cluster), part(node))).map_err(|error| error.to_string())
}
