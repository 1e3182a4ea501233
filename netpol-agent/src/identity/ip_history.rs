//! The recent past of addresses: pods come and go, and the news of it comes late.

use std::{collections::VecDeque, net::IpAddr, sync::Arc, time::Duration};

use crate::model::{Monotonic, PersistentMap, Pod};

/// How long the past is known: longer than any connection attempt takes to be decided.
const MEMORY: Duration = Duration::from_secs(120);

/// The time in which a pod had an address, by when the agent heard of it.
#[derive(Clone, Debug)]
pub struct IpAssignment {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Since when; 0 for as long as is known.
    pub from: Monotonic,
    /// Until when.
    pub until: Monotonic,
}

/// Who had which address of late. A copy shares what it has in common.
#[derive(Clone, Debug, Default)]
pub(super) struct IpHistory {
    /// What is over, oldest first.
    past: PersistentMap<IpAddr, Arc<[IpAssignment]>>,
    /// Since when a pod that came of late has an address.
    since: PersistentMap<IpAddr, Monotonic>,
}

impl IpHistory {
    pub(super) fn past(&self, address: IpAddr) -> &[IpAssignment] {
        self.past.get(&address).map(|assignments| &**assignments).unwrap_or_default()
    }

    pub(super) fn since(&self, address: IpAddr) -> Monotonic {
        self.since.get(&address).copied().unwrap_or(Monotonic::ZERO)
    }
}

/// Keeps the history, and forgets it in time.
#[derive(Debug, Default)]
pub(super) struct IpHistoryWriter {
    now: Monotonic,
    /// When each change was, oldest first.
    changes: VecDeque<(Monotonic, IpAddr)>,
}

impl IpHistoryWriter {
    /// What is told from now on happens at this time.
    pub(super) fn set_time(&mut self, history: &mut IpHistory, now: Monotonic) {
        self.now = now;
        let horizon = now - MEMORY;
        while let Some((at, address)) = self.changes.pop_front_if(|(at, _)| *at < horizon) {
            let past = history.past(address);
            let kept: Arc<[IpAssignment]> =
                past.iter().filter(|assignment| assignment.until > at).cloned().collect();
            if kept.is_empty() {
                history.past.remove(&address);
            } else {
                history.past.insert(address, kept);
            }
            if history.since(address) == at {
                history.since.remove(&address);
            }
        }
    }

    /// An address passes from one pod to another, or from or to none.
    pub(super) fn pass(
        &mut self,
        history: &mut IpHistory,
        address: IpAddr,
        old: Option<Arc<Pod>>,
        new: Option<&Arc<Pod>>,
    ) {
        let id = |pod: &Arc<Pod>| (pod.uid.clone(), pod.key.clone());
        // Before the first moment there is no past.
        if self.now == Monotonic::ZERO || old.as_ref().map(id) == new.map(id) {
            return;
        }
        let from = history.since(address);
        history.since.remove(&address);
        if let Some(pod) = old {
            let assignment = IpAssignment { pod, from, until: self.now };
            let past = history.past(address).iter().cloned().chain([assignment]).collect();
            history.past.insert(address, past);
        }
        if new.is_some() {
            history.since.insert(address, self.now);
        }
        self.changes.push_back((self.now, address));
    }
}
