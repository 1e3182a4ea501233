//! Starts etcd for the API server, and compacts it.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::process::{Place, Process};

/// A single etcd that does not sync its data to disk.
#[derive(Debug)]
pub(super) struct Etcd {
    port: u16,
    _process: Process,
}

impl Etcd {
    /// Starts etcd on two ports of loopback, with its data in `folder`.
    pub(super) fn start(
        place: Place<'_>,
        binary: &Path,
        folder: &Path,
        [port, peers]: [u16; 2],
    ) -> Result<Self> {
        let client = format!("http://127.0.0.1:{port}");
        let peer = format!("http://127.0.0.1:{peers}");
        let mut command = place.command(binary);
        command.arg("--data-dir").arg(folder.join("etcd")).args([
            "--unsafe-no-fsync=true",
            &format!("--listen-client-urls={client}"),
            &format!("--advertise-client-urls={client}"),
            &format!("--listen-peer-urls={peer}"),
            &format!("--initial-advertise-peer-urls={peer}"),
            &format!("--initial-cluster=default={peer}"),
        ]);
        Ok(Self { port, _process: Process::start(&mut command, folder.join("etcd.log"))? })
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Compacts etcd to the current revision. A watch from an earlier revision can't continue.
    pub(super) fn compact(&self, place: Place<'_>) -> Result<()> {
        // Any key can be used to read the revision. "AA==" is one zero byte.
        let answer = self.post(place, "range", &json!({ "key": "AA==" }))?;
        let revision = answer.pointer("/header/revision").context("etcd's answer has no revision")?;
        self.post(place, "compaction", &json!({ "revision": revision, "physical": true })).map(drop)
    }

    fn post(&self, place: Place<'_>, method: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let request = format!(
            "POST /v3/kv/{method} HTTP/1.0\r\nHost: etcd\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = place
            .run(|| exchange(self.port, &request))?
            .with_context(|| format!("asking etcd for {method}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").context("etcd's answer has no body")?;
        ensure!(head.contains(" 200 "), "etcd refuses {method}: {body}");
        serde_json::from_str(body).with_context(|| format!("etcd's answer to {method}: {body}"))
    }
}

fn exchange(port: u16, request: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
