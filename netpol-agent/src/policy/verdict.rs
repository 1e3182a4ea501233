//! Both directions of a connection, judged.

use std::sync::Arc;

use super::{
    judgement::{DecidedBy, Judgement},
    note::{Note, Notes},
};
use crate::model::{Denial, Expected, NotApplicable, Pod, PolicyDirection, PolicyRef, RuleRef, Undecidable};

/// What the policies say of a connection, with all that it rests on.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'e> {
    /// What the source may reach.
    pub egress: Judgement<'e>,
    /// What may reach the destination.
    pub ingress: Judgement<'e>,
    pub(super) notes: Notes,
}

impl<'e> Verdict<'e> {
    pub(super) fn to_itself(pod: &'e Arc<Pod>, notes: Notes) -> Self {
        let side =
            |direction| Judgement::exempt(direction, DecidedBy::SelfTraffic, Some(pod), Notes::default());
        Self { egress: side(PolicyDirection::Egress), ingress: side(PolicyDirection::Ingress), notes }
    }

    /// Whether both directions admit the connection.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.egress.allowed && self.ingress.allowed
    }

    /// Whether the API defines the outcome. Where it does not, the verdict says what most implementations do, and
    /// the notes say why nothing may rest on it.
    #[must_use]
    pub fn defined(&self) -> bool {
        !self.notes.iter().any(Note::undefines)
    }

    /// All there is to say beyond the outcome.
    #[must_use]
    pub fn notes(&self) -> Notes {
        self.notes
    }

    /// Both directions, egress first.
    #[must_use]
    pub fn directions(&self) -> [&Judgement<'e>; 2] {
        [&self.egress, &self.ingress]
    }

    /// The verdict as a value of its own.
    #[must_use]
    pub fn expected(&self) -> Expected {
        if let Some(why) = self.not_applicable() {
            return Expected::NotApplicable(why);
        }
        if let Some(note) = self.notes.iter().find(|note| note.undefines()) {
            return Expected::Undecidable(match note {
                Note::UnreadablePolicy => Undecidable::Stale,
                Note::DomainName => Undecidable::DomainName,
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
        if self.notes.contains(Note::UnknownPod) {
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

fn denial(judgement: &Judgement<'_>) -> Option<Denial> {
    let subject = judgement.subject.filter(|_| !judgement.allowed)?;
    let policies: Vec<PolicyRef> = match judgement.tier_rule {
        Some(rule) => vec![rule.policy.id.clone()],
        None => judgement.isolating().iter().map(|policy| policy.id.clone()).collect(),
    };
    Some(Denial { direction: judgement.direction, subject: subject.key.clone(), policies })
}

fn admitting(judgement: &Judgement<'_>) -> Vec<RuleRef> {
    match judgement.tier_rule {
        Some(rule) => vec![rule.reference()],
        None => judgement.allowing().map(|rule| rule.reference()).collect(),
    }
}
