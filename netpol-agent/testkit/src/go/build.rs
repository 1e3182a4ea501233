//! How a Go module's programs are built.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::{compiler::Go, module::Module};
use crate::command;

/// The number of lines of Go's output in an error.
const LAST_WORDS: usize = 15;

/// A build of a module's programs.
pub(super) struct Build<'a> {
    pub(super) module: Module,
    pub(super) go: &'a Go,
    /// A folder for the module, which is made.
    pub(super) work: &'a Path,
    /// A file for Go's output.
    pub(super) log: &'a Path,
}

impl Build<'_> {
    /// Builds all programs into `folder`, which is made.
    pub(super) fn into(self, folder: &Path) -> Result<()> {
        for folder in [self.work, folder] {
            if folder.exists() {
                fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
            }
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        for (name, text) in self.module.files() {
            let path = self.work.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        File::create(self.log).with_context(|| format!("creating {}", self.log.display()))?;
        let [(_, module), _] = self.module.files();
        let mut build = self.go_command();
        build.args(["build", "-trimpath", "-ldflags", &self.linker_flags(module)?, "-o"]);
        // With a slash at its end, it is a folder for all tools of the module.
        self.run(build.arg(folder.join("")).arg("tool"))?;
        self.finish(folder)
    }

    /// Names and files that Go does not make by itself.
    fn finish(&self, folder: &Path) -> Result<()> {
        let renamed: &[(&str, &str)] = match self.module {
            Module::Etcd => &[("server", "etcd")],
            // The CNI configuration names the type `flannel`, and the daemon has this name, too.
            Module::Flannel => &[("flannel", "flanneld")],
            Module::KubeNetworkPolicies => &[("cmd", "kube-network-policies")],
            Module::Cilium => &[("daemon", "cilium-agent"), ("operator", "cilium-operator")],
            _ => &[],
        };
        for (from, to) in renamed {
            let path = folder.join(from);
            fs::rename(&path, folder.join(to)).with_context(|| format!("renaming {}", path.display()))?;
        }
        if self.module == Module::Cilium {
            // Cilium's agent compiles these on the node.
            let find = ["list", "-m", "-f", "{{.Dir}}", "github.com/cilium/cilium"];
            let source = command::output(self.go_command().args(find), "")?;
            let mut copy = command::command("cp");
            copy.args(["--recursive", "--no-preserve=mode"]);
            self.run(copy.arg(Path::new(source.trim()).join("bpf")).arg(folder))?;
        }
        Ok(())
    }

    /// A Go module that is not built in its own repository does not know its version.
    fn linker_flags(&self, module: &str) -> Result<String> {
        let mut flags = "-s -w".to_owned();
        if self.module == Module::Kubernetes {
            let version = version(module, "k8s.io/kubernetes").context("the version of Kubernetes")?;
            let mut numbers = version.trim_start_matches('v').split('.');
            let [major, minor] = [(); 2].map(|()| numbers.next().unwrap_or_default());
            for (name, value) in
                [("Version", version), ("Major", major), ("Minor", minor), ("TreeState", "archive")]
            {
                flags += &format!(" -X k8s.io/component-base/version.git{name}={value}");
            }
        }
        Ok(flags)
    }

    fn go_command(&self) -> Command {
        let mut go = command::command(self.go.path());
        go.current_dir(self.work);
        // The module's own files decide, and not the user's settings.
        go.envs([("GOFLAGS", "-mod=readonly"), ("GOWORK", "off")]);
        // flannel has a part in C.
        go.env("CGO_ENABLED", if self.module == Module::Flannel { "1" } else { "0" });
        go
    }

    fn run(&self, command: &mut Command) -> Result<()> {
        let open = || File::options().append(true).open(self.log).context("opening the log");
        let status = command.stdin(Stdio::null()).stdout(open()?).stderr(open()?).status();
        let name = command.get_program().display().to_string();
        let status = status.with_context(|| format!("starting `{name}`"))?;
        if status.success() {
            return Ok(());
        }
        let text = fs::read_to_string(self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LAST_WORDS)..).unwrap_or_default().join("\n");
        bail!("`{name}` ended with {status}; the last lines of {}:\n{last}", self.log.display())
    }
}

/// The version of a module that a `go.mod` requires.
pub(super) fn version<'a>(text: &'a str, module: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix("require ")?.strip_prefix(module))?;
    Some(line.trim())
}
