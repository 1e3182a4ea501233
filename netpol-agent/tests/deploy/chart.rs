//! The chart: what values make of it, and which it refuses.

use std::{collections::BTreeSet, fs, process::Command};

use netpol_agent::{
    cluster::yaml::{self, Yaml},
    model::{ApiKind, ObjectKind},
};
use netpol_testkit::{helm::Helm, image, manifest};
use serde_json::{Value, json};

use crate::objects::Objects;

const VALUES: &str = include_str!("../../../deploy/chart/values.yaml");
const SCHEMA: &str = include_str!("../../../deploy/chart/values.schema.json");

const CONTAINERFILE: &str = include_str!("../../../deploy/image/Containerfile");

const TLS: &str = "hubble.tls.secretName=hubble-server";

const CONTAINER: &str = "/spec/template/spec/containers/0";

/// The agent may list and watch the kinds that it reads, all of them and no others.
#[test]
fn rights_are_for_the_kinds_that_are_read() {
    let objects = Objects::rendered(&["events.enabled=false"]);
    let rules = objects.field("ClusterRole", "/rules").as_array().unwrap();
    let mut granted = BTreeSet::new();
    for rule in rules {
        assert_eq!(rule["verbs"], json!(["list", "watch"]), "{rule}");
        let names = |field: &str| -> Vec<String> { serde_json::from_value(rule[field].clone()).unwrap() };
        for group in names("apiGroups") {
            granted.extend(names("resources").into_iter().map(|resource| (group.clone(), resource)));
        }
    }
    let read = ObjectKind::ALL.map(ApiKind::of).map(|kind| (kind.group.to_owned(), kind.plural.to_owned()));
    assert_eq!(granted, BTreeSet::from(read));
}

#[test]
fn lint() {
    Helm::find_or_fetch().unwrap().lint().unwrap();
}

/// The manifests in the tree are what the chart renders to today.
#[test]
fn manifests_are_current() {
    let kept = fs::read_to_string(manifest::path()).unwrap();
    let rendered = manifest::render(&Helm::find_or_fetch().unwrap()).unwrap();
    assert!(
        kept == rendered,
        "deploy/netpol.yaml is not what the chart renders to: run `cargo xtask render`"
    );
}

/// Versions are written down in several places.
#[test]
fn image_and_chart_agree() {
    let objects = Objects::rendered(&[]);
    assert_eq!(objects.field("DaemonSet", &format!("{CONTAINER}/image")), image::NAME);
    for line in [format!("ARG VERSION={}\n", env!("CARGO_PKG_VERSION")), format!("--tag {} .\n", image::NAME)]
    {
        assert!(CONTAINERFILE.contains(&line), "{line} is not in deploy/image/Containerfile");
    }
}

#[test]
fn kinds() {
    let usual = [
        "NetworkPolicy",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Service",
        "Service",
        "DaemonSet",
    ];
    assert_eq!(Objects::rendered(&[]).kinds(), usual);
    let all = Objects::rendered(&[
        "createNamespace=true",
        "monitoring.monitor=PodMonitor",
        "monitoring.alerts=true",
    ]);
    let mut more = vec!["Namespace"];
    more.extend(usual);
    more.extend(["PodMonitor", "PrometheusRule"]);
    assert_eq!(all.kinds(), more);
    assert_eq!(Objects::rendered(&["networkPolicy.enabled=false"]).kinds(), usual[1..]);
}

/// With Hubble's API there is a Service for it; without, nothing is left of it.
#[test]
fn hubble() {
    let [with, without] =
        ["hubble.port=4344", "hubble.enabled=false"].map(|value| Objects::rendered(&[value]));
    assert_eq!(
        with.all("Service", "/metadata/name"),
        [Some(&json!("netpol-agent")), Some(&json!("netpol-hubble"))]
    );
    assert_eq!(with.all("Service", "/spec/ports/0/port"), [Some(&json!(9965)), Some(&json!(4344))]);
    assert_eq!(
        with.all("Service", "/spec/ports/0/targetPort"),
        [Some(&json!("metrics")), Some(&json!("hubble"))]
    );
    assert_eq!(without.all("Service", "/metadata/name"), [Some(&json!("netpol-agent"))]);
    let container = without.field("DaemonSet", CONTAINER);
    assert!(!container.to_string().contains("hubble"), "{container}");
}

