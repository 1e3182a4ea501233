//! The recent past of addresses: pods come and go, and the news of it comes late.

use std::{collections::VecDeque, net::IpAddr, sync::Arc};

use super::persistent_map::PersistentMap;
use crate::model::Pod;

/// How long the past is known, in nanoseconds: longer than any connection attempt takes to be decided.
const MEMORY: u64 = 120_000_000_000;

/// The time in which a pod had an address, in nanoseconds of `CLOCK_MONOTONIC`, as the news of it came.
#[derive(Clone, Debug)]
pub struct IpAssignment {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Since when; 0 for as long as is known.
    pub from_ns: u64,
    /// Until when.
    pub until_ns: u64,
}

/// Who had which address of late. A copy shares what it has in common.
#[derive(Clone, Debug, Default)]
pub(super) struct IpHistory {
    /// What is over, oldest first.
    past: PersistentMap<IpAddr, Arc<[IpAssignment]>>,
    /// Since when a pod that came of late has an address.
    since: PersistentMap<IpAddr, u64>,
}

impl IpHistory {
    pub(super) fn past(&self, address: IpAddr) -> &[IpAssignment] {
        self.past.get(&address).map(|assignments| &**assignments).unwrap_or_default()
    }

    pub(super) fn since(&self, address: IpAddr) -> u64 {
        self.since.get(&address).copied().unwrap_or(0)
    }
}

/// Keeps the history, and forgets it in time.
#[derive(Debug, Default)]
pub(super) struct IpHistoryWriter {
    now_ns: u64,
    /// When each change was, oldest first.
    changes: VecDeque<(u64, IpAddr)>,
}

impl IpHistoryWriter {
    /// What is told from now on happens at this time.
    pub(super) fn set_time(&mut self, history: &mut IpHistory, now_ns: u64) {
        self.now_ns = now_ns;
        let horizon = now_ns.saturating_sub(MEMORY);
        while let Some((at, address)) = self.changes.pop_front_if(|(at, _)| *at < horizon) {
            let past = history.past(address);
            let kept: Arc<[IpAssignment]> =
                past.iter().filter(|assignment| assignment.until_ns > at).cloned().collect();
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
        if self.now_ns == 0 || old.as_ref().map(id) == new.map(id) {
            return;
        }
        let from_ns = history.since(address);
        history.since.remove(&address);
        if let Some(pod) = old {
            let assignment = IpAssignment { pod, from_ns, until_ns: self.now_ns };
            let past = history.past(address).iter().cloned().chain([assignment]).collect();
            history.past.insert(address, past);
        }
        if new.is_some() {
            history.since.insert(address, self.now_ns);
        }
        self.changes.push_back((self.now_ns, address));
    }
}
