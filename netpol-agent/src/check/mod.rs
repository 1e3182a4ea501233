//! Many questions at once, and unit tests for policies.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{
    declared::{Answer, DeclaredState, EndpointName, UnknownEndpoint},
    model::{Protocol, UnknownProtocol},
    policy::Query,
};

/// One question, as it is written.
#[derive(Clone, Debug, Deserialize)]
pub struct CheckQuery {
    /// Comes back with the answer; any JSON.
    #[serde(default)]
    pub id: Value,
    /// Who opens the connection.
    pub src: EndpointName,
    /// Who answers.
    pub dst: EndpointName,
    /// The protocol; TCP where there is none.
    #[serde(default)]
    pub protocol: Option<String>,
    /// The destination's port.
    #[serde(default)]
    pub port: u16,
    /// Whether the connection is made to a Service's address.
    #[serde(default)]
    pub via_service: bool,
    /// What the answer should be.
    #[serde(default)]
    pub expect: Option<ExpectedAnswer>,
}

/// What an answer should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExpectedAnswer {
    /// The connection is allowed.
    Allow,
    /// The connection is denied.
    Deny,
}

/// What came of one line: with `id` first, as JSON.
#[derive(Debug, Serialize)]
pub struct CheckResult {
    /// The query's.
    pub id: Value,
    /// The answer, or why there is none.
    #[serde(flatten)]
    pub outcome: CheckOutcome,
}

/// An answer, or why there is none.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum CheckOutcome {
    /// It could be answered.
    Answered(Answer),
    /// It could not.
    Failed {
        /// Why.
        error: String,
    },
}

/// Why a query can't be answered.
#[derive(Debug, Error)]
pub enum CheckError {
    /// An end is unknown.
    #[error(transparent)]
    Endpoint(#[from] UnknownEndpoint),
    /// The protocol is none.
    #[error(transparent)]
    Protocol(#[from] UnknownProtocol),
}

/// What has been counted on the way.
#[derive(Debug, Default)]
pub struct CheckSummary {
    /// Queries that were answered.
    pub answered: usize,
    /// Lines that were not.
    pub failed: usize,
    /// Answered queries that say what the answer should be.
    pub expected: usize,
    /// Those whose answer is another one, each as a line.
    pub mismatches: Vec<String>,
}

impl CheckQuery {
    /// The answer.
    ///
    /// # Errors
    ///
    /// An end or the protocol is unknown.
    pub fn answer(&self, state: &DeclaredState) -> Result<Answer, CheckError> {
        let protocol = self.protocol.as_deref().map_or(Ok(Protocol::Tcp), str::parse)?;
        let destination = self.dst.find(state.snapshot())?;
        let addresses = self.via_service.then(|| state.engine.service_addresses(destination));
        let verdict = state.engine.evaluate(&Query {
            source: self.src.find(state.snapshot())?,
            destination,
            protocol,
            port: self.port,
            via_service: addresses.as_deref(),
        });
        Ok(Answer::new(&verdict))
    }
}

impl CheckSummary {
    /// Answers one line, which is at this place, and counts it. With the result comes the query, where the line is one.
    pub fn check(
        &mut self,
        state: &DeclaredState,
        line: &str,
        place: &str,
    ) -> (CheckResult, Option<CheckQuery>) {
        let query: CheckQuery = match serde_json::from_str(line) {
            Ok(query) => query,
            Err(error) => {
                let id = serde_json::from_str::<Value>(line).ok().and_then(|value| value.get("id").cloned());
                return (self.fail(id.unwrap_or_default(), format!("{place}: not a query: {error}")), None);
            }
        };
        let answer = match query.answer(state) {
            Ok(answer) => answer,
            Err(error) => return (self.fail(query.id.clone(), error.to_string()), Some(query)),
        };
        self.answered += 1;
        if let Some(expected) = query.expect {
            self.expected += 1;
            if answer.allowed != (expected == ExpectedAnswer::Allow) {
                let got = if answer.allowed { "allow" } else { "deny" };
                let mismatch = format!("{place}: id {}: expected {expected:?}, got {got}", query.id);
                self.mismatches.push(mismatch.to_lowercase());
            }
        }
        (CheckResult { id: query.id.clone(), outcome: CheckOutcome::Answered(answer) }, Some(query))
    }

    fn fail(&mut self, id: Value, error: String) -> CheckResult {
        self.failed += 1;
        CheckResult { id, outcome: CheckOutcome::Failed { error } }
    }
}