/// Each row: values, and what a field is with them.
#[test]
fn values_reach_the_objects() {
    let container = |field: &str| format!("{CONTAINER}{field}");
    let pod = |field: &str| format!("/spec/template/spec{field}");
    for (values, kind, pointer, expected) in [
        (vec!["image.tag=1.2"], "DaemonSet", container("/image"), json!("netpol/netpol-agent:1.2")),
        (
            vec![DIGEST],
            "DaemonSet",
            container("/image"),
            json!(format!("netpol/netpol-agent@{}", &DIGEST["image.digest=".len()..])),
        ),
        (vec![], "DaemonSet", container("/args/10"), json!("--metrics-addr=$(NETPOL_HOST_IP):9965")),
        (vec!["metrics.address=[::]"], "DaemonSet", container("/args/10"), json!("--metrics-addr=[::]:9965")),
        (vec!["metrics.address=[::]"], "DaemonSet", container("/env/1"), Value::Null),
        (vec![], "DaemonSet", container("/readinessProbe/httpGet/host"), Value::Null),
        (vec!["metrics.address=0.0.0.0"], "DaemonSet", container("/livenessProbe/httpGet/host"), Value::Null),
        (vec!["metrics.address=[::]"], "DaemonSet", container("/livenessProbe/httpGet/host"), Value::Null),
        (
            vec!["metrics.address=127.0.0.1"],
            "DaemonSet",
            container("/livenessProbe/httpGet/host"),
            json!("127.0.0.1"),
        ),
        (
            vec!["metrics.address=[fd00::1]"],
            "DaemonSet",
            container("/readinessProbe/httpGet/host"),
            json!("fd00::1"),
        ),
        (vec!["metrics.port=9100"], "DaemonSet", container("/ports/0/containerPort"), json!(9100)),
        (vec!["metrics.port=9100"], "Service", "/spec/ports/0/port".to_owned(), json!(9100)),
        (vec!["metrics.port=9100"], "NetworkPolicy", "/spec/ingress/0/ports/0/port".to_owned(), json!(9100)),
        (vec![], "DaemonSet", container("/args/12"), json!("--hubble-addr=127.0.0.1:4244")),
        (vec![], "DaemonSet", container("/args/14"), Value::Null),
        (vec![], "NetworkPolicy", "/spec/ingress/1".to_owned(), Value::Null),
        (vec!["hubble.flows=65535"], "DaemonSet", container("/args/13"), json!("--hubble-flows=65535")),
        (
            vec!["hubble.address=0.0.0.0"],
            "DaemonSet",
            container("/args/12"),
            json!("--hubble-addr=0.0.0.0:4244"),
        ),
        (vec![TLS], "DaemonSet", container("/args/12"), json!("--hubble-addr=$(NETPOL_HOST_IP):4244")),
        (
            vec![TLS],
            "DaemonSet",
            container("/args/14"),
            json!("--hubble-tls-cert=/run/netpol/hubble-tls/tls.crt"),
        ),
        (vec![TLS, "metrics.address=[::]"], "DaemonSet", container("/env/1/name"), json!("NETPOL_HOST_IP")),
        (vec![TLS], "DaemonSet", pod("/volumes/1/secret/secretName"), json!("hubble-server")),
        (vec![TLS], "DaemonSet", container("/volumeMounts/1/mountPath"), json!("/run/netpol/hubble-tls")),
        (vec![TLS], "NetworkPolicy", "/spec/ingress/1/ports/0/port".to_owned(), json!(4244)),
        (
            vec!["hubble.address=0.0.0.0", "networkPolicy.hubbleClients[0].ipBlock.cidr=10.0.0.0/8"],
            "NetworkPolicy",
            "/spec/ingress/1/from".to_owned(),
            json!([{ "ipBlock": { "cidr": "10.0.0.0/8" } }]),
        ),
        (vec!["hubble.port=4344"], "DaemonSet", container("/ports/1/containerPort"), json!(4344)),
        (vec!["agent.prints=connections"], "DaemonSet", container("/args/8"), json!("--output=compact")),
        (
            vec!["agent.prints=connections"],
            "DaemonSet",
            container("/args/9"),
            json!("--metrics-addr=$(NETPOL_HOST_IP):9965"),
        ),
        (
            vec!["agent.prints=nothing"],
            "DaemonSet",
            container("/args/8"),
            json!("--metrics-addr=$(NETPOL_HOST_IP):9965"),
        ),
        (vec!["agent.format=json"], "DaemonSet", container("/args/8"), json!("--output=json")),
        (
            vec!["agent.maxConnections=4194304"],
            "DaemonSet",
            container("/args/3"),
            json!("--max-connections=4194304"),
        ),
        (vec!["agent.log=debug"], "DaemonSet", container("/env/2/value"), json!("debug")),
        (vec![], "DaemonSet", container("/args/11"), json!("--events")),
        (vec![], "ClusterRole", "/rules/4".to_owned(), event_rule()),
        (
            vec!["events.enabled=false"],
            "DaemonSet",
            container("/args/11"),
            json!("--hubble-addr=127.0.0.1:4244"),
        ),
        (vec!["events.enabled=false"], "ClusterRole", "/rules/4".to_owned(), Value::Null),
        (
            vec!["security.extraCapabilities={CAP_SYS_RESOURCE,SYSLOG}"],
            "DaemonSet",
            container("/securityContext/capabilities"),
            json!({ "drop": ["ALL"], "add": ["BPF", "PERFMON", "NET_ADMIN", "SYS_ADMIN", "SYS_RESOURCE", "SYSLOG"] }),
        ),
        (
            vec!["agent.observeAt=node"],
            "DaemonSet",
            container("/securityContext/capabilities"),
            json!({ "drop": ["ALL"], "add": ["BPF", "PERFMON", "NET_ADMIN"] }),
        ),
        (vec!["agent.observeAt=node"], "DaemonSet", container("/volumeMounts"), Value::Null),
        (vec!["agent.observeAt=node"], "DaemonSet", pod("/volumes"), Value::Null),
        (
            vec!["agent.netnsDir=/var/run/docker/netns"],
            "DaemonSet",
            pod("/volumes/0/hostPath/path"),
            json!("/var/run/docker/netns"),
        ),
        (vec![], "DaemonSet", container("/volumeMounts/0/mountPropagation"), json!("HostToContainer")),
        (
            vec!["security.seLinuxOptions.type=spc_t"],
            "DaemonSet",
            container("/securityContext/seLinuxOptions/type"),
            json!("spc_t"),
        ),
        (
            vec!["security.runAsUser=1000650000"],
            "DaemonSet",
            container("/securityContext/runAsUser"),
            json!(1_000_650_000),
        ),
        (vec!["security.runAsUser=0"], "DaemonSet", container("/securityContext/runAsNonRoot"), json!(false)),
        (vec![], "DaemonSet", container("/securityContext/runAsNonRoot"), json!(true)),
        (vec!["priorityClassName="], "DaemonSet", pod("/priorityClassName"), Value::Null),
        (
            vec!["maxUnavailable=3"],
            "DaemonSet",
            "/spec/updateStrategy/rollingUpdate/maxUnavailable".to_owned(),
            json!(3),
        ),
        (vec!["nodeSelector.disk=ssd"], "DaemonSet", pod("/nodeSelector/disk"), json!("ssd")),
        (vec!["imagePullSecrets[0].name=key"], "DaemonSet", pod("/imagePullSecrets/0/name"), json!("key")),
        (vec!["podLabels.team=a"], "DaemonSet", "/spec/template/metadata/labels/team".to_owned(), json!("a")),
        (
            vec!["podAnnotations.a=b"],
            "DaemonSet",
            "/spec/template/metadata/annotations/a".to_owned(),
            json!("b"),
        ),
        (
            vec!["networkPolicy.scrapers[0].ipBlock.cidr=10.0.0.0/8"],
            "NetworkPolicy",
            "/spec/ingress/0/from".to_owned(),
            json!([{ "ipBlock": { "cidr": "10.0.0.0/8" } }]),
        ),
        (
            vec!["monitoring.monitor=PodMonitor", "monitoring.labels.release=prometheus"],
            "PodMonitor",
            "/metadata/labels/release".to_owned(),
            json!("prometheus"),
        ),
        (
            vec!["monitoring.monitor=PodMonitor"],
            "PodMonitor",
            "/spec/podMetricsEndpoints/0/port".to_owned(),
            json!("metrics"),
        ),
        (
            vec!["monitoring.monitor=ServiceMonitor"],
            "ServiceMonitor",
            "/spec/endpoints/0/interval".to_owned(),
            json!("30s"),
        ),
    ] {
        let objects = Objects::rendered(&values);
        assert_eq!(objects.field(kind, &pointer), &expected, "{values:?}: {kind} {pointer}");
    }
}

