//! One direction, tier by tier.

use std::sync::Arc;

use super::{
    judgement::{DecidedBy, Judgement},
    note::{Note, Notes},
    profile::Side,
    rule::{Match, TierRule, Traffic},
    translation::Translation,
};
use crate::model::{Pod, PolicyDirection, cluster_policy::Action};

/// What the policies of a pod are asked.
pub(super) struct Question<'e> {
    pub(super) direction: PolicyDirection,
    pub(super) subject: &'e Arc<Pod>,
    pub(super) side: &'e Side,
    pub(super) traffic: Traffic<'e>,
    pub(super) translation: Translation<'e>,
}

impl<'e> Question<'e> {
    /// Admin tier, NetworkPolicies, Baseline tier, in this order; what none of them decides is allowed.
    pub(super) fn judge(&self) -> Judgement<'e> {
        let mut judgement =
            Judgement::exempt(self.direction, DecidedBy::Default, Some(self.subject), Notes::default());
        let mut perhaps = false;
        if !self.tier(&self.side.admin, DecidedBy::Admin, &mut judgement, &mut perhaps) {
            if !self.side.isolating.is_empty() {
                self.network_policies(&mut judgement);
            } else if !self.side.baseline.is_empty() {
                self.tier(&self.side.baseline, DecidedBy::Baseline, &mut judgement, &mut perhaps);
            }
        }
        if perhaps && !judgement.allowed {
            judgement.notes.add(Note::DomainName);
        }
        judgement
    }

    /// Whether the tier decides.
    fn tier(
        &self,
        rules: &'e [TierRule],
        name: DecidedBy,
        judgement: &mut Judgement<'e>,
        perhaps: &mut bool,
    ) -> bool {
        let Some((at, rule)) = self.first_match(rules, judgement, perhaps) else { return false };
        if self.is_contradicted(rule, rules.get(at + 1..).unwrap_or_default()) {
            judgement.notes.add(Note::EqualPriority);
        }
        if rule.action == Action::Pass {
            judgement.passed_by = judgement.passed_by.or(Some(rule));
            return false;
        }
        judgement.allowed = rule.action != Action::Deny;
        judgement.decided_by = name;
        judgement.tier_rule = Some(rule);
        true
    }

    fn first_match(
        &self,
        rules: &'e [TierRule],
        judgement: &mut Judgement<'e>,
        perhaps: &mut bool,
    ) -> Option<(usize, &'e TierRule)> {
        for (at, rule) in rules.iter().enumerate() {
            if rule.fails_closed {
                judgement.notes.add(Note::UnknownPeer);
            }
            match rule.matches(&self.traffic) {
                Match::Yes => return Some((at, rule)),
                Match::ByAddress => {
                    if self.translation.took_place() {
                        judgement.notes.add(Note::TranslatedAddress);
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
                        judgement.notes.add(Note::TranslatedAddress);
                    }
                }
            }
        }
        None
    }

    /// Whether another policy of the same priority, asked first, would have decided otherwise.
    fn is_contradicted(&self, decisive: &TierRule, following: &'e [TierRule]) -> bool {
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

    fn network_policies(&self, judgement: &mut Judgement<'e>) {
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
            judgement.notes.add(Note::BlockMatchesPod);
        }
        if (by_address_only && self.translation.took_place()) || (!admitted && perhaps_before) {
            judgement.notes.add(Note::TranslatedAddress);
        }
        if !self.traffic.protocol.has_ports() {
            judgement.notes.add(Note::Protocol);
        }
        judgement.allowed = admitted;
        judgement.decided_by = DecidedBy::NetworkPolicy;
        judgement.network_policies = Some((self.side, self.traffic));
    }
}

/// What a rule comes down to, whatever the version calls it.
fn effect(action: Action) -> Action {
    if action == Action::Allow { Action::Accept } else { action }
}
