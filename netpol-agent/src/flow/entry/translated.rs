//! The address translation of an attempt: its translated forms, or the attempt that it is a form of.

use super::{Entry, MAX_TRANSLATION_DELAY};
use crate::{
    flow::{
        losses::Losses,
        nat::{NatMapping, Translation},
    },
    model::{Monotonic, Observed, Protocol, Tuple},
};

impl Entry {
    /// Creates the entry of the translated form of this attempt.
    pub(in crate::flow) fn translated_to(&mut self, mapping: NatMapping) -> Self {
        let own = mapping.tuple();
        match self.translation.as_deref_mut() {
            Some(Translation::To(endpoints)) => {
                endpoints.retain(|known| *known != own);
                endpoints.push(own);
            }
            _ => self.translation = Some(Box::new(Translation::To(vec![own]))),
        }
        Self {
            source_interface: self.source_interface,
            // A packet filter that rejects a packet sends the reset first, and then drops the packet.
            blocking: self.blocking.take(),
            closed: self.closed,
            translation: Some(Box::new(Translation::From(mapping))),
            ..Self::new(self.number, self.last_seen)
        }
    }

    /// Returns the address translation of which this is the translated form.
    pub(in crate::flow) fn translation(&self) -> Option<&NatMapping> {
        match self.translation.as_deref() {
            Some(Translation::From(mapping)) => Some(mapping),
            _ => None,
        }
    }

    /// Returns the translated forms of this attempt, the latest last.
    pub(in crate::flow) fn endpoints(&self) -> &[Tuple] {
        match self.translation.as_deref() {
            Some(Translation::To(endpoints)) => endpoints,
            _ => &[],
        }
    }

    /// Returns whether a packet beyond the opener's interface may be a translated packet of this attempt. The attempt's
    /// destination must be unknown so far. If records were lost, the record of that packet's real sender may be among
    /// them, so the answer is no.
    pub(in crate::flow) fn may_be_translated(
        &self,
        protocol: Protocol,
        now: Monotonic,
        losses: &Losses,
    ) -> bool {
        self.translation().is_none()
            && !self.has_answer()
            && now.since(self.last_seen) < MAX_TRANSLATION_DELAY
            && self.source_interface.is_some()
            && self.destination_interface.is_none()
            && !losses.may_touch(protocol, self.last_seen)
    }

    /// Notes that the opening packet may have been sent to a Service, although it is not known to which.
    pub(in crate::flow) fn set_may_be_translated(&mut self) {
        self.may_be_translated = true;
    }

    /// Records that the connection of a translated form has ended. That form is reported, and not this.
    pub(in crate::flow) fn close_translated(&mut self) {
        self.closed = true;
        self.decided.get_or_insert(Observed::Unanswered);
    }

    /// Records that only the source was translated. Returns false if another translation is known.
    pub(in crate::flow) fn source_translated(&mut self, mapping: NatMapping) -> bool {
        let is_first = self.translation.is_none();
        if is_first {
            self.translation = Some(Box::new(Translation::From(mapping)));
        }
        is_first
    }
}
