//! The verdict for a connection: both directions, and the caveats.
//!
//! A connection is allowed if the source's egress and the destination's ingress both allow it.

use std::sync::Arc;

use super::{
    caveat::{Caveat, Caveats},
    direction_verdict::{DecidedBy, DirectionVerdict},
};
use crate::model::{Denial, Expected, NotApplicable, Pod, PolicyDirection, PolicyRef, RuleRef, Undecidable};

/// The verdict that the policies give for a connection, with the policies and rules that it is based on.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'e> {
    /// The verdict of the source's egress policies.
    pub egress: DirectionVerdict<'e>,
    /// The verdict of the destination's ingress policies.
    pub ingress: DirectionVerdict<'e>,
    pub(super) caveats: Caveats,
}

impl<'e> Verdict<'e> {
    pub(super) fn to_itself(pod: &'e Arc<Pod>, caveats: Caveats) -> Self {
        let exempt = |direction| {
            DirectionVerdict::exempt(direction, DecidedBy::SelfTraffic, Some(pod), Caveats::default())
        };
        Self { egress: exempt(PolicyDirection::Egress), ingress: exempt(PolicyDirection::Ingress), caveats }
    }

    /// Returns true if both directions allow the connection.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.egress.allowed && self.ingress.allowed
    }

    /// Returns true if the API defines the outcome. If it does not, the verdict is what most implementations do, and
    /// the caveats give the reason why no finding may depend on it.
    #[must_use]
    pub fn defined(&self) -> bool {
        !self.caveats.iter().any(Caveat::undefines)
    }

    /// The caveats of the connection and of both directions.
    #[must_use]
    pub fn caveats(&self) -> Caveats {
        self.caveats
    }

    /// Both directions, egress first.
    #[must_use]
    pub fn directions(&self) -> [&DirectionVerdict<'e>; 2] {
        [&self.egress, &self.ingress]
    }

    /// The verdict as an owned value, for a flow.
    #[must_use]
    pub fn expected(&self) -> Expected {
        if let Some(why) = self.not_applicable() {
            return Expected::NotApplicable(why);
        }
        if let Some(caveat) = self.caveats.iter().find(|caveat| caveat.undefines()) {
            return Expected::Undecidable(match caveat {
                Caveat::UnreadablePolicy => Undecidable::Stale,
                Caveat::DomainName => Undecidable::DomainName,
                other => Undecidable::Undefined(other.text()),
            });
        }
        let denials: Vec<Denial> = self.directions().into_iter().filter_map(denial).collect();
        if denials.is_empty() {
            Expected::Allowed { by: self.directions().into_iter().flat_map(admitting).collect() }
        } else {
            Expected::Denied { by: denials }
        }
    }

    fn not_applicable(&self) -> Option<NotApplicable> {
        use DecidedBy::{HostNetwork, LocalNode, NoSubject, SelfTraffic};
        if self.caveats.contains(Caveat::UnknownPod) {
            return None;
        }
        match (self.egress.decided_by, self.ingress.decided_by) {
            (SelfTraffic, _) => Some(NotApplicable::SelfTraffic),
            (NoSubject | HostNetwork, LocalNode) => Some(NotApplicable::NodeTraffic),
            (NoSubject, NoSubject) => Some(NotApplicable::NoPod),
            (NoSubject | HostNetwork, NoSubject | HostNetwork) => Some(NotApplicable::HostNetwork),
            _ => None,
        }
    }
}

fn denial(direction_verdict: &DirectionVerdict<'_>) -> Option<Denial> {
    let subject = direction_verdict.subject.filter(|_| !direction_verdict.allowed)?;
    let policies: Vec<PolicyRef> = match direction_verdict.tier_rule {
        Some(rule) => vec![rule.policy.id.clone()],
        None => direction_verdict.isolating().iter().map(|policy| policy.id.clone()).collect(),
    };
    Some(Denial { direction: direction_verdict.direction, subject: subject.key.clone(), policies })
}

fn admitting(direction_verdict: &DirectionVerdict<'_>) -> Vec<RuleRef> {
    match direction_verdict.tier_rule {
        Some(rule) => vec![rule.reference()],
        None => direction_verdict.allowing().map(|rule| rule.reference()).collect(),
    }
}
