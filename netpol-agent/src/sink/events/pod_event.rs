//! What Kubernetes is told of a finding: an Event about each pod that it concerns.

use std::sync::Arc;

use jiff::Timestamp;

use super::message::note;
use crate::model::{Finding, FindingKind, FindingStatus, Observed, Pod, PolicyDirection, PolicyRef};

/// An Event about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEvent {
    /// `Warning` where something is wrong, `Normal` where it no longer is.
    pub r#type: &'static str,
    /// Why it is told, in one word for programs.
    pub reason: &'static str,
    /// The pod.
    pub regarding: Arc<Pod>,
    /// The first of the policies that concern the pod, where there is one.
    pub related: Option<PolicyRef>,
    /// `group/version` by which the API server has that policy, where it is known.
    pub related_version: Option<String>,
    /// The same for people, in at most 1024 bytes.
    pub note: String,
    /// When the connection began that decided it.
    pub time: Timestamp,
}

/// The Events that the agent on a `node`, where its name is known, tells of a finding.
pub(super) fn about(finding: &Finding, node: Option<&str>, time: Timestamp) -> Vec<PodEvent> {
    let Some((r#type, reason)) = reason(finding.key.kind, finding.status) else { return Vec::new() };
    let told = concerned(finding).into_iter().filter(|(pod, _)| tells(finding, node, pod));
    told.map(|(pod, policy)| PodEvent {
        r#type,
        reason,
        regarding: pod.clone(),
        related: policy.cloned(),
        related_version: None,
        note: note(finding),
        time,
    })
    .collect()
}

/// Nothing where a finding only has not been seen for long: that says nothing of the enforcement.
const fn reason(kind: FindingKind, status: FindingStatus) -> Option<(&'static str, &'static str)> {
    match (kind, status) {
        (FindingKind::NotEnforced, FindingStatus::Open) => Some(("Warning", "PolicyNotEnforced")),
        (FindingKind::NotEnforced, FindingStatus::Resolved) => Some(("Normal", "PolicyNotEnforcedResolved")),
        (FindingKind::OverBlocked, FindingStatus::Open) => Some(("Warning", "PolicyOverBlocking")),
        (FindingKind::OverBlocked, FindingStatus::Resolved) => Some(("Normal", "PolicyOverBlockingResolved")),
        (_, FindingStatus::Expired) => None,
    }
}

/// The pods to tell it about, each once, with the policy to name.
fn concerned(finding: &Finding) -> Vec<(&Arc<Pod>, Option<&PolicyRef>)> {
    let [source, destination] = finding.pods.each_ref().map(Option::as_ref);
    let mut concerned: Vec<(&Arc<Pod>, Option<&PolicyRef>)> = Vec::new();
    match finding.key.kind {
        FindingKind::NotEnforced => {
            for denial in &finding.denials {
                let pod = match denial.direction {
                    PolicyDirection::Egress => source,
                    // Which of a Service's endpoints it was may not be known.
                    PolicyDirection::Ingress => destination.or(source),
                };
                if let Some(pod) = pod.filter(|pod| concerned.iter().all(|(other, _)| other.key != pod.key)) {
                    concerned.push((pod, denial.policies.first()));
                }
            }
        }
        FindingKind::OverBlocked => {
            concerned.extend(destination.or(source).map(|pod| (pod, finding.policies.first())));
        }
    }
    concerned
}

/// Whether this agent is the one to tell it. What was established, the agents at both ends see: the pod's own tells.
/// All else that makes a finding shows at one end alone.
fn tells(finding: &Finding, node: Option<&str>, pod: &Pod) -> bool {
    match (node, pod.node.as_deref()) {
        (Some(own), Some(home)) => own == home || finding.observed != Observed::Established,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Denial, FindingEndpoint, FindingKey, Labels, Monotonic, PodClass, PodPhase, PolicyKind, Protocol,
    };

    fn pod(name: &str, node: Option<&str>) -> Arc<Pod> {
        let labels: Labels = [("app", name)].into_iter().collect();
        Arc::new(Pod {
            key: format!("shop/{name}").into(),
            uid: format!("uid of {name}").into(),
            class: Arc::new(PodClass::new("shop".into(), labels, Box::default())),
            ips: Box::default(),
            host_network: false,
            node: node.map(Arc::from),
            phase: PodPhase::Running,
            workload: None,
            created: None,
            is_ending: false,
        })
    }

    fn policy(name: &str) -> PolicyRef {
        PolicyRef { kind: PolicyKind::NetworkPolicy, namespace: Some("shop".into()), name: name.into() }
    }

    /// `shop/a` on the node `one` to `shop/b` on the node `two`, denied in these directions.
    fn finding(kind: FindingKind, directions: &[PolicyDirection], observed: Observed) -> Finding {
        let denials = directions.iter().map(|direction| {
            let (subject, name) = match direction {
                PolicyDirection::Egress => ("shop/a", "out"),
                PolicyDirection::Ingress => ("shop/b", "in"),
            };
            Denial { direction: *direction, subject: subject.into(), policies: vec![policy(name)] }
        });
        let party = |name: &str| FindingEndpoint { kind: "pod", name: name.into() };
        Finding {
            key: FindingKey {
                kind,
                source: party("shop/a"),
                destination: party("shop/b"),
                ipv6: false,
                protocol: Protocol::Tcp,
                port: 80,
            },
            status: FindingStatus::Open,
            policies: vec![policy("in"), policy("out")],
            denials: denials.collect(),
            evidence: "an answer came".to_owned(),
            observed,
            last: [([10, 0, 0, 1].into(), 40_000), ([10, 0, 0, 2].into(), 80)],
            pods: [Some(pod("a", Some("one"))), Some(pod("b", Some("two")))],
            first_seen: Timestamp::UNIX_EPOCH,
            last_seen: Timestamp::UNIX_EPOCH,
            last_began: Monotonic::ZERO,
            count: 1,
        }
    }

    /// `Warning PolicyNotEnforced shop/a out`.
    fn told(finding: &Finding, node: Option<&str>) -> Vec<String> {
        let events = about(finding, node, Timestamp::UNIX_EPOCH).into_iter();
        let events = events.map(|event| {
            let policy = event.related.map_or_else(String::new, |policy| format!(" {}", policy.name));
            format!("{} {} {}{policy}", event.r#type, event.reason, event.regarding.key)
        });
        events.collect()
    }

    const OUT: &str = "Warning PolicyNotEnforced shop/a out";
    const IN: &str = "Warning PolicyNotEnforced shop/b in";
    const BLOCKED: &str = "Warning PolicyOverBlocking shop/b in";

    #[test]
    fn who_tells() {
        use FindingKind::{NotEnforced, OverBlocked};
        use Observed::{Delivered, Established, Refused, Rejected};
        use PolicyDirection::{Egress, Ingress};
        for (kind, directions, observed, node, expected) in [
            (NotEnforced, &[Ingress][..], Established, Some("two"), &[IN][..]),
            (NotEnforced, &[Ingress], Established, Some("one"), &[]),
            (NotEnforced, &[Egress], Established, Some("one"), &[OUT]),
            (NotEnforced, &[Egress], Established, Some("two"), &[]),
            (NotEnforced, &[Egress, Ingress], Established, Some("one"), &[OUT]),
            (NotEnforced, &[Egress, Ingress], Established, Some("two"), &[IN]),
            (NotEnforced, &[Egress, Ingress], Established, None, &[OUT, IN]),
            // The agent at the other end does not see that it got there.
            (NotEnforced, &[Egress], Delivered, Some("two"), &[OUT]),
            (NotEnforced, &[Egress], Refused, Some("two"), &[OUT]),
            (OverBlocked, &[], Rejected, Some("one"), &[BLOCKED]),
            (OverBlocked, &[], Rejected, Some("two"), &[BLOCKED]),
            (OverBlocked, &[], Rejected, None, &[BLOCKED]),
        ] {
            let finding = finding(kind, directions, observed);
            assert_eq!(told(&finding, node), expected, "{kind:?} {directions:?} {observed:?} {node:?}");
        }
        let mut homeless = finding(NotEnforced, &[Ingress], Established);
        homeless.pods[1] = Some(pod("b", None));
        assert_eq!(told(&homeless, Some("one")), [IN], "a pod whose node is not known");
    }

    /// Where one end is no pod, or not known to be, the other is told about, and only once.
    #[test]
    fn whom_it_is_about() {
        use PolicyDirection::{Egress, Ingress};
        let mut service = finding(FindingKind::NotEnforced, &[Ingress], Observed::Established);
        service.pods[1] = None;
        assert_eq!(told(&service, Some("one")), ["Warning PolicyNotEnforced shop/a in"]);
        let mut both = finding(FindingKind::NotEnforced, &[Egress, Ingress], Observed::Established);
        both.pods[1] = None;
        assert_eq!(told(&both, Some("one")), [OUT]);
        let mut outward = finding(FindingKind::OverBlocked, &[], Observed::Rejected);
        outward.pods[1] = None;
        assert_eq!(told(&outward, Some("one")), ["Warning PolicyOverBlocking shop/a in"]);
        outward.policies.clear();
        assert_eq!(told(&outward, Some("one")), ["Warning PolicyOverBlocking shop/a"]);
    }

    #[test]
    fn what_is_told() {
        use FindingKind::{NotEnforced, OverBlocked};
        use FindingStatus::{Expired, Open, Resolved};
        let to_b = "to shop/b on TCP port 80";
        for (kind, status, expected) in [
            (
                NotEnforced,
                Open,
                format!(
                    "Warning PolicyNotEnforced: shop/a got through {to_b}, which policies deny. \
                     Seen: an answer came. It is denied: ingress of shop/b by shop/in."
                ),
            ),
            (
                NotEnforced,
                Resolved,
                format!(
                    "Normal PolicyNotEnforcedResolved: shop/a no longer gets through {to_b} against the policies. \
                     It was denied: ingress of shop/b by shop/in."
                ),
            ),
            (
                OverBlocked,
                Open,
                format!(
                    "Warning PolicyOverBlocking: shop/a did not get through {to_b}, which the policies allow. \
                     Seen: an answer came. It is allowed by shop/in, shop/out."
                ),
            ),
            (
                OverBlocked,
                Resolved,
                "Normal PolicyOverBlockingResolved: shop/a is no longer kept from shop/b on TCP port 80 against the \
                 policies. It was allowed by shop/in, shop/out."
                    .to_owned(),
            ),
            (NotEnforced, Expired, String::new()),
            (OverBlocked, Expired, String::new()),
        ] {
            let directions: &[_] = if kind == NotEnforced { &[PolicyDirection::Ingress] } else { &[] };
            let finding = Finding { status, ..finding(kind, directions, Observed::Established) };
            let events = about(&finding, None, Timestamp::UNIX_EPOCH);
            let told = events.iter().map(|event| format!("{} {}: {}", event.r#type, event.reason, event.note));
            assert_eq!(told.collect::<String>(), expected);
        }
    }

    /// However many policies there are, the API takes the note, and the evidence is in it.
    #[test]
    fn many_policies() {
        let mut finding =
            finding(FindingKind::NotEnforced, &[PolicyDirection::Ingress], Observed::Established);
        finding.denials[0].policies = (0..200).map(|number| policy(&format!("policy-{number}"))).collect();
        let events = about(&finding, None, Timestamp::UNIX_EPOCH);
        let note = &events[0].note;
        assert_eq!(note.len(), 1024, "{note}");
        assert!(
            note.contains("Seen: an answer came. It is denied: ingress of shop/b by shop/policy-0,"),
            "{note}"
        );
        assert!(note.ends_with('…'), "{note}");
    }
}
