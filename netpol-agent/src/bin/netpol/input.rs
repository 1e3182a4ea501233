//! What the commands have in common: where the policies come from, and the ends of connections.

use std::{net::IpAddr, path::PathBuf, str::FromStr, sync::Arc};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use netpol_agent::{
    cluster::{
        ObjectRef, Snapshot,
        manifests::{self, ManifestError, Manifests},
        watch::{Credentials, Forbidden, Listing, WatchError, connect, list},
    },
    model::{FieldPath, ObjectKind, PolicyRef},
    policy::{ConnectionPeer, Engine},
};

/// Where the declared state comes from.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// A file or folder of Kubernetes manifests (YAML or JSON), instead of the live cluster; may be given more than once.
    #[arg(long, short = 'f', value_name = "PATH", conflicts_with_all = ["kubeconfig", "context"])]
    manifests: Vec<PathBuf>,

    /// The kubeconfig that names the live cluster; without it, the one that kubectl would use.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// A context of the kubeconfig, instead of its current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// The declared state, and where it is written.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) manifests: Manifests,
    pub(crate) engine: Arc<Engine>,
}

impl Source {
    /// Loads everything that can be loaded.
    pub(crate) fn load(&self) -> Result<State> {
        let Self { manifests: paths, kubeconfig, context } = self;
        let manifests = if paths.is_empty() {
            live(&Credentials { kubeconfig: kubeconfig.clone(), context: context.clone() })?
        } else {
            files(paths)?
        };
        let engine = Engine::compile(&manifests.snapshot());
        Ok(State { manifests, engine })
    }

    /// Loads everything that can be loaded, and says on standard error what can't.
    pub(crate) fn load_and_report(&self) -> Result<State> {
        let state = self.load()?;
        for error in &state.manifests.errors {
            eprintln!("netpol: {error}");
        }
        if !state.manifests.errors.is_empty() {
            let n = state.manifests.errors.len();
            eprintln!("netpol: {n} of the objects could not be loaded; what follows is without them");
        }
        Ok(state)
    }
}

fn files(paths: &[PathBuf]) -> Result<Manifests> {
    let manifests = manifests::load(paths)?;
    if manifests.objects.is_empty() && manifests.errors.is_empty() {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        bail!(
            "no Kubernetes object in {}: name files or folders with *.yaml, *.yml or *.json",
            names.join(", ")
        );
    }
    Ok(manifests)
}

/// The objects of a cluster, as if they were written somewhere.
fn live(credentials: &Credentials) -> Result<Manifests> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let Listing { objects, unreadable, troubles } =
        runtime.block_on(async { anyhow::Ok(list(&connect(credentials).await?).await) })?;
    for (kind, trouble) in troubles {
        let why = match trouble {
            WatchError::Forbidden(Forbidden { verb, resource, .. }) => {
                format!("you may not {verb} {resource}")
            }
            trouble => trouble.to_string(),
        };
        // Without these, every answer would be a guess.
        if kind.is_essential() || kind == ObjectKind::Namespace {
            bail!("no {} from the cluster: {why} (for manifests in files, use --manifests)", kind.plural());
        }
        eprintln!("netpol: no {} from the cluster: {why}; what follows is without them", kind.plural());
    }
    let mut manifests = Manifests::default();
    manifests.objects = objects;
    manifests.errors = unreadable.into_iter().map(|(object, reason)| unread(&object, reason)).collect();
    Ok(manifests)
}

fn unread(object: &ObjectRef, reason: String) -> ManifestError {
    let (object, path) = (Some(object.to_string()), FieldPath::default());
    ManifestError { file: "the cluster".into(), line: 0, object, path, reason }
}

impl State {
    pub(crate) fn snapshot(&self) -> &Snapshot {
        self.engine.snapshot()
    }

    /// `file:line` of a field of a policy.
    pub(crate) fn place(&self, policy: &PolicyRef, path: &FieldPath) -> Option<String> {
        let origin = self.manifests.origin(&ObjectRef::Policy(policy.clone()))?;
        Some(format!("{}:{}", origin.file, origin.line_of(path)))
    }
}

/// An end of a connection as the user names it.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Pod(String),
    Ip(IpAddr),
}

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ip) = text.trim_matches(['[', ']']).parse() {
            return Ok(Self::Ip(ip));
        }
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self::Pod(text.to_owned()))
            }
            _ => Err("name a pod as NAMESPACE/NAME, or give an IP address".to_owned()),
        }
    }
}

impl End {
    pub(crate) fn find<'a>(&self, snapshot: &'a Snapshot) -> Result<ConnectionPeer<'a>> {
        match self {
            Self::Ip(ip) => Ok(ConnectionPeer::Ip(*ip)),
            Self::Pod(key) => {
                snapshot.pod(key).map(ConnectionPeer::Pod).with_context(|| unknown_pod(key, snapshot))
            }
        }
    }
}

fn unknown_pod(key: &str, snapshot: &Snapshot) -> String {
    let nearest = snapshot.pods().map(|pod| (distance(key, &pod.key), &pod.key)).min();
    match nearest {
        Some((distance, nearest)) if distance <= 1 + key.len() / 3 => {
            format!("there is no pod {key:?}; did you mean {nearest}?")
        }
        Some(_) => format!("there is no pod {key:?}"),
        None => format!(
            "there is no pod {key:?}, and no other either (add Pod objects to the manifests, or use addresses)"
        ),
    }
}

/// How many letters have to change to make one word of the other.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = changed.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
