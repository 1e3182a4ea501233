//! The recent cluster states, and the verdict that they agree on.

use std::{collections::VecDeque, mem::discriminant, ptr, sync::Arc, time::Duration};

use super::attempt_context::{AttemptContext, OwnerMatch, StateView};
use crate::{
    model::{Expected, Monotonic, Undecidable},
    policy::Engine,
};

/// The recent cluster states.
pub(super) struct StateHistory {
    /// How long before an attempt a change still matters.
    grace: Duration,
    /// The maximum time from the start of an attempt to its last verdict.
    keep_for: Duration,
    /// The states, oldest first. The last one is current.
    list: VecDeque<State>,
}

/// A cluster state with its compiled policies.
struct State {
    /// Since when the state is current.
    since: Monotonic,
    engine: Arc<Engine>,
}

impl StateHistory {
    pub(super) fn new(grace: Duration, keep_for: Duration) -> Self {
        Self { grace, keep_for, list: VecDeque::new() }
    }

    /// Adds a state, which becomes the current one.
    pub(super) fn push(&mut self, engine: Arc<Engine>, now: Monotonic) {
        // The state that was current at the start of the window is needed; earlier ones are not.
        let start = now - (self.grace + self.keep_for);
        while self.list.get(1).is_some_and(|state| state.since <= start) {
            self.list.pop_front();
        }
        self.list.push_back(State { since: now, engine });
    }

    /// Returns the current state.
    pub(super) fn last(&self) -> Option<&Arc<Engine>> {
        self.list.back().map(|state| &state.engine)
    }

    /// Returns the result that the policies declared when the attempt began, or when its endpoints became known, if
    /// that is later. All states that were current at some time from shortly before the attempt until its decision must
    /// agree.
    pub(super) fn expected(&self, context: &AttemptContext<'_>) -> Expected {
        let as_of = context.attempt.began.max(context.since);
        if self.list.front().is_none_or(|first| first.since > context.attempt.decided.max(as_of)) {
            return Expected::Undecidable(Undecidable::Stale);
        }
        let Some((reference_state, view)) =
            self.reference_state(context, as_of).filter(|(_, view)| !context.may_be_reused(view))
        else {
            return Expected::Undecidable(Undecidable::RecentChange);
        };
        let verdict = context.expected(&view);
        let end = context.until.max(reference_state.since);
        let mut others = self.window(context, end).filter(|state| !ptr::eq(*state, reference_state));
        // Most changes concern neither endpoint, and those states need not be evaluated.
        let agrees = |state: &State| {
            view.is_same_in(&state.engine, context)
                || agrees(context, &context.view(&state.engine), &view, &verdict)
        };
        if others.all(agrees) { verdict } else { Expected::Undecidable(Undecidable::RecentChange) }
    }

    /// Returns the state that was current at a time, and what it knows. If it does not know the pods, returns the
    /// nearest state that does: the report of a pod is older than the first state that contains it.
    fn reference_state(
        &self,
        context: &AttemptContext<'_>,
        as_of: Monotonic,
    ) -> Option<(&State, StateView<'_>)> {
        let before = self.list.iter().rev().filter(|state| state.since <= as_of);
        let after = self.list.iter().filter(|state| state.since > as_of);
        let mut views = before.chain(after).map(|state| (state, context.view(&state.engine)));
        views.find(|(_, view)| view.owner_match == OwnerMatch::Same)
    }

    /// Returns the states that were current at some time from shortly before the attempt to `end`.
    fn window(&self, context: &AttemptContext<'_>, end: Monotonic) -> impl Iterator<Item = &State> {
        let start = context.attempt.began - self.grace;
        let until = self.list.iter().skip(1).map(|next| next.since).chain([Monotonic::MAX]);
        let held = self.list.iter().zip(until);
        held.filter(move |(state, until)| state.since <= end && *until > start).map(|(state, _)| state)
    }

    /// Returns whether an endpoint of the attempt was new when it began.
    pub(super) fn is_new(&self, context: &AttemptContext<'_>) -> bool {
        context.since + self.grace > context.attempt.began && context.since > Monotonic::ZERO
    }
}

/// Returns whether another state agrees with the verdict. A state without the pods gives no verdict on them. It agrees
/// if nothing else differs.
fn agrees(
    context: &AttemptContext<'_>,
    other: &StateView<'_>,
    view: &StateView<'_>,
    verdict: &Expected,
) -> bool {
    let agrees = || discriminant(verdict) == discriminant(&context.expected(other));
    match other.owner_match {
        OwnerMatch::Same => agrees(),
        // An enforcer may confuse the two pods.
        OwnerMatch::Others => context.has_same_policies(other, view) && agrees(),
        OwnerMatch::Missing => context.has_same_policies(other, view) && other.has_same_pods(view),
    }
}
