//! Datagrams: which are answers, and which of several got there.

use super::*;

#[test]
fn udp() {
    use Observed::{Delivered, Established, Refused, Rejected, Reset, Unanswered};
    for (name, story, expected) in [
        (
            "answered",
            vec!["data a>b @1out", "data a>b @2in", "data a<b @2out", "data a<b @1in"],
            &[Established][..],
        ),
        ("one way", vec!["data a>b @1out", "data a>b @2in", "wait 2500"], &[Delivered]),
        ("one way, to another node", vec!["data a>r @1out", "wait 2500"], &[]),
        ("no answer", vec!["data a>r @1out", "wait 5500"], &[Unanswered]),
        ("dropped", vec!["data a>b @1out", "drop netfilter host a>b data", "wait 2500"], &[DROPPED]),
        (
            "the answer is dropped",
            vec![
                "data a>b @1out",
                "data a>b @2in",
                "data a<b @2out",
                "drop netfilter host a<b data",
                "wait 2500",
            ],
            &[REPLY_DROPPED],
        ),
        (
            "closed port",
            vec!["data a>b @1out", "data a>b @2in", "icmp port b a>b @2out", "icmp port b a>b @1in"],
            &[Refused],
        ),
        (
            "closed port on another node, or a filter in its name",
            vec!["data a>r @1out", "icmp port r a>r @1in", "wait 300"],
            &[Reset],
        ),
        (
            "closed port of the node itself",
            vec!["data a>n @1out", "icmp port n a>n @1in", "wait 300"],
            &[Reset],
        ),
        (
            "rejected by the node for itself",
            vec!["data a>n @1out", "icmp port n a>n @1in", "drop netfilter host a>n data", "wait 300"],
            &[Rejected],
        ),
        ("rejected", vec!["data a>b @1out", "icmp port n a>b @1in"], &[Rejected]),
        (
            "dropped, and the other side sends by itself",
            vec![
                "data a>b @1out",
                "drop netfilter host a>b data",
                "data a<b @2out",
                "data a<b @1in",
                "wait 2500",
            ],
            &[DROPPED, Delivered],
        ),
        (
            "one of several is dropped",
            vec!["data a>b @1out", "drop netfilter host a>b data", "data a>b @2in", "wait 2500"],
            &[Delivered],
        ),
        (
            "the other side knocks in vain",
            vec![
                "wait 200000",
                "data a<b @2out",
                "drop netfilter host a<b data",
                "data a>b @1out",
                "data a>b @2in",
                "data a<b @2out",
                "wait 2500",
            ],
            &[DROPPED, Delivered],
        ),
        (
            "it dies here, and something comes from afar",
            vec!["data a>r @1out", "drop socket host a>r data", "data a<r @1in", "wait 6000"],
            &[Unanswered, Delivered],
        ),
        (
            "dropped, and answered from afar all the same",
            vec!["data a>r @1out", "drop netfilter host a>r data", "data a<r @1in", "wait 2500"],
            &[DROPPED, Delivered],
        ),
    ] {
        check(name, Protocol::Udp, &story, expected);
    }
}
