//! One kind's requests to the API server.

use std::time::Duration;

use futures::io::AsyncBufRead;
use kube::{
    Client,
    core::{
        Request,
        params::{ListParams, WatchParams},
    },
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{Trouble, resource::Resource};

/// How many objects to ask for at a time.
const PAGE: u32 = 500;

/// How long an answer may take to begin; a page, to come whole.
const ANSWER: Duration = Duration::from_secs(60);

/// How long a watch goes on before the server ends it, in seconds; half of it up to chance, so that many agents' watches
/// do not end at once.
const WATCH: u32 = 600;

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
pub(super) struct Api {
    client: Client,
    resource: Resource,
}

impl Api {
    pub(super) fn new(client: Client, resource: Resource) -> Self {
        Self { client, resource }
    }

    /// A small document at a path.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: String) -> Result<T, Trouble> {
        let request = Request::new(path).list(&ListParams::default());
        let request = request.map_err(|error| Trouble::Malformed(error.to_string()))?;
        let answer = timeout(ANSWER, self.client.request(request)).await;
        self.check("get", answer.map_err(|_| Trouble::Silent(ANSWER))?)
    }

    /// A page of the list, as text.
    pub(super) async fn page(&self, version: &str, cursor: Cursor<'_>) -> Result<String, Trouble> {
        let mut params = ListParams::default().limit(PAGE);
        if let Cursor::After(token) = cursor {
            params = params.continue_token(token);
        }
        let request = Request::new(self.resource.path(version)).list(&params);
        let request = request.map_err(|error| Trouble::Malformed(error.to_string()))?;
        let answer = timeout(ANSWER, self.client.request_text(request)).await;
        self.check("list", answer.map_err(|_| Trouble::Silent(ANSWER))?)
    }

    /// A watch, line by line.
    pub(super) async fn watch(
        &self,
        version: &str,
        since: Since<'_>,
    ) -> Result<impl AsyncBufRead + use<>, Trouble> {
        let (params, from) = match since {
            Since::Everything => (WatchParams::streaming_lists(), "0"),
            Since::Version(version) => (WatchParams { bookmarks: true, ..WatchParams::default() }, version),
        };
        let params = params.timeout(WATCH / 2 + fastrand::u32(..=WATCH / 2));
        let request = Request::new(self.resource.path(version)).watch(&params, from);
        let request = request.map_err(|error| Trouble::Malformed(error.to_string()))?;
        let answer = timeout(ANSWER, self.client.request_stream(request)).await;
        self.check("watch", answer.map_err(|_| Trouble::Silent(ANSWER))?)
    }

    fn check<T>(&self, verb: &'static str, answer: Result<T, kube::Error>) -> Result<T, Trouble> {
        answer.map_err(|error| Trouble::from_client(&error, self.resource.forbidden(verb)))
    }
}
