//! A verdict as JSON.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use super::{
    DeclaredState, UnknownEndpoint,
    address_range::AddressRange,
    connection::{Case, Cases, Channel, ConnectionQuestion, judge},
};
use crate::{
    model::{Protocol, cluster_policy::Action},
    policy::{Caveat, DecidedBy, DirectionVerdict},
};

/// A verdict as JSON: the shape that `check` and `explain` share.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// Whether both directions allow it; without a port, whether they do on any port.
    pub allowed: bool,
    /// Whether the API defines the outcome; else it is what most implementations do.
    pub defined: bool,
    /// What the source may reach. Where the question stands for several connections, this is one that decides.
    pub egress: DirectionAnswer,
    /// What may reach the destination.
    pub ingress: DirectionAnswer,
    /// What there is to say beyond that.
    pub notes: Vec<String>,
    /// The ports that are allowed, where the question names none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortAnswer>,
    /// Each of the connections that the question stands for, where those are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<CaseAnswer>,
}

/// Ports that are allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortAnswer {
    /// The protocol.
    pub protocol: Protocol,
    /// The first port of the range.
    pub first: u16,
    /// The last port of the range.
    pub last: u16,
    /// Whether the API defines the outcome.
    pub defined: bool,
}

/// One of the connections that a question stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseAnswer {
    /// Who opens it.
    pub from: String,
    /// Who answers.
    pub to: String,
    /// Whether it is allowed; without a port, on any port.
    pub allowed: bool,
    /// Whether the API defines that.
    pub defined: bool,
}

/// One direction of it.
#[derive(Debug, Serialize)]
pub struct DirectionAnswer {
    /// `allow` or `deny`.
    pub verdict: &'static str,
    /// The pod whose policies these are, `namespace/name`; `None` where that side is no pod.
    pub subject: Option<String>,
    /// What decides.
    pub decided_by: DecidedBy,
    /// The NetworkPolicies that isolate the pod.
    pub isolating: Vec<String>,
    /// The rules that admit the connection: policy, and index of the rule from 0.
    pub allowing: Vec<(String, u32)>,
    /// The rule of a cluster-wide policy that decides.
    pub tier_rule: Option<(String, u32, Action)>,
    /// The rule of the Admin tier that passes the decision on.
    pub passed_by: Option<(String, u32)>,
}

/// What some connections come to together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum {
    allowed: bool,
    defined: bool,
    /// Whether some are allowed and others denied.
    is_mixed: bool,
}

impl Answer {
    /// The answer to a question.
    ///
    /// # Errors
    ///
    /// One of its ends is unknown, or a Service has no such port.
    pub fn to(state: &DeclaredState, question: &ConnectionQuestion) -> Result<Self, UnknownEndpoint> {
        judge(state, question, |cases| Self::of(cases).0)
    }

    /// The answer, and the case that decides, as its place among the cases.
    pub(crate) fn of(cases: &Cases<'_>) -> (Self, usize) {
        let sums: Vec<Sum> = (0..cases.channels.len()).map(|channel| of_channel(cases, channel)).collect();
        // Any port will do: the surest one that is allowed.
        let decides = (0..sums.len()).max_by_key(|at| {
            sums.get(*at).map(|sum| (sum.allowed, sum.allowed && sum.defined, std::cmp::Reverse(*at)))
        });
        let channel = decides.unwrap_or_default();
        let sum =
            sums.get(channel).copied().unwrap_or(Sum { allowed: false, defined: false, is_mixed: false });
        let defined = if sum.allowed { sum.defined } else { sums.iter().all(|sum| sum.defined) };
        let of_it = cases.cases.iter().enumerate().filter(|(_, case)| case.channel == channel);
        // Where one of several is denied, that one says why.
        let (at, case) =
            match of_it.clone().find(|(_, case)| case.allowed() == sum.allowed).or(of_it.clone().next()) {
                Some((at, case)) => (at, Some(case)),
                None => (0, None),
            };
        let caveats: BTreeSet<Caveat> =
            of_it.clone().flat_map(|(_, case)| case.verdict.caveats().iter()).collect();
        let mut notes: Vec<String> = caveats.iter().map(|caveat| caveat.text().to_owned()).collect();
        if of_it.clone().any(|(_, case)| case.is_masked) && !caveats.contains(&Caveat::TranslatedSource) {
            notes.push(Caveat::TranslatedSource.text().to_owned());
        }
        if sum.is_mixed {
            notes.push(
                "it stands for several connections, and some of them are allowed, others denied".to_owned(),
            );
        }
        let answer = Self {
            allowed: sum.allowed,
            defined,
            egress: DirectionAnswer::new(case.map(|case| &case.verdict.egress)),
            ingress: DirectionAnswer::new(case.map(|case| &case.verdict.ingress)),
            notes,
            ports: if cases.has_port { Vec::new() } else { ports(&cases.channels, &sums) },
            connections: connections(cases),
        };
        (answer, at)
    }
}

fn of_channel(cases: &Cases<'_>, channel: usize) -> Sum {
    sum(cases.cases.iter().filter(|case| case.channel == channel))
}

