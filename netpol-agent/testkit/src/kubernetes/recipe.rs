//! How Kubernetes is built from what Debian has: Debian 12's `kubernetes` source, with Debian's Go. Nothing is
//! installed, and nothing comes from anywhere else.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    hash::Hasher as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use fnv::FnvHasher;

const RECIPE: &str = include_str!("recipe.rs");
const PATCH: &str = include_str!("../../kubernetes/endport.patch");

/// The programs of a whole node, and the one to talk to it.
const PROGRAMS: [&str; 6] =
    ["kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet"];

/// Clouds are none of our business, and containerd runs the containers.
const TAGS: &str = "providerless dockerless";

/// The version that the programs tell: the source's own, which a build from an archive does not know.
const VERSION: [(&str, &str); 4] =
    [("gitVersion", "v1.20.2"), ("gitMajor", "1"), ("gitMinor", "20"), ("gitTreeState", "archive")];

/// Go packages that keep the version.
const VERSIONED: [&str; 2] = ["component-base/version", "client-go/pkg/version"];

/// Changes with every word of the recipe (FNV-1a, 64 bits).
pub(super) fn hash() -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(RECIPE.as_bytes());
    hasher.write(PATCH.as_bytes());
    hasher.finish()
}

/// Builds all [`PROGRAMS`] into the folder `programs`; what is there of an attempt before is made anew. Works in the
/// folder `work`, and writes all output of the tools to `log`.
///
/// # Errors
/// This is not Debian, its archive can't be reached, or a tool fails; the error has the last lines of its output.
pub(super) fn build(work: &Path, programs: &Path, log: &Path) -> Result<()> {
    for folder in [work, programs] {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
        }
    }
    fs::create_dir_all(programs).with_context(|| format!("making {}", programs.display()))?;
    let build = KubernetesBuild { work: work.to_owned(), log: log.to_owned() };
    File::create(log).with_context(|| format!("creating {}", log.display()))?;
    build.packages()?;
    let source = build.source()?;
    build.patch(&source)?;
    build.generate(&source)?;
    build.compile(&source, programs)
}

struct KubernetesBuild {
    work: PathBuf,
    log: PathBuf,
}

impl KubernetesBuild {
    /// Gets Debian's Go and sources; the system's own package state is left alone.
    fn packages(&self) -> Result<()> {
        let sources = Path::new("/etc/apt/sources.list.d/debian.sources");
        let text = fs::read_to_string(sources)
            .with_context(|| format!("{} (of Debian 12) names the mirror", sources.display()))?;
        let debs = self.work.join("debs");
        for folder in
            ["debs", "tool", "parts", "lists/partial", "cache/archives/partial", "gopath/src/k8s.io"]
        {
            let folder = self.work.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let both: String = text
            .lines()
            .map(|line| {
                if line.starts_with("Types:") {
                    "Types: deb deb-src\n".to_owned()
                } else {
                    format!("{line}\n")
                }
            })
            .collect();
        fs::write(self.work.join("parts/both.sources"), both).context("writing the list of sources")?;
        self.run(self.apt().arg("update"))?;
        let wanted = ["golang-1.19-go", "golang-1.19-src", "golang-github-modern-go-reflect2-dev"];
        self.run(self.apt().arg("download").args(wanted).current_dir(&debs))?;
        self.run(self.apt().args(["source", "--download-only", "kubernetes"]))?;
        for deb in entries(&debs)? {
            self.run(self.command("dpkg-deb").arg("-x").args([&deb, &self.work.join("tool")]))?;
        }
        Ok(())
    }

    /// Unpacks the source where Go looks for it.
    fn source(&self) -> Result<PathBuf> {
        let files = entries(&self.work)?;
        let archive = files.iter().find(|path| path.to_string_lossy().ends_with(".orig.tar.gz"));
        let archive = archive.context("Debian's `kubernetes` came without an .orig.tar.gz")?;
        self.run(self.command("tar").arg("xzf").arg(archive))?;
        let unpacked = entries(&self.work)?;
        let name = |path: &&PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kubernetes-"))
        };
        let source = unpacked.iter().find(name).context("the archive has no folder kubernetes-*")?;
        ensure!(
            source.ends_with("kubernetes-1.20.2"),
            "Debian's `kubernetes` is {} here, and only 1.20.2 (Debian 12) is known to build",
            source.display()
        );
        let place = self.work.join("gopath/src/k8s.io/kubernetes");
        symlink(source, &place).with_context(|| format!("linking {}", place.display()))?;
        Ok(place)
    }

    fn patch(&self, source: &Path) -> Result<()> {
        // The vendored reflect2 1.0.1 does not build with Go 1.18 and later; Debian has 1.0.2.
        let vendored = source.join("vendor/github.com/modern-go/reflect2");
        fs::remove_dir_all(&vendored).with_context(|| format!("removing {}", vendored.display()))?;
        let packaged = self.work.join("tool/usr/share/gocode/src/github.com/modern-go/reflect2");
        self.run(self.command("cp").arg("-rL").args([&packaged, &vendored]))?;
        let patch = self.work.join("endport.patch");
        fs::write(&patch, PATCH).with_context(|| format!("writing {}", patch.display()))?;
        self.run(self.command("git").args(["apply", "--unidiff-zero"]).arg(&patch).current_dir(source))
    }

