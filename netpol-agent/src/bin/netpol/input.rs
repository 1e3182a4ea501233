//! What the commands have in common: where the policies come from.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use netpol_agent::{
    cluster::{
        ObjectRef,
        manifests::{self, Completeness, ManifestError, ManifestFile, Manifests},
        watch::{Credentials, Forbidden, Listing, WatchError, connect, list},
    },
    declared::DeclaredState,
    model::{FieldPath, ObjectKind},
};

use crate::print::say;

/// Where the declared state comes from.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// Read this file or folder of Kubernetes manifests (YAML, JSON, JSON lines, also with gzip), or `-` for standard input,
    /// instead of the live cluster. Can be repeated. Workloads count as their pods. Other files in folders are skipped.
    #[arg(long, short = 'f', alias = "filename", value_name = "PATH", conflicts_with_all = ["kubeconfig", "context"])]
    manifests: Vec<PathBuf>,

    /// List what is skipped because network policies do not depend on it.
    #[arg(long, short)]
    verbose: bool,

    /// The kubeconfig file of the live cluster. Default: the file that kubectl uses.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig. Default: the current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl Source {
    /// Loads everything that can be loaded.
    pub(crate) fn load(&self) -> Result<DeclaredState> {
        let Self { manifests: paths, verbose: _, kubeconfig, context } = self;
        let manifests = if paths.is_empty() {
            live(&Credentials { kubeconfig: kubeconfig.clone(), context: context.clone() })?
        } else {
            files(paths)?
        };
        Ok(DeclaredState::new(manifests))
    }

    /// Loads everything that can be loaded, and says on standard error what can't, what is there twice and what is passed
    /// over.
    pub(crate) fn load_and_report(&self) -> Result<DeclaredState> {
        let state = self.load()?;
        for error in &state.manifests.errors {
            say(format_args!("netpol: {error}"));
        }
        if !state.manifests.errors.is_empty() {
            let n = state.manifests.errors.len();
            say(format_args!("netpol: {n} of the objects could not be loaded; what follows is without them"));
        }
        for word in &state.manifests.booleans {
            say(format_args!("netpol: {word}"));
        }
        for duplicate in &state.manifests.duplicates {
            say(format_args!("netpol: {duplicate}"));
        }
        self.report_passed_over(&state);
        Ok(state)
    }

    /// Says in one line how much was passed over, or, if asked, what.
    pub(crate) fn report_passed_over(&self, state: &DeclaredState) {
        let notes = &state.manifests.notes;
        if self.verbose {
            for note in notes {
                say(format_args!("netpol: passed over {note}"));
            }
        } else if !notes.is_empty() {
            let n = notes.len();
            say(format_args!("netpol: passed over what is no input of network policy: {n} (-v lists it)"));
        }
    }

    /// Whether the manifests come from standard input.
    pub(crate) fn reads_stdin(&self) -> bool {
        self.manifests.iter().any(|path| path == Path::new("-"))
    }
}

fn files(paths: &[PathBuf]) -> Result<Manifests> {
    let (stdin, paths): (Vec<PathBuf>, Vec<PathBuf>) =
        paths.iter().cloned().partition(|path| path == Path::new("-"));
    let mut files = manifests::sources(&paths)?;
    if !stdin.is_empty() {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes);
        let file = read.and_then(|_| ManifestFile::new("-", bytes));
        files.push(file.context("can't read manifests from standard input")?);
    }
    let manifests = manifests::read(&files);
    if manifests.objects.is_empty() && manifests.errors.is_empty() {
        let names: Vec<String> = paths.iter().chain(&stdin).map(|path| path.display().to_string()).collect();
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
        say(format_args!(
            "netpol: no {} from the cluster: {why}; what follows is without them",
            kind.plural()
        ));
    }
    let mut manifests = Manifests::default();
    manifests.objects = objects;
    manifests.completeness = Completeness::Whole;
    manifests.errors = unreadable.into_iter().map(|(object, reason)| unread(&object, reason)).collect();
    Ok(manifests)
}

fn unread(object: &ObjectRef, reason: String) -> ManifestError {
    let (object, path) = (Some(object.to_string()), FieldPath::default());
    ManifestError { file: "the cluster".into(), line: 0, object, path, reason }
}
