//! One direction, tier by tier.

use std::sync::Arc;

use super::{
    caveat::{Caveat, Caveats},
    compiled_pod_class::CompiledDirection,
    direction_verdict::{DecidedBy, DirectionVerdict},
    original_address::OriginalAddress,
    rule::{CompiledTierRule, Match, Traffic},
};
use crate::model::{Pod, PolicyDirection, cluster_policy::Action};

/// What the policies of a pod are asked.
pub(super) struct DirectionQuery<'e> {
    pub(super) direction: PolicyDirection,
    pub(super) subject: &'e Arc<Pod>,
    pub(super) side: &'e CompiledDirection,
    pub(super) traffic: Traffic<'e>,
    pub(super) translation: OriginalAddress<'e>,
}

impl<'e> DirectionQuery<'e> {
    /// Admin tier, NetworkPolicies, Baseline tier, in this order; what none of them decides is allowed.
    pub(super) fn judge(&self) -> DirectionVerdict<'e> {
        let mut direction_verdict = DirectionVerdict::exempt(
            self.direction,
            DecidedBy::Default,
            Some(self.subject),
            Caveats::default(),
        );
        let mut perhaps = false;
        if !self.tier(&self.side.admin, DecidedBy::Admin, &mut direction_verdict, &mut perhaps) {
            if !self.side.isolating.is_empty() {
                self.network_policies(&mut direction_verdict);
            } else if !self.side.baseline.is_empty() {
                self.tier(&self.side.baseline, DecidedBy::Baseline, &mut direction_verdict, &mut perhaps);
            }
        }
        if perhaps && !direction_verdict.allowed {
            direction_verdict.caveats.add(Caveat::DomainName);
        }
        direction_verdict
    }

    /// Whether the tier decides.
    fn tier(
        &self,
        rules: &'e [CompiledTierRule],
        name: DecidedBy,
        direction_verdict: &mut DirectionVerdict<'e>,
        perhaps: &mut bool,
    ) -> bool {
        let Some((at, rule)) = self.first_match(rules, direction_verdict, perhaps) else { return false };
        if self.is_contradicted(rule, rules.get(at + 1..).unwrap_or_default()) {
            direction_verdict.caveats.add(Caveat::EqualPriority);
        }
        if rule.action == Action::Pass {
            direction_verdict.passed_by = direction_verdict.passed_by.or(Some(rule));
            return false;
        }
        direction_verdict.allowed = rule.action != Action::Deny;
        direction_verdict.decided_by = name;
        direction_verdict.tier_rule = Some(rule);
        true
    }

    fn first_match(
        &self,
        rules: &'e [CompiledTierRule],
        direction_verdict: &mut DirectionVerdict<'e>,
        perhaps: &mut bool,
    ) -> Option<(usize, &'e CompiledTierRule)> {
        for (at, rule) in rules.iter().enumerate() {
            if rule.fails_closed {
                direction_verdict.caveats.add(Caveat::UnknownPeer);
            }
            match rule.matches(&self.traffic) {
                Match::Yes => return Some((at, rule)),
                Match::ByAddress => {
                    if self.translation.took_place() {
                        direction_verdict.caveats.add(Caveat::TranslatedAddress);
                    }
                    return Some((at, rule));
                }
                Match::Perhaps => *perhaps = true,
                Match::No => {
                    if rule
                        .peers
                        .blocks
                        .as_ref()
                        .is_some_and(|blocks| self.translation.may_hide_match(blocks))
                    {
                        direction_verdict.caveats.add(Caveat::TranslatedAddress);
                    }
                }
            }
        }
        None
    }

    /// Whether another policy of the same priority, asked first, would have decided otherwise.
    fn is_contradicted(&self, decisive: &CompiledTierRule, following: &'e [CompiledTierRule]) -> bool {
        let mut answered = &decisive.policy.id;
        for rule in following {
            if rule.policy.priority != decisive.policy.priority {
                return false;
            }
            if rule.policy.id == *answered
                || !matches!(rule.matches(&self.traffic), Match::Yes | Match::ByAddress)
            {
                continue;
            }
            if effect(rule.action) != effect(decisive.action) {
                return true;
            }
            answered = &rule.policy.id;
        }
        false
    }

    fn network_policies(&self, direction_verdict: &mut DirectionVerdict<'e>) {
        let (mut admitted, mut by_address_only, mut perhaps_before) = (false, false, false);
        for rule in &self.side.rules {
            match rule.matches(&self.traffic) {
                Match::Yes => {
                    (admitted, by_address_only) = (true, false);
                    break;
                }
                Match::ByAddress => (admitted, by_address_only) = (true, true),
                Match::No | Match::Perhaps => {
                    let hidden = |blocks| self.translation.may_hide_match(blocks);
                    perhaps_before |= !admitted && rule.peers.blocks.as_deref().is_some_and(hidden);
                }
            }
        }
        if by_address_only && self.traffic.peer_is_pod {
            direction_verdict.caveats.add(Caveat::BlockMatchesPod);
        }
        if (by_address_only && self.translation.took_place()) || (!admitted && perhaps_before) {
            direction_verdict.caveats.add(Caveat::TranslatedAddress);
        }
        if !self.traffic.protocol.has_ports() {
            direction_verdict.caveats.add(Caveat::Protocol);
        }
        direction_verdict.allowed = admitted;
        direction_verdict.decided_by = DecidedBy::NetworkPolicy;
        direction_verdict.network_policies = Some((self.side, self.traffic));
    }
}

/// What a rule comes down to, whatever the version calls it.
fn effect(action: Action) -> Action {
    if action == Action::Allow { Action::Accept } else { action }
}
