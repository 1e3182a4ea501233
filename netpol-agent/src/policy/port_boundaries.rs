//! Where, along all ports, a verdict may change.

use std::collections::BTreeSet;

use super::{Engine, Query, rule_endpoint::Subject};
use crate::model::PolicyDirection;

impl Engine {
    /// The ports at which the verdict may differ from that of the port before: from one to the next it is the same. The
    /// query's own port does not matter. Port 1 is always among them.
    #[must_use]
    pub fn port_boundaries(&self, query: &Query<'_>) -> BTreeSet<u16> {
        let (source, destination) = (self.endpoint(query.source), self.endpoint(query.destination));
        let declared = destination.declared();
        let mut boundaries = BTreeSet::from([1]);
        for (endpoint, direction) in
            [(&source, PolicyDirection::Egress), (&destination, PolicyDirection::Ingress)]
        {
            let Subject::Pod(_, class) = endpoint.subject else { continue };
            let compiled = class.direction(direction);
            let tiers = compiled.admin.iter().chain(&compiled.baseline).map(|rule| &rule.ports);
            for ports in tiers.chain(compiled.rules.iter().map(|rule| &rule.ports)) {
                boundaries.extend(ports.boundaries(query.protocol, declared));
            }
        }
        boundaries.remove(&0);
        boundaries
    }
}
