//! The `netpol` command, as its users run it.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod ends;
mod examples;
mod flags;
mod input;
mod lint;
mod lint_rules;
mod list;
mod run;
mod scenarios;

use serde_json::{Value, json};

use crate::run::{SCENARIOS, netpol, netpol_with_input, scenario};

#[test]
fn explain_says_each_step_and_its_place() {
    let manifests = scenario("12-service-port");
    let run =
        netpol(&["explain", "-f", &manifests, "--from", "shop/web", "--to", "shop/api", "--port", "8080"]);
    let expected = format!(
        "shop/web -> shop/api TCP 8080: denied

egress of shop/web: allowed
  - no policy decides, and what no policy decides is allowed

ingress of shop/api: denied
  - shop/api isolates the pod
    spec.podSelector, {manifests}:55
  - rule 0 of shop/api is for other ports
    spec.ingress[0].ports, {manifests}:59
    ports: TCP 8080 is not TCP 80
  - default deny: it is isolated, and no rule admits the connection
"
    );
    assert_eq!((run.out.as_str(), run.status), (expected.as_str(), 0), "{}", run.err);
}

#[test]
fn explain_as_json_has_the_answer_and_the_steps() {
    let manifests = scenario("12-service-port");
    let run = netpol(&[
        "explain", "-f", &manifests, "--from", "8.8.8.8", "--to", "10.0.0.2", "--port", "80", "-o", "json",
    ]);
    let answer: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(answer["ingress"]["subject"], "shop/api");
    assert_eq!(answer["ingress"]["decided_by"], "NetworkPolicy");
    assert_eq!(answer["steps"][2]["path"], "spec.ingress[0].from");
    assert_eq!(answer["steps"][2]["place"], format!("{manifests}:58"));
}

#[test]
fn check_results_have_exactly_these_fields() {
    let queries = r#"
{"id":1,"src":{"pod":"shop/web"},"dst":{"pod":"shop/api"},"protocol":"TCP","port":80,"via_service":false}
{"id":"out","src":{"ip":"8.8.8.8"},"dst":{"pod":"shop/api"}}
"#;
    let run =
        netpol_with_input(&["check", "-f", &scenario("12-service-port"), "-q", "-", "-o", "json"], queries);
    let lines: Vec<Value> = run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines,
        [
            json!({"id": 1, "allowed": true, "defined": true,
                "egress": {"verdict": "allow", "subject": "shop/web", "decided_by": "default", "isolating": [], "allowing": [], "tier_rule": null, "passed_by": null},
                "ingress": {"verdict": "allow", "subject": "shop/api", "decided_by": "NetworkPolicy", "isolating": ["shop/api"], "allowing": [["shop/api", 0]], "tier_rule": null, "passed_by": null},
                "notes": []}),
            json!({"id": "out", "allowed": false, "defined": true,
                "egress": {"verdict": "allow", "subject": null, "decided_by": "no-subject", "isolating": [], "allowing": [], "tier_rule": null, "passed_by": null},
                "ingress": {"verdict": "deny", "subject": "shop/api", "decided_by": "NetworkPolicy", "isolating": ["shop/api"], "allowing": [], "tier_rule": null, "passed_by": null},
                "notes": []}),
        ]
    );
    assert_eq!(run.status, 0, "{}", run.err);
}

#[test]
fn check_shows_the_tiers() {
    let manifests = "
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: n}
status: {podIP: 10.0.0.1}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: pass}
spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Pass, to: [{networks: [0.0.0.0/0]}]}]}
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: BaselineAdminNetworkPolicy
metadata: {name: default}
spec: {subject: {namespaces: {}}, egress: [{action: Allow, to: [{networks: [10.0.0.0/8]}]}, {action: Deny, to: [{networks: [0.0.0.0/0]}]}]}
";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    std::fs::write(&file, manifests).unwrap();
    let query = r#"{"id":1,"src":{"pod":"n/a"},"dst":{"ip":"8.8.8.8"},"port":443}"#;
    let run = netpol_with_input(&["check", "-f", file.to_str().unwrap(), "-q", "-", "-o", "json"], query);
    let answer: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(answer["egress"]["tier_rule"], json!(["default", 1, "Deny"]));
    assert_eq!(answer["egress"]["passed_by"], json!(["pass", 0]));
    assert_eq!(answer["egress"]["decided_by"], "Baseline");
}

