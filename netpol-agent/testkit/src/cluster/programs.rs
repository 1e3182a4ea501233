//! The programs of a cluster.

use std::{env, ffi::OsString, path::PathBuf};

use anyhow::Result;

use super::Plugin;
use crate::{command, go::Module, kubernetes};

/// Where the programs of a cluster are.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    /// The folder with Kubernetes' programs.
    pub(super) kubernetes: PathBuf,
    containerd: PathBuf,
    pub(super) etcd: PathBuf,
    /// The folders of the modules of which the network plugin consists.
    plugin: Vec<(Module, PathBuf)>,
}

impl Programs {
    /// Finds or builds all of them.
    pub(super) fn of(plugin: Plugin) -> Result<Self> {
        let built = |module: &Module| Ok((*module, module.built()?));
        Ok(Self {
            kubernetes: Module::Kubernetes.built()?,
            containerd: Module::Containerd.built()?,
            etcd: kubernetes::etcd()?,
            plugin: plugin.modules().iter().map(built).collect::<Result<_>>()?,
        })
    }

    /// The path of a program of the network plugin.
    pub(super) fn of_plugin(&self, module: Module, program: &str) -> PathBuf {
        let folder = self.plugin.iter().find(|(built, _)| *built == module);
        folder.map_or_else(|| PathBuf::from(program), |(_, folder)| folder.join(program))
    }

    /// The folders with CNI plugins.
    pub(super) fn cni(&self) -> Vec<PathBuf> {
        let own = self.plugin.iter().map(|(_, folder)| folder.clone());
        own.chain([PathBuf::from("/usr/lib/cni")]).collect()
    }

    /// The value of `PATH` for programs inside a node.
    pub(super) fn path(&self) -> OsString {
        let machine = command::path();
        let own = [&self.kubernetes, &self.containerd].map(Clone::clone);
        let folders = own.into_iter().chain(env::split_paths(&machine));
        env::join_paths(folders).unwrap_or(machine)
    }
}
