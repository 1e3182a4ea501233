//! Manifests as people write them, the broken ones too.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{fs, path::PathBuf};

use netpol_agent::{
    cluster::{
        Object, ObjectRef,
        manifests::{Manifests, load, parse},
    },
    model::ObjectKind,
};

fn errors(manifests: &Manifests) -> Vec<String> {
    manifests.errors.iter().map(ToString::to_string).collect()
}

fn objects(manifests: &Manifests) -> Vec<String> {
    manifests.objects.iter().map(|object| object.reference().to_string()).collect()
}

/// A text, the objects in it, and the errors it has.
#[track_caller]
fn check(text: &str, wanted_objects: &[&str], wanted_errors: &[&str]) {
    let manifests = parse("f.yaml", text);
    assert_eq!(
        (objects(&manifests), errors(&manifests)),
        (owned(wanted_objects), owned(wanted_errors)),
        "{text}"
    );
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

const NS: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";

#[test]
fn documents() {
    check("", &[], &[]);
    check("# nothing\n---\n---\n", &[], &[]);
    check(NS, &["Namespace a"], &[]);
    check(
        &format!("---\n{NS}---\n{}", NS.replace("name: a", "name: b")),
        &["Namespace a", "Namespace b"],
        &[],
    );
    check(
        &format!("{NS}...\n---  # second\n{}", NS.replace("name: a", "name: b")),
        &["Namespace a", "Namespace b"],
        &[],
    );
    check(&format!("\u{feff}{NS}"), &["Namespace a"], &[]);
    check(&NS.replace('\n', "\r\n"), &["Namespace a"], &[]);
}

#[test]
fn a_broken_document_costs_no_other() {
    let text = format!("{NS}---\nkind: [\n---\n{}", NS.replace("name: a", "name: b"));
    let manifests = parse("f.yaml", &text);
    assert_eq!(objects(&manifests), ["Namespace a", "Namespace b"]);
    let errors = errors(&manifests);
    assert!(errors[0].starts_with("f.yaml:") && errors[0].contains("not valid YAML"), "{errors:?}");
    assert!((5..=7).contains(&manifests.errors[0].line), "{errors:?}");
}

#[test]
fn json_and_lists() {
    let json = "{\n\t\"apiVersion\": \"v1\", \"kind\": \"Namespace\",\n\t\"metadata\": {\"name\": \"a\", \"labels\": {\"x\": \"\\u00e9\"}}}";
    check(
        json,
        &[],
        &[
            "f.yaml:3: Namespace a: metadata.labels.x: \"é\" is no label value: at most 63 of A-Z, a-z, 0-9, -, _ and .",
        ],
    );
    check(&json.replace("\\u00e9", "y"), &["Namespace a"], &[]);
    let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n- {apiVersion: v1, kind: Namespace, metadata: {}}\n";
    check(list, &["Namespace a"], &["f.yaml:5: Namespace: metadata.name: an object needs a name"]);
    let typed =
        "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: p, namespace: n}\n- metadata: {name: q}\n";
    check(typed, &["Pod n/p", "Pod default/q"], &[]);
    check("apiVersion: v1\nkind: List\nitems: \n", &[], &[]);
    check(
        "apiVersion: v1\nkind: List\nitems: 5\n",
        &[],
        &["f.yaml:1: List: items: must be a list of objects"],
    );
}

/// Values files and settings lie beside manifests: they are passed over. What is an object by half is broken.
#[test]
fn what_is_no_object() {
    for text in [
        "just text",
        "- a\n- b\n",
        "replicas: 3\n",
        "{\"name\": \"shop\", \"version\": \"1.0.0\"}",
        "apiVersion: v2\nname: chart\nversion: 1.2.3\n",
        "kind: Cluster\nnodes: []\n",
    ] {
        let manifests = parse("f.yaml", text);
        assert_eq!((objects(&manifests).len(), errors(&manifests)), (0, Vec::new()), "{text}");
        assert_eq!(manifests.notes[0].to_string(), "f.yaml:1: no Kubernetes object in this file");
    }
    let beside = parse("f.yaml", &format!("{NS}---\na: 1\n"));
    assert_eq!(objects(&beside), ["Namespace a"]);
    assert!(beside.notes[0].to_string().starts_with("f.yaml:5: not a Kubernetes object"), "{beside:?}");
    let reason = "not a Kubernetes object: it needs `apiVersion` and `kind`";
    check("\n\nkind: Pod\n", &[], &[&format!("f.yaml:3: {reason}")]);
    check("apiVersion: v1\nmetadata: {name: a}\n", &[], &[&format!("f.yaml:1: {reason}")]);
    check("apiVersion: v1\nkind: List\nitems: [{a: 1}]\n", &[], &[&format!("f.yaml:3: {reason}")]);
}

#[test]
fn kinds_that_are_not_read() {
    let manifests = parse(
        "f.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
    );
    assert_eq!((manifests.objects.len(), manifests.errors.len()), (0, 0));
    assert!(manifests.notes[0].to_string().starts_with("f.yaml:1: Deployment shop/web is not read"));
    assert!(manifests.notes[1].to_string().starts_with("f.yaml:5: ConfigMap c is not read"));
    // An old version of a policy would otherwise silently be missing.
    let old = "apiVersion: extensions/v1beta1\nkind: NetworkPolicy\nmetadata: {name: p}\n";
    check(
        old,
        &[],
        &[
            "f.yaml:1: NetworkPolicy p: apiVersion: version \"extensions/v1beta1\" is not known: write networking.k8s.io/v1",
        ],
    );
}

#[test]
fn both_versions_of_cluster_network_policies_are_read() {
    for version in ["v1alpha2", "v1beta1"] {
        let head = format!(
            "apiVersion: policy.networking.k8s.io/{version}\nkind: ClusterNetworkPolicy\nmetadata: {{name: p}}\n"
        );
        let spec = "spec: {tier: Admin, priority: 0, subject: {namespaces: {}}}\n";
        check(&(head + spec), &["ClusterNetworkPolicy p"], &[]);
    }
    let newer = "apiVersion: policy.networking.k8s.io/v2\nkind: ClusterNetworkPolicy\nmetadata: {name: p}\n";
    let manifests = parse("f.yaml", newer);
    assert!(
        errors(&manifests)[0]
            .ends_with("write policy.networking.k8s.io/v1beta1 or policy.networking.k8s.io/v1alpha2"),
        "{manifests:?}"
    );
}

#[test]
fn fields_are_named_with_their_lines() {
    let policy = |rest: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: p\n  namespace: n\nspec:\n{rest}"
        )
    };
    check(
        &policy("  podSelector: {}\n  ingress:\n  - from:\n    - ipBlock:\n        cidr: 10.0.0.300/8\n"),
        &[],
        &[
            "f.yaml:11: NetworkPolicy n/p: spec.ingress[0].from[0].ipBlock.cidr: \"10.0.0.300/8\" is no CIDR: write an address range such as 10.0.0.0/8 or fd00::/8",
        ],
    );
    check(
        &policy("  podSelector:\n    matchLabels:\n      app: web\n      on: true\n"),
        &[],
        &[
            "f.yaml:10: NetworkPolicy n/p: spec.podSelector.matchLabels.on: must be a string: put true in quotes",
        ],
    );
    check(
        &policy("  podSelector: {}\n  podSelector: {}\n"),
        &[],
        &["f.yaml:8: not valid YAML: key \"podSelector\" is given twice, first on line 7"],
    );
    let unknown = parse("f.yaml", &policy("  podSelectr: {}\n"));
    assert!(
        errors(&unknown)[0].starts_with("f.yaml:7: NetworkPolicy n/p: spec.podSelectr: unknown field"),
        "{unknown:?}"
    );
}

