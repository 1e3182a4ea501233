//! The recent past of addresses: pods come and go, and the news of it comes late.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use super::resolve;
use crate::{
    cluster::{ObjectRef, Snapshot},
    model::{Endpoint, Pod},
};

const SECOND: u64 = 1_000_000_000;

/// How long the past is known: longer than any attempt takes to be decided.
const MEMORY: u64 = 120 * SECOND;

/// How long after a veth came a pod may take to claim its address. The kubelet tells of an address once the veth is
/// there, and the API server's news take their time.
const CLAIM: u64 = 5 * SECOND;

/// How long a pod that the API no longer has may still send: its veth goes last.
const LINGER: u64 = 5 * SECOND;

/// How much sooner the news of a claim may come than that of the veth: both are on their way at the same time.
const SLACK: u64 = SECOND / 2;

/// Who was behind an address at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// It is known.
    Known {
        /// Who.
        endpoint: Endpoint,
        /// Since when the cluster's state says so, in nanoseconds of `CLOCK_MONOTONIC`; 0 for as long as is known. It
        /// may be after the time that was asked about.
        since_ns: u64,
    },
    /// A pod that is new here; until then, its name may still come.
    Awaited {
        /// When to give up, in nanoseconds of `CLOCK_MONOTONIC`.
        until_ns: u64,
    },
    /// One pod had given it up, and no other was known to have it.
    Unclear,
}

/// Who had which address of late.
#[derive(Debug, Default)]
pub struct History {
    /// What is over, oldest first.
    past: HashMap<IpAddr, Vec<Tenure>>,
    /// Since when a pod that came of late has an address.
    since: HashMap<IpAddr, u64>,
    /// When each change was, oldest first, to forget it in time.
    changes: VecDeque<(u64, IpAddr)>,
}

#[derive(Debug)]
struct Tenure {
    pod: Arc<Pod>,
    from_ns: u64,
    until_ns: u64,
}

impl Tenure {
    fn whose(&self) -> Whose {
        Whose::Known { endpoint: Endpoint::Pod(self.pod.clone()), since_ns: self.from_ns }
    }
}

impl History {
    /// Takes in what has changed from one snapshot to the next, of the same index.
    pub fn update(&mut self, before: &Snapshot, after: &Snapshot, now_ns: u64) {
        self.forget(now_ns);
        let mut addresses: HashSet<IpAddr> = HashSet::new();
        let mut add =
            |pod: Option<&Arc<Pod>>| addresses.extend(pod.into_iter().flat_map(|pod| pod.ips.iter()));
        match after.changed_since(before.generation()) {
            Some(changed) => {
                for reference in changed {
                    if let ObjectRef::Pod(key) = reference {
                        add(before.pod(key));
                        add(after.pod(key));
                    }
                }
            }
            None => before.pods().chain(after.pods()).for_each(|pod| add(Some(pod))),
        }
        for address in addresses {
            self.pass(address, before.pod_by_ip(address), after.pod_by_ip(address), now_ns);
        }
    }

    /// Who was behind an address at a time. `born_ns` is when the veth came through which it was seen to belong to a
    /// pod of this node; `None` where it was there before the agent, or is not on this node.
    #[must_use]
    pub fn whose(&self, snapshot: &Snapshot, address: IpAddr, at_ns: u64, born_ns: Option<u64>) -> Whose {
        let past = self.past.get(&address).map(Vec::as_slice).unwrap_or_default();
        let holder = snapshot.pod_by_ip(address);
        let since_ns = self.since.get(&address).copied().unwrap_or(0);
        let known = |endpoint| Whose::Known { endpoint, since_ns };
        if let Some(born) = born_ns {
            // A veth has one pod for life, and the pod's claim comes after it: earlier claims are of earlier pods.
            if let Some(tenure) = past.iter().find(|tenure| tenure.from_ns + SLACK >= born) {
                return tenure.whose();
            }
            if holder.is_some() && since_ns + SLACK >= born {
                return known(resolve(snapshot, address));
            }
            if at_ns < born + CLAIM {
                return Whose::Awaited { until_ns: born + CLAIM };
            }
        }
        if let Some(tenure) = past.iter().find(|tenure| (tenure.from_ns..tenure.until_ns).contains(&at_ns)) {
            return tenure.whose();
        }
        let left = past.iter().rfind(|tenure| tenure.until_ns <= at_ns);
        match left {
            Some(_) if holder.is_some() && at_ns < since_ns => Whose::Unclear,
            Some(tenure) if holder.is_none() && at_ns < tenure.until_ns + LINGER => Whose::Unclear,
            _ => known(resolve(snapshot, address)),
        }
    }

