//! Evaluates one direction of a connection: Admin tier, NetworkPolicies, Baseline tier.
//!
//! This is the order of evaluation that the API of cluster-wide policies defines.

use std::sync::Arc;

use super::{
    caveat::{Caveat, Caveats},
    compiled_pod_class::CompiledDirection,
    direction_verdict::{DecidedBy, DirectionVerdict},
    original_address::OriginalAddress,
    rule::{CompiledTierRule, Match, Traffic},
};
use crate::model::{Pod, PolicyDirection, cluster_policy::Action};

/// A query to the policies of one pod, in one direction.
pub(super) struct DirectionQuery<'e> {
    pub(super) direction: PolicyDirection,
    pub(super) subject: &'e Arc<Pod>,
    pub(super) compiled: &'e CompiledDirection,
    pub(super) traffic: Traffic<'e>,
    pub(super) translation: OriginalAddress<'e>,
}

impl<'e> DirectionQuery<'e> {
    /// Evaluates the Admin tier, the NetworkPolicies and the Baseline tier, in this order. The connection is allowed
    /// if none of them decides.
    pub(super) fn evaluate(&self) -> DirectionVerdict<'e> {
        let mut direction_verdict = DirectionVerdict::exempt(
            self.direction,
            DecidedBy::Default,
            Some(self.subject),
            Caveats::default(),
        );
        let mut may_match = false;
        if !self.tier(&self.compiled.admin, DecidedBy::Admin, &mut direction_verdict, &mut may_match) {
            if !self.compiled.isolating.is_empty() {
                self.network_policies(&mut direction_verdict);
            } else if !self.compiled.baseline.is_empty() {
                self.tier(
                    &self.compiled.baseline,
                    DecidedBy::Baseline,
                    &mut direction_verdict,
                    &mut may_match,
                );
            }
        }
        if may_match && !direction_verdict.allowed {
            direction_verdict.caveats.add(Caveat::DomainName);
        }
        direction_verdict
    }

    /// Evaluates a tier. Returns true if the tier decides.
    fn tier(
        &self,
        rules: &'e [CompiledTierRule],
        name: DecidedBy,
        direction_verdict: &mut DirectionVerdict<'e>,
        may_match: &mut bool,
    ) -> bool {
        let Some((at, rule)) = self.first_match(rules, direction_verdict, may_match) else { return false };
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
        may_match: &mut bool,
    ) -> Option<(usize, &'e CompiledTierRule)> {
        for (at, rule) in rules.iter().enumerate() {
            if rule.fails_closed {
                direction_verdict.caveats.add(Caveat::UnknownPeer);
            }
            match rule.matches(&self.traffic) {
                Match::Yes => return Some((at, rule)),
                Match::ByAddress => {
                    if self.translation.is_translated() {
                        direction_verdict.caveats.add(Caveat::TranslatedAddress);
                    }
                    return Some((at, rule));
                }
                Match::Perhaps => *may_match = true,
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

    /// Returns true if another policy with the same priority would have decided otherwise if it had been evaluated
    /// first.
    fn is_contradicted(&self, decisive: &CompiledTierRule, following: &'e [CompiledTierRule]) -> bool {
        let mut evaluated = &decisive.policy.id;
        for rule in following {
            if rule.policy.priority != decisive.policy.priority {
                return false;
            }
            if rule.policy.id == *evaluated
                || !matches!(rule.matches(&self.traffic), Match::Yes | Match::ByAddress)
            {
                continue;
            }
            if effect(rule.action) != effect(decisive.action) {
                return true;
            }
            evaluated = &rule.policy.id;
        }
        false
    }

    fn network_policies(&self, direction_verdict: &mut DirectionVerdict<'e>) {
        let (mut allowed, mut by_address_only, mut hidden_match) = (false, false, false);
        for rule in &self.compiled.rules {
            match rule.matches(&self.traffic) {
                Match::Yes => {
                    (allowed, by_address_only) = (true, false);
                    break;
                }
                Match::ByAddress => (allowed, by_address_only) = (true, true),
                Match::No | Match::Perhaps => {
                    let may_be_hidden = |blocks| self.translation.may_hide_match(blocks);
                    hidden_match |= !allowed && rule.peers.blocks.as_deref().is_some_and(may_be_hidden);
                }
            }
        }
        if by_address_only && self.traffic.peer_is_pod {
            direction_verdict.caveats.add(Caveat::BlockMatchesPod);
        }
        if (by_address_only && self.translation.is_translated()) || (!allowed && hidden_match) {
            direction_verdict.caveats.add(Caveat::TranslatedAddress);
        }
        if !self.traffic.protocol.has_ports() {
            direction_verdict.caveats.add(Caveat::Protocol);
        }
        direction_verdict.allowed = allowed;
        direction_verdict.decided_by = DecidedBy::NetworkPolicy;
        direction_verdict.network_policies = Some((self.compiled, self.traffic));
    }
}

/// Normalises an action: `Allow` and `Accept` are two API versions' names for the same effect.
fn effect(action: Action) -> Action {
    if action == Action::Allow { Action::Accept } else { action }
}
