//! `netpol list` and `netpol diff`.

use serde_json::Value;

use crate::run::netpol;

const BEFORE: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: front, namespace: tea}
spec: {template: {metadata: {labels: {app: front}}, spec: {containers: [{name: c}]}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store, namespace: tea}
spec: {template: {metadata: {labels: {app: store}}, spec: {containers: [{name: c, ports: [{name: sql, containerPort: 3306}]}]}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: store, namespace: tea}
spec:
  podSelector: {matchLabels: {app: store}}
  policyTypes: [Ingress, Egress]
  ingress:
  - {from: [{podSelector: {matchLabels: {app: front}}}], ports: [{port: sql}, {port: 9100, endPort: 9200}]}
  - {from: [{ipBlock: {cidr: 198.51.100.0/24, except: [198.51.100.128/25]}}], ports: [{port: 3306, protocol: UDP}]}
";

fn write(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Pods that `--exposure` makes up have names that no real pod can have: one of these was left out before.
#[test]
fn no_name_hides_a_pod() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["netpol-any-other-pod", "any-other-pod", "unknown"];
    for name in names {
        let pod = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: tea}}, spec: {{containers: []}}}}"
        );
        let file = write(&folder, "p.yaml", &pod);
        for exposure in [&[][..], &["--exposure"]] {
            let run = netpol(&[&["list", "-f", &file, "-o", "csv"], exposure].concat());
            let expected = format!("tea/{name},0.0.0.0/0,TCP,1,65535,true");
            assert!(run.out.contains(&expected), "{name} {exposure:?}: {} {}", run.out, run.err);
        }
    }
    let strange = write(
        &folder,
        "s.yaml",
        "{apiVersion: v1, kind: Pod, metadata: {name: '*', namespace: tea}, spec: {containers: []}}",
    );
    let run = netpol(&["list", "-f", &strange]);
    assert!(run.err.contains("metadata.name"), "{}", run.err);
}

#[test]
fn all_that_is_permitted() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder, "m.yaml", BEFORE);
    let run = netpol(&["list", "-f", &file]);
    let expected = "from             to         ports
tea/front        tea/store  TCP 3306,9100-9200
tea/front        0.0.0.0/0  all
0.0.0.0/0        tea/front  all
198.51.100.0/25  tea/store  UDP 3306
";
    assert_eq!((run.out.as_str(), run.status), (expected, 0), "{}", run.err);
    let focus = netpol(&["list", "-f", &file, "--focus", "tea/store", "-o", "csv"]);
    assert_eq!(
        focus.out,
        "from,to,protocol,first,last,defined
tea/front,tea/store,TCP,3306,3306,true
tea/front,tea/store,TCP,9100,9200,true
198.51.100.0/25,tea/store,UDP,3306,3306,true
"
    );
    let exposed = netpol(&["list", "-f", &file, "--exposure", "-o", "csv"]).out;
    for from in ["any pod of any other namespace", "any other pod of namespace tea"] {
        assert!(exposed.contains(&format!("{from},tea/front,TCP,1,65535,true\n")), "{exposed}");
        assert!(!exposed.contains(&format!("{from},tea/store")), "{exposed}");
    }
    let unknown = netpol(&["list", "-f", &file, "--focus", "tea/nobody"]);
    assert_eq!(unknown.status, 2, "{}", unknown.out);
}

#[test]
fn a_matrix_of_all_ports() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder, "m.yaml", BEFORE);
    let run = netpol(&["matrix", "-f", &file]);
    let expected = "all ports: from the rows to the columns
+ allowed   - denied   ? up to the implementation   ~ some ports

  from      1 2
1 tea/front + ~
2 tea/store - +
";
    assert_eq!((run.out.as_str(), run.status), (expected, 0), "{}", run.err);
    let csv = netpol(&["matrix", "-f", &file, "--protocol", "TCP", "-o", "csv"]).out;
    assert!(csv.contains("tea/front,tea/store,\"TCP 3306,9100-9200\"\ntea/store,tea/front,\n"), "{csv}");
}

#[test]
fn what_a_change_permits_and_takes_away() {
    let folder = tempfile::tempdir().unwrap();
    let old = write(&folder, "old.yaml", BEFORE);
    let after = BEFORE
        .replace("{port: sql}, ", "")
        .replace("198.51.100.0/24", "203.0.113.0/24")
        .replace("198.51.100.128/25", "203.0.113.128/25");
    let new = write(&folder, "new.yaml", &after);
    let run = netpol(&["diff", &old, &new]);
    let expected = "+ 203.0.113.0/25 -> tea/store: UDP 3306
- 198.51.100.0/25 -> tea/store: UDP 3306
~ tea/front -> tea/store: TCP 3306,9100-9200 -> TCP 9100-9200
added: 1, removed: 1, changed: 1
";
    assert_eq!((run.out.as_str(), run.status), (expected, 1), "{}", run.err);
    let same = netpol(&["diff", &old, &old]);
    assert_eq!((same.out.as_str(), same.status), ("added: 0, removed: 0, changed: 0\n", 0));
    let json: Value = serde_json::from_str(&netpol(&["diff", &old, &new, "-o", "json"]).out).unwrap();
    assert_eq!(json["changes"][1]["change"], "removed");
    let markdown = netpol(&["diff", &old, &new, "-o", "markdown"]).out;
    assert!(markdown.contains("| added | `203.0.113.0/25` | `tea/store` | none | UDP 3306 |"), "{markdown}");
    let broken = write(&folder, "broken.yaml", "apiVersion: v1\nkind: [\n");
    assert_eq!(netpol(&["diff", &old, &broken]).status, 2);
}

#[test]
fn a_revision_of_a_repository() {
    let folder = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let done = std::process::Command::new("git")
            .args([
                "-C",
                folder.path().to_str().unwrap(),
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.org",
            ])
            .args(arguments)
            .output();
        assert!(done.unwrap().status.success(), "{arguments:?}");
    };
    git(&["init", "-q"]);
    write(&folder, "m.yaml", BEFORE);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "first"]);
    let after = write(&folder, "m.yaml", &BEFORE.replace("endPort: 9200", "endPort: 9300"));
    let run = crate::run::netpol_in(folder.path(), &["diff", "git:HEAD:.", &after]);
    assert!(
        run.out.starts_with("~ tea/front -> tea/store: TCP 3306,9100-9200 -> "),
        "{}{}",
        run.out,
        run.err
    );
    let missing = crate::run::netpol_in(folder.path(), &["diff", "git:nothing:.", &after]);
    assert_eq!(missing.status, 2, "{}", missing.err);
}
