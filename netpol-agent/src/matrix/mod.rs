//! Who may reach whom on one port, pods of one workload in one row.

mod workload;

pub(crate) use workload::{names, workload};

use std::sync::Arc;

use serde::Serialize;

use crate::{
    declared::DeclaredState,
    model::{Pod, Protocol},
    policy::{Cell, Matrix},
};

/// What one workload may do to another.
#[derive(Debug, Serialize)]
pub struct WorkloadPair {
    /// Who opens the connection.
    pub from: Arc<str>,
    /// Who answers.
    pub to: Arc<str>,
    /// Whether it is allowed.
    pub allowed: bool,
    /// Whether the API defines that.
    pub defined: bool,
}

/// All pairs of workloads on one port.
#[derive(Debug, Serialize)]
pub struct WorkloadMatrix {
    /// The protocol.
    pub protocol: Protocol,
    /// The destination's port.
    pub port: u16,
    /// The workloads, in order.
    pub workloads: Vec<Arc<str>>,
    /// All pairs, row by row.
    pub pairs: Vec<WorkloadPair>,
}

impl WorkloadMatrix {
    /// Of all pods, or of those of one namespace; without any pod it is empty.
    #[must_use]
    pub fn new(state: &DeclaredState, namespace: Option<&str>, protocol: Protocol, port: u16) -> Self {
        let wanted = |pod: &&Arc<Pod>| namespace.is_none_or(|namespace| **pod.namespace() == *namespace);
        let pods: Vec<_> = state.snapshot().pods().filter(wanted).cloned().collect();
        let matrix = Matrix::new(&state.engine, pods, protocol, port);
        let workloads: Vec<Arc<str>> = names(matrix.groups()).into_iter().map(Arc::from).collect();
        let mut pairs = Vec::with_capacity(workloads.len() * workloads.len());
        for (i, from) in workloads.iter().enumerate() {
            for (j, to) in workloads.iter().enumerate() {
                let cell = matrix.cell(i, j).unwrap_or(Cell::Undefined);
                let (allowed, defined) = (cell == Cell::Allowed, cell != Cell::Undefined);
                pairs.push(WorkloadPair { from: from.clone(), to: to.clone(), allowed, defined });
            }
        }
        Self { protocol, port, workloads, pairs }
    }
}
