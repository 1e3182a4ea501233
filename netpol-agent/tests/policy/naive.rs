//! The policies once more, word by word from the API's documentation: no index, no cache, no compiled form. Slow, and
//! so plain that it can be checked by reading.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use netpol_agent::{
    cluster::Snapshot,
    model::{
        LabelSelector, Labels, NetworkPolicy, Node, Pod, PolicyDirection, Protocol,
        cluster_policy::{Action, ClusterPolicy, PodSet, Tier, TierPeer, TierPort, TierRule},
        network_policy::{Peer, Port, PortNumber},
    },
    policy::{Caveat, ConnectionPeer, Query, Verdict},
};

/// A verdict as plain data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) egress: Side,
    pub(crate) ingress: Side,
    pub(crate) notes: BTreeSet<Caveat>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Side {
    allowed: bool,
    decided_by: String,
    subject: Option<String>,
    isolating: Vec<String>,
    allowing: Vec<(String, u32)>,
    tier_rule: Option<(String, u32, Action)>,
    passed_by: Option<(String, u32)>,
}

/// What the engine says, in the same form.
pub(crate) fn answer_of(verdict: &Verdict<'_>) -> Answer {
    let side = |judgement: &netpol_agent::policy::DirectionVerdict<'_>| Side {
        allowed: judgement.allowed,
        decided_by: judgement.decided_by.to_string(),
        subject: judgement.subject.map(|pod| pod.key.to_string()),
        isolating: judgement.isolating().iter().map(|policy| policy.id.to_string()).collect(),
        allowing: judgement.allowing().map(|rule| (rule.policy.id.to_string(), rule.index)).collect(),
        tier_rule: judgement.tier_rule.map(|rule| (rule.policy.id.to_string(), rule.index, rule.action)),
        passed_by: judgement.passed_by.map(|rule| (rule.policy.id.to_string(), rule.index)),
    };
    Answer {
        egress: side(&verdict.egress),
        ingress: side(&verdict.ingress),
        notes: verdict.caveats().iter().collect(),
    }
}

/// One end of the connection.
struct End {
    /// A pod that policies can select.
    pod: Option<Arc<Pod>>,
    host_pod: Option<Arc<Pod>>,
    node: Option<Arc<Node>>,
    ips: Vec<IpAddr>,
}

struct Naive<'a> {
    snapshot: &'a Snapshot,
    source: End,
    destination: End,
    protocol: Protocol,
    port: u16,
    via_service: Option<&'a [IpAddr]>,
    notes: BTreeSet<Caveat>,
}

pub(crate) fn evaluate<'a>(snapshot: &'a Snapshot, query: &Query<'a>) -> Answer {
    let mut notes = BTreeSet::new();
    let source = end(snapshot, query.source, &mut notes);
    let destination = end(snapshot, query.destination, &mut notes);
    let (protocol, port, via_service) = (query.protocol, query.port, query.via_service);
    let mut naive = Naive { snapshot, source, destination, protocol, port, via_service, notes };
    let egress = naive.side(PolicyDirection::Egress);
    let ingress = naive.side(PolicyDirection::Ingress);
    if let Some(pod) = &naive.source.pod
        && ["Admin", "NetworkPolicy", "Baseline"].contains(&&*egress.decided_by)
        && is_home_of(&naive.destination, pod)
    {
        naive.notes.insert(Caveat::OwnNode);
    }
    if egress.allowed && naive.depends_on_masquerade(&ingress) {
        naive.notes.insert(Caveat::TranslatedSource);
    }
    Answer { egress, ingress, notes: naive.notes }
}

