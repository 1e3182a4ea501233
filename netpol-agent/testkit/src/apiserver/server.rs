//! Starts kube-apiserver with its etcd, and writes kubeconfigs for its users.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use super::{
    etcd::Etcd,
    process::{Place, Process},
};
use crate::{
    kubernetes::{self, kubeconfig},
    netns::Namespace,
};

/// The timeout for the server to get ready, on a busy machine.
const START: Duration = Duration::from_secs(120);

/// A user that the server authenticates by a token.
#[derive(Clone, Copy, Debug)]
pub struct User {
    /// The name that RBAC rules bind to.
    pub name: &'static str,
    token: &'static str,
    groups: &'static str,
}

/// A user with all permissions.
pub const ADMIN: User = User { name: "admin", token: "admin-token", groups: "system:masters" };

/// The agent's ServiceAccount, `netpol-agent` in the namespace `netpol`. It has the permissions that RBAC grants.
pub const AGENT: User = User {
    name: "system:serviceaccount:netpol:netpol-agent",
    token: "agent-token",
    groups: "system:serviceaccounts,system:serviceaccounts:netpol,system:authenticated",
};

/// A kube-apiserver and its etcd. Both end when this is dropped, or when the thread that started them ends.
#[derive(Debug)]
pub struct ApiServer<'a> {
    place: Place<'a>,
    binary: PathBuf,
    folder: TempDir,
    port: u16,
    etcd: Etcd,
    process: Option<Process>,
}

impl<'a> ApiServer<'a> {
    /// Starts an API server on loopback, and waits until it is ready.
    ///
    /// # Errors
    /// See [`kubernetes::apiserver`]. Or a server does not start: the error has the end of its output.
    pub fn start() -> Result<Self> {
        let mut server = Self::prepare(Place::Host)?;
        server.restart()?;
        Ok(server)
    }

    /// Like [`Self::start`], on the loopback of a network namespace.
    ///
    /// # Errors
    /// The same as for [`Self::start`].
    pub fn start_in(namespace: &'a Namespace) -> Result<Self> {
        let mut server = Self::not_yet(namespace)?;
        server.restart()?;
        Ok(server)
    }

    /// Prepares an API server without starting it. Kubeconfigs can be written, and [`Self::restart`] starts it.
    ///
    /// # Errors
    /// The same as for [`Self::start`].
    pub fn not_yet(namespace: &'a Namespace) -> Result<Self> {
        Self::prepare(Place::Inside(namespace))
    }

    fn prepare(place: Place<'a>) -> Result<Self> {
        let (binary, etcd) = (kubernetes::apiserver()?, kubernetes::etcd()?);
        let folder =
            TempDir::with_prefix("netpol-apiserver-").context("making a folder for the API server")?;
        let [port, clients, peers] = place.run(free_ports)??;
        let etcd = Etcd::start(place, &etcd, folder.path(), [clients, peers])?;
        let mut tokens = String::new();
        for User { name, token, groups } in [ADMIN, AGENT] {
            writeln!(tokens, "{token},{name},{name},\"{groups}\"")?;
        }
        fs::write(folder.path().join("tokens.csv"), tokens).context("writing the API server's tokens")?;
        let key = folder.path().join("sa.key");
        let made = Command::new("openssl").args(["genrsa", "-out"]).arg(&key).arg("2048").output();
        let made = made.context("starting `openssl` (`cargo xtask setup` installs it)")?;
        ensure!(made.status.success(), "`openssl genrsa`: {}", String::from_utf8_lossy(&made.stderr));
        Ok(Self { place, binary, folder, port, etcd, process: None })
    }

    /// The URL of the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The port on which the server listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's certificate, which is self-signed.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.certificates().join("apiserver.crt")
    }

    /// Writes a kubeconfig for a user. Returns its path.
    ///
    /// # Errors
    /// The folder can't be written to.
    pub fn kubeconfig(&self, user: User) -> Result<PathBuf> {
        let path = self.folder.path().join(format!("{}.kubeconfig", user.token));
        let text = kubeconfig(&self.url(), &self.certificate(), user.token);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Kills the API server (SIGKILL). etcd continues to run.
    ///
    /// # Errors
    /// The process can't be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Restarts the API server with the same data and address, and waits until it is ready. If it runs, it is killed
    /// first.
    ///
    /// # Errors
    /// The server does not start. The error has the end of its output.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        let mut command = self.command()?;
        let process = Process::start(&mut command, self.folder.path().join("apiserver.log"))?;
        let process = self.process.insert(process);
        let start = Instant::now();
        while !is_ready(self.place, self.port) {
            if let Some(status) = process.ended()? {
                bail!("kube-apiserver ended with {status}:\n{}", process.last_words());
            }
            if start.elapsed() > START {
                bail!("kube-apiserver is not ready after {START:?}:\n{}", process.last_words());
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Compacts etcd and restarts the server, whose cache needs the restart. Watches from earlier versions then get a
    /// 410.
    ///
    /// # Errors
    /// etcd returns an error, or the API server does not start again.
    pub fn compact_and_restart(&mut self) -> Result<()> {
        self.kill()?;
        self.etcd.compact(self.place)?;
        self.restart()
    }

    fn certificates(&self) -> PathBuf {
        self.folder.path().join("certificates")
    }

    fn command(&self) -> Result<Command> {
        let folder = self.folder.path();
        let key = folder.join("sa.key");
        let mut command = self.place.command(&self.binary);
        command.args([
            format!("--etcd-servers={}", self.etcd.url()),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.port),
            format!("--cert-dir={}", self.certificates().display()),
            "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            // No controller creates ServiceAccounts here, so pods would wait for theirs forever.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            format!("--token-auth-file={}/tokens.csv", folder.display()),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-signing-key-file={}", key.display()),
            format!("--service-account-key-file={}", key.display()),
        ]);
        Ok(command)
    }
}

fn free_ports() -> Result<[u16; 3]> {
    let mut ports = [0; 3];
    // All ports are held until the last one is allocated, so that they differ.
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
        *port = listener.local_addr().context("a listener's address")?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Returns true if the server is ready. The request needs no credentials.
fn is_ready(place: Place<'_>, port: u16) -> bool {
    let mut curl = place.command(Path::new("curl"));
    let url = format!("https://127.0.0.1:{port}/readyz");
    let answer = curl.args(["--silent", "--insecure", "--max-time", "2", &url]).output();
    answer.is_ok_and(|answer| answer.stdout == b"ok")
}
