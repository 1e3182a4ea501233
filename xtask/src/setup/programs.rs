//! Programs that come with a distribution.

use anyhow::{Result, bail};
use netpol_testkit::{cluster::Plugin, go::Module};

use super::{debian, found, missing};
use crate::tool;

struct Program {
    /// On `PATH`, or with its path.
    name: &'static str,
    /// Debian's package.
    package: &'static str,
    why: &'static str,
    /// A service that the package starts, and that nobody asked for.
    service: Option<&'static str>,
}

const PROGRAMS: [Program; 19] = [
    program("git", "git", "lists the files that `tidy` checks"),
    program("ip", "iproute2", "makes the lab's interfaces and routes"),
    program("tc", "iproute2", "puts other programs' filters in the agent's way, in tests"),
    program("nft", "nftables", "is the packet filter that enforces policies in the lab"),
    program("nsenter", "util-linux", "starts programs inside the lab"),
    program("bpftool", "bpftool", "shows which programs are attached, and what they cost"),
    program("iperf3", "iperf3", "measures throughput"),
    program("openssl", "openssl", "makes the keys of the tests' API servers"),
    program("buildah", "buildah", "builds the agent's image"),
    program("capsh", "libcap2-bin", "starts the agent with the capabilities of its container, in tests"),
    program("tar", "tar", "unpacks the image, in tests"),
    program("unzip", "unzip", "unpacks Helm"),
    program("curl", "curl", "asks the tests' API server whether it is ready"),
    program("runc", "runc", "starts containers for containerd"),
    program(
        "/usr/lib/cni/ptp",
        "containernetworking-plugins",
        "wires the pods of the tests' Kubernetes cluster",
    ),
    program("/bin/busybox", "busybox-static", "is what runs in those pods"),
    program("iptables", "iptables", "is what kube-proxy and kubelet set up Services with"),
    program("conntrack", "conntrack", "is how kube-proxy forgets the connections of Services that changed"),
    Program {
        service: Some("prometheus"),
        ..program("promtool", "prometheus", "checks metrics and alert rules")
    },
];

/// What flannel is built with.
const FLANNEL: [Program; 1] = [program("gcc", "gcc", "compiles the part of flannel that is in C")];

/// What kube-router calls.
const KUBE_ROUTER: [Program; 1] =
    [program("ipset", "ipset", "keeps the addresses that kube-router's rules are about")];

/// What Cilium compiles its programs with.
const CILIUM: [Program; 1] =
    [program("/usr/lib/llvm-22/bin/clang", "clang-22", "compiles Cilium's eBPF programs on the node")];

const VIRTUAL_MACHINE: [Program; 3] = [
    program("qemu-system-x86_64", "qemu-system-x86", "is the machine that another kernel runs in"),
    program("modprobe", "kmod", "finds that kernel's modules"),
    program("cpio", "cpio", "packs what the machine starts from"),
];

const fn program(name: &'static str, package: &'static str, why: &'static str) -> Program {
    Program { name, package, why, service: None }
}

/// Installs those that are missing, all at once.
pub(super) fn install() -> Result<()> {
    install_all(&PROGRAMS)
}

/// The same for what a virtual machine needs.
pub(super) fn install_virtual_machine() -> Result<()> {
    install_all(&VIRTUAL_MACHINE)
}

/// The same for what these network plugins need.
pub(super) fn install_networks(plugins: &[Plugin]) -> Result<()> {
    let needs = |module: Module| plugins.iter().any(|plugin| plugin.modules().contains(&module));
    for (module, programs) in
        [(Module::Flannel, FLANNEL), (Module::KubeRouter, KUBE_ROUTER), (Module::Cilium, CILIUM)]
    {
        if needs(module) {
            install_all(&programs)?;
        }
    }
    Ok(())
}

fn install_all(programs: &[Program]) -> Result<()> {
    let absent: Vec<_> = programs.iter().filter(|program| tool::find(program.name).is_none()).collect();
    let present: Vec<_> =
        programs.iter().map(|program| program.name).filter(|name| tool::find(name).is_some()).collect();
    found("programs", &present.join(", "));
    if absent.is_empty() {
        return Ok(());
    }
    for program in &absent {
        missing(program.name, program.why);
    }
    if !debian::is_here() {
        let names: Vec<_> = absent.iter().map(|program| program.name).collect();
        bail!("install {} with this system's package manager; `setup` knows only Debian's", names.join(", "));
    }
    let mut packages: Vec<_> = absent.iter().map(|program| program.package).collect();
    packages.dedup();
    debian::install(&packages, "programs for building and testing")?;
    absent.iter().filter_map(|program| program.service).for_each(debian::stop_service);
    match absent.iter().find(|program| tool::find(program.name).is_none()) {
        Some(program) => bail!("Debian's package {} came without `{}`", program.package, program.name),
        None => Ok(()),
    }
}
