//! The evidence of a flow as a sentence that a user can check.

use crate::model::{Flow, Observed, Protocol};

/// Returns one sentence on how the result of a connection was observed.
pub(super) fn sentence(flow: &Flow) -> String {
    let attempt = &flow.attempt;
    let text = observed(flow);
    if attempt.left_node && !attempt.observed.reached_destination() && attempt.observed != Observed::LeftNode
    {
        return format!("a packet was seen to leave the node; later, {text}");
    }
    if attempt.arrived && !attempt.observed.reached_destination() {
        return format!("a packet was seen inside the destination pod; later, {text}");
    }
    text
}

fn observed(flow: &Flow) -> String {
    let attempt = &flow.attempt;
    match attempt.observed {
        Observed::Established => established(flow).to_owned(),
        Observed::Refused if attempt.destination_interface.is_none() => {
            "a reset or ICMP error came back after the packet had left the node".to_owned()
        }
        Observed::Refused => match attempt.tuple.protocol {
            Protocol::Tcp => "the destination pod itself answered with RST: the packet got there".to_owned(),
            Protocol::Sctp => {
                "the destination pod itself answered with ABORT: the packet got there".to_owned()
            }
            _ => "the destination pod itself answered with port unreachable: the packet got there".to_owned(),
        },
        Observed::Delivered if attempt.arrived => "the packet was seen inside the destination pod".to_owned(),
        Observed::Delivered => {
            "the packet went into the destination pod's interface and the host did not drop it".to_owned()
        }
        Observed::Proxied => "an answer reached the source that the destination pod did not send".to_owned(),
        Observed::Rejected => "a reset or ICMP error came that the destination pod did not send".to_owned(),
        Observed::Reset => "a reset or ICMP error came from outside this node".to_owned(),
        Observed::Dropped { hook, reply, .. } => {
            let packet = if reply { "answer" } else { "packet" };
            let reason = flow.drop_reason.as_deref().unwrap_or("unknown reason");
            format!("the kernel dropped the {packet}: {reason} ({hook})")
        }
        Observed::LeftNode => "the packet was seen to leave the node".to_owned(),
        Observed::Unanswered => "no answer and no drop seen on this node".to_owned(),
    }
}

fn established(flow: &Flow) -> &'static str {
    let at_source = flow.attempt.source_interface.is_some();
    match (flow.attempt.tuple.protocol, at_source) {
        (Protocol::Tcp, true) => "SYN-ACK reached the source pod's interface",
        (Protocol::Tcp, false) => "SYN-ACK left the destination pod's interface",
        (Protocol::Sctp, true) => "INIT ACK reached the source pod's interface",
        (Protocol::Sctp, false) => "INIT ACK left the destination pod's interface",
        (_, true) => "a reply reached the source pod's interface",
        (_, false) => "a reply left the destination pod's interface",
    }
}
