//! What a change of policies or workloads permits or takes away.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;

use crate::{
    declared::{DeclaredState, port_text},
    list::{ConnectionList, ListOptions},
};

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is permitted now.
    Added,
    /// It is no longer permitted.
    Removed,
    /// It is permitted on other ports.
    Changed,
}

/// A connection that is permitted otherwise than before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ChangedConnection {
    /// What became of it.
    pub change: Change,
    /// Who opens it.
    pub from: Arc<str>,
    /// Who answers.
    pub to: Arc<str>,
    /// The ports before; `None` where it was not permitted.
    pub before: Option<String>,
    /// The ports after; `None` where it is not permitted.
    pub after: Option<String>,
}

/// All that changed.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionDiff {
    /// By what became of them, then by their ends.
    pub changes: Vec<ChangedConnection>,
    /// Workloads that are there now only.
    pub new_workloads: Vec<Arc<str>>,
    /// Workloads that are no longer there.
    pub gone_workloads: Vec<Arc<str>>,
}

impl ConnectionDiff {
    /// What changed from one state to another.
    #[must_use]
    pub fn new(before: &DeclaredState, after: &DeclaredState) -> Self {
        let (old, new) = (permitted(before), permitted(after));
        let pairs: BTreeSet<&(Arc<str>, Arc<str>)> = old.keys().chain(new.keys()).collect();
        let mut changes: Vec<ChangedConnection> = pairs
            .into_iter()
            .filter_map(|pair| {
                let (before, after) = (old.get(pair).cloned(), new.get(pair).cloned());
                let change = match (&before, &after) {
                    (None, Some(_)) => Change::Added,
                    (Some(_), None) => Change::Removed,
                    (Some(before), Some(after)) if before != after => Change::Changed,
                    _ => return None,
                };
                let (from, to) = pair.clone();
                Some(ChangedConnection { change, from, to, before, after })
            })
            .collect();
        changes.sort();
        let (old, new) = (workloads(before), workloads(after));
        let new_workloads = new.difference(&old).cloned().collect();
        let gone_workloads = old.difference(&new).cloned().collect();
        Self { changes, new_workloads, gone_workloads }
    }
}

/// The ports of each connection that is permitted.
fn permitted(state: &DeclaredState) -> BTreeMap<(Arc<str>, Arc<str>), String> {
    let list = ConnectionList::new(state, &ListOptions::default());
    let connections = list.connections.into_iter();
    connections.map(|connection| ((connection.from, connection.to), port_text(&connection.ports))).collect()
}

fn workloads(state: &DeclaredState) -> BTreeSet<Arc<str>> {
    let pods = state.snapshot().pods().filter(|pod| pod.is_member());
    pods.map(|pod| crate::matrix::workload(pod).into()).collect()
}
