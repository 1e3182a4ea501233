//! Resolves an address to the endpoint that had it at a point in time.

use std::{net::IpAddr, sync::Arc, time::Duration};

use hashbrown::HashSet;

use super::{Addresses, AssignedAt, IpAssignment};
use crate::model::{Endpoint, Monotonic, Node, SocketAddress, is_metadata_address};

/// How long after its interface was created a pod's address may be reported. The kubelet reports an address once the
/// interface exists, and the API server's event takes time.
pub const IP_REPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How much earlier the report of an address may come than the report of its interface: the two race.
const CLOCK_SLACK: Duration = Duration::from_millis(50);

/// How long a pod that was deleted from the API may still send: its interface is removed last.
const TEARDOWN_GRACE: Duration = Duration::from_secs(5);

/// The result of resolving an address at a point in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The endpoint is known.
    Known {
        /// The endpoint.
        endpoint: Endpoint,
        /// Since when the cluster state has this assignment; [`Monotonic::ZERO`] for as long as is known. It may be
        /// later than the resolved point in time.
        since: Monotonic,
    },
    /// The address belongs to a pod that is new on this node, and its report may still come.
    Pending {
        /// When to stop waiting.
        until: Monotonic,
    },
    /// It is not clear which of several pods had the address: reports are late, or do not come at all.
    Unclear,
}

/// Returns the endpoint that has an address now.
#[must_use]
pub fn resolve(addresses: &Addresses, address: IpAddr) -> Endpoint {
    if let Some(pod) = addresses.pod(address) {
        Endpoint::Pod(pod.clone())
    } else if let Some(node) = addresses.node(address) {
        Endpoint::Node(node.name.clone())
    } else if let Some(service) = addresses.service(address) {
        Endpoint::Service(service.key.clone())
    } else if is_metadata_address(address) {
        Endpoint::Metadata
    } else if addresses.api_servers().any(|slice| slice.ready.contains(&address)) {
        Endpoint::ApiServer
    } else {
        Endpoint::World
    }
}

/// Returns this node if an address is one of the `host`'s own that the API does not list. CNI plugins give such
/// addresses to the host's end of an interface pair or to a bridge, and kubelet's probes come from them.
#[must_use]
pub fn own_node<'a>(
    addresses: &'a Addresses,
    host: &HashSet<IpAddr>,
    address: IpAddr,
) -> Option<&'a Arc<Node>> {
    let is_own = host.contains(&address) && addresses.pod(address).is_none();
    is_own.then(|| host.iter().find_map(|address| addresses.node(*address))).flatten()
}

/// Returns whether the API server listens at an address and port. The address alone may be a node's.
#[must_use]
pub fn is_api_server(addresses: &Addresses, at: SocketAddress) -> bool {
    addresses
        .api_servers()
        .any(|slice| slice.ready.contains(&at.address) && slice.ports.iter().any(|port| port.port == at.port))
}

