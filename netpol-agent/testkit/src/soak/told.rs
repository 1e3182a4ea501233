//! What the agent told about connections.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::tuple::{Transport, Tuple};

/// A line of the agent about one connection.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) expected: String,
    /// Why it is undecidable, or not applicable.
    pub(super) reason: String,
    pub(super) outcome: String,
    /// As the agent printed it.
    pub(super) text: String,
}

/// The agent's lines by connection, in their order.
pub(super) type Lines = BTreeMap<Tuple, Vec<Line>>;

/// Reads the agent's output.
///
/// # Errors
/// A line is no JSON, or has not the form of a connection.
pub(super) fn parse(output: &str) -> Result<Lines> {
    let mut lines = Lines::new();
    for text in output.lines() {
        let value: Value =
            serde_json::from_str(text).with_context(|| format!("the agent's line is no JSON: {text}"))?;
        if value["type"] != "flow" {
            continue;
        }
        let tuple = tuple(&value).with_context(|| format!("the agent's line has an unknown form: {text}"))?;
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        lines.entry(tuple).or_default().push(Line {
            expected: word(&value["expected"]["verdict"]),
            reason: word(&value["expected"]["reason"]),
            outcome: word(&value["outcome"]),
            text: text.to_owned(),
        });
    }
    Ok(lines)
}

fn tuple(value: &Value) -> Option<Tuple> {
    let end = |end: &Value| {
        let port = end["port"].as_u64().unwrap_or_default();
        Some(SocketAddr::new(end["ip"].as_str()?.parse().ok()?, u16::try_from(port).ok()?))
    };
    Some(Tuple {
        transport: Transport::named(value["protocol"].as_str()?)?,
        from: end(&value["source"])?,
        to: end(&value["destination"])?,
    })
}

/// The line that counts: one that blames somebody, or else the last. The same ports may have been used for several
/// attempts, of which one got in: then it counts that one of them was not decided.
pub(super) fn decisive(lines: &[Line], is_leak: bool) -> Option<&Line> {
    let with = |outcome: &str| lines.iter().find(|line| line.outcome == outcome);
    with("not_enforced")
        .or_else(|| with("over_blocked"))
        .or_else(|| with("undecidable").filter(|_| is_leak))
        .or_else(|| lines.last())
}
