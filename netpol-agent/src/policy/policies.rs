//! Compiles each policy into rules that can be matched. Rules with equal peers share peer sets and `ipBlock` tries.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use smallvec::SmallVec;

use super::{
    ip_block_set::IpBlockSet,
    peers::{PeerId, PeerSet, PeerTable, Scope},
    ports::Ports,
    rule::{CompiledRule, CompiledTierRule, PeerMatcher},
};
use crate::model::{
    ClusterPolicy, LabelSelector, NetworkPolicy, PolicyDirection,
    cluster_policy::{self, Action, PodSet, TierPeer},
    network_policy::{self, IpBlock, Peer},
};

/// A NetworkPolicy with its compiled rules.
#[derive(Debug)]
pub(super) struct CompiledPolicy {
    pub(super) policy: Arc<NetworkPolicy>,
    /// `None` if the policy does not apply to ingress.
    pub(super) ingress: Option<Vec<CompiledRule>>,
    /// `None` if the policy does not apply to egress.
    pub(super) egress: Option<Vec<CompiledRule>>,
    /// The peer sets that its rules refer to. They are released when the policy is removed.
    pub(super) sets: Vec<Arc<PeerSet>>,
}

/// A cluster-wide policy with its compiled rules.
#[derive(Debug)]
pub(super) struct CompiledClusterPolicy {
    pub(super) policy: Arc<ClusterPolicy>,
    /// The pods that the policy selects.
    pub(super) subject: PeerSet,
    pub(super) ingress: Vec<CompiledTierRule>,
    pub(super) egress: Vec<CompiledTierRule>,
    /// The peer sets that its rules refer to. They are released when the policy is removed.
    pub(super) sets: Vec<Arc<PeerSet>>,
}

impl CompiledPolicy {
    pub(super) fn rules(&self, direction: PolicyDirection) -> Option<&[CompiledRule]> {
        match direction {
            PolicyDirection::Ingress => self.ingress.as_deref(),
            PolicyDirection::Egress => self.egress.as_deref(),
        }
    }
}

impl CompiledClusterPolicy {
    pub(super) fn rules(&self, direction: PolicyDirection) -> &[CompiledTierRule] {
        match direction {
            PolicyDirection::Ingress => &self.ingress,
            PolicyDirection::Egress => &self.egress,
        }
    }
}

/// Compiles policies into rules, and keeps the data that the rules share.
#[derive(Debug, Default)]
pub(super) struct RuleCompiler {
    pub(super) peers: PeerTable,
    /// The `ipBlock` tries in use, by their sorted blocks.
    blocks: HashMap<Box<[IpBlock]>, Weak<IpBlockSet>>,
    /// The number of tries at which unused ones are removed.
    sweep_at: usize,
    /// The peer sets that no rule referred to before. The caller takes them out.
    pub(super) new_sets: Vec<Arc<PeerSet>>,
}

impl RuleCompiler {
    pub(super) fn policy(&mut self, policy: &Arc<NetworkPolicy>) -> CompiledPolicy {
        let mut sets = Vec::new();
        let mut rules = |direction| {
            let rules = policy.rules(direction)?.iter().zip(0..);
            Some(rules.map(|(rule, index)| self.rule(policy, direction, rule, index, &mut sets)).collect())
        };
        let (ingress, egress) = (rules(PolicyDirection::Ingress), rules(PolicyDirection::Egress));
        CompiledPolicy { policy: policy.clone(), ingress, egress, sets }
    }

    pub(super) fn cluster_policy(&mut self, policy: &Arc<ClusterPolicy>) -> CompiledClusterPolicy {
        let mut sets = Vec::new();
        let mut rules = |direction| {
            let rules = policy.rules(direction).iter().zip(0..);
            rules.map(|(rule, index)| self.tier_rule(policy, direction, rule, index, &mut sets)).collect()
        };
        let (ingress, egress) = (rules(PolicyDirection::Ingress), rules(PolicyDirection::Egress));
        let PodSet { namespaces, pods } = policy.subject.clone();
        let subject = PeerSet { scope: Scope::Selector(namespaces), pods };
        CompiledClusterPolicy { policy: policy.clone(), subject, ingress, egress, sets }
    }

