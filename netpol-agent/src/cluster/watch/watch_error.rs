//! The errors of lists and watches.
//!
//! The watcher decides by the error how it continues: retry, list again, or wait until the server serves the kind.

use std::{fmt, time::Duration};

use kube::core::Status;

use crate::model::ApiKind;

/// Why the objects of a kind can't be listed or watched at present.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The server no longer has the requested resource version (410). The watcher lists all objects again.
    #[error("the server no longer has the changes since the last one: all objects are listed again")]
    Expired,
    /// RBAC does not allow the request (403).
    #[error("{0}")]
    Forbidden(Forbidden),
    /// The server does not serve the resource (404).
    #[error("the server does not serve it")]
    NotServed,
    /// The server rejects the request as invalid (422).
    #[error("the server rejects the request: {0}")]
    Unsupported(String),
    /// The server responds with another error, such as 429 or 5xx.
    #[error("the server answers {code}: {message}")]
    Refused {
        /// The HTTP status code.
        code: u16,
        /// The server's error message.
        message: String,
        /// How long the server asks clients to wait before the next attempt.
        retry_after: Option<Duration>,
    },
    /// The server can't be reached, or the connection to it was lost.
    #[error("the API server can't be reached: {0}")]
    Unreachable(String),
    /// The server has sent nothing for longer than this timeout.
    #[error("the API server has been silent for {} s", .0.as_secs())]
    Silent(Duration),
    /// The response is not valid.
    #[error("the API server's answer can't be read: {0}")]
    Malformed(String),
}

/// A request that RBAC does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// The verb of the request.
    pub verb: &'static str,
    /// The plural name of the resource.
    pub resource: &'static str,
    /// The API group of the resource. Empty for the core group.
    pub group: &'static str,
}

impl Forbidden {
    pub(super) const fn of(verb: &'static str, kind: &ApiKind) -> Self {
        Self { verb, resource: kind.plural, group: kind.group }
    }
}

impl WatchError {
    /// The name of the error in metrics.
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

    /// Creates the error from the status that ends a watch.
    pub(super) fn of_status(status: &Status, forbidden: Forbidden) -> Self {
        let wait = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        Self::of_response(status.code, &status.message, wait, forbidden)
    }

    /// Creates the error from an HTTP error response. `wait` is the time in seconds that the server asks clients to
    /// wait, 0 if it asks for none.
    pub(super) fn of_response(code: u16, message: &str, wait: u32, forbidden: Forbidden) -> Self {
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

    /// Creates the error from a client's error. `forbidden` describes the request.
    #[must_use]
    pub fn from_client(error: &kube::Error, forbidden: Forbidden) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(status, forbidden),
            kube::Error::FromUtf8(_) | kube::Error::SerdeError(_) => Self::Malformed(error.to_string()),
            _ => Self::Unreachable(chain(error)),
        }
    }

    /// Returns true if another kind of request would fail with the same error.
    pub(super) fn is_general(&self) -> bool {
        matches!(
            self,
            Self::Forbidden(_) | Self::NotServed | Self::Unreachable(_) | Self::Refused { code: 429, .. }
        )
    }
}

/// Formats an error with its causes. A cause that its error's text already contains is left out, because many
/// libraries include it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let cause_text = error.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        cause = error.source();
    }
    text
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, resource, group } = self;
        let group = if group.is_empty() { "the core API group" } else { group };
        // Watching a resource needs both verbs.
        let verbs = if *verb == "create" { "verb create" } else { "verbs list and watch" };
        write!(
            f,
            "not allowed to {verb} {resource}: give the agent's ClusterRole the {verbs} on {resource} in {group}"
        )
    }
}
