//! kube-apiserver as a process.

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

/// How long it may take until the server is ready, on a machine that has much else to do.
const START: Duration = Duration::from_secs(120);

/// Somebody whom the server knows by a token.
#[derive(Clone, Copy, Debug)]
pub struct User {
    /// The name that RBAC rules bind to.
    pub name: &'static str,
    token: &'static str,
    groups: &'static str,
}

/// May do everything.
pub const ADMIN: User = User { name: "admin", token: "admin-token", groups: "system:masters" };

/// The agent's ServiceAccount, `netpol-agent` in the namespace `netpol`: may do what roles give it.
pub const AGENT: User = User {
    name: "system:serviceaccount:netpol:netpol-agent",
    token: "agent-token",
    groups: "system:serviceaccounts,system:serviceaccounts:netpol,system:authenticated",
};

/// A kube-apiserver and its etcd. Both end when this is dropped, or with the thread that started them.
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
    /// Starts one on loopback, and waits until it is ready.
    ///
    /// # Errors
    /// See [`kubernetes::apiserver`]; or a server does not start: what it said last is in the error.
    pub fn start() -> Result<Self> {
        let mut server = Self::prepare(Place::Host)?;
        server.restart()?;
        Ok(server)
    }

    /// Like [`Self::start`], on the loopback of a network namespace.
    ///
    /// # Errors
    /// As there.
    pub fn start_in(namespace: &'a Namespace) -> Result<Self> {
        let mut server = Self::not_yet(namespace)?;
        server.restart()?;
        Ok(server)
    }

    /// All but started, for [`Self::restart`] to start: kubeconfigs can be had already.
    ///
    /// # Errors
    /// As for [`Self::start`].
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

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The port there.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate that it shows, and that is its own authority.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.certificates().join("apiserver.crt")
    }

    /// Writes a kubeconfig for a user; returns its path.
    ///
    /// # Errors
    /// The folder can't be written to.
    pub fn kubeconfig(&self, user: User) -> Result<PathBuf> {
        let path = self.folder.path().join(format!("{}.kubeconfig", user.token));
        let text = kubeconfig(&self.url(), &self.certificate(), user.token);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Kills the API server (SIGKILL); etcd goes on.
    ///
    /// # Errors
    /// It can't be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Starts the API server again on the same data and address, killing it first where it runs; waits until it is ready.
    ///
    /// # Errors
    /// It does not start: what it said last is in the error.
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

    /// Makes the server forget the past: with the restart that its cache needs, watches from before get a 410.
    ///
    /// # Errors
    /// etcd refuses, or the API server does not start again.
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
            // No controller makes ServiceAccounts here, and pods would have to wait for theirs.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            format!("--token-auth-file={}/tokens.csv", folder.display()),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-signing-key-file={}", key.display()),
            format!("--service-account-key-file={}", key.display()),
            // The binary that is built here has no protobuf form for `endPort`.
            "--storage-media-type=application/json".to_owned(),
        ]);
        if minor_version(&self.binary)? < 23 {
            command.arg("--feature-gates=IPv6DualStack=true");
        }
        Ok(command)
    }
}

fn free_ports() -> Result<[u16; 3]> {
    let mut ports = [0; 3];
    // All are held until the last is known, so that they differ.
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
        *port = listener.local_addr().context("a listener's address")?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Anybody may ask.
fn is_ready(place: Place<'_>, port: u16) -> bool {
    let mut curl = place.command(Path::new("curl"));
    let url = format!("https://127.0.0.1:{port}/readyz");
    let answer = curl.args(["--silent", "--insecure", "--max-time", "2", &url]).output();
    answer.is_ok_and(|answer| answer.stdout == b"ok")
}

/// The 20 of `Kubernetes v1.20.2`.
fn minor_version(binary: &Path) -> Result<u32> {
    let output = Command::new(binary).arg("--version").output();
    let output = output.with_context(|| format!("starting {}", binary.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let minor = text.split('.').nth(1).and_then(|minor| minor.parse().ok());
    minor.with_context(|| format!("{} --version tells no version: {text}", binary.display()))
}
