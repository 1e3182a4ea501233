//! The node daemon.

use std::{
    io::IsTerminal as _,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use netpol_agent::{
    cluster::watch::Credentials,
    flow::Limits,
    kernel::{AttachMode, LoadOptions},
    runtime::{self, ApiOptions, HubbleOptions, Options, SourceOptions},
    sink::{Format, hubble::TlsFiles},
};
use tracing_subscriber::EnvFilter;

/// Watches what really happens on this node's pod interfaces, and reports where it differs from what the network
/// policies declare.
#[derive(Parser)]
#[command(name = "netpol-agent", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch this node until SIGTERM or SIGINT.
    Run(Run),
}

#[derive(clap::Args)]
struct Run {
    /// Cluster state from files instead of the Kubernetes API: a folder or file of Kubernetes YAML (Namespaces, Pods
    /// with status.podIPs, policies); may be given several times. Read anew when a file changes.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["kubeconfig", "context"])]
    manifests: Vec<PathBuf>,

    /// The kubeconfig that names the API server. Without it, a pod uses its ServiceAccount; all others, what kubectl
    /// would use.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// A context of the kubeconfig, instead of its current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// Judge nothing by what the API server has not confirmed for so many seconds. A connection that is dead and does
    /// not say so is noticed after 150 seconds, until when what came by it counts as confirmed.
    #[arg(long, value_name = "SECONDS", default_value_t = 300,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    stale_after: u64,

    /// Look every so many seconds for kinds that the API server did not have, such as policies of a CRD.
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    rediscovery_interval: u64,

    /// Tell findings as Kubernetes Events of the pods that they are about. Takes the right to create events in
    /// events.k8s.io.
    #[arg(long, conflicts_with = "manifests")]
    events: bool,

    /// Print each connection and finding on standard output.
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    output: Option<Output>,

    /// Print findings, and no connections (needs --output).
    #[arg(long, requires = "output")]
    findings_only: bool,

    /// Serve /metrics, /healthz and /readyz on this address.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = socket_address)]
    metrics_addr: Option<SocketAddr>,

    /// Serve Hubble's API (gRPC) on this address: without TLS on a loopback one, or everybody can read along.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = socket_address)]
    hubble_addr: Option<SocketAddr>,

    /// Flows to keep for clients of Hubble's API.
    #[arg(long, value_name = "COUNT", default_value_t = 4095, requires = "hubble_addr",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=65_535))]
    hubble_flows: usize,

    /// The certificate for Hubble's API, in PEM; read anew when it changes. Clients then have to show one, too.
    #[arg(long, value_name = "FILE", requires_all = ["hubble_addr", "hubble_tls_key", "hubble_tls_client_ca"])]
    hubble_tls_cert: Option<PathBuf>,

    /// Its private key.
    #[arg(long, value_name = "FILE", requires = "hubble_tls_cert")]
    hubble_tls_key: Option<PathBuf>,

    /// The authorities that clients' certificates have to come from.
    #[arg(long, value_name = "FILE", requires = "hubble_tls_cert")]
    hubble_tls_client_ca: Option<PathBuf>,

    /// Print connections by outcome, and the open findings, at the end (needs --output).
    #[arg(long, requires = "output")]
    summary: bool,

    /// This node's name in the cluster: with it, the pods whose traffic is not seen are counted.
    #[arg(long, env = "NETPOL_NODE", value_name = "NAME")]
    node: Option<String>,

    /// Judge no connection whose verdict changed within so many seconds before it: enforcers take their time.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(..=3600))]
    grace: u64,

    /// Connections remembered at a time.
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().entries,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(64..=4_194_304))]
    max_connections: usize,

    /// Size of the ring buffer between kernel and agent, in KiB: a power of two.
    #[arg(long, value_name = "KIB", default_value_t = LoadOptions::default().ring_bytes / 1024)]
    ring_kib: u32,

    /// How to attach to interfaces.
    #[arg(long, value_enum, default_value_t = Attach::Auto)]
    attach: Attach,

    /// Let the eBPF programs write log lines (level debug).
    #[arg(long)]
    debug_programs: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// Lines for people, in Hubble's compact style.
    Compact,
    /// One JSON object a line.
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
enum Attach {
    /// TCX where the kernel has it (Linux 6.6), else clsact.
    Auto,
    /// TCX, at the head of the chain.
    Tcx,
    /// A clsact filter of the highest priority.
    Clsact,
}

