//! What the policies say, worked out from the soak's own model and by no code of the agent.

use std::{net::IpAddr, time::Duration};

use super::{
    member::Member,
    policy::{Direction, Policy},
    tuple::{Transport, Tuple},
};

/// The cluster from some moment on.
#[derive(Clone, Debug)]
pub(super) struct Epoch {
    /// When it began, since the round's beginning.
    pub(super) since: Duration,
    pub(super) members: Vec<Member>,
    pub(super) policies: Vec<Policy>,
}

/// What should become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Allowed,
    Denied,
    /// The API leaves it open.
    Undefined,
    /// No policy is about it: an end is the node, or neither end is a pod.
    Exempt,
}

impl Epoch {
    /// The member with this address.
    pub(super) fn member(&self, ip: IpAddr) -> Option<&Member> {
        self.members.iter().find(|member| member.ips.contains(&ip))
    }

    /// What should become of a connection in this state.
    pub(super) fn verdict(&self, tuple: Tuple) -> Verdict {
        let (Some(from), Some(to)) = (self.member(tuple.from.ip()), self.member(tuple.to.ip())) else {
            return Verdict::Exempt;
        };
        if !from.is_pod() && !to.is_pod() {
            return Verdict::Exempt;
        }
        let both = [Direction::Egress, Direction::Ingress];
        if tuple.transport == Transport::Echo {
            let isolated = both.iter().any(|direction| self.isolates(*direction, from, to));
            return if isolated { Verdict::Undefined } else { Verdict::Allowed };
        }
        if both.iter().any(|direction| self.denies(*direction, tuple, from, to)) {
            Verdict::Denied
        } else {
            Verdict::Allowed
        }
    }

    /// Whether the policies for one direction deny it.
    pub(super) fn denies(&self, direction: Direction, tuple: Tuple, from: &Member, to: &Member) -> bool {
        let (own, peer, ip) = match direction {
            Direction::Egress => (from, to, tuple.to.ip()),
            Direction::Ingress => (to, from, tuple.from.ip()),
        };
        let mut isolated = false;
        for policy in self.policies.iter().filter(|policy| policy.selects(own)) {
            let Some(rules) = policy.rules(direction) else { continue };
            isolated = true;
            let admits = |rule: &super::policy::Admission| {
                rule.admits(policy.namespace, peer, ip, tuple.transport, tuple.to.port())
            };
            if rules.iter().any(admits) {
                return false;
            }
        }
        isolated
    }

    fn isolates(&self, direction: Direction, from: &Member, to: &Member) -> bool {
        let own = if direction == Direction::Egress { from } else { to };
        self.policies.iter().any(|policy| policy.selects(own) && policy.rules(direction).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::policy::{Admission, Peer, PortRange},
        *,
    };

    fn member(name: &str, namespace: &'static str, ip: &str) -> Member {
        Member { name: name.to_owned(), namespace, label: ("app", "web"), ips: vec![ip.parse().unwrap()] }
    }

    #[test]
    fn one_policy() {
        let web = PortRange { transport: Transport::Tcp, first: 80, last: 81 };
        let own = Admission { peers: vec![Peer::Own { pods: None }], ports: vec![web] };
        let policy = Policy {
            name: "p".to_owned(),
            namespace: "blue",
            selects: None,
            ingress: Some(vec![own]),
            egress: None,
        };
        let epoch = Epoch {
            since: Duration::ZERO,
            members: vec![
                member("a", "blue", "10.0.0.1"),
                member("b", "blue", "10.0.0.2"),
                member("c", "red", "10.0.0.3"),
                member("world", "", "198.18.0.1"),
            ],
            policies: vec![policy],
        };
        for (transport, from, to, expected) in [
            (Transport::Tcp, "10.0.0.1:1", "10.0.0.2:80", Verdict::Allowed),
            (Transport::Tcp, "10.0.0.1:1", "10.0.0.2:82", Verdict::Denied),
            (Transport::Udp, "10.0.0.1:1", "10.0.0.2:80", Verdict::Denied),
            (Transport::Tcp, "10.0.0.3:1", "10.0.0.2:80", Verdict::Denied),
            (Transport::Tcp, "10.0.0.2:1", "10.0.0.3:80", Verdict::Allowed),
            (Transport::Tcp, "198.18.0.1:1", "10.0.0.2:80", Verdict::Denied),
            (Transport::Tcp, "198.18.0.1:1", "198.18.0.1:80", Verdict::Exempt),
            (Transport::Tcp, "10.0.0.9:1", "10.0.0.2:80", Verdict::Exempt),
            (Transport::Echo, "10.0.0.3:0", "10.0.0.2:0", Verdict::Undefined),
            (Transport::Echo, "10.0.0.2:0", "10.0.0.3:0", Verdict::Allowed),
        ] {
            let tuple = Tuple { transport, from: from.parse().unwrap(), to: to.parse().unwrap() };
            assert_eq!(epoch.verdict(tuple), expected, "{tuple}");
        }
    }
}
