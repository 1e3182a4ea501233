//! The cluster states of late, and what they say together.

use std::{collections::VecDeque, mem::discriminant, ptr, sync::Arc, time::Duration};

use super::attempt_context::{AttemptContext, OwnerMatch, StateView};
use crate::{
    model::{Expected, Monotonic, Undecidable},
    policy::Engine,
};

/// The cluster states of late.
pub(super) struct StateHistory {
    /// How long before an attempt a change still counts.
    grace: Duration,
    /// The longest time from the begin of an attempt to its last verdict.
    keep_for: Duration,
    /// Oldest first; the last one is in force.
    list: VecDeque<State>,
}

/// The policies, compiled with the cluster state that they came with.
struct State {
    /// Since when it holds.
    since: Monotonic,
    engine: Arc<Engine>,
}

impl StateHistory {
    pub(super) fn new(grace: Duration, keep_for: Duration) -> Self {
        Self { grace, keep_for, list: VecDeque::new() }
    }

    /// Puts a state in force.
    pub(super) fn push(&mut self, engine: Arc<Engine>, now: Monotonic) {
        // What has held since before the window is needed; what it replaced is not.
        let start = now - (self.grace + self.keep_for);
        while self.list.get(1).is_some_and(|state| state.since <= start) {
            self.list.pop_front();
        }
        self.list.push_back(State { since: now, engine });
    }

    /// The state in force.
    pub(super) fn last(&self) -> Option<&Arc<Engine>> {
        self.list.back().map(|state| &state.engine)
    }

    /// What the policies said when the attempt began, or since its ends are known, if that is later. All states that
    /// held at some time from shortly before until it was decided must agree.
    pub(super) fn expected(&self, case: &AttemptContext<'_>) -> Expected {
        let as_of = case.attempt.began.max(case.since);
        if self.list.front().is_none_or(|first| first.since > case.attempt.decided.max(as_of)) {
            return Expected::Undecidable(Undecidable::Stale);
        }
        let Some((reference_state, view)) =
            self.reference_state(case, as_of).filter(|(_, view)| !case.is_doubtful(view))
        else {
            return Expected::Undecidable(Undecidable::RecentChange);
        };
        let verdict = case.expected(&view);
        let end = case.until.max(reference_state.since);
        let mut others = self.window(case, end).filter(|state| !ptr::eq(*state, reference_state));
        // Most changes concern neither end, and those states need not be asked.
        let agrees = |state: &State| {
            view.is_same_in(&state.engine, case) || agrees(case, &case.view(&state.engine), &view, &verdict)
        };
        if others.all(agrees) { verdict } else { Expected::Undecidable(Undecidable::RecentChange) }
    }

    /// The state in force at a time, and what it sees; where it does not know the pods, the nearest one that does. The
    /// news of a pod is older than the state that it comes with.
    fn reference_state(
        &self,
        case: &AttemptContext<'_>,
        as_of: Monotonic,
    ) -> Option<(&State, StateView<'_>)> {
        let before = self.list.iter().rev().filter(|state| state.since <= as_of);
        let after = self.list.iter().filter(|state| state.since > as_of);
        let mut views = before.chain(after).map(|state| (state, case.view(&state.engine)));
        views.find(|(_, view)| view.holders == OwnerMatch::Same)
    }

    /// The states that held from shortly before the attempt to a time.
    fn window(&self, case: &AttemptContext<'_>, end: Monotonic) -> impl Iterator<Item = &State> {
        let start = case.attempt.began - self.grace;
        let until = self.list.iter().skip(1).map(|next| next.since).chain([Monotonic::MAX]);
        let held = self.list.iter().zip(until);
        held.filter(move |(state, until)| state.since <= end && *until > start).map(|(state, _)| state)
    }

    /// Whether an end of the attempt was new when it began.
    pub(super) fn is_new(&self, case: &AttemptContext<'_>) -> bool {
        case.since + self.grace > case.attempt.began && case.since > Monotonic::ZERO
    }
}

/// Whether what another state says goes with the verdict. One that did not have the pods yet, or no longer, says nothing
/// of them: then nothing may be different but that they came or went.
fn agrees(
    case: &AttemptContext<'_>,
    other: &StateView<'_>,
    view: &StateView<'_>,
    verdict: &Expected,
) -> bool {
    let agrees = || discriminant(verdict) == discriminant(&case.expected(other));
    match other.holders {
        OwnerMatch::Same => agrees(),
        // An enforcer may take the one for the other.
        OwnerMatch::Others => case.has_like_policies(other, view) && agrees(),
        OwnerMatch::Missing => case.has_like_policies(other, view) && other.has_like_pods(view),
    }
}