#[test]
fn the_later_of_two_objects_with_one_name_counts() {
    let pod = |app: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: n, labels: {{app: {app}}}}}\n"
        )
    };
    let manifests = parse("f.yaml", &(pod("first") + &pod("second")));
    let snapshot = manifests.snapshot();
    assert_eq!(snapshot.pod("n/p").unwrap().labels().get("app"), Some("second"));
    assert_eq!(
        manifests.duplicates[0].to_string(),
        "f.yaml:6: Pod n/p is given twice: this one replaces the one in f.yaml:2"
    );
    let same = parse("f.yaml", &(pod("first") + &pod("first")));
    assert_eq!((same.duplicates.len(), same.duplicates[0].is_same), (1, true));
}

#[test]
fn anchors_merges_and_their_limits() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  labels: &l {app: a}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: q, labels: {<<: {tier: t}, app: b}}\n";
    let snapshot = parse("f.yaml", text).snapshot();
    assert_eq!(snapshot.pod("default/q").unwrap().labels().get("tier"), Some("t"));
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        bomb += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(", "));
    }
    let errors_of_bomb = errors(&parse("f.yaml", &bomb));
    assert!(errors_of_bomb[0].contains("aliases stand for more than"), "{errors_of_bomb:?}");
    for (depth, reason) in [(150, "nested deeper than"), (5_000, "not valid YAML")] {
        let deep = format!("a: {}{}", "[".repeat(depth), "]".repeat(depth));
        let errors = errors(&parse("f.yaml", &deep));
        assert!(errors[0].contains(reason), "{errors:?}");
    }
}

