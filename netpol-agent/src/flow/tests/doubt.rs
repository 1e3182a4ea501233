//! Lost records and spoofed packets.

use super::*;

/// An attempt whose result a lost record may change is marked.
#[test]
fn losses() {
    use Observed::{Delivered, Established, Rejected, Unanswered};
    let asked = ["data a>b @1out", "data a>b @2in", "data a<b @2out", "data a<b @1in", "wait 0"];
    let after = |first: &[&'static str]| [first, &asked[..]].concat();
    for (name, protocol, story, expected) in [
        (
            "while it is open",
            Protocol::Tcp,
            vec!["open a>r @1out", "lose 3", "wait 6000"],
            (Unanswered, true),
        ),
        ("before it", Protocol::Tcp, vec!["lose 3", "open a>r @1out", "wait 6000"], (Unanswered, false)),
        (
            "noticed before its first record was read",
            Protocol::Tcp,
            vec!["lose 3 ahead 100", "open a>b @1out", "open a>b @2in", "wait 6000"],
            (Delivered, true),
        ),
        (
            "noticed right after the reset whose origin was not seen",
            Protocol::Tcp,
            vec!["open a>b @1out", "reset a<b @1in", "lose 3", "wait 0"],
            (Rejected, true),
        ),
        (
            "the question before the answer",
            Protocol::Udp,
            after(&["lose 3", "wait 20000"]),
            (Established, true),
        ),
        ("long before", Protocol::Udp, after(&["lose 3", "wait 31000"]), (Established, false)),
        (
            "noticed right after the exchange",
            Protocol::Udp,
            [&asked[..4], &["lose 3", "wait 0"]].concat(),
            (Established, true),
        ),
    ] {
        let mut world = World::new(protocol);
        story.iter().for_each(|step| world.step(step));
        let reported: Vec<_> =
            world.out.iter().map(|attempt| (attempt.observed, attempt.records_lost)).collect();
        assert_eq!(reported, [expected], "{name}");
    }
}

/// A pod that spoofs another pod's address hides neither its own connections nor the other pod's.
#[test]
fn forged() {
    let tcp: &[(&str, &[&str], &[&str])] = &[
        (
            "an answer before the question",
            &["accept b>a @1out", "open0 a>b @1out", "open0 a>b @2in", "accept b>a @2out", "accept b>a @1in"],
            &["a>b established"],
        ),
        (
            "a reset",
            &["open a>b @1out", "open a>b @2in", "reset a<b @1out", "accept b>a @2out", "accept b>a @1in"],
            &["a>b established"],
        ),
        (
            "the other's opening, then its own",
            &["open b>a @1out", "open b>a @2out", "open b>a @1in", "accept a>b @1out", "accept a>b @2in"],
            &["b>a established", "b>a forged unanswered"],
        ),
        (
            "the other's own, then its opening",
            &["open b>a @2out", "open b>a @1out", "open b>a @1in", "accept a>b @1out", "accept a>b @2in"],
            &["b>a established"],
        ),
        ("nothing but a forged one", &["open b>a @1out", "wait 6000"], &["b>a forged unanswered"]),
    ];
    let udp: &[(&str, &[&str], &[&str])] = &[
        (
            "the question to its own answer",
            &["data a<b @1out", "data a>b @1out", "data a>b @2in", "data a<b @1out", "wait 2500"],
            &["a>b delivered", "b>a forged unanswered"],
        ),
        (
            "the other's question, then its own",
            &["data b>a @1out", "data b>a @2out", "data b>a @1in", "wait 2500"],
            &["b>a delivered", "b>a forged unanswered"],
        ),
    ];
    for (protocol, stories) in [(Protocol::Tcp, tcp), (Protocol::Udp, udp)] {
        for (name, story, expected) in stories {
            let mut world = World::new(protocol);
            story.iter().for_each(|step| world.step(step));
            world.step("wait 0");
            let mark = |attempt: &Attempt| if attempt.spoof_candidate.is_some() { "forged " } else { "" };
            let mut reported: Vec<String> = world
                .out
                .iter()
                .map(|attempt| short(attempt).replace(' ', &format!(" {}", mark(attempt))))
                .collect();
            reported.sort();
            assert_eq!(reported, *expected, "{protocol}: {name}");
        }
    }
}