#[test]
fn expectations_that_are_not_met_are_listed() {
    let queries = r#"{"id":"a","src":{"pod":"shop/web"},"dst":{"pod":"shop/api"},"port":80,"expect":"deny"}
{"id":"b","src":{"pod":"shop/web"},"dst":{"pod":"shop/api"},"port":80,"expect":"allow"}
{"id":"c","src":{"pod":"shop/web"},"dst":{"pod":"shop/api"},"port":80}"#;
    let manifests = scenario("12-service-port");
    let run = netpol_with_input(&["check", "-f", &manifests, "-q", "-", "--expect"], queries);
    assert_eq!(run.status, 1);
    assert_eq!(
        run.err,
        "-:1: id \"a\": expected deny, got allow\n1 of 2 expectations met, 1 queries without one, 0 not answered\n"
    );
    let ignored = netpol_with_input(&["check", "-f", &manifests, "-q", "-"], queries);
    assert_eq!(ignored.status, 0);
}

#[test]
fn queries_that_can_not_be_answered_cost_no_other() {
    let queries = r#"{"id":1,"src":{"pod":"shop/wev"},"dst":{"pod":"shop/api"},"port":80}
nonsense
{"id":3,"src":{"pod":"shop/web"},"dst":{"ip":"10.0.0"},"port":80}
{"id":4,"src":{"pod":"shop/web"},"dst":{"pod":"shop/api"},"port":80,"protocol":"TPC"}
{"id":5,"src":{"pod":"shop/web"},"dst":{"pod":"shop/api"},"port":80}"#;
    let run =
        netpol_with_input(&["check", "-f", &scenario("12-service-port"), "-q", "-", "-o", "json"], queries);
    let lines: Vec<Value> = run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({"id": 1, "error": "there is no pod \"shop/wev\"; did you mean shop/web?"}));
    assert!(lines[1]["error"].as_str().unwrap().starts_with("-:2: not a query"));
    assert_eq!(lines[2]["id"], 3);
    assert!(lines[3]["error"].as_str().unwrap().contains("\"TPC\" is no protocol"));
    assert_eq!((lines[4]["allowed"].clone(), run.status), (json!(true), 1));
}

#[test]
fn matrix_as_a_table() {
    let run = netpol(&["matrix", "-f", &scenario("08-gateway"), "--port", "8000"]);
    let expected = "TCP 8000: from the rows to the columns
+ allowed   - denied   ? up to the implementation

  from           1 2 3 4
1 gateway/kong   + + + +
2 other/spy      + + - +
3 tasks/task-api + + + +
4 tasks/worker   + + - +
";
    assert_eq!((run.out.as_str(), run.status), (expected, 0), "{}", run.err);
    let some = netpol(&["matrix", "-f", &scenario("08-gateway"), "--port", "8000", "-n", "tasks"]);
    assert!(some.out.ends_with("1 tasks/task-api + +\n2 tasks/worker   - +\n"), "{}", some.out);
    let none = netpol(&["matrix", "-f", &scenario("08-gateway"), "--port", "8000", "-n", "nope"]);
    assert_eq!(
        (none.status, none.err.as_str()),
        (2, "netpol: no running pod in namespace \"nope\" of the manifests\n")
    );
}

#[test]
fn matrix_in_other_forms() {
    let manifests = scenario("08-gateway");
    let form = |output: &str| {
        netpol(&["matrix", "-f", &manifests, "--port", "8000", "-n", "tasks", "-o", output]).out
    };
    assert_eq!(
        form("csv"),
        "from,to,protocol,port,allowed,defined
tasks/task-api,tasks/task-api,TCP,8000,true,true
tasks/task-api,tasks/worker,TCP,8000,true,true
tasks/worker,tasks/task-api,TCP,8000,false,true
tasks/worker,tasks/worker,TCP,8000,true,true
"
    );
    assert_eq!(form("mermaid"), "graph LR\n  w0[\"tasks/task-api\"]\n  w1[\"tasks/worker\"]\n  w0 --> w1\n");
    assert!(form("dot").contains("  w0 -> w1;\n"), "{}", form("dot"));
    let json: Value = serde_json::from_str(&form("json")).unwrap();
    assert_eq!(
        json["pairs"][2],
        json!({"from": "tasks/worker", "to": "tasks/task-api", "allowed": false, "defined": true})
    );
}

