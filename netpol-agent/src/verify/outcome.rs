//! The table of outcomes: expected result × observed result → outcome.

use crate::model::{Attempt, Expected, Observed, Outcome, Undecidable};

/// Returns the outcome of an expected and an observed result. `arrived` says that a packet of the attempt was seen inside
/// the destination pod, whatever happened to others.
#[must_use]
pub fn outcome(expected: &Expected, observed: Observed, arrived: bool) -> Outcome {
    match expected {
        Expected::Denied { .. } if arrived => Outcome::NotEnforced,
        Expected::NotApplicable(_) => Outcome::NotApplicable,
        Expected::Undecidable(_) => Outcome::Undecidable,
        Expected::Allowed { .. } => match observed {
            Observed::Established | Observed::Refused | Observed::Delivered => Outcome::Conforming,
            Observed::Dropped { .. } | Observed::Rejected => Outcome::OverBlocked,
            Observed::Unanswered => Outcome::Unanswered,
            Observed::Reset | Observed::Proxied => Outcome::Undecidable,
        },
        Expected::Denied { .. } => match observed {
            Observed::Established | Observed::Refused | Observed::Delivered => Outcome::NotEnforced,
            Observed::Dropped { .. } | Observed::Rejected => Outcome::Enforced,
            Observed::Unanswered => Outcome::PresumedEnforced,
            Observed::Reset | Observed::Proxied => Outcome::Undecidable,
        },
    }
}

/// Returns why the evidence about an attempt is not sufficient to judge it, whatever the policies say.
pub(super) fn insufficient(attempt: &Attempt) -> Option<Undecidable> {
    if attempt.pre_existing {
        Some(Undecidable::PreExisting)
    } else if attempt.records_lost && !attempt.is_positive() {
        Some(Undecidable::RecordsLost)
    } else if attempt.source_unseen {
        Some(Undecidable::SpoofedSource)
    } else if matches!(attempt.observed, Observed::Reset | Observed::Proxied) {
        Some(Undecidable::UnseenOrigin)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DropHook, NotApplicable};

    #[test]
    fn table() {
        use Observed::{Delivered, Established, Proxied, Refused, Rejected, Reset, Unanswered};
        use Outcome::{
            Conforming, Enforced, NotEnforced, OverBlocked, PresumedEnforced, Undecidable as Unknown,
        };
        let dropped = Observed::Dropped { reason: 12, hook: DropHook::Netfilter, reply: false };
        let allowed = Expected::Allowed { by: Vec::new() };
        let denied = Expected::Denied { by: Vec::new() };
        let undecidable = Expected::Undecidable(Undecidable::RecentChange);
        let not_applicable = Expected::NotApplicable(NotApplicable::SelfTraffic);
        for (observed, if_allowed, if_denied) in [
            (Established, Conforming, NotEnforced),
            (Refused, Conforming, NotEnforced),
            (Delivered, Conforming, NotEnforced),
            (dropped, OverBlocked, Enforced),
            (Rejected, OverBlocked, Enforced),
            (Unanswered, Outcome::Unanswered, PresumedEnforced),
            (Reset, Unknown, Unknown),
            (Proxied, Unknown, Unknown),
        ] {
            assert_eq!(outcome(&allowed, observed, false), if_allowed, "allowed, {observed}");
            assert_eq!(outcome(&denied, observed, false), if_denied, "denied, {observed}");
            assert_eq!(outcome(&undecidable, observed, false), Unknown, "undecidable, {observed}");
            assert_eq!(
                outcome(&not_applicable, observed, false),
                Outcome::NotApplicable,
                "not applicable, {observed}"
            );
            assert_eq!(outcome(&allowed, observed, true), if_allowed, "allowed, arrived, {observed}");
            assert_eq!(outcome(&denied, observed, true), NotEnforced, "denied, arrived, {observed}");
        }
    }
}
