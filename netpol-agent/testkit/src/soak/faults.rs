//! What a network does to packets by itself: it loses some, holds some back, and has a proxy answer others. No policy
//! is behind it.

use anyhow::Result;

use crate::netns::{Lab, Pod, Server};

/// The mark of packets that get lost, and the number of the routing table that loses them.
const LOST: u32 = 0x66;

/// How many packets are held back at a time: few, so that none arrives seconds late.
const QUEUE: u32 = 30;

/// Loses every thirteenth packet that the node forwards: a route leads nowhere. The kernel gives no reason that an enforcer
/// would cause.
///
/// # Errors
/// A tool refuses the rules. The error has its output.
pub(super) fn lose(lab: &Lab) -> Result<()> {
    lab.nft(&format!(
        "table inet loss {{
 chain prerouting {{
  type filter hook prerouting priority -250
  meta l4proto {{ tcp, udp, sctp }} numgen inc mod 13 == 7 meta mark set {LOST}
 }}
}}
"
    ))?;
    for family in ["-4", "-6"] {
        let (mark, table) = (LOST.to_string(), LOST.to_string());
        lab.exec("ip", &[family, "rule", "add", "fwmark", &mark, "lookup", &table], "")?;
        lab.exec("ip", &[family, "route", "add", "blackhole", "default", "table", &table], "")?;
    }
    Ok(())
}

/// Holds back every eleventh packet to these pods, so that later ones overtake it.
///
/// # Errors
/// A tool refuses the rules. The error has its output.
pub(super) fn reorder(lab: &Lab, pods: &[Pod]) -> Result<()> {
    lab.nft(
        "table inet slow {
 chain forward {
  type filter hook forward priority 100
  numgen inc mod 11 == 7 meta priority set 1:20
 }
}
",
    )?;
    for pod in pods {
        let device = pod.host_ifname();
        let class = |number, rate| {
            format!(
                "class add dev {device} parent 1: classid 1:{number} htb rate {rate} burst 1k cburst 1k\n"
            )
        };
        let fast = class(10, "10gbit").replace("1k", "1m");
        let lines = format!(
            "qdisc add dev {device} root handle 1: htb default 10\n{fast}{}\
             qdisc add dev {device} parent 1:20 pfifo limit {QUEUE}\n",
            class(20, "400kbit")
        );
        lab.exec("tc", &["-batch", "-"], &lines)?;
    }
    Ok(())
}

/// The port of the proxy on the node.
const PROXY: u16 = 15_001;

/// Has a proxy on the node answer all connections to one port of the pods, in their name. It stops when the server is
/// dropped.
///
/// # Errors
/// A tool refuses the rules, or the port is in use.
pub(super) fn intercept(lab: &Lab) -> Result<Server> {
    lab.nft(&format!(
        "table inet proxy {{
 chain prerouting {{
  type nat hook prerouting priority -90
  tcp dport 8080 redirect to :{PROXY}
 }}
}}
"
    ))?;
    Server::tcp(lab, PROXY)
}
