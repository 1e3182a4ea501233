//! Who may reach whom, for all pods at once.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use super::{ConnectionPeer, Engine, Query, ip_block_set::IpBlockSet};
use crate::model::{Pod, PodClass, Protocol};

/// Who may reach whom on one port. Pods that no policy tells apart share a row and a column.
#[derive(Debug)]
pub struct Matrix {
    groups: Vec<Vec<Arc<Pod>>>,
    /// Row by row.
    cells: Vec<Cell>,
}

/// Whether pods of one group may reach those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// They may.
    Allowed,
    /// They may not.
    Denied,
    /// The API leaves it to the implementation.
    Undefined,
}

impl Matrix {
    /// Judges all pairs of these pods. Those that policies can't select are left out.
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
                // Within a group it is about two of its pods, if there are two; a pod always reaches itself.
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

    /// Whether pods of one group may reach those of another, by their places in [`Self::groups`].
    #[must_use]
    pub fn cell(&self, from: usize, to: usize) -> Option<Cell> {
        if to >= self.groups.len() {
            return None;
        }
        self.cells.get(from * self.groups.len() + to).copied()
    }
}

/// Pods that no policy tells apart: they share their class, and are in the same of all address ranges that rules name.
/// Those that policies can't select are left out. Each group and all of them are sorted by name.
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

/// All different sets of address ranges that rules name.
fn ranges(engine: &Engine) -> Vec<&IpBlockSet> {
    let mut seen = HashMap::new();
    for profile in engine.classes.values() {
        for side in [&profile.ingress, &profile.egress] {
            let tiers = side.admin.iter().chain(&side.baseline).filter_map(|rule| rule.peers.blocks.as_ref());
            for blocks in side.rules.iter().filter_map(|rule| rule.peers.blocks.as_ref()).chain(tiers) {
                seen.insert(Arc::as_ptr(blocks), &**blocks);
            }
        }
    }
    seen.into_values().collect()
}

fn ranges_of(ips: &[IpAddr], ranges: &[&IpBlockSet]) -> Vec<u32> {
    let inside = |blocks: &IpBlockSet| ips.iter().any(|ip| blocks.contains(*ip));
    (0..).zip(ranges).filter(|(_, blocks)| inside(blocks)).map(|(i, _)| i).collect()
}