    fn rule(
        &mut self,
        policy: &Arc<NetworkPolicy>,
        direction: PolicyDirection,
        rule: &network_policy::Rule,
        index: u32,
        sets: &mut Vec<Arc<PeerSet>>,
    ) -> CompiledRule {
        let (mut peer_sets, mut blocks) = (Vec::new(), Vec::new());
        for peer in &rule.peers {
            match peer {
                Peer::Block(block) => blocks.push(block.clone()),
                Peer::Pods { namespaces, pods } => peer_sets.push(PeerSet {
                    scope: match namespaces {
                        Some(selector) => Scope::Selector(selector.clone()),
                        None => Scope::Namespace(policy.namespace.clone()),
                    },
                    pods: pods.clone(),
                }),
            }
        }
        let peers = PeerMatcher {
            everyone: rule.peers.is_empty(),
            sets: self.acquire(peer_sets, sets),
            blocks: self.blocks(blocks),
            ..PeerMatcher::default()
        };
        CompiledRule { policy: policy.clone(), direction, index, peers, ports: Ports::of_rule(&rule.ports) }
    }

    fn tier_rule(
        &mut self,
        policy: &Arc<ClusterPolicy>,
        direction: PolicyDirection,
        rule: &cluster_policy::TierRule,
        index: u32,
        sets: &mut Vec<Arc<PeerSet>>,
    ) -> CompiledTierRule {
        let unknown = rule.peers.is_empty() || rule.peers.contains(&TierPeer::Unknown);
        let (action, peers, ports) = match (unknown, rule.action) {
            (true, Action::Accept | Action::Allow) => (rule.action, PeerMatcher::default(), Ports::All),
            (true, Action::Deny | Action::Pass) => {
                (Action::Deny, PeerMatcher { everyone: true, ..PeerMatcher::default() }, Ports::All)
            }
            (false, action) => {
                (action, self.tier_peers(&rule.peers, sets), Ports::of_tier_rule(rule.ports.as_deref()))
            }
        };
        CompiledTierRule {
            policy: policy.clone(),
            direction,
            index,
            action,
            fails_closed: unknown,
            peers,
            ports,
        }
    }

    fn tier_peers(&mut self, peers: &[TierPeer], sets: &mut Vec<Arc<PeerSet>>) -> PeerMatcher {
        let (mut peer_sets, mut blocks) = (Vec::new(), Vec::new());
        let mut nodes: Vec<LabelSelector> = Vec::new();
        let mut domain_names = false;
        for peer in peers {
            match peer {
                TierPeer::Pods(PodSet { namespaces, pods }) => {
                    peer_sets
                        .push(PeerSet { scope: Scope::Selector(namespaces.clone()), pods: pods.clone() });
                }
                TierPeer::Networks(networks) => {
                    blocks.extend(networks.iter().map(|cidr| IpBlock { cidr: *cidr, except: Vec::new() }));
                }
                TierPeer::Nodes(selector) => nodes.push(selector.clone()),
                TierPeer::DomainNames(_) => domain_names = true,
                TierPeer::Unknown => {}
            }
        }
        PeerMatcher {
            everyone: false,
            sets: self.acquire(peer_sets, sets),
            blocks: self.blocks(blocks),
            nodes: nodes.into(),
            domain_names,
        }
    }

    fn acquire(&mut self, peer_sets: Vec<PeerSet>, sets: &mut Vec<Arc<PeerSet>>) -> SmallVec<[PeerId; 4]> {
        let mut ids = SmallVec::new();
        for set in peer_sets.into_iter().map(Arc::new) {
            let (id, new) = self.peers.acquire(&set);
            ids.push(id);
            if new {
                self.new_sets.push(set.clone());
            }
            sets.push(set);
        }
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Returns the trie for these `ipBlock`s. Rules with equal `ipBlock`s share it.
    fn blocks(&mut self, mut blocks: Vec<IpBlock>) -> Option<Arc<IpBlockSet>> {
        if blocks.is_empty() {
            return None;
        }
        blocks.sort();
        blocks.dedup();
        if let Some(known) = self.blocks.get(&*blocks).and_then(Weak::upgrade) {
            return Some(known);
        }
        if self.blocks.len() >= self.sweep_at {
            self.blocks.retain(|_, known| known.strong_count() > 0);
            self.sweep_at = 256.max(self.blocks.len() * 2);
        }
        let compiled = Arc::new(IpBlockSet::new(&blocks));
        self.blocks.insert(blocks.into(), Arc::downgrade(&compiled));
        Some(compiled)
    }
}
