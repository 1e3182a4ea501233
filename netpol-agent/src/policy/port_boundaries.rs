//! Where, along all ports, a verdict may change.

use std::collections::BTreeSet;

use super::{Engine, Query, rule_endpoint::Subject};
use crate::model::PolicyDirection;

impl Engine {
    /// The ports at which the verdict may differ from that of the port before: from one to the next it is the same. The
    /// query's own port does not matter. Port 1 is always among them.
    #[must_use]
    pub fn port_boundaries(&self, query: &Query<'_>) -> BTreeSet<u16> {
        let (source, destination) = (self.end(query.source), self.end(query.destination));
        let declared = destination.declared();
        let mut boundaries = BTreeSet::from([1]);
        for (end, direction) in [(&source, PolicyDirection::Egress), (&destination, PolicyDirection::Ingress)]
        {
            let Subject::Pod(_, class) = end.who else { continue };
            let side = class.side(direction);
            let tiers = side.admin.iter().chain(&side.baseline).map(|rule| &rule.ports);
            for ports in tiers.chain(side.rules.iter().map(|rule| &rule.ports)) {
                boundaries.extend(ports.boundaries(query.protocol, declared));
            }
        }
        boundaries.remove(&0);
        boundaries
    }
}
