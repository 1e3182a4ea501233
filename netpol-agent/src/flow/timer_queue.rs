//! When to look at which attempt again.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::model::{Monotonic, Tuple};

/// A queue of moments. An attempt that is moved to a later moment keeps its place and is put back when it comes up;
/// one that is gone is passed over: whoever pops checks.
#[derive(Debug, Default)]
pub(super) struct TimerQueue(BinaryHeap<Reverse<(Monotonic, Tuple)>>);

impl TimerQueue {
    pub(super) fn push(&mut self, at: Monotonic, tuple: Tuple) {
        self.0.push(Reverse((at, tuple)));
    }

    /// The next one that is due.
    pub(super) fn pop_due(&mut self, now: Monotonic) -> Option<(Monotonic, Tuple)> {
        let &Reverse((at, _)) = self.0.peek()?;
        if at > now { None } else { self.pop() }
    }

    /// The next one, due or not.
    pub(super) fn pop(&mut self) -> Option<(Monotonic, Tuple)> {
        self.0.pop().map(|Reverse(item)| item)
    }

    pub(super) fn next(&self) -> Option<Monotonic> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }
}