#[test]
fn pods_of_one_workload_share_a_row_unless_policies_tell_them_apart() {
    let pod = |name: &str, ip: &str, labels: &str| {
        format!(
            "---
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: n
  labels: {{{labels}, pod-template-hash: abc}}
  ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: web-abc, uid: u, controller: true}}]
status: {{phase: Running, podIP: {ip}}}
"
        )
    };
    let policy = "---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: n}
spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/24}}]}]}
";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    let table = |text: String| {
        std::fs::write(&file, text).unwrap();
        netpol(&["matrix", "-f", file.to_str().unwrap(), "--port", "80"]).out
    };
    let two = pod("web-1", "10.0.0.1", "app: web") + &pod("web-2", "10.0.0.2", "app: web");
    assert!(table(two.clone() + policy).ends_with("from  1\n1 n/web +\n"), "{}", table(two + policy));
    // The third has an address outside of the range that the policy admits.
    let three = two + &pod("web-3", "10.0.1.1", "app: web");
    let shown = table(three + policy);
    assert!(shown.ends_with("1 n/web-1+1 + +\n2 n/web-3   - +\n"), "{shown}");
}

#[test]
fn tables_fit_80_columns_and_have_no_colour_in_a_pipe() {
    for name in SCENARIOS {
        let manifests = scenario(name);
        for arguments in [vec!["matrix", "-f", &manifests, "--port", "80"], vec!["lint", "-f", &manifests]] {
            let run = netpol(&arguments);
            let wide =
                run.out.lines().filter(|line| line.chars().count() > 80 && !line.contains(&*manifests));
            assert_eq!(wide.collect::<Vec<_>>(), Vec::<&str>::new());
            assert!(!run.out.contains('\u{1b}'));
        }
    }
}

#[test]
fn a_large_matrix_is_cut_into_tables_that_fit() {
    let mut text = String::new();
    for i in 0..120 {
        text += &format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: pod-with-quite-a-long-name-{i}, namespace: namespace-{i}, labels: {{n: n{i}}}}}\n"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    std::fs::write(&file, text).unwrap();
    let run = netpol(&["matrix", "-f", file.to_str().unwrap(), "--port", "80"]);
    let widest = run.out.lines().map(|line| line.chars().count()).max();
    assert!(widest.is_some_and(|widest| widest <= 80), "{widest:?}");
    assert_eq!(run.out.matches('+').count(), 120 * 120 + 1);
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let manifests = scenario("12-service-port");
    for (arguments, reason) in [
        (
            vec!["explain", "-f", "/no/such", "--from", "a/b", "--to", "c/d", "--port", "1"],
            "can't read manifests from /no/such: No such file",
        ),
        (
            vec!["explain", "-f", &manifests, "--from", "web", "--to", "c/d", "--port", "1"],
            "name a pod as NAMESPACE/NAME",
        ),
        (
            vec!["explain", "-f", &manifests, "--from", "shop/web", "--to", "shop/apo", "--port", "1"],
            "did you mean shop/api?",
        ),
        (
            vec!["explain", "-f", &manifests, "--from", "shop/web", "--to", "1.1.1.1", "--port", "70000"],
            "70000 is not in 0..=65535",
        ),
        (
            vec![
                "explain",
                "-f",
                &manifests,
                "--from",
                "shop/web",
                "--to",
                "1.1.1.1",
                "--port",
                "1",
                "--protocol",
                "x",
            ],
            "\"x\" is no protocol",
        ),
        (vec!["check", "-f", &manifests, "-q", "/no/such"], "can't read queries from /no/such"),
        (vec!["lint"], "--manifests"),
        (vec!["nonsense"], "unrecognized subcommand"),
    ] {
        let run = netpol(&arguments);
        assert!(run.err.contains(reason) && run.status == 2, "{arguments:?}: {}", run.err);
    }
    let empty = tempfile::tempdir().unwrap();
    let run = netpol(&["lint", "-f", empty.path().to_str().unwrap()]);
    assert!(run.err.contains("no Kubernetes object in"), "{}", run.err);
}
