//! Address translation: Services, and the source's address.

use super::*;

/// All packets of a translated connection belong to one attempt.
#[test]
fn translated() {
    let tcp: &[(&str, &[&str], &[&str])] = &[
        (
            "on this node",
            &["open a>v @1out", "open a>b @2in", "accept b>a @2out", "accept v>a @1in", "close a>v @1out"],
            &["a>b via v established"],
        ),
        (
            "the source, too",
            &["open a>v @1out", "open n>b @2in", "accept b>n @2out", "accept v>a @1in", "close n<b @2out"],
            &["a>b via v established"],
        ),
        ("to another node", &["open a>v @1out", "accept v>a @1in"], &["a>v established"]),
        (
            "to another node, through an uplink with the programs",
            &["open a>v @1out", "open n>r @3in", "accept r>n @3out", "accept v>a @1in"],
            &["a>r via v established"],
        ),
        (
            "the source alone",
            &["open a>r @1out", "open n>r @3in", "accept r>n @3out", "accept r>a @1in"],
            &["a>r established"],
        ),
        (
            "closed port",
            &["open a>v @1out", "open a>b @2in", "reset a<b @2out", "reset a<v @1in"],
            &["a>b via v refused"],
        ),
        (
            "retried",
            &["open a>v @1out", "open a>b @2in", "wait 1000", "open a>v @1out", "open a>b @2in", "wait 6000"],
            &["a>b via v delivered"],
        ),
        ("dropped", &["open a>v @1out", "drop netfilter host a>b open", "wait 2500"], &["a>b via v dropped"]),
        (
            "rejected",
            &["open a>v @1out", "reset a<v @1in", "drop netfilter host a>b open", "wait 300"],
            &["a>b via v rejected"],
        ),
        (
            "each attempt separately",
            &[
                "open a>v @1out",
                "open a>b @2in",
                "accept b>a @2out",
                "accept v>a @1in",
                "close a>v @1out",
                "open2 a>v @1out",
                "open2 a>r @3in",
                "accept v>a @1in",
            ],
            &["a>b via v established", "a>r via v established"],
        ),
        (
            "retried, and another endpoint answers",
            &[
                "open a>v @1out",
                "drop netfilter host a>b open",
                "wait 1000",
                "open a>v @1out",
                "accept v>a @1in",
                "wait 2500",
            ],
            &["a>b via v dropped", "a>v established"],
        ),
        (
            "retried, and the other endpoint is seen",
            &[
                "open a>v @1out",
                "drop netfilter host a>r open",
                "wait 1000",
                "open a>v @1out",
                "open a>b @2in",
                "accept b>a @2out",
                "accept v>a @1in",
                "wait 2500",
            ],
            &["a>b via v established", "a>r via v dropped"],
        ),
        (
            "another's",
            &["open a>v @1out", "open2 r>b @2in", "wait 6000"],
            &["a>v unanswered", "r>b delivered"],
        ),
        (
            "alike by chance, long after",
            &["open a>v @1out", "wait 1000", "open r>b @2in", "wait 6000"],
            &["a>v unanswered", "r>b delivered"],
        ),
        (
            "alike by chance, after the answer",
            &["open a>v @1out", "accept v>a @1in", "open r>b @2in", "wait 6000"],
            &["a>v established", "r>b delivered"],
        ),
        (
            "its own sender may be lost",
            &["open a>v @1out", "lose 1", "open a>b @2in", "wait 6000"],
            &["a>b delivered", "a>v unanswered"],
        ),
        (
            "a pod's own, though it is alike",
            &["open a>v @1out", "open b>a @2out", "open b>a @1in", "wait 6000"],
            &["a>v unanswered", "b>a delivered"],
        ),
    ];
    let udp: &[(&str, &[&str], &[&str])] = &[
        (
            "on this node",
            &["data a>v @1out", "data a>b @2in", "data a<b @2out", "data a<v @1in"],
            &["a>b via v established"],
        ),
        ("one way", &["data a>v @1out", "data a>b @2in", "wait 2500"], &["a>b via v delivered"]),
        ("dropped", &["data a>v @1out", "drop netfilter host a>b data", "wait 2500"], &["a>b via v dropped"]),
        (
            "one of two, and nobody knows which",
            &["data a>v @1out", "data a>w @1out", "data a>b @2in", "wait 6000"],
            &["a>b delivered", "a>v unanswered", "a>w unanswered"],
        ),
    ];
    for (protocol, stories) in [(Protocol::Tcp, tcp), (Protocol::Udp, udp)] {
        for (name, story, expected) in stories {
            let mut world = World::new(protocol);
            story.iter().for_each(|step| world.step(step));
            world.step("wait 0");
            let mut reported: Vec<String> = world.out.iter().map(short).collect();
            reported.sort();
            assert_eq!(reported, *expected, "{protocol}: {name}");
        }
    }
}