/// All that the agent may write.
fn event_rule() -> Value {
    json!({ "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"] })
}

const DIGEST: &str = "image.digest=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A value that makes no sense, and one that is no value at all, is refused with its place and the reason.
#[test]
fn bad_values() {
    let helm = Helm::find_or_fetch().unwrap();
    for (value, complaint) in [
        ("metric.port=1", "additional properties 'metric' not allowed"),
        ("agent.grac=1", "'/agent': additional properties 'grac' not allowed"),
        ("agent.staleAfter=179", "'/agent/staleAfter': minimum: got 179, want 180"),
        ("agent.format=xml", "'/agent/format': value must be one of 'compact', 'json'"),
        ("agent.grace=soon", "'/agent/grace': got string, want integer"),
        ("agent.ringKib=3000", "'/agent/ringKib': value must be one of 4, 8"),
        ("events.enabled=often", "'/events/enabled': got string, want boolean"),
        ("metrics.port=443", "'/metrics/port': minimum: got 443, want 1,024"),
        ("metrics.port=65536", "'/metrics/port': maximum: got 65,536, want 65,535"),
        ("metrics.address=node", "'/metrics/address': 'node' does not match pattern"),
        ("hubble.port=80", "'/hubble/port': minimum: got 80, want 1,024"),
        ("hubble.flows=0", "'/hubble/flows': minimum: got 0, want 1"),
        ("hubble.address=localhost", "'/hubble/address': 'localhost' does not match pattern"),
        ("hubble.tls.secretName=A_B", "'/hubble/tls/secretName': 'A_B' does not match pattern"),
        ("image.digest=sha256:12", "'/image/digest': 'sha256:12' does not match pattern"),
        ("maxUnavailable=0", "'/maxUnavailable': minimum: got 0, want 1"),
        ("monitoring.monitor=Both", "'/monitoring/monitor': value must be one of 'none', 'PodMonitor'"),
        ("networkPolicy.apiServerPorts=null", "'/networkPolicy': missing property 'apiServerPorts'"),
        ("security.seccompProfile.type=None", "'/security/seccompProfile/type': value must be one of"),
        ("resources.limits.memory=much", "'/resources/limits/memory': 'much' does not match pattern"),
    ] {
        let error = helm.template(&["--set", value]).unwrap_err().to_string();
        assert!(error.contains(complaint), "{value}: {error}");
    }
}

