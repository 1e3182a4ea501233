//! Clusters and connections in one line each, so that a test reads as a table.

use std::{collections::BTreeSet, fmt::Write as _, net::IpAddr, sync::Arc};

use netpol_agent::{
    cluster::{Snapshot, manifests},
    policy::{ConnectionPeer, DirectionVerdict, Engine, Query, Verdict},
};

/// Asserts what the policies of a cluster say of a connection.
///
/// The cluster is one object a line, read as manifests in the end:
/// - `ns NAME [label=value …]`
/// - `node NAME [IP …] [label=value …]`
/// - `pod NS/NAME [IP …] [label=value …] [port=[NAME:]NUMBER[/PROTOCOL] …] [node=NAME] [phase=PHASE] [host]`
/// - `declared NS/NAME [label=value …]`, a pod without a status; `sidecar NS/NAME IP SPEC`, a pod with this spec
/// - `service NS/NAME [IP …] [label=value …]`
/// - `policy NS/NAME SPEC`, `cnp NAME SPEC`, `anp NAME SPEC`, `banp SPEC`, the spec as YAML in one line
///
/// The flow is `FROM -> TO:PORT[/PROTOCOL][ via service|ADDRESS]` (`service` is any that leads there), each end a pod `NS/NAME` or an address (IPv6 in brackets).
///
/// What to expect is a list of facts, each of which must hold (`!FACT`: must not): `allow` or `deny`; `defined` or
/// `undefined`; `egress=WHO` and `ingress=WHO` for what decided; `egress.isolating=POLICY`, `egress.by=POLICY#RULE`,
/// `egress.rule=POLICY#RULE:ACTION`, `egress.passed=POLICY#RULE`, `egress.subject=POD`, `note=NOTE`.
#[track_caller]
pub(crate) fn check(cluster: &str, flow: &str, expect: &str) {
    let snapshot = snapshot(cluster);
    let engine = Engine::compile(&snapshot);
    let facts = facts(&evaluate(&engine, flow));
    for wanted in expect.split_whitespace() {
        let holds = match wanted.strip_prefix('!') {
            Some(unwanted) => !facts.contains(unwanted),
            None => facts.contains(wanted),
        };
        assert!(holds, "{flow}: expected {wanted}, but: {facts:?}\n{cluster}");
    }
}

/// Asserts that a manifest is refused, for a reason that says this.
#[track_caller]
pub(crate) fn refused(line: &str, reason: &str) {
    let manifests = manifests::parse("test.yaml", &yaml(line));
    let errors: Vec<String> = manifests.errors.iter().map(ToString::to_string).collect();
    assert!(errors.iter().any(|error| error.contains(reason)), "{line}: expected {reason:?}, got {errors:?}");
    assert!(manifests.objects.is_empty(), "{line}: loaded all the same");
}

#[track_caller]
pub(crate) fn snapshot(cluster: &str) -> Arc<Snapshot> {
    let manifests = manifests::parse("test.yaml", &yaml(cluster));
    assert!(manifests.errors.is_empty(), "{:?}\n{cluster}", manifests.errors);
    manifests.snapshot()
}

#[track_caller]
pub(crate) fn evaluate<'e>(engine: &'e Engine, flow: &str) -> Verdict<'e> {
    let (flow, via) = flow.split_once(" via ").map_or((flow, None), |(flow, via)| (flow, Some(via)));
    let (from, to) = flow.split_once(" -> ").expect("FROM -> TO:PORT");
    let (to, protocol) = match to.rsplit_once('/') {
        Some((to, protocol)) if to.contains(':') => (to, protocol),
        _ => (to, "TCP"),
    };
    let (to, port) = to.rsplit_once(':').expect("TO:PORT");
    let destination = party(engine, to);
    let addresses = via.map(|via| match via {
        "service" => engine.service_addresses(destination),
        address => vec![address.parse().expect("an address")],
    });
    // The verdict is handed out, and a test is short.
    let addresses = addresses.map(|addresses| &*addresses.leak());
    let query = Query {
        source: party(engine, from),
        destination,
        protocol: protocol.parse().expect("a protocol"),
        port: port.parse().expect("a port"),
        via_service: addresses,
    };
    engine.evaluate(&query)
}

#[track_caller]
fn party<'e>(engine: &'e Engine, text: &str) -> ConnectionPeer<'e> {
    match text.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => ConnectionPeer::Ip(ip),
        Err(_) => ConnectionPeer::Pod(engine.snapshot().pod(text).unwrap_or_else(|| panic!("no pod {text}"))),
    }
}

fn facts(verdict: &Verdict<'_>) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    facts.insert(if verdict.allowed() { "allow" } else { "deny" }.to_owned());
    facts.insert(if verdict.defined() { "defined" } else { "undefined" }.to_owned());
    facts.extend(verdict.caveats().iter().map(|note| format!("note={note:?}")));
    for judgement in verdict.directions() {
        facts.extend(facts_of(judgement));
    }
    facts
}

