//! Who may talk to a node's API server, and how they prove who they are.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{command, kubernetes::kubeconfig};

/// A kubeconfig's name, and the user and the group that it speaks for.
const USERS: [[&str; 3]; 5] = [
    ["admin", "admin", "system:masters"],
    ["kube-controller-manager", "system:kube-controller-manager", ""],
    ["kube-proxy", "system:kube-proxy", ""],
    ["kube-scheduler", "system:kube-scheduler", ""],
    // The node's name is part of it.
    ["kubelet", "system:node:netpol-node", "system:nodes"],
];

/// Files in a node's folder. The tokens and the key are made anew for each node.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    folder: PathBuf,
}

impl Credentials {
    /// Those in `folder`, which [`Self::make`] has made.
    pub(super) fn of(folder: &Path) -> Self {
        Self { folder: folder.join("credentials") }
    }

    /// Makes all files, for an API server at `url`.
    pub(super) fn make(&self, url: &str) -> Result<()> {
        fs::create_dir_all(&self.folder).with_context(|| format!("making {}", self.folder.display()))?;
        let write = |path: &Path, text: &str| {
            fs::write(path, text).with_context(|| format!("writing {}", path.display()))
        };
        let mut tokens = String::new();
        for [name, user, group] in USERS {
            let token = token()?;
            let text = kubeconfig(url, &self.serving().join("apiserver.crt"), &token);
            write(&self.kubeconfig(name), &text)?;
            tokens += &format!("{token},{user},{user},\"{group}\"\n");
        }
        write(&self.tokens(), &tokens)?;
        let request =
            ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=netpol"];
        let mut openssl = command::command("openssl");
        openssl.args(request).arg("-keyout").arg(self.key()).arg("-out").arg(self.certificate());
        command::output(&mut openssl, "").map(drop)
    }

    /// A kubeconfig by its name, such as `admin`.
    pub(super) fn kubeconfig(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.kubeconfig"))
    }

    /// Users by token, as the API server reads them.
    pub(super) fn tokens(&self) -> PathBuf {
        self.folder.join("tokens.csv")
    }

    /// The key that ServiceAccounts' tokens are signed with, and that the API server proves itself with to kubelet.
    pub(super) fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// What belongs to the key; it vouches for itself.
    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// A folder for what the API server makes to prove itself to clients.
    pub(super) fn serving(&self) -> PathBuf {
        self.folder.join("serving")
    }
}

/// 128 random bits, in hexadecimal.
fn token() -> Result<String> {
    let mut bytes = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.context("reading /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