/// The chart's defaults are the agent's own.
#[test]
fn defaults_are_the_agents() {
    let help = Command::new(env!("CARGO_BIN_EXE_netpol-agent")).args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let objects = Objects::rendered(&[]);
    let args = objects.field("DaemonSet", &format!("{CONTAINER}/args")).as_array().unwrap();
    for flag in [
        "--grace",
        "--stale-after",
        "--max-connections",
        "--ring-kib",
        "--attach",
        "--observe-at",
        "--hubble-flows",
    ] {
        let own = help.split(&format!("{flag} <")).nth(1).and_then(|rest| rest.split("[default: ").nth(1));
        let own = own.and_then(|rest| rest.split(']').next()).unwrap_or_else(|| panic!("{flag}:\n{help}"));
        assert!(args.contains(&json!(format!("{flag}={own}"))), "{flag}: {own} is the agent's, in {args:?}");
    }
}

/// Every value of the schema is in `values.yaml`, with a comment above it or above each of its parts.
#[test]
fn values_are_documented() {
    let values = yaml::documents(VALUES).remove(0).unwrap();
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut bare = Vec::new();
    find_bare(&values, &schema, "", &mut bare);
    // Helm's own.
    assert_eq!(bare, ["/global"]);
}

fn find_bare(values: &Yaml, schema: &Value, path: &str, bare: &mut Vec<String>) {
    let lines: Vec<&str> = VALUES.lines().collect();
    for (name, part) in schema["properties"].as_object().unwrap() {
        let path = format!("{path}/{name}");
        let yaml::Value::Map(entries) = &values.value else { panic!("{path}: its parent is no mapping") };
        match entries.iter().find(|(key, _)| key.text == *name) {
            Some((key, _)) if lines[key.line as usize - 2].trim_start().starts_with('#') => {}
            Some((_, value)) if part["properties"].is_object() => find_bare(value, part, &path, bare),
            _ => bare.push(path),
        }
    }
}
