//! The recent owners of addresses. Addresses are reused, and the API reports changes late.

use std::{collections::VecDeque, net::IpAddr, sync::Arc, time::Duration};

use crate::model::{Monotonic, PersistentMap, Pod};

/// How long past owners are remembered: longer than any connection attempt takes to be decided.
const RETENTION: Duration = Duration::from_secs(120);

/// The time in which a pod had an address. Both times are those at which the agent received the report.
#[derive(Clone, Debug)]
pub struct IpAssignment {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Since when; [`Monotonic::ZERO`] for as long as is known.
    pub from: Monotonic,
    /// Until when.
    pub until: Monotonic,
}

/// The recent owners of addresses. Clones share their data.
#[derive(Clone, Debug, Default)]
pub(super) struct IpHistory {
    /// Past assignments by address, oldest first.
    past: PersistentMap<IpAddr, Arc<[IpAssignment]>>,
    /// Since when the current pod has an address, if it is a recent change.
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

/// Records changes in the history, and removes what is too old.
#[derive(Debug, Default)]
pub(super) struct IpHistoryWriter {
    now: Monotonic,
    /// The time and address of each change, oldest first.
    changes: VecDeque<(Monotonic, IpAddr)>,
}

impl IpHistoryWriter {
    /// Sets the time of the changes that follow, and removes what is too old.
    pub(super) fn set_time(&mut self, history: &mut IpHistory, now: Monotonic) {
        self.now = now;
        let horizon = now - RETENTION;
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

    /// Records that an address changed from one pod to another, or from or to none.
    pub(super) fn record(
        &mut self,
        history: &mut IpHistory,
        address: IpAddr,
        old: Option<Arc<Pod>>,
        new: Option<&Arc<Pod>>,
    ) {
        let id = |pod: &Arc<Pod>| (pod.uid.clone(), pod.key.clone());
        // Nothing is recorded before the first `set_time`.
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
