//! The lab as the Kubernetes API would tell it.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    fs,
    net::IpAddr,
    path::Path,
};

use anyhow::{Context as _, Result};

use super::Pod;

type Labels = BTreeMap<String, String>;

/// What a Node object says.
pub(super) struct NodeObject<'a> {
    pub(super) name: &'a str,
    pub(super) ips: [IpAddr; 2],
    pub(super) cidrs: [String; 2],
}

/// One YAML document for each object.
pub(super) fn render(node: &NodeObject<'_>, namespaces: &BTreeMap<String, Labels>, pods: &[Pod]) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = write_node(&mut text, node);
    for (name, labels) in namespaces {
        let _ = write_namespace(&mut text, name, labels);
    }
    for pod in pods {
        let _ = write_pod(&mut text, node, pod);
    }
    text
}

/// Puts `text` in the place of the file at once: a reader sees the old one or the new one, never a part.
pub(super) fn replace(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension("draft");
    fs::write(&draft, text).with_context(|| format!("writing {}", draft.display()))?;
    fs::rename(&draft, path).with_context(|| format!("replacing {}", path.display()))
}

fn write_node(out: &mut String, node: &NodeObject<'_>) -> fmt::Result {
    let [cidr4, cidr6] = &node.cidrs;
    writeln!(out, "apiVersion: v1\nkind: Node\nmetadata:\n  name: {}", quoted(node.name))?;
    writeln!(out, "spec:\n  podCIDR: {}\n  podCIDRs:", quoted(cidr4))?;
    writeln!(out, "  - {}\n  - {}\nstatus:\n  addresses:", quoted(cidr4), quoted(cidr6))?;
    for ip in node.ips {
        writeln!(out, "  - type: InternalIP\n    address: {}", quoted(&ip.to_string()))?;
    }
    Ok(())
}

fn write_namespace(out: &mut String, name: &str, labels: &Labels) -> fmt::Result {
    writeln!(out, "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: {}\n  labels:", quoted(name))?;
    writeln!(out, "    kubernetes.io/metadata.name: {}", quoted(name))?;
    write_labels(out, labels)
}

fn write_pod(out: &mut String, node: &NodeObject<'_>, pod: &Pod) -> fmt::Result {
    let spec = &pod.inner.spec;
    writeln!(out, "---\napiVersion: v1\nkind: Pod\nmetadata:")?;
    writeln!(out, "  name: {}\n  namespace: {}", quoted(pod.name()), quoted(pod.namespace()))?;
    writeln!(out, "  uid: {}\n  labels:", quoted(pod.uid()))?;
    writeln!(out, "    lab/pod: {}", quoted(pod.name()))?;
    write_labels(out, &spec.labels)?;
    writeln!(out, "spec:\n  nodeName: {}\n  containers:\n  - name: main\n    image: lab", quoted(node.name))?;
    for (index, port) in spec.ports.iter().enumerate() {
        if index == 0 {
            writeln!(out, "    ports:")?;
        }
        writeln!(out, "    - name: {}\n      containerPort: {}", quoted(&port.name), port.number)?;
        writeln!(out, "      protocol: {}", port.protocol)?;
    }
    writeln!(out, "status:\n  phase: Running\n  hostIP: {}", quoted(&node.ips[0].to_string()))?;
    writeln!(out, "  podIP: {}\n  podIPs:", quoted(&pod.ip().to_string()))?;
    for ip in pod.ips() {
        writeln!(out, "  - ip: {}", quoted(&ip.to_string()))?;
    }
    Ok(())
}

fn write_labels(out: &mut String, labels: &Labels) -> fmt::Result {
    for (key, value) in labels {
        writeln!(out, "    {}: {}", quoted(key), quoted(value))?;
    }
    Ok(())
}

/// A YAML scalar that is a string whatever is in it: JSON's strings are.
fn quoted(text: &str) -> impl fmt::Display + use<> {
    serde_json::Value::from(text)
}