/// All must be allowed; where some are not, which one is made decides.
fn sum<'a, 'e: 'a>(cases: impl Iterator<Item = &'a Case<'e>>) -> Sum {
    let (mut allowed, mut denied, mut defined) = (false, false, true);
    for case in cases {
        allowed |= case.allowed();
        denied |= !case.allowed();
        defined &= case.defined();
    }
    let is_mixed = allowed && denied;
    Sum { allowed: allowed && !denied, defined: defined && !is_mixed, is_mixed }
}

/// The channels that are allowed, or may be; those that touch as one.
fn ports(channels: &[Channel], sums: &[Sum]) -> Vec<PortAnswer> {
    let mut ports: Vec<PortAnswer> = Vec::new();
    for (channel, sum) in channels.iter().zip(sums) {
        if !sum.allowed && !sum.is_mixed {
            continue;
        }
        let Channel { protocol, first, last } = *channel;
        match ports.last_mut() {
            Some(before)
                if before.protocol == protocol
                    && before.defined == sum.defined
                    && before.last.checked_add(1) == Some(first) =>
            {
                before.last = last;
            }
            _ => ports.push(PortAnswer { protocol, first, last, defined: sum.defined }),
        }
    }
    ports
}

/// Each pair of ends by itself. Address ranges that lie next to one another and come to the same are one.
fn connections(cases: &Cases<'_>) -> Vec<CaseAnswer> {
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    let mut pairs: Vec<Vec<&Case<'_>>> = Vec::new();
    for case in &cases.cases {
        let place = *places.entry((&case.from.name, &case.to.name)).or_insert(pairs.len());
        match pairs.get_mut(place) {
            Some(pair) => pair.push(case),
            None => pairs.push(vec![case]),
        }
    }
    if pairs.len() < 2 {
        return Vec::new();
    }
    let mut found: Vec<PairSum> = Vec::new();
    for next in pairs.iter().filter_map(|pair| PairSum::new(pair)) {
        let is_part = found.last_mut().is_some_and(|last| last.takes(&next));
        if !is_part {
            found.push(next);
        }
    }
    found.into_iter().map(|pair| pair.answer).collect()
}

/// What the connections of one pair of ends come to, and the address ranges that the ends are.
struct PairSum {
    answer: CaseAnswer,
    from: Option<AddressRange>,
    to: Option<AddressRange>,
}

impl PairSum {
    fn new(pair: &[&Case<'_>]) -> Option<Self> {
        let first = pair.first()?;
        let allowed = pair.iter().any(|case| case.allowed());
        let mut deciding = pair.iter().filter(|case| case.allowed() == allowed);
        let defined =
            if allowed { deciding.any(|case| case.defined()) } else { deciding.all(|case| case.defined()) };
        let answer =
            CaseAnswer { from: first.from.name.clone(), to: first.to.name.clone(), allowed, defined };
        Some(Self { answer, from: first.from.range, to: first.to.range })
    }

    /// Takes in another pair, where its addresses follow this one's and it comes to the same.
    fn takes(&mut self, next: &Self) -> bool {
        let is_same =
            (self.answer.allowed, self.answer.defined) == (next.answer.allowed, next.answer.defined);
        if !is_same {
            return false;
        }
        if self.answer.to == next.answer.to && join(&mut self.from, next.from) {
            self.answer.from = self.from.map(AddressRange::text).unwrap_or_default();
            return true;
        }
        if self.answer.from == next.answer.from && join(&mut self.to, next.to) {
            self.answer.to = self.to.map(AddressRange::text).unwrap_or_default();
            return true;
        }
        false
    }
}

/// Extends a range by one that follows it.
fn join(range: &mut Option<AddressRange>, next: Option<AddressRange>) -> bool {
    let joined = range.zip(next).and_then(|(range, next)| range.joined(next));
    if joined.is_some() {
        *range = joined;
    }
    joined.is_some()
}

impl DirectionAnswer {
    fn new(verdict: Option<&DirectionVerdict<'_>>) -> Self {
        let Some(verdict) = verdict else { return Self::unknown() };
        Self {
            verdict: if verdict.allowed { "allow" } else { "deny" },
            subject: verdict.subject.map(|pod| pod.key.to_string()),
            decided_by: verdict.decided_by,
            isolating: verdict.isolating().iter().map(|policy| policy.id.to_string()).collect(),
            allowing: verdict.allowing().map(|rule| (rule.policy.id.to_string(), rule.index)).collect(),
            tier_rule: verdict.tier_rule.map(|rule| (rule.policy.id.to_string(), rule.index, rule.action)),
            passed_by: verdict.passed_by.map(|rule| (rule.policy.id.to_string(), rule.index)),
        }
    }

    /// Of a question that stands for no connection.
    fn unknown() -> Self {
        Self {
            verdict: "deny",
            subject: None,
            decided_by: DecidedBy::NoSubject,
            isolating: Vec::new(),
            allowing: Vec::new(),
            tier_rule: None,
            passed_by: None,
        }
    }
}
