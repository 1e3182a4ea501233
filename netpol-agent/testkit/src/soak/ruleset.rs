//! Writes an enforcer's bans as rules of nftables and iptables.

use std::fmt::Write as _;

use super::{
    enforcer::{Action, Ban},
    tuple::Transport,
};

/// The tables are replaced in one transaction.
const NFT_HEAD: &str = "add table inet enforcer\ndelete table inet enforcer\n";

/// The ruleset for the forward hook of nftables.
pub(super) fn nft_forward(bans: &[Ban], action: Action, is_stateful: bool) -> String {
    let mut text = format!("{NFT_HEAD}table inet enforcer {{\n chain forward {{\n");
    text.push_str("  type filter hook forward priority 0\n");
    if is_stateful {
        text.push_str("  ct state established,related accept\n");
    }
    for ban in bans {
        for (transport, clause) in clauses(ban, nft_ports) {
            for (more, verdict) in nft_verdicts(action, transport) {
                // Writing to a String can't fail.
                let _ = writeln!(text, "  {}{clause}{more} counter {verdict}", nft_addresses(ban));
            }
        }
    }
    text.push_str(" }\n}\n");
    text
}

/// The ruleset for the egress hooks of devices: each has the rules for its own addresses.
pub(super) fn nft_devices(devices: &[(String, Vec<Ban>)]) -> String {
    let mut text = String::from("add table netdev enforcer\ndelete table netdev enforcer\n");
    text.push_str("table netdev enforcer {\n");
    for (device, bans) in devices {
        let _ = writeln!(text, " chain {device} {{\n  type filter hook egress device {device} priority 0");
        for ban in bans {
            for (transport, clause) in clauses(ban, nft_ports) {
                let opens =
                    if transport == Some(Transport::Tcp) { " tcp flags & (syn | ack) == syn" } else { "" };
                let _ = writeln!(text, "  {}{clause}{opens} counter drop", nft_addresses(ban));
            }
        }
        text.push_str(" }\n");
    }
    text.push_str("}\n");
    text
}

fn nft_addresses(ban: &Ban) -> String {
    let family = if ban.to.is_ipv6() { "ip6" } else { "ip" };
    format!("{family} saddr {} {family} daddr {}", ban.from, ban.to)
}

fn nft_ports(transport: Transport, ports: &[String]) -> String {
    format!(" {} dport {{ {} }}", transport.lower(), ports.join(", "))
}

/// A rule's end for each transport: a further condition, and the verdict.
fn nft_verdicts(action: Action, transport: Option<Transport>) -> &'static [(&'static str, &'static str)] {
    match (action, transport) {
        (Action::Drop, _) => &[("", "drop")],
        (Action::Icmp, _) => &[("", "reject with icmpx admin-prohibited")],
        (Action::Reset, Some(Transport::Tcp)) => &[("", "reject with tcp reset")],
        (Action::Reset, Some(_)) => &[("", "drop")],
        (Action::Reset, None) => &[(" meta l4proto tcp", "reject with tcp reset"), ("", "drop")],
    }
}

/// The input of `iptables-restore` or `ip6tables-restore`: it replaces the whole table.
pub(super) fn iptables(
    bans: &[Ban],
    table: &str,
    chain: &str,
    action: Action,
    is_stateful: bool,
    is_ipv6: bool,
) -> String {
    let mut text = format!("*{table}\n");
    if is_stateful {
        let _ = writeln!(text, "-A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT");
    }
    let target = if action == Action::Icmp { "REJECT" } else { "DROP" };
    for ban in bans.iter().filter(|ban| ban.to.is_ipv6() == is_ipv6) {
        for (_, clause) in clauses(ban, iptables_ports) {
            let _ = writeln!(text, "-A {chain} -s {} -d {}{clause} -j {target}", ban.from, ban.to);
        }
    }
    text.push_str("COMMIT\n");
    text
}

fn iptables_ports(transport: Transport, ports: &[String]) -> String {
    format!(" -p {} -m multiport --dports {}", transport.lower(), ports.join(","))
}

/// One clause for each transport of a ban, or an empty one for all packets.
fn clauses(ban: &Ban, render: fn(Transport, &[String]) -> String) -> Vec<(Option<Transport>, String)> {
    let Some(ports) = &ban.ports else { return vec![(None, String::new())] };
    let of = |transport| {
        let ports = ports.iter().filter(move |(of, _)| *of == transport);
        let ports: Vec<_> = ports.map(|(_, port)| port.to_string()).collect();
        (!ports.is_empty()).then(|| (Some(transport), render(transport, &ports)))
    };
    [Transport::Tcp, Transport::Udp, Transport::Sctp].into_iter().filter_map(of).collect()
}
