//! The reachability matrix: for each pair of pods, whether the policies allow a connection on one port.
//!
//! Pods that no policy distinguishes form one group, so the matrix has one row and one column per group.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use super::{ConnectionPeer, Engine, Query, ip_block_set::IpBlockSet};
use crate::model::{Pod, PodClass, Protocol};

/// The verdicts between all pods on one port. Pods that no policy distinguishes share a row and a column.
#[derive(Debug)]
pub struct Matrix {
    groups: Vec<Vec<Arc<Pod>>>,
    /// The cells, row by row.
    cells: Vec<Cell>,
}

/// The verdict between two groups of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// The connection is allowed.
    Allowed,
    /// The connection is denied.
    Denied,
    /// The API does not define the outcome: it depends on the implementation.
    Undefined,
}

impl Matrix {
    /// Evaluates all pairs of these pods. Pods that policies can't select are left out.
    #[must_use]
    pub fn new(
        engine: &Engine,
        pods: impl IntoIterator<Item = Arc<Pod>>,
        protocol: Protocol,
        port: u16,
    ) -> Self {
        let groups = group_pods(engine, pods);
        let mut cells = Vec::with_capacity(groups.len() * groups.len());
        for from in groups.iter().filter_map(|group| group.first()) {
            for to in &groups {
                // A pod always reaches itself. So a cell within a group is evaluated for two different pods, if
                // possible.
                let to = to.iter().find(|to| to.key != from.key).or(to.first()).unwrap_or(from);
                let query = Query {
                    source: ConnectionPeer::Pod(from),
                    destination: ConnectionPeer::Pod(to),
                    protocol,
                    port,
                    via_service: None,
                };
                let verdict = engine.evaluate(&query);
                cells.push(match (verdict.defined(), verdict.allowed()) {
                    (false, _) => Cell::Undefined,
                    (true, true) => Cell::Allowed,
                    (true, false) => Cell::Denied,
                });
            }
        }
        Self { groups, cells }
    }

    /// The pods that share each row and column, sorted by name.
    #[must_use]
    pub fn groups(&self) -> &[Vec<Arc<Pod>>] {
        &self.groups
    }

    /// The verdict from the pods of one group to those of another, by their indexes in [`Self::groups`].
    #[must_use]
    pub fn cell(&self, from: usize, to: usize) -> Option<Cell> {
        if to >= self.groups.len() {
            return None;
        }
        self.cells.get(from * self.groups.len() + to).copied()
    }
}

/// Groups the pods that have the same class and match the same `ipBlock`s of all rules.
///
/// Pods that policies can't select are left out. Each group, and the list of groups, are sorted by name.
#[must_use]
pub fn group_pods(engine: &Engine, pods: impl IntoIterator<Item = Arc<Pod>>) -> Vec<Vec<Arc<Pod>>> {
    let ranges = ranges(engine);
    let mut places: HashMap<(Arc<PodClass>, Vec<u32>), usize> = HashMap::new();
    let mut groups: Vec<Vec<Arc<Pod>>> = Vec::new();
    let mut pods: Vec<Arc<Pod>> = pods.into_iter().filter(|pod| pod.is_member()).collect();
    pods.sort_by(|a, b| a.key.cmp(&b.key));
    for pod in pods {
        let key = (pod.class.clone(), ranges_of(&pod.ips, &ranges));
        let place = *places.entry(key).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(pod),
            None => groups.push(vec![pod]),
        }
    }
    groups
}

/// All distinct sets of `ipBlock`s that rules refer to.
fn ranges(engine: &Engine) -> Vec<&IpBlockSet> {
    let mut sets = HashMap::new();
    for compiled in engine.classes.values() {
        for direction in [&compiled.ingress, &compiled.egress] {
            let tiers = direction
                .admin
                .iter()
                .chain(&direction.baseline)
                .filter_map(|rule| rule.peers.blocks.as_ref());
            for blocks in direction.rules.iter().filter_map(|rule| rule.peers.blocks.as_ref()).chain(tiers) {
                sets.insert(Arc::as_ptr(blocks), &**blocks);
            }
        }
    }
    sets.into_values().collect()
}

fn ranges_of(ips: &[IpAddr], ranges: &[&IpBlockSet]) -> Vec<u32> {
    let inside = |blocks: &IpBlockSet| ips.iter().any(|ip| blocks.contains(*ip));
    (0..).zip(ranges).filter(|(_, blocks)| inside(blocks)).map(|(i, _)| i).collect()
}
