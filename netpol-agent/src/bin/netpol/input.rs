//! What the commands have in common: where the policies come from.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use netpol_agent::{
    cluster::{
        ObjectRef,
        manifests::{self, ManifestError, Manifests},
        watch::{Credentials, Forbidden, Listing, WatchError, connect, list},
    },
    declared::DeclaredState,
    model::{FieldPath, ObjectKind},
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

impl Source {
    /// Loads everything that can be loaded.
    pub(crate) fn load(&self) -> Result<DeclaredState> {
        let Self { manifests: paths, kubeconfig, context } = self;
        let manifests = if paths.is_empty() {
            live(&Credentials { kubeconfig: kubeconfig.clone(), context: context.clone() })?
        } else {
            files(paths)?
        };
        Ok(DeclaredState::new(manifests))
    }

    /// Loads everything that can be loaded, and says on standard error what can't.
    pub(crate) fn load_and_report(&self) -> Result<DeclaredState> {
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
