//! Pods that are watched from the node.

use super::*;

/// Where packets to a pod are seen at the end of its interface that is on the node, they may be dropped after that.
#[test]
fn seen_from_the_node() {
    use Observed::{Delivered, Established, Unanswered};
    let there = ["open a>b @1out", "open a>b @2in"];
    for (name, rest, expected) in [
        ("delivered", &["wait 6000"][..], Delivered),
        ("dropped after our program", &["drop netfilter host a>b open", "wait 2500"], DROPPED),
        ("dropped, nobody knows where", &["drop socket nowhere a>b open", "wait 6000"], Unanswered),
        ("dropped for no policy", &["drop socket host a>b open", "wait 6000"], Unanswered),
        ("dropped in the pod", &["drop netfilter pod a>b open", "wait 6000"], Delivered),
        ("answered", &["accept b>a @2out", "accept b>a @1in"], Established),
        ("superseded before its drop is reported", &["open2 a>b @1out", "wait 0"], Unanswered),
    ] {
        let mut world = World { interfaces: interfaces_seen(false), ..World::new(Protocol::Tcp) };
        there.iter().chain(rest).for_each(|step| world.step(step));
        world.step("wait 0");
        let observed: Vec<Observed> = world.out.iter().map(|attempt| attempt.observed).collect();
        assert_eq!(observed, [expected], "{name}");
    }
}
