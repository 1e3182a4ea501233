//! The users of a cluster's API server, and their tokens, keys and kubeconfigs.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::node;
use crate::{command, kubernetes::kubeconfig};

/// The kubeconfigs of the control plane: each name, with its user and group.
const USERS: [[&str; 3]; 5] = [
    ["admin", "admin", "system:masters"],
    ["kube-controller-manager", "system:kube-controller-manager", ""],
    ["kube-proxy", "system:kube-proxy", ""],
    ["kube-scheduler", "system:kube-scheduler", ""],
    // Network plugins have rights of many kinds.
    ["plugin", "plugin", "system:masters"],
];

/// The credential files in a cluster's folder. Each cluster has new tokens and a new key.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    folder: PathBuf,
}

impl Credentials {
    /// The files in `folder`, which [`Self::make`] has created.
    pub(super) fn of(folder: &Path) -> Self {
        Self { folder: folder.join("credentials") }
    }

    /// Creates all files, for an API server at `url` and kubelets of `nodes` nodes.
    pub(super) fn make(&self, url: &str, nodes: usize) -> Result<()> {
        fs::create_dir_all(&self.folder).with_context(|| format!("making {}", self.folder.display()))?;
        let write = |path: &Path, text: &str| {
            fs::write(path, text).with_context(|| format!("writing {}", path.display()))
        };
        let mut tokens = String::new();
        let users = USERS.map(|user| user.map(str::to_owned)).into_iter().chain((1..=nodes).map(kubelet));
        for [name, user, group] in users {
            let token = token()?;
            let text = kubeconfig(url, &self.serving().join("apiserver.crt"), &token);
            write(&self.kubeconfig(&name), &text)?;
            tokens += &format!("{token},{user},{user},\"{group}\"\n");
        }
        write(&self.tokens(), &tokens)?;
        let request =
            ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=netpol"];
        let mut openssl = command::command("openssl");
        openssl.args(request).arg("-keyout").arg(self.key()).arg("-out").arg(self.certificate());
        command::output(&mut openssl, "").map(drop)
    }

    /// The path of a kubeconfig by its name, such as `admin`; a kubelet's has the name of its node.
    pub(super) fn kubeconfig(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.kubeconfig"))
    }

    /// The token of a user.
    ///
    /// # Errors
    /// There is no such user.
    pub(super) fn token(&self, user: &str) -> Result<String> {
        let path = self.tokens();
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let token = text
            .lines()
            .filter_map(|line| line.split_once(','))
            .find_map(|(token, rest)| rest.strip_prefix(user)?.starts_with(',').then(|| token.to_owned()));
        token.with_context(|| format!("{} has no user {user}", path.display()))
    }

    /// The file of tokens and users for the API server.
    pub(super) fn tokens(&self) -> PathBuf {
        self.folder.join("tokens.csv")
    }

    /// The key that signs ServiceAccounts' tokens. The API server also uses it as its client key for the kubelet.
    pub(super) fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// The self-signed certificate of the key.
    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// The folder for the API server's self-signed serving certificate.
    pub(super) fn serving(&self) -> PathBuf {
        self.folder.join("serving")
    }
}

/// The kubeconfig of a node's kubelet.
fn kubelet(number: usize) -> [String; 3] {
    let name = node::name(number);
    [name.clone(), format!("system:node:{name}"), "system:nodes".to_owned()]
}

/// 128 random bits, in hexadecimal.
fn token() -> Result<String> {
    let mut bytes = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.context("reading /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
