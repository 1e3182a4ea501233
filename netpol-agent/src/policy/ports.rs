//! The ports that a rule matches, merged into ranges.
//!
//! Named ports are resolved by the container ports that the destination pod declares.

use smallvec::SmallVec;

use crate::model::{
    ContainerPort, Protocol,
    cluster_policy::TierPort,
    network_policy::{Port, PortNumber},
};

/// Port ranges: protocol, first port and last port, both inclusive.
type Ranges = SmallVec<[(Protocol, u16, u16); 2]>;

/// The ports that a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ports {
    /// All ports of all protocols, including protocols without ports.
    All,
    /// The listed ports.
    Some {
        /// The ports given by number.
        ranges: Ranges,
        /// The ports given by name, with the protocol if the rule gives one.
        names: Box<[(Option<Protocol>, Box<str>)]>,
    },
}

impl Ports {
    pub(super) fn of_rule(ports: &[Port]) -> Self {
        if ports.is_empty() {
            return Self::All;
        }
        let (mut ranges, mut names) = (Vec::new(), Vec::new());
        for port in ports {
            match &port.number {
                PortNumber::Any => ranges.push((port.protocol, 0, u16::MAX)),
                PortNumber::Range(first, last) => ranges.push((port.protocol, *first, *last)),
                PortNumber::Named(name) => names.push((Some(port.protocol), name.clone())),
            }
        }
        Self::Some { ranges: merged(ranges), names: names.into() }
    }

    pub(super) fn of_tier_rule(ports: Option<&[TierPort]>) -> Self {
        let Some(ports) = ports else { return Self::All };
        let numbered: Vec<Port> = ports
            .iter()
            .filter_map(|port| match port {
                TierPort::Port(port) => Some(port.clone()),
                TierPort::Named(_) => None,
            })
            .collect();
        let named = ports.iter().filter_map(|port| match port {
            TierPort::Named(name) => Some((None, name.clone())),
            TierPort::Port(_) => None,
        });
        let ranges = match Self::of_rule(&numbered) {
            Self::Some { ranges, .. } => ranges,
            Self::All => Ranges::new(),
        };
        Self::Some { ranges, names: named.collect() }
    }

    /// The ports of a protocol at which the answer of [`Self::contains`] may change: where a range begins, and after it ends.
    pub(super) fn boundaries<'a>(
        &'a self,
        protocol: Protocol,
        declared: &'a [ContainerPort],
    ) -> impl Iterator<Item = u16> + 'a {
        let (ranges, names): (&[_], &[_]) = match self {
            Self::All => (&[], &[]),
            Self::Some { ranges, names } => (ranges, names),
        };
        let numbered = ranges
            .iter()
            .filter(move |(of, ..)| *of == protocol)
            .flat_map(|(_, first, last)| [Some(*first), last.checked_add(1)]);
        let is_named = |port: &&ContainerPort| names.iter().any(|(_, name)| port.name.as_ref() == Some(name));
        let named = declared.iter().filter(move |port| port.protocol == protocol).filter(is_named);
        let named = named.flat_map(|port| [Some(port.port), port.port.checked_add(1)]);
        numbered.chain(named).flatten()
    }

    /// Returns true if the rule matches the port. `declared` is the destination's container ports: they resolve the
    /// names.
    pub(super) fn contains(&self, protocol: Protocol, port: u16, declared: &[ContainerPort]) -> bool {
        let Self::Some { ranges, names } = self else { return true };
        let numbered =
            |&(of, first, last): &(Protocol, u16, u16)| of == protocol && first <= port && port <= last;
        let named = |(of, name): &(Option<Protocol>, Box<str>)| {
            of.is_none_or(|of| of == protocol)
                && declared
                    .iter()
                    .any(|d| d.port == port && d.protocol == protocol && d.name.as_ref() == Some(name))
        };
        ranges.iter().any(numbered) || names.iter().any(named)
    }
}

/// Merges ranges that overlap or are adjacent.
fn merged(mut ranges: Vec<(Protocol, u16, u16)>) -> Ranges {
    ranges.sort();
    ranges.dedup_by(|next, before| {
        let touches = next.0 == before.0 && next.1 <= before.2.saturating_add(1);
        if touches {
            before.2 = before.2.max(next.2);
        }
        touches
    });
    ranges.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_become_one() {
        use Protocol::{Tcp, Udp};
        let ranges = vec![
            (Tcp, 80, 80),
            (Udp, 81, 90),
            (Tcp, 100, 200),
            (Tcp, 81, 99),
            (Tcp, 150, 160),
            (Udp, 53, 53),
        ];
        assert_eq!(*merged(ranges), [(Tcp, 80, 200), (Udp, 53, 53), (Udp, 81, 90)]);
        assert_eq!(*merged(vec![(Tcp, 0, u16::MAX), (Tcp, 5, 6)]), [(Tcp, 0, u16::MAX)]);
    }
}
