//! Puts an enforcer's rules into force in a lab, and remembers what was in force when.

use std::{net::IpAddr, time::Duration};

use anyhow::Result;

use super::{
    bytecode,
    enforcer::{Ban, Enforcer, Hook},
    oracle::Epoch,
    ruleset,
    tuple::Tuple,
};
use crate::netns::{Lab, Pod};

/// An enforcer at work.
#[derive(Debug)]
pub(super) struct Enforcement {
    pub(super) enforcer: Enforcer,
    seed: u64,
    /// What was in force since when.
    history: Vec<(Duration, Vec<Ban>)>,
}

impl Enforcement {
    pub(super) fn new(enforcer: Enforcer, seed: u64) -> Self {
        Self { enforcer, seed, history: Vec::new() }
    }

    /// Enforces the policies of this state on these pods and hosts.
    ///
    /// # Errors
    /// A tool refuses the rules. The error has its output.
    pub(super) fn enforce(&mut self, lab: &Lab, pods: &[Pod], epoch: &Epoch, now: Duration) -> Result<()> {
        let bans = self.enforcer.bans(epoch, self.seed);
        self.apply(lab, pods, &bans)?;
        self.history.push((now, bans));
        Ok(())
    }

    /// Flushes all rules.
    ///
    /// # Errors
    /// The same as for [`Self::enforce`].
    pub(super) fn forget(&mut self, lab: &Lab, pods: &[Pod], now: Duration) -> Result<()> {
        self.apply(lab, pods, &[])?;
        self.history.push((now, Vec::new()));
        Ok(())
    }

    /// Whether it stops packets of this tuple on purpose at any time, or may stop their answers.
    pub(super) fn stops(&self, tuple: Tuple) -> bool {
        // Rules that came into force while a connection was open may stop its answers.
        let answers = self.enforcer.stops_answers() || self.history.len() > 1;
        let stops = |ban: &Ban| ban.covers(tuple) || (answers && ban.covers(tuple.reversed()));
        self.history.iter().any(|(_, bans)| bans.iter().any(stops))
    }

    fn apply(&self, lab: &Lab, pods: &[Pod], bans: &[Ban]) -> Result<()> {
        let Enforcer { action, is_stateful, .. } = self.enforcer;
        match self.enforcer.hook {
            Hook::Nowhere => Ok(()),
            Hook::Forward => lab.nft(&ruleset::nft_forward(bans, action, is_stateful)).map(drop),
            Hook::Device => {
                let device = |pod: &Pod| (pod.host_ifname().to_owned(), of(bans, pod, |ban| ban.to));
                let devices: Vec<_> = pods.iter().map(device).collect();
                lab.nft(&ruleset::nft_devices(&devices)).map(drop)
            }
            Hook::Iptables(table, chain) => {
                for (program, is_ipv6) in [("iptables-restore", false), ("ip6tables-restore", true)] {
                    let rules = ruleset::iptables(bans, table, chain, action, is_stateful, is_ipv6);
                    lab.exec(program, &[], &rules)?;
                }
                Ok(())
            }
            Hook::TcSource => {
                pods.iter().try_for_each(|pod| filter(lab, pod, "ingress", &of(bans, pod, |ban| ban.from)))
            }
            Hook::TcDestination => {
                pods.iter().try_for_each(|pod| filter(lab, pod, "egress", &of(bans, pod, |ban| ban.to)))
            }
        }
    }
}

/// The bans of which this end is the pod.
fn of(bans: &[Ban], pod: &Pod, end: fn(&Ban) -> IpAddr) -> Vec<Ban> {
    let ips = pod.ips();
    bans.iter().filter(|ban| ips.contains(&end(ban))).cloned().collect()
}

fn filter(lab: &Lab, pod: &Pod, hook: &str, bans: &[Ban]) -> Result<()> {
    let device = pod.host_ifname();
    // If there is one already, it stays as it is.
    let _ = lab.exec("tc", &["qdisc", "add", "dev", device, "clsact"], "");
    let program = bytecode::program(bans);
    let head = ["filter", "replace", "dev", device, hook, "pref", "50", "handle", "1"];
    let tail = ["bpf", "direct-action", "bytecode", &program];
    lab.exec("tc", &[&head[..], &tail].concat(), "").map(drop)
}