/// The API server takes such endpoints, and nobody can be reached at them.
#[test]
fn endpoints_that_cannot_be_used_are_left_out() {
    let slice = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s, namespace: n, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}, {addresses: [none, 10.0.0.2]}]
ports: [{name: a, port: 0}, {name: b, port: 80}, {name: c, port: 70000}, {name: d, port: 1, protocol: DCCP}, {name: e}]
";
    let manifests = parse("f.yaml", slice);
    assert_eq!(errors(&manifests), [""; 0]);
    let snapshot = manifests.snapshot();
    let slices: Vec<_> = snapshot.endpoint_slices("n/web").collect();
    let ready: Vec<String> = slices[0].ready.iter().map(ToString::to_string).collect();
    assert_eq!(ready, ["10.0.0.1", "10.0.0.2"]);
    let ports: Vec<_> = slices[0].ports.iter().map(|port| (port.name.as_deref(), port.port)).collect();
    assert_eq!(ports, [(Some("b"), 80)]);
}

#[test]
fn files_and_folders() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("b.yaml", NS.as_bytes());
    write("deep/er/a.yml", NS.replace("name: a", "name: b").as_bytes());
    write("c.json", b"{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"c\"}}");
    write("notes.txt", b"not: [a manifest");
    write(".hidden.yaml", b"not: [a manifest");
    write("latin1.yaml", b"\nkind: \xff\n");
    let manifests = load(&[folder.path().to_owned()]).unwrap();
    assert_eq!(objects(&manifests), ["Namespace a", "Namespace c", "Namespace b"]);
    assert!(errors(&manifests)[0].ends_with("latin1.yaml:2: not UTF-8 text: save the file as UTF-8"));
    // A file that is named is read whatever it is called.
    assert_eq!(load(&[folder.path().join("notes.txt")]).unwrap().errors.len(), 1);
    let missing = load(&[PathBuf::from("/no/such/folder")]).unwrap_err();
    assert!(missing.to_string().contains("/no/such/folder"), "{missing}");
}

#[test]
fn a_manifest_of_nothing_but_pods_makes_their_namespaces() {
    let manifests = parse("f.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: n}\n");
    let snapshot = manifests.snapshot();
    let label = snapshot.namespace("n").unwrap().labels.get("kubernetes.io/metadata.name").map(str::to_owned);
    assert_eq!(label.as_deref(), Some("n"));
}

/// What is captured of a cluster is what it was: each kind of object survives being written as JSON.
#[test]
fn objects_as_json() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    let manifests = load(&[folder.into()]).unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    for object in &manifests.objects {
        let text = serde_json::to_string(object).unwrap();
        let read: Object = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read, *object);
        kinds.insert(object.reference().kind());
        let reference = object.reference();
        let text = serde_json::to_string(&reference).unwrap();
        assert_eq!(serde_json::from_str::<ObjectRef>(&text).unwrap(), reference);
    }
    for kind in [ObjectKind::Pod, ObjectKind::Namespace, ObjectKind::NetworkPolicy] {
        assert!(kinds.contains(&kind), "the scenarios have no {kind:?}");
    }
}

/// The same for the kinds and fields that no scenario has.
#[test]
fn other_objects_as_json() {
    let text = "
{apiVersion: v1, kind: Node, metadata: {name: n, labels: {a: b}}, spec: {podCIDRs: [10.0.0.0/24, 'fd00::/64']},
 status: {addresses: [{type: InternalIP, address: 10.1.0.1}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop},
 spec: {clusterIP: 10.96.0.2, selector: {app: db}, externalTrafficPolicy: Local,
        ports: [{name: a, port: 53, nodePort: 30053, protocol: UDP, targetPort: dns}, {name: b, port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice,
 metadata: {name: s-1, namespace: shop, labels: {kubernetes.io/service-name: s}},
 addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}], ports: [{name: a, port: 5353, protocol: UDP}]}
---
{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop, uid: u, creationTimestamp: '2026-01-02T03:04:05Z',
   deletionTimestamp: '2026-01-02T03:05:05Z', labels: {app: db},
   ownerReferences: [{kind: StatefulSet, name: db, controller: true, apiVersion: apps/v1, uid: x}]},
 spec: {nodeName: n, hostNetwork: true, containers: [{name: c, ports: [{containerPort: 80, name: http, protocol: SCTP}]}]},
 status: {phase: Running, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: np, namespace: shop},
 spec: {podSelector: {matchExpressions: [{key: a, operator: NotIn, values: [b, c]}, {key: d, operator: Exists}]},
        egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}],
                  ports: [{port: 80, endPort: 90}, {port: http, protocol: SCTP}, {protocol: UDP}]}]}}