impl Run {
    fn options(self) -> Result<Options> {
        let Self {
            manifests,
            kubeconfig,
            context,
            stale_after,
            rediscovery_interval,
            events,
            output,
            findings_only,
            metrics_addr,
            hubble_addr,
            hubble_flows,
            hubble_tls_cert,
            hubble_tls_key,
            hubble_tls_client_ca,
            summary,
            node,
            grace,
            max_connections,
            ring_kib,
            attach,
            debug_programs,
        } = self;
        if !ring_kib.is_power_of_two() || !(4..=1 << 20).contains(&ring_kib) {
            bail!("--ring-kib {ring_kib}: must be a power of two from 4 to 1048576");
        }
        let source = if manifests.is_empty() {
            SourceOptions::Api(ApiOptions {
                credentials: Credentials { kubeconfig, context },
                stale_after: Duration::from_secs(stale_after),
                rediscovery_interval: Duration::from_secs(rediscovery_interval),
                events,
            })
        } else {
            SourceOptions::Manifests(manifests)
        };
        let tls = match (hubble_tls_cert, hubble_tls_key, hubble_tls_client_ca) {
            (Some(certificate), Some(key), Some(client_ca)) => Some(TlsFiles { certificate, key, client_ca }),
            _ => None,
        };
        Ok(Options {
            source,
            output: output.map(|output| match output {
                Output::Compact => Format::Compact,
                Output::Json => Format::Json,
            }),
            findings_only,
            metrics: metrics_addr,
            hubble: hubble_addr.map(|address| HubbleOptions { address, tls, flows: hubble_flows }),
            summary,
            node,
            grace: Duration::from_secs(grace),
            load: LoadOptions {
                ring_bytes: ring_kib * 1024,
                debug: debug_programs,
                attach_mode: match attach {
                    Attach::Auto => None,
                    Attach::Tcx => Some(AttachMode::Tcx),
                    Attach::Clsact => Some(AttachMode::Clsact),
                },
            },
            limits: Limits { entries: max_connections, ..Limits::default() },
        })
    }
}

/// An IPv6 address may do without its brackets: Kubernetes hands out addresses as they are (`status.hostIP`).
fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let plain = || {
        let (address, port) = text.rsplit_once(':')?;
        Some(SocketAddr::new(address.parse::<IpAddr>().ok()?, port.parse().ok()?))
    };
    text.parse().ok().or_else(plain).ok_or_else(|| "not an IP address, a colon and a port".to_owned())
}

fn main() -> ExitCode {
    let Cli { command: Command::Run(run) } = Cli::parse();
    // What libraries have to say of failures, the agent says in its own words.
    let default = if run.debug_programs {
        "info,kube_client=off,netpol=debug"
    } else {
        "info,kube_client=off,netlink_proto=error"
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_env("NETPOL_LOG").unwrap_or_else(|_| EnvFilter::new(default)))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    match start(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("netpol-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(run: Run) -> Result<()> {
    let options = run.options()?;
    // The pipeline has this thread. Of what waits for others, one worker has little to do; among two, most events from the
    // API would wake both.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?
        .block_on(runtime::run(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_addresses() {
        for (text, address) in [
            ("127.0.0.1:9965", Some("127.0.0.1:9965")),
            ("[::]:9965", Some("[::]:9965")),
            ("fd00::7:9965", Some("[fd00::7]:9965")),
            ("127.0.0.1", None),
            ("fd00::7", None),
            (":9965", None),
            ("node:9965", None),
            ("127.0.0.1:99650", None),
        ] {
            let address = address.map(|address| address.parse().unwrap());
            assert_eq!(socket_address(text).ok(), address, "{text:?}");
        }
    }
}