    /// Makes the one generated file that the archive lacks: the API's OpenAPI description.
    fn generate(&self, source: &Path) -> Result<()> {
        let generator = self.work.join("openapi-gen");
        let mut build = self.go(source);
        self.run(
            build.arg("build").arg("-o").arg(&generator).arg("./vendor/k8s.io/kube-openapi/cmd/openapi-gen"),
        )?;
        let mut folders = BTreeSet::new();
        for root in ["pkg", "cmd", "plugin", "staging/src/k8s.io"] {
            described(&source.join(root), &mut folders)?;
        }
        let packages = folders.iter().filter_map(|folder| folder.strip_prefix(source).ok()).map(|folder| {
            let folder = folder.to_string_lossy();
            let folder = folder
                .strip_prefix("staging/src/")
                .map_or_else(|| folder.to_string(), |rest| format!("vendor/{rest}"));
            format!("k8s.io/kubernetes/{folder}")
        });
        let packages: Vec<_> = packages.collect();
        let mut generate = self.with_go(Command::new(&generator), source);
        self.run(
            generate
                .args(["--v", "0", "--logtostderr", "-i", &packages.join(",")])
                .args(["-p", "k8s.io/kubernetes/pkg/generated/openapi", "-O", "zz_generated.openapi"])
                .args(["-h", "vendor/k8s.io/code-generator/hack/boilerplate.go.txt", "-r"])
                .arg(self.work.join("violations.report")),
        )
    }

    /// All at once: they have most of their packages in common.
    fn compile(&self, source: &Path, programs: &Path) -> Result<()> {
        let mut flags = "-s -w".to_owned();
        for package in VERSIONED {
            for (name, value) in VERSION {
                flags += &format!(" -X k8s.io/kubernetes/vendor/k8s.io/{package}.{name}={value}");
            }
        }
        let mut build = self.go(source);
        // With a slash at its end, it is a folder for all of them.
        let build = build
            .args(["build", "-tags", TAGS, "-trimpath", "-ldflags", &flags, "-o"])
            .arg(programs.join(""));
        self.run(build.args(PROGRAMS.map(|program| format!("./cmd/{program}"))))
    }

    fn apt(&self) -> Command {
        let mut apt = self.command("apt-get");
        let work = self.work.display();
        for option in [
            "Dir::Etc::sourcelist=/dev/null".to_owned(),
            format!("Dir::Etc::sourceparts={work}/parts"),
            format!("Dir::State::lists={work}/lists"),
            format!("Dir::Cache={work}/cache"),
            "APT::Sandbox::User=root".to_owned(),
        ] {
            apt.args(["-o", &option]);
        }
        apt
    }

    fn go(&self, source: &Path) -> Command {
        self.with_go(Command::new(self.work.join("tool/usr/lib/go-1.19/bin/go")), source)
    }

    /// In the way of before Go's modules, in which nothing is fetched.
    fn with_go(&self, mut command: Command, source: &Path) -> Command {
        command
            .current_dir(source)
            .env("GOROOT", self.work.join("tool/usr/lib/go-1.19"))
            .env("GOPATH", self.work.join("gopath"))
            .env("GOCACHE", self.work.join("gocache"))
            .env("PWD", source)
            .envs([("GO111MODULE", "off"), ("GOPROXY", "off"), ("GOFLAGS", ""), ("CGO_ENABLED", "0")]);
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.work);
        command
    }

    fn run(&self, command: &mut Command) -> Result<()> {
        let name = command.get_program().to_string_lossy().into_owned();
        let open = || File::options().append(true).open(&self.log);
        let (out, err) = (open().context("opening the log")?, open().context("opening the log")?);
        let status = command.stdin(Stdio::null()).stdout(out).stderr(err).status();
        let status = status.with_context(|| format!("starting `{name}`"))?;
        if status.success() {
            return Ok(());
        }
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n");
        bail!("`{name}` ended with {status}; the last lines of {}:\n{last}", self.log.display())
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("listing {}", folder.display());
    let entries = fs::read_dir(folder).with_context(context)?;
    entries.map(|entry| Ok(entry.with_context(context)?.path())).collect()
}

/// The folders with a Go file that asks for an OpenAPI description.
fn described(folder: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            // Samples and the generator's own tests are in no binary.
            if !["testdata", "code-generator", "sample-apiserver"].contains(&name.as_str()) {
                described(&path, found)?;
            }
        } else if name.ends_with(".go") && !name.ends_with("_test.go") && !found.contains(folder) {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            if text.contains("+k8s:openapi-gen=") {
                found.insert(folder.to_owned());
            }
        }
    }
    Ok(())
}
