//! Connections of new pods. The address is reported after the pod has started, and the cluster state that contains it
//! is later still.

use jiff::Timestamp;

use super::{
    super::{Clock, Judge},
    DB, DROPPED, FREE, GRACE, KEEP, WEB, attempt, interfaces, reasons,
};
use crate::{
    cluster::{Index, Object, manifests},
    model::{Attempt, Monotonic, Observed, Outcome},
    policy::Compiler,
};

/// Objects by name. Each row lists the ones that exist.
const OBJECTS: [(&str, &str); 10] = [
    ("web", "{kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}, status: {podIP: 10.0.0.1}}"),
    ("twin", "{kind: Pod, metadata: {name: twin, namespace: shop, labels: {app: web}}, status: {podIP: 10.0.0.1}}"),
    ("old", "{kind: Pod, metadata: {name: old, namespace: shop}, status: {podIP: 10.0.0.1}}"),
    ("shut", "{kind: Pod, metadata: {name: shut, namespace: tools, labels: {app: shut}}, status: {podIP: 10.0.0.1}}"),
    ("db", "{kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db}}, status: {podIP: 10.0.0.2}}"),
    ("other-db", "{kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db, v: '0'}}, status: {podIP: 10.0.0.2}}"),
    ("free", "{kind: Pod, metadata: {name: free, namespace: tools}, status: {podIP: 10.0.0.3}}"),
    (
        "only-web",
        "{kind: NetworkPolicy, metadata: {name: db, namespace: shop},
          spec: {podSelector: {matchLabels: {app: db}},
                 ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]}}",
    ),
    (
        "nowhere",
        "{kind: NetworkPolicy, metadata: {name: shut, namespace: tools},
          spec: {podSelector: {matchLabels: {app: shut}}, policyTypes: [Egress]}}",
    ),
    (
        "not-web",
        "{kind: ClusterNetworkPolicy, metadata: {name: not-web},
          spec: {tier: Admin, priority: 1, subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: tools}}},
                 ingress: [{name: a, action: Deny, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}]}]}}",
    ),
];

/// When the agent started, in milliseconds.
const START: u64 = 1000;

/// When the new pod's interface was created, in milliseconds.
const BORN: u64 = 99_000;

/// The objects that exist in most rows.
const BASE: &str = "db free only-web nowhere not-web";

fn objects(names: &str) -> Vec<Object> {
    let wanted = names.split_whitespace().map(|name| {
        let (_, object) = OBJECTS.iter().find(|(known, _)| *known == name).expect(name);
        let version = match object {
            text if text.contains("ClusterNetworkPolicy") => "policy.networking.k8s.io/v1alpha2",
            text if text.contains("NetworkPolicy") => "networking.k8s.io/v1",
            _ => "v1",
        };
        object.replacen('{', &format!("{{apiVersion: {version}, "), 1)
    });
    let manifests = manifests::parse("test.yaml", &wanted.collect::<Vec<_>>().join("\n---\n"));
    assert!(manifests.errors.is_empty(), "{:?}", manifests.errors);
    manifests.objects
}

const fn ms(milliseconds: u64) -> Monotonic {
    Monotonic::from_nanos(milliseconds * 1_000_000)
}

/// Creates a judge that received these objects at these milliseconds. Each state becomes current 30 ms after the
/// report.
fn judge(states: &[(u64, String)]) -> Judge {
    let mut judge = Judge::new(Clock { boot: Timestamp::UNIX_EPOCH }, reasons(), GRACE, KEEP);
    let (mut index, mut compiler) = (Index::new(), Compiler::new());
    for (at, names) in states {
        // The objects that existed at the start have no start time.
        if *at > START {
            index.set_time(ms(*at));
        }
        index.sync(objects(names));
        judge.set_state(compiler.update(&index.publish()), ms(at + 30));
    }
    judge
}

/// Returns an attempt from `WEB` that began 100 ms after its interface was created, and was decided immediately.
fn early(to: &str, port: u16, observed: Observed) -> Attempt {
    Attempt { began: ms(BORN + 100), decided: ms(BORN + 101), ..attempt(WEB, to, port, observed) }
}

