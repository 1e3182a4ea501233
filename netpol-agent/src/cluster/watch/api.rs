//! One kind's requests to the API server.

use std::{io, time::Duration};

use futures::{TryStreamExt as _, io::AsyncBufRead};
use http::{Response, header::RETRY_AFTER};
use http_body_util::BodyExt as _;
use kube::{
    Client,
    client::Body,
    core::{
        Request, Status,
        params::{ListParams, WatchParams},
        request,
    },
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{Forbidden, WatchError, watch_error::chain};
use crate::model::ApiKind;

/// How many objects to ask for at a time.
const PAGE: u32 = 500;

/// How long an answer may take to begin; a page, to come whole.
const ANSWER: Duration = Duration::from_secs(60);

/// How long a watch goes on before the server ends it, in seconds; half of it up to chance, so that many agents' watches
/// do not end at once.
const WATCH: u32 = 600;

/// A request, where its parameters go together.
type Prepared = Result<http::Request<Vec<u8>>, request::Error>;

/// Where to go on with a list.
pub(super) enum Cursor<'a> {
    Start,
    After(&'a str),
}

/// Which changes to ask for.
#[derive(Clone, Copy)]
pub(super) enum Since<'a> {
    /// All objects first, then what changes.
    Everything,
    /// What has changed since a version.
    Version(&'a str),
}

/// One kind, at the API server.
#[derive(Clone)]
pub(super) struct ApiClient {
    client: Client,
    resource: &'static ApiKind,
}

impl ApiClient {
    pub(super) fn new(client: Client, resource: &'static ApiKind) -> Self {
        Self { client, resource }
    }

    /// A small document at a path.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: String) -> Result<T, WatchError> {
        let text = self.text("get", Request::new(path).list(&ListParams::default())).await?;
        serde_json::from_str(&text).map_err(|error| WatchError::Malformed(error.to_string()))
    }

    /// A page of the list, as text.
    pub(super) async fn page(&self, version: &str, cursor: Cursor<'_>) -> Result<String, WatchError> {
        let mut params = ListParams::default().limit(PAGE);
        if let Cursor::After(token) = cursor {
            params = params.continue_token(token);
        }
        self.text("list", Request::new(self.resource.path(version)).list(&params)).await
    }

    /// A watch, line by line.
    pub(super) async fn watch(
        &self,
        version: &str,
        since: Since<'_>,
    ) -> Result<impl AsyncBufRead + use<>, WatchError> {
        let (params, from) = match since {
            // Not "0", which asks for any state that the server still has: of several servers, one may be far behind.
            Since::Everything => (WatchParams::streaming_lists(), ""),
            Since::Version(version) => (WatchParams { bookmarks: true, ..WatchParams::default() }, version),
        };
        let params = params.timeout(WATCH / 2 + fastrand::u32(..=WATCH / 2));
        let request = Request::new(self.resource.path(version)).watch(&params, from);
        let answer = timeout(ANSWER, self.answer("watch", request)).await;
        let body = answer.map_err(|_| WatchError::Silent(ANSWER))??.into_body();
        Ok(body.into_data_stream().map_err(io::Error::other).into_async_read())
    }

    /// An answer that comes as a whole.
    async fn text(&self, verb: &'static str, request: Prepared) -> Result<String, WatchError> {
        let text = async { text(self.answer(verb, request).await?.into_body()).await };
        timeout(ANSWER, text).await.map_err(|_| WatchError::Silent(ANSWER))?
    }

    /// An answer that begins, and is no error.
    async fn answer(&self, verb: &'static str, request: Prepared) -> Result<Response<Body>, WatchError> {
        let request = request.map_err(|error| WatchError::Malformed(error.to_string()))?;
        let answer = self.client.send(request.map(Body::from)).await;
        let answer = answer.map_err(|error| WatchError::Unreachable(chain(&error)))?;
        let code = answer.status();
        if !code.is_client_error() && !code.is_server_error() {
            return Ok(answer);
        }
        // Throttling comes from before the API's own handlers: as a header beside plain text.
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let text = text(answer.into_body()).await?;
        let status: Option<Status> = serde_json::from_str(&text).ok();
        let message = status.as_ref().map_or(text.trim(), |status| &status.message);
        let asked = status.as_ref().and_then(|status| status.details.as_ref());
        let wait = wait.unwrap_or(0).max(asked.map_or(0, |details| details.retry_after_seconds));
        Err(WatchError::of_answer(code.as_u16(), message, wait, Forbidden::of(verb, self.resource)))
    }
}

async fn text(body: Body) -> Result<String, WatchError> {
    let bytes = body.collect_bytes().await.map_err(|error| WatchError::Unreachable(chain(&error)))?;
    String::from_utf8(bytes.into()).map_err(|error| WatchError::Malformed(error.to_string()))
}