fn end(snapshot: &Snapshot, party: ConnectionPeer<'_>, notes: &mut BTreeSet<Caveat>) -> End {
    let nobody = |ips: Vec<IpAddr>| End { pod: None, host_pod: None, node: None, ips };
    let (pod, ips) = match party {
        ConnectionPeer::Pod(pod) => (pod.clone(), pod.ips.to_vec()),
        ConnectionPeer::PodAt(pod, ip) => (pod.clone(), vec![ip]),
        ConnectionPeer::NodeAt(node, ip) => {
            return End { node: Some(node.clone()), ..nobody(vec![ip.to_canonical()]) };
        }
        ConnectionPeer::Ip(ip) => {
            let ip = ip.to_canonical();
            let owns = |pod: &&Arc<Pod>| !pod.host_network && !pod.is_finished() && pod.ips.contains(&ip);
            match snapshot.pods().filter(owns).max_by_key(|pod| (pod.created, pod.key.clone())) {
                Some(pod) => (pod.clone(), vec![ip]),
                None => {
                    let mut nodes = snapshot.nodes().filter(|node| node.ips.contains(&ip));
                    let node = nodes.next().cloned();
                    return End { node, ..nobody(vec![ip]) };
                }
            }
        }
    };
    if pod.is_finished() {
        notes.insert(Caveat::FinishedPod);
        return nobody(ips);
    }
    if pod.host_network {
        notes.insert(Caveat::HostNetwork);
        let node = snapshot.nodes().find(|node| Some(&node.name) == pod.node.as_ref()).cloned();
        return End { host_pod: Some(pod), node, ..nobody(ips) };
    }
    if pod.ips.is_empty() && pod.phase != netpol_agent::model::PodPhase::Declared {
        notes.insert(Caveat::NoAddress);
        return nobody(ips);
    }
    End { pod: Some(pod), ..nobody(ips) }
}

/// Whether the end is the pod's own node, or a pod in that node's network.
fn is_home_of(end: &End, pod: &Pod) -> bool {
    let Some(home) = &pod.node else { return false };
    match &end.host_pod {
        Some(host_pod) => host_pod.node.as_ref() == Some(home),
        None => end.node.as_ref().is_some_and(|node| node.name == *home),
    }
}