    fn pass(&mut self, address: IpAddr, old: Option<&Arc<Pod>>, new: Option<&Arc<Pod>>, now_ns: u64) {
        let is_same = |a: &Arc<Pod>, b: &Arc<Pod>| a.uid == b.uid && a.key == b.key;
        match (old, new) {
            (Some(old), Some(new)) if is_same(old, new) => return,
            (None, None) => return,
            _ => {}
        }
        let from_ns = self.since.remove(&address).unwrap_or(0);
        if let Some(old) = old {
            let tenure = Tenure { pod: old.clone(), from_ns, until_ns: now_ns };
            self.past.entry(address).or_default().push(tenure);
        }
        if new.is_some() {
            self.since.insert(address, now_ns);
        }
        self.changes.push_back((now_ns, address));
    }

    fn forget(&mut self, now_ns: u64) {
        let horizon = now_ns.saturating_sub(MEMORY);
        while let Some((at, address)) = self.changes.pop_front_if(|(at, _)| *at < horizon) {
            if let Some(past) = self.past.get_mut(&address) {
                past.retain(|tenure| tenure.until_ns > at);
                if past.is_empty() {
                    self.past.remove(&address);
                }
            }
            if self.since.get(&address) == Some(&at) {
                self.since.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Index, manifests};

    const ADDRESS: &str = "10.0.0.1";

    /// The snapshots of an index in which these pods have the address, one after the other; no name, no pod.
    fn history(changes: &[(u64, &str)]) -> (History, Arc<Snapshot>) {
        let (mut index, mut history) = (Index::new(), History::default());
        let mut before = index.publish();
        for (at, name) in changes {
            let text = format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, uid: {name}}},
                   status: {{phase: Running, podIP: {ADDRESS}}}}}"
            );
            index.sync(if name.is_empty() { Vec::new() } else { manifests::parse("", &text).objects });
            let after = index.publish();
            if *at > 0 {
                history.update(&before, &after, at * SECOND);
            }
            before = after;
        }
        (history, before)
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
            ("a pod that lingers", &gone, 22, None, "unclear"),
            ("long gone", &gone, 26, None, "world"),
            ("long forgotten", &[(0, "old"), (20, ""), (200, "new")], 150, None, "new"),
        ] {
            let (history, snapshot) = history(changes);
            let born = born.map(|born| born * SECOND);
            let whose = history.whose(&snapshot, ADDRESS.parse().unwrap(), at * SECOND, born);
            let found = match &whose {
                Whose::Known { endpoint: Endpoint::Pod(pod), .. } => pod.name(),
                Whose::Known { .. } => "world",
                Whose::Awaited { until_ns } => {
                    assert_eq!(*until_ns, born.unwrap() + CLAIM, "{name}");
                    "awaited"
                }
                Whose::Unclear => "unclear",
            };
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn the_past_is_forgotten() {
        let (mut history, snapshot) = history(&[(0, "old"), (20, "new"), (21, "newer")]);
        history.update(&snapshot, &snapshot, 200 * SECOND);
        assert!(history.past.is_empty() && history.since.is_empty() && history.changes.is_empty());
    }
}
