//! The requests to the API server for one kind: get, list and watch, with timeouts.

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

/// The number of objects per page of a list.
const PAGE_SIZE: u32 = 500;

/// The timeout for a response to begin, and for a whole page to arrive.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest time before the server ends a watch, in seconds. Half of it is random, so that the watches of many
/// agents do not end at the same time.
const WATCH_SECONDS: u32 = 600;

/// A request, or why its parameters are invalid.
type Prepared = Result<http::Request<Vec<u8>>, request::Error>;

/// Where a list request continues.
pub(super) enum Cursor<'a> {
    Start,
    After(&'a str),
}

/// The start of a watch.
#[derive(Clone, Copy)]
pub(super) enum Since<'a> {
    /// The server sends all objects first, and then the changes.
    Everything,
    /// The server sends the changes since a resource version.
    Version(&'a str),
}

/// A client for one kind of object.
#[derive(Clone)]
pub(super) struct ApiClient {
    client: Client,
    resource: &'static ApiKind,
}

impl ApiClient {
    pub(super) fn new(client: Client, resource: &'static ApiKind) -> Self {
        Self { client, resource }
    }

    /// Reads a small document at a path.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: String) -> Result<T, WatchError> {
        let text = self.text("get", Request::new(path).list(&ListParams::default())).await?;
        serde_json::from_str(&text).map_err(|error| WatchError::Malformed(error.to_string()))
    }

    /// Reads a page of the list, as text.
    pub(super) async fn page(&self, version: &str, cursor: Cursor<'_>) -> Result<String, WatchError> {
        let mut params = ListParams::default().limit(PAGE_SIZE);
        if let Cursor::After(token) = cursor {
            params = params.continue_token(token);
        }
        self.text("list", Request::new(self.resource.path(version)).list(&params)).await
    }

    /// Starts a watch. The response is a reader for its lines.
    pub(super) async fn watch(
        &self,
        version: &str,
        since: Since<'_>,
    ) -> Result<impl AsyncBufRead + use<>, WatchError> {
        let (params, from) = match since {
            // Not "0": that requests any state that the server has cached. One of several servers may be far behind.
            Since::Everything => (WatchParams::streaming_lists(), ""),
            Since::Version(version) => (WatchParams { bookmarks: true, ..WatchParams::default() }, version),
        };
        let params = params.timeout(WATCH_SECONDS / 2 + fastrand::u32(..=WATCH_SECONDS / 2));
        let request = Request::new(self.resource.path(version)).watch(&params, from);
        let response = timeout(RESPONSE_TIMEOUT, self.send("watch", request)).await;
        let body = response.map_err(|_| WatchError::Silent(RESPONSE_TIMEOUT))??.into_body();
        Ok(body.into_data_stream().map_err(io::Error::other).into_async_read())
    }

    /// Sends a request and reads the whole response.
    async fn text(&self, verb: &'static str, request: Prepared) -> Result<String, WatchError> {
        let text = async { text(self.send(verb, request).await?.into_body()).await };
        timeout(RESPONSE_TIMEOUT, text).await.map_err(|_| WatchError::Silent(RESPONSE_TIMEOUT))?
    }

    /// Sends a request and returns the response. An HTTP error status is returned as an error.
    async fn send(&self, verb: &'static str, request: Prepared) -> Result<Response<Body>, WatchError> {
        let request = request.map_err(|error| WatchError::Malformed(error.to_string()))?;
        let response = self.client.send(request.map(Body::from)).await;
        let response = response.map_err(|error| WatchError::Unreachable(chain(&error)))?;
        let code = response.status();
        if !code.is_client_error() && !code.is_server_error() {
            return Ok(response);
        }
        // Throttling happens before the API's own handlers: the response has a header, and a body of plain text.
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let text = text(response.into_body()).await?;
        let status: Option<Status> = serde_json::from_str(&text).ok();
        let message = status.as_ref().map_or(text.trim(), |status| &status.message);
        let details = status.as_ref().and_then(|status| status.details.as_ref());
        let wait = wait.unwrap_or(0).max(details.map_or(0, |details| details.retry_after_seconds));
        Err(WatchError::of_response(code.as_u16(), message, wait, Forbidden::of(verb, self.resource)))
    }
}

async fn text(body: Body) -> Result<String, WatchError> {
    let bytes = body.collect_bytes().await.map_err(|error| WatchError::Unreachable(chain(&error)))?;
    String::from_utf8(bytes.into()).map_err(|error| WatchError::Malformed(error.to_string()))
}