/// Returns the endpoint that had an address at a point in time. `assigned` is what this node's interfaces show about
/// it. `as_of` is the time up to which reports about pods have been received.
#[must_use]
pub fn resolve_at(
    addresses: &Addresses,
    address: IpAddr,
    at: Monotonic,
    assigned: AssignedAt,
    as_of: Monotonic,
) -> Resolution {
    let past = addresses.past(address);
    let has_holder = addresses.pod(address).is_some();
    let since = addresses.since(address);
    let now = || Resolution::Known { endpoint: resolve(addresses, address), since };
    let then = |assignment: &IpAssignment| Resolution::Known {
        endpoint: Endpoint::Pod(assignment.pod.clone()),
        since: assignment.from,
    };
    match assigned {
        AssignedAt::Unclear => return Resolution::Unclear,
        AssignedAt::Unknown => {}
        AssignedAt::After(created_at) => {
            // An interface has one pod for its lifetime, and the pod's address is reported later. Earlier reports are
            // about earlier pods.
            if let Some(assignment) =
                past.iter().find(|assignment| assignment.from + CLOCK_SLACK >= created_at)
            {
                return then(assignment);
            }
            if has_holder && since + CLOCK_SLACK >= created_at {
                return now();
            }
            let deadline = created_at + IP_REPORT_TIMEOUT;
            if at < deadline {
                return Resolution::Pending { until: deadline };
            }
            // No new pod has reported the address: it is the same pod in a new sandbox, provided that all reports have
            // been received.
            if has_holder && as_of < deadline {
                return Resolution::Unclear;
            }
        }
    }
    if let Some(assignment) = past.iter().find(|assignment| (assignment.from..assignment.until).contains(&at))
    {
        return then(assignment);
    }
    match past.iter().rfind(|assignment| assignment.until <= at) {
        Some(_) if has_holder && at < since => Resolution::Unclear,
        Some(assignment) if !has_holder && at < assignment.until + TEARDOWN_GRACE => Resolution::Unclear,
        _ => now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::AddressIndex,
        model::{Labels, Pod, PodClass, PodPhase},
    };

    const ADDRESS: &str = "10.0.0.1";

    fn pod(name: &str) -> Arc<Pod> {
        Arc::new(Pod {
            key: format!("default/{name}").into(),
            uid: name.into(),
            class: Arc::new(PodClass::new("default".into(), Labels::default(), Box::default())),
            ips: [ADDRESS.parse().unwrap()].into(),
            host_network: false,
            node: None,
            phase: PodPhase::Running,
            workload: None,
            created: None,
            is_ending: false,
        })
    }

    /// Returns an index in which these pods have the address, one after the other. An empty name means no pod.
    fn history(changes: &[(u64, &str)]) -> AddressIndex {
        let mut index = AddressIndex::default();
        let mut holder = None;
        for (at, name) in changes {
            index.set_time(Monotonic::from_secs(*at));
            let next = (!name.is_empty()).then(|| pod(name));
            index.replace_pod(holder.as_ref(), next.as_ref());
            holder = next;
        }
        index
    }

    #[test]
    fn which_pod_had_the_address() {
        let reused = [(0, "old"), (20, ""), (21, "new")];
        let at_once = [(0, "old"), (20, "new")];
        let only = [(20, "new")];
        let gone = [(0, "old"), (20, "")];
        for (name, changes, at, created_at, expected) in [
            ("before the old pod was deleted", &reused[..], 19, None, "old"),
            ("between the two pods", &reused, 20, None, "unclear"),
            ("after the report of the new pod", &reused, 21, None, "new"),
            ("replaced at once, before", &at_once, 19, None, "old"),
            ("replaced at once, after", &at_once, 20, None, "new"),
            ("a packet before the report of its pod", &only, 10, None, "new"),
            (
                "at a new interface, before the deletion of the old pod is reported",
                &at_once,
                19,
                Some(18),
                "new",
            ),
            (
                "at a new interface, while the old pod still has the address",
                &[(0, "old")],
                19,
                Some(18),
                "pending",
            ),
            ("at a new interface, of an unknown pod", &[(0, "")], 19, Some(18), "pending"),
            ("at an interface that is no longer new", &[(0, "old")], 24, Some(18), "old"),
            (
                "at the old interface, after the new pod was reported",
                &[(10, "old"), (20, "new")],
                21,
                Some(9),
                "old",
            ),
            (
                "a pod that was created and deleted between two snapshots",
                &[(18, "short"), (20, "")],
                19,
                Some(17),
                "short",
            ),
            ("a deleted pod that may still send", &gone, 22, None, "unclear"),
            ("deleted long ago", &gone, 26, None, "world"),
            ("no longer remembered", &[(0, "old"), (20, ""), (200, "new")], 150, None, "new"),
        ] {
            let addresses = history(changes).publish();
            let assigned = created_at.map_or(AssignedAt::Unknown, |created_at| {
                AssignedAt::After(Monotonic::from_secs(created_at))
            });
            let resolution = resolve_at(
                &addresses,
                ADDRESS.parse().unwrap(),
                Monotonic::from_secs(at),
                assigned,
                Monotonic::MAX,
            );
            let found = match &resolution {
                Resolution::Known { endpoint: Endpoint::Pod(pod), .. } => pod.name(),
                Resolution::Known { .. } => "world",
                Resolution::Pending { until } => {
                    assert_eq!(
                        *until,
                        Monotonic::from_secs(created_at.unwrap()) + IP_REPORT_TIMEOUT,
                        "{name}"
                    );
                    "pending"
                }
                Resolution::Unclear => "unclear",
            };
            assert_eq!(found, expected, "{name}");
        }
    }

    /// Cases in which interfaces show nothing, and in which the reports are too old.
    #[test]
    fn when_it_is_unclear() {
        let old = history(&[(0, "old")]).publish();
        for (name, assigned, as_of, expected) in [
            ("the removal is not clear", AssignedAt::Unclear, 30, false),
            ("in an old sandbox", AssignedAt::Unknown, 1, true),
            ("in a new sandbox", AssignedAt::After(Monotonic::from_secs(18)), 23, true),
            (
                "in a new sandbox, or of a pod not reported yet",
                AssignedAt::After(Monotonic::from_secs(18)),
                22,
                false,
            ),
        ] {
            let resolution = resolve_at(
                &old,
                ADDRESS.parse().unwrap(),
                Monotonic::from_secs(30),
                assigned,
                Monotonic::from_secs(as_of),
            );
            assert_eq!(resolution != Resolution::Unclear, expected, "{name}: {resolution:?}");
        }
    }

    #[test]
    fn the_past_is_forgotten() {
        let mut index = history(&[(0, "old"), (20, "new"), (21, "newer")]);
        let address = ADDRESS.parse().unwrap();
        let before = index.publish();
        assert_eq!((before.past(address).len(), before.since(address)), (2, Monotonic::from_secs(21)));
        index.set_time(Monotonic::from_secs(200));
        index.replace_pod(Some(&pod("newer")), None);
        let after = index.publish();
        assert_eq!(after.past(address).len(), 1, "the assignment that has just ended");
    }
}
