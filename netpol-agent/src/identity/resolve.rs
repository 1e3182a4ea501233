//! Who was behind an address, at the time.

use std::{net::IpAddr, sync::Arc, time::Duration};

use hashbrown::HashSet;

use super::{Addresses, AssignedAt, IpAssignment};
use crate::model::{Endpoint, Monotonic, Node, SocketAddress, is_metadata_address};

/// How long after a veth came a pod may take to claim its address. The kubelet tells of an address once the veth is
/// there, and the API server's news take their time.
pub const IP_REPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How much sooner the news of a claim may come than that of the veth: both are on their way at the same time.
const CLOCK_SLACK: Duration = Duration::from_millis(50);

/// How long a pod that the API no longer has may still send: its veth goes last.
const TEARDOWN_GRACE: Duration = Duration::from_secs(5);

/// Who was behind an address at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It is known.
    Known {
        /// Who.
        endpoint: Endpoint,
        /// Since when the cluster's state says so, in nanoseconds of `CLOCK_MONOTONIC`; 0 for as long as is known. It
        /// may be after the time that was asked about.
        since: Monotonic,
    },
    /// A pod that is new here; until then, its name may still come.
    Pending {
        /// When to give up, in nanoseconds of `CLOCK_MONOTONIC`.
        until: Monotonic,
    },
    /// One pod or the next: the news of them is late, or has not come at all.
    Unclear,
}

/// What the snapshot knows of an address.
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

/// This node, where an address is one of the `host`'s own that the API does not list: what a CNI plugin gives to the
/// host's end of a veth pair or to a bridge, and what kubelet's probes therefore come from.
#[must_use]
pub fn own_node<'a>(
    addresses: &'a Addresses,
    host: &HashSet<IpAddr>,
    address: IpAddr,
) -> Option<&'a Arc<Node>> {
    let is_own = host.contains(&address) && addresses.pod(address).is_none();
    is_own.then(|| host.iter().find_map(|address| addresses.node(*address))).flatten()
}

/// Whether the API server listens at an address and port. The address alone may be a node's.
#[must_use]
pub fn is_api_server(addresses: &Addresses, at: SocketAddress) -> bool {
    addresses
        .api_servers()
        .any(|slice| slice.ready.contains(&at.address) && slice.ports.iter().any(|port| port.port == at.port))
}

/// Who was behind an address at a time. `taken` is what veths tell of it, and `as_of` until when the news of pods has
/// come in, in nanoseconds of `CLOCK_MONOTONIC`.
#[must_use]
pub fn resolve_at(
    addresses: &Addresses,
    address: IpAddr,
    at: Monotonic,
    taken: AssignedAt,
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
    match taken {
        AssignedAt::Unclear => return Resolution::Unclear,
        AssignedAt::Unknown => {}
        AssignedAt::After(born) => {
            // A veth has one pod for life, and the pod's claim comes after it: earlier claims are of earlier pods.
            if let Some(assignment) = past.iter().find(|assignment| assignment.from + CLOCK_SLACK >= born) {
                return then(assignment);
            }
            if has_holder && since + CLOCK_SLACK >= born {
                return now();
            }
            let claimed = born + IP_REPORT_TIMEOUT;
            if at < claimed {
                return Resolution::Pending { until: claimed };
            }
            // Nobody claims it: its pod is the one that had it before, in a new sandbox. If that is all the news.
            if has_holder && as_of < claimed {
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

    /// An index in which these pods have the address, one after the other; no name, no pod.
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
    fn who_had_it_then() {
        let reused = [(0, "old"), (20, ""), (21, "new")];
        let at_once = [(0, "old"), (20, "new")];
        let only = [(20, "new")];
        let gone = [(0, "old"), (20, "")];
        for (name, changes, at, born, expected) in [
            ("before its end", &reused[..], 19, None, "old"),
            ("between the two", &reused, 20, None, "unclear"),
            ("after the news", &reused, 21, None, "new"),
            ("at once, before", &at_once, 19, None, "old"),
            ("at once, after", &at_once, 20, None, "new"),
            ("a record before its pod's news", &only, 10, None, "new"),
            ("in a new veth, before the news of the old pod's end", &at_once, 19, Some(18), "new"),
            ("in a new veth, while the old pod still counts", &[(0, "old")], 19, Some(18), "awaited"),
            ("in a new veth of a pod that is not known", &[(0, "")], 19, Some(18), "awaited"),
            ("in a veth that is no longer new", &[(0, "old")], 24, Some(18), "old"),
            ("in the old veth, seen after the end", &[(10, "old"), (20, "new")], 21, Some(9), "old"),
            (
                "a pod that came and went between two snapshots",
                &[(18, "short"), (20, "")],
                19,
                Some(17),
                "short",
            ),
            ("a pod that lingers", &gone, 22, None, "unclear"),
            ("long gone", &gone, 26, None, "world"),
            ("long forgotten", &[(0, "old"), (20, ""), (200, "new")], 150, None, "new"),
        ] {
            let addresses = history(changes).publish();
            let taken =
                born.map_or(AssignedAt::Unknown, |born| AssignedAt::After(Monotonic::from_secs(born)));
            let resolution = resolve_at(
                &addresses,
                ADDRESS.parse().unwrap(),
                Monotonic::from_secs(at),
                taken,
                Monotonic::MAX,
            );
            let found = match &resolution {
                Resolution::Known { endpoint: Endpoint::Pod(pod), .. } => pod.name(),
                Resolution::Known { .. } => "world",
                Resolution::Pending { until } => {
                    assert_eq!(*until, Monotonic::from_secs(born.unwrap()) + IP_REPORT_TIMEOUT, "{name}");
                    "awaited"
                }
                Resolution::Unclear => "unclear",
            };
            assert_eq!(found, expected, "{name}");
        }
    }

    /// What no veth tells, and what the news is too old to tell.
    #[test]
    fn who_may_have_had_it() {
        let old = history(&[(0, "old")]).publish();
        for (name, taken, as_of, expected) in [
            ("its end is not clear", AssignedAt::Unclear, 30, false),
            ("in an old sandbox", AssignedAt::Unknown, 1, true),
            ("in a new sandbox", AssignedAt::After(Monotonic::from_secs(18)), 23, true),
            (
                "or in that of a pod that is not told of",
                AssignedAt::After(Monotonic::from_secs(18)),
                22,
                false,
            ),
        ] {
            let resolution = resolve_at(
                &old,
                ADDRESS.parse().unwrap(),
                Monotonic::from_secs(30),
                taken,
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
        assert_eq!(after.past(address).len(), 1, "what has just ended");
    }
}
