//! Who may reach whom on one port or on any, pods of one workload in one row.

mod workload;

pub(crate) use workload::{names, workload};

use std::sync::Arc;

use serde::Serialize;

use crate::{
    declared::{DeclaredState, PortAnswer, permitted_ports},
    model::{Pod, Protocol},
    policy::{Cell, ConnectionPeer, Matrix, group_pods},
};

/// What one workload may do to another.
#[derive(Debug, Serialize)]
pub struct WorkloadPair {
    /// Who opens the connection.
    pub from: Arc<str>,
    /// Who answers.
    pub to: Arc<str>,
    /// Whether it is allowed; of all ports, whether it is on any of them.
    pub allowed: bool,
    /// Whether the API defines that.
    pub defined: bool,
    /// The ports that are allowed, where the matrix is of all ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<PortAnswer>>,
}

/// All pairs of workloads.
#[derive(Debug, Serialize)]
pub struct WorkloadMatrix {
    /// The protocol; `None` for all that policies can name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The destination's port; `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The workloads, in order.
    pub workloads: Vec<Arc<str>>,
    /// All pairs, row by row.
    pub pairs: Vec<WorkloadPair>,
}

impl WorkloadMatrix {
    /// On one port, of all pods or of those of one namespace; without any pod it is empty.
    #[must_use]
    pub fn new(state: &DeclaredState, namespace: Option<&str>, protocol: Protocol, port: u16) -> Self {
        let matrix = Matrix::new(&state.engine, pods(state, namespace), protocol, port);
        let workloads = names_of(matrix.groups());
        let mut pairs = Vec::with_capacity(workloads.len() * workloads.len());
        for (i, from) in workloads.iter().enumerate() {
            for (j, to) in workloads.iter().enumerate() {
                let cell = matrix.cell(i, j).unwrap_or(Cell::Undefined);
                let (allowed, defined) = (cell == Cell::Allowed, cell != Cell::Undefined);
                let (from, to) = (from.clone(), to.clone());
                pairs.push(WorkloadPair { from, to, allowed, defined, ports: None });
            }
        }
        Self { protocol: Some(protocol), port: Some(port), workloads, pairs }
    }

    /// On all ports, of one protocol or of all that policies can name.
    #[must_use]
    pub fn of_all_ports(state: &DeclaredState, namespace: Option<&str>, protocol: Option<Protocol>) -> Self {
        let groups = group_pods(&state.engine, pods(state, namespace));
        let workloads = names_of(&groups);
        let mut pairs = Vec::with_capacity(workloads.len() * workloads.len());
        for (from_pods, from) in groups.iter().zip(&workloads) {
            let Some(source) = from_pods.first() else { continue };
            for (to_pods, to) in groups.iter().zip(&workloads) {
                // Within a group it is about two of its pods, if there are two; a pod always reaches itself.
                let other = to_pods.iter().find(|pod| pod.key != source.key).or(to_pods.first());
                let target = other.unwrap_or(source);
                let mut ports =
                    permitted_ports(&state.engine, ConnectionPeer::Pod(source), ConnectionPeer::Pod(target));
                ports.retain(|port| protocol.is_none_or(|protocol| port.protocol == protocol));
                let defined = ports.iter().all(|port| port.defined);
                let (from, to, allowed) = (from.clone(), to.clone(), !ports.is_empty());
                pairs.push(WorkloadPair { from, to, allowed, defined, ports: Some(ports) });
            }
        }
        Self { protocol, port: None, workloads, pairs }
    }
}

fn pods(state: &DeclaredState, namespace: Option<&str>) -> Vec<Arc<Pod>> {
    let wanted = |pod: &&Arc<Pod>| namespace.is_none_or(|namespace| **pod.namespace() == *namespace);
    state.snapshot().pods().filter(wanted).cloned().collect()
}

fn names_of(groups: &[Vec<Arc<Pod>>]) -> Vec<Arc<str>> {
    names(groups).into_iter().map(Arc::from).collect()
}
