//! Findings over time.

use jiff::Timestamp;

use super::{DB, DROPPED, FREE, at, attempt, interfaces, judge, story};
use crate::{
    model::{Attempt, FindingStatus, Observed},
    verify::{Clock, Findings},
};

/// If the wall clock jumps, a finding stays open, and later connections still count as later.
#[test]
fn the_calendar_jumps() {
    for jumped in ["1970-01-01T05:00:00Z", "1969-12-31T19:00:00Z"] {
        let (mut judge, interfaces, mut findings) = (judge(), interfaces(), Findings::default());
        findings.flow(&judge.judge(attempt(FREE, DB, 5432, Observed::Established), &interfaces));
        let jumped: Timestamp = jumped.parse().unwrap();
        judge.set_clock(Clock::new(at(105), jumped));
        assert!(findings.expire(at(105)).is_empty());
        let later = Attempt { began: at(105), ..attempt(FREE, DB, 5432, Observed::Established) };
        findings.flow(&judge.judge(later, &interfaces));
        assert_eq!(findings.list()[0].last_seen, jumped);
        let right = Attempt { began: at(110), ..attempt(FREE, DB, 5432, DROPPED) };
        assert_eq!(findings.flow(&judge.judge(right, &interfaces))[0].status, FindingStatus::Resolved);
    }
}

/// A wrong conversation keeps its finding open for as long as it continues.
#[test]
fn what_goes_on() {
    let after = |second: u64, observed| Attempt {
        began: at(second),
        is_recheck: true,
        ..attempt(FREE, DB, 5432, observed)
    };
    let (judge, interfaces) = (judge(), interfaces());
    let (_, mut findings) = story(&[(100, FREE, 5432, Observed::Established)]);
    findings.recheck(&judge.judge(after(3_000, Observed::Delivered), &interfaces));
    assert!(findings.expire(at(4_000)).is_empty());
    assert_eq!(findings.list()[0].count, 1);
    let told = findings.recheck(&judge.judge(after(4_000, DROPPED), &interfaces));
    assert_eq!(told[0].status, FindingStatus::Resolved);
    assert!(findings.recheck(&judge.judge(after(4_600, Observed::Delivered), &interfaces)).is_empty());
    assert!(findings.list().is_empty(), "it may go on since it was let begin");
}