---
{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: cnp},
 spec: {tier: Baseline, priority: 7, subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}},
        ingress: [{name: x, action: Deny, from: [{namespaces: {matchLabels: {c: d}}}]}],
        egress: [{action: Accept, to: [{networks: [10.0.0.0/8]}, {nodes: {matchLabels: {e: f}}}]}]}}
";
    let manifests = parse("f.yaml", text);
    assert_eq!(errors(&manifests), [""; 0]);
    assert_eq!(manifests.objects.len(), 6);
    for object in &manifests.objects {
        let text = serde_json::to_string(object).unwrap();
        let read: Object = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read, *object, "{text}");
    }
}

/// A workload of a kind, with a template whose pods have its name as a label.
fn workload(kind: &str, name: &str, more: &str) -> String {
    let version = match kind {
        "ReplicationController" => "v1",
        "Job" | "CronJob" => "batch/v1",
        _ => "apps/v1",
    };
    let template =
        format!("template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: c}}]}}}}");
    let spec = if kind == "CronJob" { format!("jobTemplate: {{spec: {{{template}}}}}") } else { template };
    format!(
        "---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: w{more}}}\nspec: {{{spec}}}\n"
    )
}

#[test]
fn workloads_count_as_their_pods() {
    let kinds =
        ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob"];
    for kind in kinds {
        let text = workload(kind, "one", "");
        let manifests = parse("f.yaml", &text);
        assert_eq!((objects(&manifests), errors(&manifests)), (owned(&["Pod w/one"]), Vec::new()), "{kind}");
        let snapshot = manifests.snapshot();
        let pod = snapshot.pod("w/one").unwrap();
        assert_eq!(pod.labels().get("app"), Some("one"));
        assert_eq!(pod.workload.as_ref().map(|workload| &*workload.kind), Some(kind));
        let in_list = text.replace("---\n", "").replace('\n', "\n  ");
        let list = format!("apiVersion: v1\nkind: List\nitems:\n- {in_list}");
        assert_eq!(objects(&parse("f.yaml", &list)), ["Pod w/one"], "{kind}");
    }
}

/// Neither a workload whose pods are there, nor what another workload has made.
#[test]
fn no_pod_counts_twice() {
    let owned_by = |kind: &str, name: &str| {
        format!(", ownerReferences: [{{kind: {kind}, name: {name}, controller: true}}]")
    };
    let pod = |name: &str, more: &str| {
        format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: w{more}}}\n")
    };
    for (text, wanted) in [
        (
            workload("StatefulSet", "db", "") + &pod("db-0", &owned_by("StatefulSet", "db")),
            vec!["Pod w/db-0"],
        ),
        (
            workload("Deployment", "web", "")
                + &workload("ReplicaSet", "web-1", &owned_by("Deployment", "web")),
            vec!["Pod w/web"],
        ),
        (
            workload("CronJob", "night", "") + &workload("Job", "night-1", &owned_by("CronJob", "night")),
            vec!["Pod w/night"],
        ),
        // The pod tells of its ReplicaSet alone, which tells of the Deployment.
        (
            workload("Deployment", "web", "")
                + &workload("ReplicaSet", "web-1", &owned_by("Deployment", "web"))
                + &pod("web-1-a", &owned_by("ReplicaSet", "web-1")),
            vec!["Pod w/web-1-a"],
        ),
        (pod("web", "") + &workload("Deployment", "web", ""), vec!["Pod w/web", "Pod w/deployment/web"]),
        (
            workload("Deployment", "web", "") + &workload("DaemonSet", "web", ""),
            vec!["Pod w/deployment/web", "Pod w/daemonset/web"],
        ),
    ] {
        let manifests = parse("f.yaml", &text);
        assert_eq!((objects(&manifests), errors(&manifests)), (owned(&wanted), Vec::new()), "{text}");
    }
    let twice = parse("f.yaml", &(workload("Deployment", "web", "") + &workload("Deployment", "web", "")));
    assert_eq!((objects(&twice), twice.duplicates.len()), (owned(&["Pod w/web"]), 1));
}

