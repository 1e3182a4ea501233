//! The node daemon.

use std::{io::IsTerminal as _, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use netpol_agent::{
    flow::Limits,
    kernel::{AttachMode, LoadOptions},
    runtime::{self, Options},
    sink::Format,
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
    /// Cluster state: a folder or file of Kubernetes YAML (Namespaces, Pods with status.podIPs, policies); may be
    /// given several times. Read anew when a file changes.
    #[arg(long, value_name = "PATH", required = true)]
    manifests: Vec<PathBuf>,

    /// Print each connection and finding on standard output.
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    output: Option<Output>,

    /// Serve /metrics, /healthz and /readyz on this address.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_addr: Option<SocketAddr>,

    /// Print connections by outcome, and the open findings, at the end (needs --output).
    #[arg(long, requires = "output")]
    summary: bool,

    /// Judge no connection whose verdict changed within so many seconds before it: enforcers take their time.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
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
            output,
            metrics_addr,
            summary,
            grace,
            max_connections,
            ring_kib,
            attach,
            debug_programs,
        } = self;
        if !ring_kib.is_power_of_two() || !(4..=1 << 20).contains(&ring_kib) {
            bail!("--ring-kib {ring_kib}: must be a power of two from 4 to 1048576");
        }
        Ok(Options {
            manifests,
            output: output.map(|output| match output {
                Output::Compact => Format::Compact,
                Output::Json => Format::Json,
            }),
            metrics: metrics_addr,
            summary,
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

fn main() -> ExitCode {
    let Cli { command: Command::Run(run) } = Cli::parse();
    let default = if run.debug_programs { "info,netpol=debug" } else { "info,netlink_proto=error" };
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
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(runtime::run(options))
}