/// Isolation by NetworkPolicies holds for a new pod from its first moment, by the API's definition. A rule that allows
/// the pod, or denies it by its labels, may take time to apply. If more has changed than that the pod was created, the
/// attempt is undecidable.
#[test]
fn a_new_pod() {
    use Observed::{Established, Rejected};
    use Outcome::{Conforming, Enforced, NotEnforced, OverBlocked, Undecidable};
    let after = |before: &str, now: &str| vec![(START, before.to_owned()), (BORN + 1000, now.to_owned())];
    let came = |pod: &str| after(BASE, &format!("{BASE} {pod}"));
    let known = |at, pod: &str| vec![(START, BASE.to_owned()), (at, format!("{BASE} {pod}"))];
    for (name, states, attempt, expected) in [
        ("allowed", came("web"), early(DB, 5432, Established), Conforming),
        ("allowed, and dropped so far", came("web"), early(DB, 5432, DROPPED), Undecidable),
        ("not allowed", came("web"), early(DB, 22, Established), NotEnforced),
        ("not allowed, and dropped", came("web"), early(DB, 22, DROPPED), Enforced),
        ("isolated", came("shut"), early(FREE, 80, Established), NotEnforced),
        ("isolated, and rejected", came("shut"), early(FREE, 80, Rejected), Enforced),
        ("denied by its labels", came("web"), early(FREE, 80, Established), Undecidable),
        ("denied by its labels, and dropped", came("web"), early(FREE, 80, DROPPED), Enforced),
        (
            "both are new",
            after("free only-web", "free only-web web db"),
            early(DB, 22, Established),
            NotEnforced,
        ),
        (
            "its policy is new",
            after("db free", "db free shut nowhere"),
            early(FREE, 80, Established),
            Undecidable,
        ),
        (
            "another policy is new",
            after("free only-web", "free only-web nowhere web db"),
            early(DB, 22, Established),
            Undecidable,
        ),
        (
            "the other pod's labels are new",
            after("other-db only-web", "db only-web web"),
            early(DB, 22, Established),
            Undecidable,
        ),
        (
            "its address was another's",
            after("old db only-web", "db only-web web"),
            early(DB, 5432, Established),
            Undecidable,
        ),
        (
            "its address was its like's",
            after("twin db only-web", "db only-web web"),
            early(DB, 5432, Established),
            Conforming,
        ),
        ("known just before", known(98_000, "web"), early(DB, 5432, DROPPED), Undecidable),
        ("known for longer", known(90_000, "web"), early(DB, 5432, DROPPED), OverBlocked),
        (
            "a policy was new when it began, and its name came last",
            vec![
                (START, "db".into()),
                (BORN - 4500, "db only-web".into()),
                (BORN + 4900, "db only-web web".into()),
            ],
            early(DB, 22, Established),
            Undecidable,
        ),
    ] {
        let judge = judge(&states);
        let mut interfaces = interfaces();
        interfaces.created(1, if name.starts_with("known") { ms(80_000) } else { ms(BORN) });
        assert_eq!(judge.awaits(&attempt, &interfaces), None, "{name}");
        let flow = judge.judge(attempt, &interfaces);
        assert_eq!(flow.source.kind(), "pod", "{name}");
        assert_eq!(flow.outcome, expected, "{name}: {:?} {:?}", flow.source, flow.expected);
    }
}

/// The destination answered, but was not seen at the interface that has the address. That interface may have been
/// removed, and the removal not reported yet.
#[test]
fn a_destination_that_was_not_seen() {
    use Outcome::{NotEnforced, Undecidable};
    let judge = judge(&[(START, format!("{BASE} web"))]);
    let until = Some(ms(102_000));
    let unseen = |attempt| Attempt { began: ms(100_000), destination_interface: None, ..attempt };
    let open = attempt(WEB, DB, 22, Observed::Established);
    for (name, attempt, gone, awaits, outcome) in [
        ("seen", Attempt { began: ms(100_000), ..open }, None, None, NotEnforced),
        ("not seen", unseen(open), None, until, NotEnforced),
        ("removed by then", unseen(open), Some(100_200), None, Undecidable),
        ("removed before", unseen(open), Some(99_990), Some(ms(104_940)), Undecidable),
        ("removed much later", unseen(open), Some(103_000), None, NotEnforced),
        ("no answer", unseen(attempt(WEB, DB, 22, DROPPED)), None, None, Outcome::Enforced),
        (
            "the source",
            Attempt { source_interface: None, began: ms(100_000), ..open },
            None,
            until,
            NotEnforced,
        ),
        (
            "a made-up source",
            Attempt { source_interface: None, spoof_candidate: Some(3), ..open },
            None,
            None,
            Undecidable,
        ),
        (
            "its beginning was not seen",
            Attempt { pre_existing: true, ..unseen(open) },
            None,
            None,
            Undecidable,
        ),
    ] {
        let mut interfaces = interfaces();
        if let Some(at) = gone {
            interfaces.removed(2, ms(at));
        }
        assert_eq!(judge.awaits(&attempt, &interfaces), awaits, "{name}");
        let flow = judge.judge(attempt, &interfaces);
        assert_eq!(flow.outcome, outcome, "{name}: {:?}", flow.expected);
        let is_named = gone.is_none_or(|at| at > 102_000);
        assert_eq!(flow.destination.kind() == "pod", is_named, "{name}");
    }
}
