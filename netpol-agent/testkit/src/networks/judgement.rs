//! Compares what the agents say with what has happened.

use std::{collections::HashMap, net::SocketAddr};

use super::{
    agents::FlowLine,
    cast::{Cast, Player},
    contact::Contact,
    script::{Expected, NODE_PORT},
    sniffer::Sighting,
    truth::{self, Sightings},
};
use crate::netns;

/// What an agent that has to see a contact says about it, and what is true.
pub(super) struct Judgement {
    /// Says who talks to whom, in which way and what came of it.
    pub(super) about: String,
    pub(super) expected: Expected,
    pub(super) has_arrived: bool,
    /// The outcome that the agent told last. `None`: it said nothing.
    pub(super) outcome: Option<String>,
    pub(super) reason: String,
    pub(super) fault: Option<Fault>,
    /// The node of the agent.
    node: usize,
    /// The line of the agent.
    pub(super) line: String,
}

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The agent tells of an error that is none.
    FalseAlarm,
    /// A denied connection got there, and the agent that sees its end does not tell so.
    MissedLeak,
}

impl Judgement {
    /// Judges what all agents say about all contacts, and what they say about nothing at all.
    pub(super) fn all(
        cast: &Cast,
        script: &[Contact],
        results: &[netns::Attempt],
        seen: &[Sighting],
        lines: &[FlowLine],
    ) -> Vec<Self> {
        let sightings = Sightings::new(seen);
        let mut by_source: HashMap<_, Vec<&FlowLine>> = HashMap::new();
        for line in lines {
            by_source.entry((line.protocol, line.source)).or_default().push(line);
        }
        let mut judgements = Vec::new();
        for (contact, result) in script.iter().zip(results) {
            let subject = Subject::new(cast, contact, *result, sightings.of(contact));
            let mut own = Vec::new();
            for source in subject.sources() {
                own.extend(by_source.remove(&(contact.protocol, source)).unwrap_or_default());
            }
            judgements.extend(subject.judge(cast.nodes, &own));
        }
        // What is left is about no contact.
        let rest = by_source.into_values().flatten();
        judgements.extend(rest.filter(|line| is_alarm(&line.outcome)).map(Self::about_nothing));
        judgements
    }

    fn about_nothing(line: &FlowLine) -> Self {
        Self {
            about: format!("no contact: {} to {}, by node{}", line.source, line.destination, line.node),
            expected: Expected::Undefined,
            has_arrived: false,
            outcome: Some(line.outcome.clone()),
            reason: line.reason.clone(),
            fault: Some(Fault::FalseAlarm),
            node: line.node,
            line: line.text.clone(),
        }
    }
}

fn is_alarm(outcome: &str) -> bool {
    ["not_enforced", "over_blocked"].contains(&outcome)
}

/// A contact with what became of it, and what the agents say.
struct Subject<'a> {
    contact: &'a Contact,
    result: netns::Attempt,
    sightings: &'a [&'a Sighting],
    /// Where it got to, with the source address that it had there.
    arrival: Option<(Player, SocketAddr)>,
    /// The source's own addresses.
    own: Vec<SocketAddr>,
}

