//! Why objects can't be had.

use std::{fmt, time::Duration};

use kube::core::Status;

use crate::model::ApiKind;

/// Why objects of a kind can't be had at present.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The server has forgotten the version from which changes were asked for (410): all objects are read anew.
    #[error("the server no longer has the changes since the last one: all objects are read anew")]
    Expired,
    /// RBAC does not allow it (403).
    #[error("{0}")]
    Forbidden(Forbidden),
    /// There is no such resource (404).
    #[error("the server does not serve it")]
    NotServed,
    /// The server does not take the request (422).
    #[error("the server does not take the request: {0}")]
    Unsupported(String),
    /// The server answers with another error, 429 and 5xx among them.
    #[error("the server answers {code}: {message}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// What the server says.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The server can't be reached, or a connection to it broke.
    #[error("the API server can't be reached: {0}")]
    Unreachable(String),
    /// Nothing came for longer than the server may be silent.
    #[error("the API server has been silent for {} s", .0.as_secs())]
    Silent(Duration),
    /// What came is not what the API promises.
    #[error("the API server's answer can't be read: {0}")]
    Malformed(String),
}

/// What RBAC does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// The verb that was refused.
    pub verb: &'static str,
    /// The resource, by its plural name.
    pub resource: &'static str,
    /// Its API group; empty for the core group.
    pub group: &'static str,
}

impl Forbidden {
    pub(super) const fn of(verb: &'static str, kind: &ApiKind) -> Self {
        Self { verb, resource: kind.plural, group: kind.group }
    }
}

impl WatchError {
    /// Its name in metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Forbidden(_) => "forbidden",
            Self::NotServed => "absent",
            Self::Unsupported(_) => "unsupported",
            Self::Refused { .. } => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::Silent(_) => "silent",
            Self::Malformed(_) => "malformed",
        }
    }

    /// Of an error that a watch ends with.
    pub(super) fn of_status(status: &Status, forbidden: Forbidden) -> Self {
        let wait = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        Self::of_answer(status.code, &status.message, wait, forbidden)
    }

    /// Of an error that the server answers with; `wait` is for how many seconds it asks to wait, if for any.
    pub(super) fn of_answer(code: u16, message: &str, wait: u32, forbidden: Forbidden) -> Self {
        match code {
            403 => Self::Forbidden(forbidden),
            404 => Self::NotServed,
            410 => Self::Expired,
            422 => Self::Unsupported(message.to_owned()),
            code => Self::Refused {
                code,
                message: message.to_owned(),
                retry_after: (wait > 0).then(|| Duration::from_secs(wait.into())),
            },
        }
    }

    /// Of an error of the client; `forbidden` is what was asked for.
    #[must_use]
    pub fn from_client(error: &kube::Error, forbidden: Forbidden) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(status, forbidden),
            kube::Error::FromUtf8(_) | kube::Error::SerdeError(_) => Self::Malformed(error.to_string()),
            _ => Self::Unreachable(chain(error)),
        }
    }

    /// Whether nothing else that the server could be asked for would fare better.
    pub(super) fn is_general(&self) -> bool {
        matches!(
            self,
            Self::Forbidden(_) | Self::NotServed | Self::Unreachable(_) | Self::Refused { code: 429, .. }
        )
    }
}

/// An error with its causes, none of them twice: many a library repeats its cause in its own words.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, resource, group } = self;
        let group = if group.is_empty() { "the core API group" } else { group };
        // What is watched takes both.
        let verbs = if *verb == "create" { "verb create" } else { "verbs list and watch" };
        write!(
            f,
            "not allowed to {verb} {resource}: give the agent's ClusterRole the {verbs} on {resource} in {group}"
        )
    }
}
