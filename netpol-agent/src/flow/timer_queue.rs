//! The queue of times at which attempts have to be checked.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::model::{Monotonic, Tuple};

/// A priority queue of attempts by time. If the time of an attempt is moved to a later one, its item stays, and is put
/// back when it is popped. The item of a removed attempt stays, too. So the caller checks whether a popped item is
/// valid.
#[derive(Debug, Default)]
pub(super) struct TimerQueue(BinaryHeap<Reverse<(Monotonic, Tuple)>>);

impl TimerQueue {
    pub(super) fn push(&mut self, at: Monotonic, tuple: Tuple) {
        self.0.push(Reverse((at, tuple)));
    }

    /// Removes and returns the next item that is due.
    pub(super) fn pop_due(&mut self, now: Monotonic) -> Option<(Monotonic, Tuple)> {
        let &Reverse((at, _)) = self.0.peek()?;
        if at > now { None } else { self.pop() }
    }

    /// Removes and returns the next item, due or not.
    pub(super) fn pop(&mut self) -> Option<(Monotonic, Tuple)> {
        self.0.pop().map(|Reverse(item)| item)
    }

    pub(super) fn next(&self) -> Option<Monotonic> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }
}