impl<'a> Subject<'a> {
    fn new(cast: &Cast, contact: &'a Contact, result: netns::Attempt, sightings: &'a [&'a Sighting]) -> Self {
        let source = cast.actors.iter().filter(|actor| actor.member == contact.source);
        let own = source.flat_map(|actor| actor.addresses);
        let own = own.map(|address| SocketAddr::new(address, contact.source_port)).collect();
        Self { contact, result, sightings, arrival: truth::arrival(contact, sightings), own }
    }

    /// All source addresses by which agents may know the contact.
    fn sources(&self) -> Vec<SocketAddr> {
        let mut sources = self.own.clone();
        // An answer has the same content as the datagram, and comes from the port that it was sent to.
        let is_answer = |sighting: &&Sighting| {
            [self.contact.port, self.contact.to.port()].contains(&sighting.source.port())
        };
        for sighting in self.sightings.iter().filter(|sighting| !is_answer(sighting)) {
            if !sources.contains(&sighting.source) {
                sources.push(sighting.source);
            }
        }
        sources
    }

    /// Judges what all agents say. One that sees the contact with two source addresses tells twice.
    fn judge(&self, nodes: usize, lines: &[&FlowLine]) -> Vec<Judgement> {
        // An agent that has learnt more tells once more.
        let mut views: Vec<&FlowLine> = Vec::new();
        for line in lines {
            views.retain(|earlier| (earlier.node, earlier.source) != (line.node, line.source));
            views.push(line);
        }
        let mut judgements: Vec<_> = views.iter().map(|line| self.judgement(line.node, Some(line))).collect();
        let is_silent =
            |node: &usize| views.iter().all(|line| line.node != *node) && self.is_seen_from(*node);
        judgements.extend((1..=nodes).filter(is_silent).map(|node| self.judgement(node, None)));
        let decider = self.decider();
        if self.is_missed(&views, decider) {
            let mut deciding = judgements.iter_mut();
            let last = deciding.rfind(|judgement| decider.is_none_or(|node| judgement.node == node));
            if let Some(judgement) = last {
                judgement.fault = Some(Fault::MissedLeak);
            }
        }
        judgements
    }

    /// Whether the agent on this node has to see it: at the source, or where it got to.
    fn is_seen_from(&self, node: usize) -> bool {
        let is_pod_here = |member: Player| matches!(member, Player::Pod(_, at) if at == node);
        is_pod_here(self.contact.source) || self.arrival.is_some_and(|(member, _)| is_pod_here(member))
    }

    /// The node whose agent alone has to tell of a leak: where it got to. `None` if a node has taken the source's place:
    /// there, nobody knows who it was, and the source's agent may tell as well.
    fn decider(&self) -> Option<usize> {
        let (member, source) = self.arrival?;
        member.node().filter(|_| self.own.contains(&source))
    }

    /// Returns true if a denied contact got there, and no agent tells so that has to.
    fn is_missed(&self, views: &[&FlowLine], decider: Option<usize>) -> bool {
        let is_leak = self.contact.expected == Expected::Denied && self.arrival.is_some();
        let mut deciding = views.iter().filter(|line| decider.is_none_or(|node| line.node == node));
        is_leak && !deciding.any(|line| ["not_enforced", "undecidable"].contains(&&*line.outcome))
    }

    fn judgement(&self, node: usize, line: Option<&FlowLine>) -> Judgement {
        let Contact { source, to, protocol, way, expected, .. } = self.contact;
        let arrival = self.arrival.map_or_else(|| "nowhere".to_owned(), |(member, _)| member.to_string());
        let known = line.map(|line| format!(" as {}", line.source)).unwrap_or_default();
        let outcome = line.map(|line| line.outcome.clone());
        Judgement {
            about: format!(
                "{way}: {source} to {to} {protocol:?}, got to {arrival}, {:?}; by node{node}{known}",
                self.result
            ),
            expected: *expected,
            has_arrived: self.arrival.is_some(),
            fault: line.filter(|line| self.is_false(line)).map(|_| Fault::FalseAlarm),
            outcome,
            reason: line.map(|line| line.reason.clone()).unwrap_or_default(),
            node,
            line: line.map(|line| line.text.clone()).unwrap_or_default(),
        }
    }

    /// Returns true if the packet left the node of its source, although the policies deny the source's egress. Then it is a
    /// leak there, wherever it ended.
    fn is_leak_of_egress(&self, line: &FlowLine) -> bool {
        let left = self.sightings.iter().any(|sighting| {
            let is_elsewhere = match sighting.at {
                Player::Outside => true,
                member => member.node() != self.contact.source.node(),
            };
            sighting.is_inbound && is_elsewhere
        });
        left && line.text.contains(r#""direction":"egress""#)
    }

    /// Returns true if an agent's line is an alarm without a cause.
    fn is_false(&self, line: &FlowLine) -> bool {
        let expected = self.contact.expected;
        let has_arrived = self.arrival.is_some();
        let was_answered = matches!(self.result, netns::Attempt::Answered | netns::Attempt::Refused);
        match &*line.outcome {
            "not_enforced" => {
                // That a pod reaches itself is right, whatever the policies say; but not as a node.
                let is_itself = self.contact.way != NODE_PORT
                    && self.arrival.is_some_and(|(member, _)| member == self.contact.source);
                !(has_arrived || self.is_leak_of_egress(line))
                    || is_itself
                    || matches!(expected, Expected::Allowed | Expected::NotApplicable)
            }
            "over_blocked" => {
                (has_arrived && was_answered)
                    || matches!(expected, Expected::Denied | Expected::NotApplicable)
            }
            _ => false,
        }
    }
}