fn facts_of(judgement: &DirectionVerdict<'_>) -> Vec<String> {
    let side = judgement.direction;
    let mut facts = vec![format!("{side}={}", judgement.decided_by)];
    facts.push(format!("{side}.{}", if judgement.allowed { "allow" } else { "deny" }));
    facts.extend(judgement.subject.map(|pod| format!("{side}.subject={}", pod.key)));
    facts.extend(judgement.isolating().iter().map(|policy| format!("{side}.isolating={}", policy.id)));
    facts.extend(judgement.allowing().map(|rule| format!("{side}.by={}#{}", rule.policy.id, rule.index)));
    facts
        .extend(judgement.tier_rule.map(|r| format!("{side}.rule={}#{}:{}", r.policy.id, r.index, r.action)));
    facts.extend(judgement.passed_by.map(|r| format!("{side}.passed={}#{}", r.policy.id, r.index)));
    facts
}

/// The manifests that the lines stand for.
pub(crate) fn yaml(cluster: &str) -> String {
    let lines = cluster.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(document).collect()
}

fn document(line: &str) -> String {
    let (what, rest) = line.split_once(' ').expect("WHAT NAME …");
    if what == "banp" {
        return cluster_wide("v1alpha1", "BaselineAdminNetworkPolicy", "default", rest);
    }
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    match what {
        "ns" => format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {}\n", metadata(name, rest)),
        "node" => {
            let ips: Vec<String> = addresses(rest).map(|ip| format!("{{address: {ip:?}}}")).collect();
            let status = format!("{{addresses: [{}]}}", ips.join(", "));
            format!("---\napiVersion: v1\nkind: Node\nmetadata: {}\nstatus: {status}\n", metadata(name, rest))
        }
        "pod" => pod(name, rest),
        "declared" => format!("---\napiVersion: v1\nkind: Pod\nmetadata: {}\n", metadata(name, rest)),
        "sidecar" => {
            let (ip, spec) = rest.split_once(' ').expect("IP SPEC");
            let head = format!("---\napiVersion: v1\nkind: Pod\nmetadata: {}\n", metadata(name, ""));
            format!("{head}spec: {spec}\nstatus: {{podIP: {ip:?}}}\n")
        }
        "service" => {
            let ips: Vec<String> = addresses(rest).map(|ip| format!("{ip:?}")).collect();
            let spec = format!("{{clusterIPs: [{}], selector: {{{}}}}}", ips.join(", "), labels(rest));
            format!("---\napiVersion: v1\nkind: Service\nmetadata: {}\nspec: {spec}\n", metadata(name, ""))
        }
        "policy" => {
            let head = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n";
            format!("{head}metadata: {}\nspec: {rest}\n", metadata(name, ""))
        }
        "cnp" => cluster_wide("v1alpha2", "ClusterNetworkPolicy", name, rest),
        "anp" => cluster_wide("v1alpha1", "AdminNetworkPolicy", name, rest),
        other => panic!("no object is called {other}"),
    }
}

fn cluster_wide(version: &str, kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: policy.networking.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

fn pod(name: &str, rest: &str) -> String {
    let mut spec = String::new();
    let mut ports = String::new();
    let mut phase = "Running";
    for (key, value) in rest.split_whitespace().map(|word| word.split_once('=').unwrap_or((word, ""))) {
        match key {
            "host" => spec.push_str("hostNetwork: true, "),
            "node" => write!(spec, "nodeName: {value}, ").unwrap(),
            "phase" => phase = value,
            "port" => {
                let (port, protocol) = value.split_once('/').unwrap_or((value, "TCP"));
                let (name, number) = port.split_once(':').unwrap_or(("", port));
                write!(ports, "{{name: {name:?}, containerPort: {number}, protocol: {protocol}}}, ").unwrap();
            }
            _ => {}
        }
    }
    let ips: Vec<String> = addresses(rest).map(|ip| format!("{{ip: {ip:?}}}")).collect();
    let status = format!("{{phase: {phase}, podIPs: [{}]}}", ips.join(", "));
    let spec = format!("{{{spec}containers: [{{name: main, ports: [{ports}]}}]}}");
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {}\nspec: {spec}\nstatus: {status}\n",
        metadata(name, rest)
    )
}

fn metadata(name: &str, rest: &str) -> String {
    let namespace = name.split_once('/').map(|(namespace, _)| format!("namespace: {namespace}, "));
    let name = name.split_once('/').map_or(name, |(_, name)| name);
    format!("{{{}name: {name}, labels: {{{}}}}}", namespace.unwrap_or_default(), labels(rest))
}

fn labels(rest: &str) -> String {
    let pairs = rest.split_whitespace().filter_map(|word| word.split_once('='));
    let own = pairs.filter(|(key, _)| !matches!(*key, "port" | "node" | "phase"));
    own.map(|(key, value)| format!("{key:?}: {value:?}")).collect::<Vec<_>>().join(", ")
}

fn addresses(rest: &str) -> impl Iterator<Item = &str> {
    rest.split_whitespace().filter(|word| word.parse::<IpAddr>().is_ok())
}
