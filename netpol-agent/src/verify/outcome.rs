//! The table of outcomes: expected result × observed result → outcome.

use crate::model::{Attempt, Denial, Expected, Observed, Outcome, PolicyDirection, Protocol, Undecidable};

/// How far a packet of an attempt got, whatever happened to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// It was seen inside the destination pod.
    pub arrived: bool,
    /// It left the node of the source pod. There, its egress should have been stopped.
    pub left_node: bool,
}

impl Reach {
    /// Returns how far an attempt got.
    #[must_use]
    pub fn of(attempt: &Attempt) -> Self {
        Self { arrived: attempt.arrived, left_node: attempt.left_node }
    }

    /// Returns whether it got past an enforcer that should have stopped it.
    fn is_leak(self, denials: &[Denial]) -> bool {
        let denies_egress = || denials.iter().any(|denial| denial.direction == PolicyDirection::Egress);
        self.arrived || (self.left_node && denies_egress())
    }
}

/// Returns the outcome of an expected and an observed result.
#[must_use]
pub fn outcome(expected: &Expected, observed: Observed, reach: Reach) -> Outcome {
    match expected {
        Expected::Denied { by } if reach.is_leak(by) => Outcome::NotEnforced,
        Expected::NotApplicable(_) => Outcome::NotApplicable,
        Expected::Undecidable(_) => Outcome::Undecidable,
        Expected::Allowed { .. } => match observed {
            Observed::Established | Observed::Refused | Observed::Delivered => Outcome::Conforming,
            Observed::Dropped { .. } | Observed::Rejected => Outcome::OverBlocked,
            Observed::Unanswered | Observed::LeftNode => Outcome::Unanswered,
            Observed::Reset | Observed::Proxied => Outcome::Undecidable,
        },
        Expected::Denied { .. } => match observed {
            Observed::Established | Observed::Refused | Observed::Delivered => Outcome::NotEnforced,
            Observed::Dropped { .. } | Observed::Rejected => Outcome::Enforced,
            Observed::Unanswered | Observed::LeftNode => Outcome::PresumedEnforced,
            Observed::Reset | Observed::Proxied => Outcome::Undecidable,
        },
    }
}

/// Returns why it is not known who made an attempt.
pub(super) fn unknown_opener(attempt: &Attempt) -> Option<Undecidable> {
    if attempt.pre_existing {
        Some(Undecidable::PreExisting)
    } else if attempt.source_unseen {
        Some(Undecidable::SpoofedSource)
    } else {
        None
    }
}

/// Returns what was not seen of an attempt that its result depends on. See [`is_proof`].
pub(super) fn unseen(attempt: &Attempt) -> Option<Undecidable> {
    if attempt.records_lost && !attempt.is_positive() {
        Some(Undecidable::RecordsLost)
    } else if matches!(attempt.observed, Observed::Reset | Observed::Proxied) {
        Some(Undecidable::UnseenOrigin)
    } else {
        None
    }
}

/// Returns whether an attempt is a leak whatever was not seen of it: a packet got through that the policies deny. Of a
/// datagram that is not so: it may be an answer, and the record of what it answers may be lost.
pub(super) fn is_proof(expected: &Expected, attempt: &Attempt) -> bool {
    let is_leak = outcome(expected, attempt.observed, Reach::of(attempt)) == Outcome::NotEnforced;
    is_leak && attempt.reached_outside() && attempt.tuple.protocol != Protocol::Udp
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DropHook, NotApplicable};

    #[test]
    fn table() {
        use Observed::{Delivered, Established, LeftNode, Proxied, Refused, Rejected, Reset, Unanswered};
        use Outcome::{
            Conforming, Enforced, NotEnforced, OverBlocked, PresumedEnforced, Undecidable as Unknown,
        };
        let dropped = Observed::Dropped { reason: 12, hook: DropHook::Netfilter, reply: false };
        let allowed = Expected::Allowed { by: Vec::new() };
        let denied = Expected::Denied { by: Vec::new() };
        let undecidable = Expected::Undecidable(Undecidable::RecentChange);
        let not_applicable = Expected::NotApplicable(NotApplicable::SelfTraffic);
        let arrived = Reach { arrived: true, left_node: false };
        for (observed, if_allowed, if_denied) in [
            (Established, Conforming, NotEnforced),
            (Refused, Conforming, NotEnforced),
            (Delivered, Conforming, NotEnforced),
            (dropped, OverBlocked, Enforced),
            (Rejected, OverBlocked, Enforced),
            (Unanswered, Outcome::Unanswered, PresumedEnforced),
            (LeftNode, Outcome::Unanswered, PresumedEnforced),
            (Reset, Unknown, Unknown),
            (Proxied, Unknown, Unknown),
        ] {
            assert_eq!(outcome(&allowed, observed, Reach::default()), if_allowed, "allowed, {observed}");
            assert_eq!(outcome(&denied, observed, Reach::default()), if_denied, "denied, {observed}");
            assert_eq!(outcome(&undecidable, observed, Reach::default()), Unknown, "undecidable, {observed}");
            assert_eq!(
                outcome(&not_applicable, observed, Reach::default()),
                Outcome::NotApplicable,
                "not applicable, {observed}"
            );
            assert_eq!(outcome(&allowed, observed, arrived), if_allowed, "allowed, arrived, {observed}");
            assert_eq!(outcome(&denied, observed, arrived), NotEnforced, "denied, arrived, {observed}");
        }
    }

    /// What leaves the node is a leak if a policy denies the source's egress. The destination's ingress is its own node's.
    #[test]
    fn left_node() {
        let left = Reach { arrived: false, left_node: true };
        for (directions, expected) in [
            (&[PolicyDirection::Egress][..], Outcome::NotEnforced),
            (&[PolicyDirection::Ingress], Outcome::PresumedEnforced),
            (&[PolicyDirection::Egress, PolicyDirection::Ingress], Outcome::NotEnforced),
        ] {
            let denial = |direction: &PolicyDirection| Denial {
                direction: *direction,
                subject: "shop/web".into(),
                policies: Vec::new(),
            };
            let denied = Expected::Denied { by: directions.iter().map(denial).collect() };
            assert_eq!(outcome(&denied, Observed::LeftNode, left), expected, "{directions:?}");
            assert_eq!(outcome(&denied, Observed::LeftNode, Reach::default()), Outcome::PresumedEnforced);
        }
    }
}
