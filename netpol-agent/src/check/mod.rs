//! Many questions at once, and unit tests for policies.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{
    declared::{Answer, ConnectionQuestion, DeclaredState, EndpointName, UnknownEndpoint},
    model::UnknownProtocol,
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
    /// The destination's port; all ports where there is none.
    #[serde(default)]
    pub port: Option<u16>,
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
    /// The API leaves it to the implementation.
    Undefined,
}

impl ExpectedAnswer {
    /// Whether an answer is as expected. One that is undefined is what most implementations do.
    #[must_use]
    pub fn is_met(self, answer: &Answer) -> bool {
        match self {
            Self::Allow => answer.allowed,
            Self::Deny => !answer.allowed,
            Self::Undefined => !answer.defined,
        }
    }
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
    Answered(Box<Answer>),
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
    /// Those of them that are allowed, and defined.
    pub allowed: usize,
    /// Those of them that are denied, and defined.
    pub denied: usize,
    /// Lines that were not answered.
    pub failed: usize,
    /// Answered queries that say what the answer should be.
    pub expected: usize,
    /// Those whose answer is another one, each as a line.
    pub mismatches: Vec<String>,
    /// The namespace of names that have none.
    pub namespace: Option<String>,
}

impl CheckQuery {
    /// The answer. Names without a namespace are of the one that is given here.
    ///
    /// # Errors
    ///
    /// An end or the protocol is unknown.
    pub fn answer(&self, state: &DeclaredState, namespace: Option<&str>) -> Result<Answer, CheckError> {
        let protocol = self.protocol.as_deref().map(str::parse).transpose()?;
        let question = ConnectionQuestion {
            from: self.src.clone().in_namespace(namespace),
            to: self.dst.clone().in_namespace(namespace),
            protocol,
            port: self.port,
            via_service: self.via_service,
        };
        Ok(Answer::to(state, &question)?)
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
        let answer = match query.answer(state, self.namespace.as_deref()) {
            Ok(answer) => answer,
            Err(error) => return (self.fail(query.id.clone(), error.to_string()), Some(query)),
        };
        self.answered += 1;
        self.allowed += usize::from(answer.allowed && answer.defined);
        self.denied += usize::from(!answer.allowed && answer.defined);
        if let Some(expected) = query.expect {
            self.expected += 1;
            if !expected.is_met(&answer) {
                let got = if answer.allowed { "allow" } else { "deny" };
                let mismatch = format!("{place}: id {}: expected {expected:?}, got {got}", query.id);
                self.mismatches.push(mismatch.to_lowercase());
            }
        }
        (CheckResult { id: query.id.clone(), outcome: CheckOutcome::Answered(Box::new(answer)) }, Some(query))
    }

    fn fail(&mut self, id: Value, error: String) -> CheckResult {
        self.failed += 1;
        CheckResult { id, outcome: CheckOutcome::Failed { error } }
    }
}