impl Naive<'_> {
    /// Whether the ingress is another where a node has taken the place of the source.
    fn depends_on_masquerade(&self, ingress: &Side) -> bool {
        let Some(pod) = &self.source.pod else { return false };
        if !["Admin", "NetworkPolicy", "Baseline"].contains(&&*ingress.decided_by) {
            return false;
        }
        let is_cluster_ip =
            |ip: &IpAddr| self.snapshot.services().any(|service| service.cluster_ips.contains(ip));
        let used = self.via_service.unwrap_or_default().iter().filter(|ip| !is_cluster_ip(ip));
        used.filter_map(|ip| {
            let at = self.snapshot.nodes().find(|node| node.ips.contains(ip));
            at.or_else(|| self.snapshot.nodes().find(|node| Some(&node.name) == pod.node.as_ref()))
        })
        .any(|node| {
            let source = End { pod: None, host_pod: None, node: Some(node.clone()), ips: node.ips.to_vec() };
            let destination = End {
                ips: self.destination.ips.clone(),
                pod: self.destination.pod.clone(),
                host_pod: None,
                node: None,
            };
            let notes = BTreeSet::new();
            let mut masqueraded = Naive { source, destination, notes, ..*self };
            masqueraded.side(PolicyDirection::Ingress).allowed != ingress.allowed
        })
    }

    fn side(&mut self, direction: PolicyDirection) -> Side {
        let mut side = Side {
            allowed: true,
            decided_by: "default".to_owned(),
            subject: None,
            isolating: Vec::new(),
            allowing: Vec::new(),
            tier_rule: None,
            passed_by: None,
        };
        if let (Some(from), Some(to)) = (&self.source.pod, &self.destination.pod)
            && from.key == to.key
        {
            if self.via_service.is_none() {
                side.subject = Some(from.key.to_string());
                side.decided_by = "self".to_owned();
                return side;
            }
            self.notes.insert(Caveat::Hairpin);
        }
        let subject = match direction {
            PolicyDirection::Egress => &self.source,
            PolicyDirection::Ingress => &self.destination,
        };
        if let Some(pod) = &subject.host_pod {
            side.subject = Some(pod.key.to_string());
            side.decided_by = "host-network".to_owned();
            return side;
        }
        let Some(pod) = subject.pod.clone() else {
            side.decided_by = "no-subject".to_owned();
            return side;
        };
        side.subject = Some(pod.key.to_string());
        if direction == PolicyDirection::Ingress && is_home_of(&self.source, &pod) {
            side.decided_by = "local-node".to_owned();
            return side;
        }
        self.policies(direction, &pod, &mut side);
        side
    }

    fn policies(&mut self, direction: PolicyDirection, pod: &Pod, side: &mut Side) {
        let mut names_may_accept = false;
        'tiers: {
            if self.tier(Tier::Admin, direction, pod, side, &mut names_may_accept) {
                break 'tiers;
            }
            if self.network_policies(direction, pod, side) {
                break 'tiers;
            }
            self.tier(Tier::Baseline, direction, pod, side, &mut names_may_accept);
        }
        if names_may_accept && !side.allowed {
            self.notes.insert(Caveat::DomainName);
        }
    }

    fn network_policies(&mut self, direction: PolicyDirection, pod: &Pod, side: &mut Side) -> bool {
        let mut isolating: Vec<&Arc<NetworkPolicy>> = self
            .snapshot
            .network_policies()
            .filter(|policy| policy.namespace == *pod.namespace())
            .filter(|policy| selects(&policy.pods, pod.labels()))
            .filter(|policy| policy.rules(direction).is_some())
            .collect();
        if isolating.is_empty() {
            return false;
        }
        isolating.sort_by_key(|policy| policy.id.name.clone());
        side.decided_by = "NetworkPolicy".to_owned();
        side.isolating = isolating.iter().map(|policy| policy.id.to_string()).collect();
        let (mut by_labels, mut maybe_before_translation) = (false, false);
        for policy in &isolating {
            for (index, rule) in policy.rules(direction).unwrap().iter().enumerate() {
                let port = rule.ports.is_empty() || rule.ports.iter().any(|port| self.on_port(port));
                let blocks = rule.peers.iter().filter_map(|peer| match peer {
                    Peer::Block(block) => Some(block),
                    Peer::Pods { .. } => None,
                });
                let blocks: Vec<_> = blocks.collect();
                let peer = self.peer(direction);
                let by_block = blocks.iter().any(|block| peer.ips.iter().any(|ip| block.contains(*ip)));
                let by_pods = rule.peers.is_empty()
                    || rule.peers.iter().any(|peer| self.is_peer(policy, direction, peer));
                if port && (by_block || by_pods) {
                    side.allowing.push((policy.id.to_string(), u32::try_from(index).unwrap()));
                    by_labels |= by_pods;
                } else {
                    let before = |ip: IpAddr| blocks.iter().any(|block| block.contains(ip));
                    maybe_before_translation |=
                        !blocks.is_empty() && self.before_translation(direction, &before);
                }
            }
        }
        side.allowed = !side.allowing.is_empty();
        let by_block_only = side.allowed && !by_labels;
        if by_block_only && self.peer(direction).pod.is_some() {
            self.notes.insert(Caveat::BlockMatchesPod);
        }
        if (by_block_only && self.via_service.is_some()) || (!side.allowed && maybe_before_translation) {
            self.notes.insert(Caveat::TranslatedAddress);
        }
        if !side.allowed && self.admit_host_pod(direction, &isolating) {
            self.notes.insert(Caveat::HostNetwork);
        }
        if !self.protocol.has_ports() {
            self.notes.insert(Caveat::Protocol);
        }
        true
    }

    /// Whether the other end is a node, and one of these policies would admit a pod in its network.
    fn admit_host_pod(&mut self, direction: PolicyDirection, policies: &[&Arc<NetworkPolicy>]) -> bool {
        let Some(node) =
            self.peer(direction).node.clone().filter(|_| self.peer(direction).host_pod.is_none())
        else {
            return false;
        };
        let in_its_network =
            |pod: &&Arc<Pod>| pod.host_network && !pod.is_finished() && pod.node.as_ref() == Some(&node.name);
        let hosts: Vec<_> = self.snapshot.pods().filter(in_its_network).cloned().collect();
        hosts.into_iter().any(|host| {
            let seen = End { pod: Some(host), host_pod: None, node: None, ips: Vec::new() };
            let before = std::mem::replace(self.peer_mut(direction), seen);
            let admit = |policy: &&Arc<NetworkPolicy>| {
                policy.rules(direction).unwrap().iter().any(|rule| {
                    (rule.ports.is_empty() || rule.ports.iter().any(|port| self.on_port(port)))
                        && (rule.peers.is_empty()
                            || rule.peers.iter().any(|peer| self.is_peer(policy, direction, peer)))
                })
            };
            let admitted = policies.iter().any(admit);
            *self.peer_mut(direction) = before;
            admitted
        })
    }

    fn peer_mut(&mut self, direction: PolicyDirection) -> &mut End {
        match direction {
            PolicyDirection::Egress => &mut self.destination,
            PolicyDirection::Ingress => &mut self.source,
        }
    }

    fn peer(&self, direction: PolicyDirection) -> &End {
        match direction {
            PolicyDirection::Egress => &self.destination,
            PolicyDirection::Ingress => &self.source,
        }
    }

    /// Whether the address before translation may have been one of these.
    fn before_translation(&self, direction: PolicyDirection, has: &dyn Fn(IpAddr) -> bool) -> bool {
        match (self.via_service, direction) {
            (None, _) => false,
            (Some(_), PolicyDirection::Ingress) => self.source.pod.is_none(),
            (Some(addresses), PolicyDirection::Egress) => addresses.iter().any(|ip| has(*ip)),
        }
    }

    fn is_peer(&self, policy: &NetworkPolicy, direction: PolicyDirection, peer: &Peer) -> bool {
        let Peer::Pods { namespaces, pods } = peer else { return false };
        let Some(pod) = &self.peer(direction).pod else { return false };
        let namespace = match namespaces {
            None => policy.namespace == *pod.namespace(),
            Some(selector) => selects(selector, &self.snapshot.namespace(pod.namespace()).unwrap().labels),
        };
        namespace && selects(pods, pod.labels())
    }

    fn on_port(&self, port: &Port) -> bool {
        port.protocol == self.protocol
            && match &port.number {
                PortNumber::Any => true,
                PortNumber::Range(first, last) => (*first..=*last).contains(&self.port),
                PortNumber::Named(name) => self.declares(name),
            }
    }

    fn declares(&self, name: &str) -> bool {
        self.destination.pod.as_ref().is_some_and(|pod| {
            let mut ports = pod.class.ports.iter();
            ports.any(|p| {
                p.name.as_deref() == Some(name) && p.port == self.port && p.protocol == self.protocol
            })
        })
    }

    fn tier(
        &mut self,
        tier: Tier,
        direction: PolicyDirection,
        pod: &Pod,
        side: &mut Side,
        names_may_accept: &mut bool,
    ) -> bool {
        let mut policies: Vec<Arc<ClusterPolicy>> = self
            .snapshot
            .cluster_policies()
            .filter(|policy| policy.tier == tier && self.in_set(&policy.subject, pod))
            .cloned()
            .collect();
        policies.sort_by_key(|policy| (policy.priority, policy.id.clone()));
        for (at, policy) in policies.iter().enumerate() {
            let Some((index, action)) = self.first_match(policy, direction, names_may_accept) else {
                continue;
            };
            let rivals = policies[at + 1..].iter().filter(|rival| rival.priority == policy.priority);
            for rival in rivals {
                // What a rival would have noted does not count; what it would have done does.
                let notes = self.notes.clone();
                let other = self.first_match(rival, direction, &mut false);
                self.notes = notes;
                if other.is_some_and(|(_, other)| effect(other) != effect(action)) {
                    self.notes.insert(Caveat::EqualPriority);
                }
            }
            let name = policy.id.to_string();
            if effect(action) == "pass" {
                side.passed_by.get_or_insert((name, index));
                return false;
            }
            side.allowed = effect(action) == "accept";
            side.decided_by = format!("{tier:?}");
            side.tier_rule = Some((name, index, action));
            return true;
        }
        false
    }

    fn first_match(
        &mut self,
        policy: &ClusterPolicy,
        direction: PolicyDirection,
        names_may_accept: &mut bool,
    ) -> Option<(u32, Action)> {
        for (rule, index) in policy.rules(direction).iter().zip(0..) {
            if rule.peers.is_empty() || rule.peers.iter().any(|peer| matches!(peer, TierPeer::Unknown)) {
                self.notes.insert(Caveat::UnknownPeer);
                if effect(rule.action) == "accept" {
                    continue;
                }
                return Some((index, Action::Deny));
            }
            let on_port =
                rule.ports.as_ref().is_none_or(|ports| ports.iter().any(|port| self.on_tier_port(port)));
            let peer = self.peer(direction);
            let by_network = networks(rule).any(|cidr| peer.ips.iter().any(|ip| cidr.contains(ip)));
            let by_labels = rule.peers.iter().any(|p| self.is_tier_peer(direction, p));
            if on_port && (by_labels || by_network) {
                if !by_labels && self.via_service.is_some() {
                    self.notes.insert(Caveat::TranslatedAddress);
                }
                return Some((index, rule.action));
            }
            let names = rule.peers.iter().any(|peer| matches!(peer, TierPeer::DomainNames(_)));
            if on_port && names && peer.pod.is_none() {
                *names_may_accept = true;
                continue;
            }
            let before = |ip: IpAddr| networks(rule).any(|cidr| cidr.contains(&ip));
            if networks(rule).next().is_some() && self.before_translation(direction, &before) {
                self.notes.insert(Caveat::TranslatedAddress);
            }
        }
        None
    }

    fn on_tier_port(&self, port: &TierPort) -> bool {
        match port {
            TierPort::Port(port) => self.on_port(port),
            TierPort::Named(name) => self.declares(name),
        }
    }

    fn is_tier_peer(&self, direction: PolicyDirection, peer: &TierPeer) -> bool {
        let end = self.peer(direction);
        match peer {
            TierPeer::Pods(set) => end.pod.as_ref().is_some_and(|pod| self.in_set(set, pod)),
            TierPeer::Nodes(selector) => {
                end.node.as_ref().is_some_and(|node| selects(selector, &node.labels))
            }
            TierPeer::Networks(_) | TierPeer::DomainNames(_) | TierPeer::Unknown => false,
        }
    }

    fn in_set(&self, set: &PodSet, pod: &Pod) -> bool {
        selects(&set.namespaces, &self.snapshot.namespace(pod.namespace()).unwrap().labels)
            && selects(&set.pods, pod.labels())
    }
}

fn networks(rule: &TierRule) -> impl Iterator<Item = &ipnet::IpNet> {
    rule.peers.iter().flat_map(|peer| match peer {
        TierPeer::Networks(networks) => &networks[..],
        _ => &[],
    })
}

fn effect(action: Action) -> &'static str {
    match action {
        Action::Accept | Action::Allow => "accept",
        Action::Deny => "deny",
        Action::Pass => "pass",
    }
}

fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    use netpol_agent::model::Values;
    selector.requirements().iter().all(|requirement| {
        let value = labels.iter().find(|(key, _)| *key == &*requirement.key).map(|(_, value)| value);
        match (&requirement.values, value) {
            (Values::In(values), Some(value)) => values.iter().any(|v| &**v == value),
            (Values::NotIn(values), Some(value)) => !values.iter().any(|v| &**v == value),
            (Values::Exists, value) => value.is_some(),
            (Values::DoesNotExist, value) => value.is_none(),
            (Values::In(_), None) => false,
            (Values::NotIn(_), None) => true,
        }
    })
}