#[test]
fn errors_in_templates_have_their_place() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    metadata:\n      labels: {a: b-}\n    spec:\n      containers:\n      - ports:\n        - containerPort: 70000\n";
    check(
        text,
        &[],
        &[
            "f.yaml:7: Deployment web: spec.template.metadata.labels.a: \"b-\" is no label value: at most 63 of A-Z, a-z, 0-9, -, _ and .",
        ],
    );
    check(
        &text.replace("a: b-", "a: b"),
        &[],
        &[
            "f.yaml:11: Deployment web: spec.template.spec.containers[0].ports[0].containerPort: 70000 is no port: use 1 to 65535",
        ],
    );
}

#[test]
fn json_values_one_after_another() {
    let ns = |name: &str| {
        format!("{{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {{\"name\": \"{name}\"}}}}")
    };
    let names = ["Namespace a", "Namespace b"];
    check(&format!("{}{}", ns("a"), ns("b")), &names, &[]);
    check(&format!("{}\n{}\n", ns("a"), ns("b")), &names, &[]);
    check(&format!("[{},\n{}]", ns("a"), ns("b")), &names, &[]);
    check(&format!("---\n{}\n---\n{}\n", ns("a"), ns("b")), &names, &[]);
    let broken = parse("f.json", &format!("{}\n{{\"apiVersion\": }}}}\n{}\n", ns("a"), ns("b")));
    assert_eq!(
        (objects(&broken), broken.errors.len(), broken.errors[0].line),
        (owned(&names), 1, 2),
        "{broken:?}"
    );
}

/// `kubectl` reads booleans of YAML 1.1. A policy would mean something else; anything else is taken for the word.
#[test]
fn words_that_are_booleans() {
    for word in ["y", "No", "on", "OFF"] {
        let policy = format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p}}\nspec: {{podSelector: {{matchLabels: {{x: {word}}}}}}}\n"
        );
        let found = errors(&parse("f.yaml", &policy));
        assert!(
            found[0].contains(&format!("matchLabels.x: must be a string: put {word} in quotes")),
            "{found:?}"
        );
        check(
            &policy.replace(&format!("x: {word}"), &format!("x: '{word}'")),
            &["NetworkPolicy default/p"],
            &[],
        );
        let pod =
            format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p, labels: {{x: {word}, z: {word}}}}}\n");
        let manifests = parse("f.yaml", &pod);
        assert_eq!((objects(&manifests), errors(&manifests)), (owned(&["Pod default/p"]), Vec::new()));
        assert_eq!(manifests.snapshot().pod("default/p").unwrap().labels().get("z"), Some(word));
        assert_eq!(manifests.booleans.len(), 2);
    }
    let boolean = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {hostNetwork: yes}\n";
    let manifests = parse("f.yaml", boolean);
    assert!(manifests.snapshot().pod("default/p").unwrap().host_network && manifests.booleans.is_empty());
}

#[test]
fn packed_files_and_other_files_in_a_folder() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| fs::write(folder.path().join(name), text).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(NS.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    write("a.yaml.gz", &packed);
    write("values.yaml", b"image: {tag: v1}\n");
    write("broken-values.yaml", b"a: [\n");
    write("package.json", b"{\"name\": \"x\"}");
    let manifests = load(&[folder.path().to_owned()]).unwrap();
    assert_eq!((objects(&manifests), errors(&manifests)), (owned(&["Namespace a"]), Vec::new()));
    assert_eq!(manifests.notes.len(), 3);
    // One that is named is meant, and one that has an object in it, too.
    let named = load(&[folder.path().join("broken-values.yaml")]).unwrap();
    assert_eq!(named.errors.len(), 1);
    write("broken-values.yaml", b"kind: Pod\napiVersion: v1\nspec: [\n");
    assert_eq!(load(&[folder.path().to_owned()]).unwrap().errors.len(), 1);
    // The same file by two names is no duplicate.
    let again = load(&[folder.path().to_owned(), folder.path().join(".").join("a.yaml.gz")]).unwrap();
    assert!(again.duplicates.is_empty(), "{again:?}");
    write("a.yaml.gz", packed.get(..packed.len() - 9).unwrap());
    let cut = load(&[folder.path().to_owned()]).unwrap_err();
    assert!(cut.to_string().contains("a.yaml.gz"), "{cut}");
}
