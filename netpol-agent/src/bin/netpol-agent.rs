//! The node daemon.

use std::{
    fs::File,
    io::{BufReader, IsTerminal as _, Write as _},
    net::SocketAddr,
    os::fd::AsFd as _,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use netpol_agent::{
    cluster::watch::Credentials,
    flow::Limits,
    kernel::{AttachMode, Helper, LoadOptions, has_tcx, raise_capabilities, serve},
    runtime::{self, ApiOptions, NamespaceOptions, Options, SourceOptions, replay},
    sink::{
        SinkArgs,
        hubble::socket_address,
        lines::{Format, LineArgs},
    },
};
use tracing::warn;
use tracing_subscriber::EnvFilter;

/// Watches what really happens on this node's pod interfaces, and reports where it differs from what the network
/// policies declare.
#[derive(Parser)]
#[command(name = "netpol-agent", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The name of the command that the agent starts itself.
const HELPER: &str = "namespace-helper";

/// Where container runtimes keep the pods' network namespaces.
const NAMESPACE_FOLDERS: [&str; 2] = ["/run/netns", "/var/run/docker/netns"];

#[derive(Subcommand)]
enum Command {
    /// Watch this node's pods until SIGTERM or SIGINT.
    Run(Box<Run>),
    /// Enter network namespaces for the agent that has started this process.
    #[command(name = HELPER, hide = true)]
    Helper,
    /// Replay a capture (`run --capture FILE`): the same connections and findings, without a cluster or privileges.
    Replay(Replay),
}

#[derive(clap::Args)]
struct Replay {
    /// The file that `run --capture` wrote.
    file: PathBuf,

    /// The format of the lines.
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value = "compact")]
    output: Format,

    /// Print only findings.
    #[arg(long)]
    findings_only: bool,

    /// At the end, print the number of connections by outcome, and the open findings.
    #[arg(long)]
    summary: bool,
}

#[derive(clap::Args)]
struct Run {
    /// Read the cluster's state from this file or folder of Kubernetes YAML (Namespaces, Pods with status.podIPs,
    /// policies) instead of the Kubernetes API. Can be repeated. Changed files are read again.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["kubeconfig", "context"])]
    manifests: Vec<PathBuf>,

    /// The kubeconfig file. Default: in a pod, the ServiceAccount; elsewhere, the file that kubectl uses.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig. Default: the current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// The time without contact to the API server after which the cluster's state is too old for verdicts. A connection
    /// that died silently is noticed after 150 seconds; until then its state counts as current.
    #[arg(long, value_name = "SECONDS", default_value_t = 300,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    stale_after: u64,

    /// How often to look for API kinds that the server does not serve yet, such as those of a CRD.
    #[arg(long = "look-again", visible_alias = "rediscovery-interval", value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    rediscovery_interval: u64,

    #[command(flatten)]
    sinks: SinkArgs,

    /// Serve /metrics, /healthz and /readyz on this address.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = socket_address)]
    metrics_addr: Option<SocketAddr>,

    /// This node's name in the cluster. With it, the agent counts the node's pods whose traffic it can't see.
    #[arg(long, env = "NETPOL_NODE", value_name = "NAME")]
    node: Option<String>,

    /// The grace window: if the verdict on a connection changed within this time before it, the connection is
    /// undecidable, because enforcers need time to apply a change.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(..=3600))]
    grace: u64,

    /// The maximum number of connections in the connection table.
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().entries,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(64..=4_194_304))]
    max_connections: usize,

    /// The size of the ring buffer between the kernel and the agent, in KiB. A power of two.
    #[arg(long, value_name = "KIB", default_value_t = LoadOptions::default().ring_bytes / 1024)]
    ring_kib: u32,

    /// How to attach the eBPF programs to interfaces.
    #[arg(long, value_enum, default_value_t = Attach::Auto)]
    attach: Attach,

    /// Where to observe packets to the pods.
    #[arg(long, value_enum, value_name = "END", default_value_t = ObserveAt::Auto)]
    observe_at: ObserveAt,

    /// A folder of network namespaces. Can be repeated [default: /run/netns and /var/run/docker/netns]
    #[arg(long, env = "NETPOL_NETNS_DIR", value_name = "FOLDER", value_delimiter = ':')]
    netns_dir: Vec<PathBuf>,

    /// Log messages of the eBPF programs (level debug).
    #[arg(long)]
    debug_programs: bool,

    /// Write all of the agent's inputs to this file, at most 1 GiB, for `netpol-agent replay`. The file contains names,
    /// labels and addresses of the cluster, and no packet's payload.
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ObserveAt {
    /// Inside the pods if their network namespaces can be entered, otherwise from the node.
    Auto,
    /// At the pods' own interfaces, inside their network namespaces. Needs CAP_SYS_ADMIN and TCX.
    Pod,
    /// At the interfaces on the node that lead into the pods.
    Node,
}

#[derive(Clone, Copy, ValueEnum)]
enum Attach {
    /// TCX if the kernel has it (Linux 6.6 and newer), otherwise clsact.
    Auto,
    /// TCX, at the head of the chain.
    Tcx,
    /// A clsact filter with the highest priority.
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
            sinks,
            metrics_addr,
            node,
            grace,
            max_connections,
            ring_kib,
            attach,
            observe_at,
            netns_dir,
            debug_programs,
            capture,
        } = self;
        if !ring_kib.is_power_of_two() || !(4..=1 << 20).contains(&ring_kib) {
            bail!("--ring-kib {ring_kib}: must be a power of two from 4 to 1048576");
        }
        let source = if manifests.is_empty() {
            SourceOptions::Api(ApiOptions {
                credentials: Credentials { kubeconfig, context },
                stale_after: Duration::from_secs(stale_after),
                rediscovery_interval: Duration::from_secs(rediscovery_interval),
            })
        } else {
            SourceOptions::Manifests(manifests)
        };
        let attach_mode = match attach {
            Attach::Auto => None,
            Attach::Tcx => Some(AttachMode::Tcx),
            Attach::Clsact => Some(AttachMode::Clsact),
        };
        let namespaces = namespaces(observe_at, netns_dir, attach_mode)?;
        Ok(Options {
            source,
            sinks,
            metrics: metrics_addr,
            capture,
            node,
            grace: Duration::from_secs(grace),
            load: LoadOptions { ring_bytes: ring_kib * 1024, debug: debug_programs, attach_mode },
            namespaces,
            limits: Limits { entries: max_connections, ..Limits::default() },
        })
    }
}

/// Starts the process that enters the pods' network namespaces. `None` to watch from the node.
fn namespaces(
    observe_at: ObserveAt,
    folders: Vec<PathBuf>,
    attach_mode: Option<AttachMode>,
) -> Result<Option<NamespaceOptions>> {
    if observe_at == ObserveAt::Node {
        return Ok(None);
    }
    match enter_namespaces(folders, attach_mode) {
        Ok(options) => Ok(Some(options)),
        Err(error) if observe_at == ObserveAt::Pod => Err(error.context("--observe-at pod")),
        Err(error) => {
            warn!(
                "packets are observed from the node, not inside the pods: {error:#}. What a network plugin redirects past \
                 the interfaces on the node is not seen"
            );
            Ok(None)
        }
    }
}

fn enter_namespaces(mut folders: Vec<PathBuf>, attach_mode: Option<AttachMode>) -> Result<NamespaceOptions> {
    if attach_mode.map_or(!has_tcx(), |mode| mode == AttachMode::Clsact) {
        bail!("programs can be attached inside the pods only by TCX (Linux 6.6)");
    }
    if folders.is_empty() {
        folders = NAMESPACE_FOLDERS.map(PathBuf::from).into();
    }
    if !folders.iter().any(|folder| folder.is_dir()) {
        let names: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        bail!("there is no folder of network namespaces ({}; --netns-dir)", names.join(", "));
    }
    Ok(NamespaceOptions { helper: Arc::new(Helper::spawn(&[HELPER])?), folders })
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    // What libraries log of failures, the agent logs in its own words.
    let default = match &command {
        Command::Run(run) if run.debug_programs => "info,kube_client=off,netpol=debug",
        _ => "info,kube_client=off,netlink_proto=error",
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_env("NETPOL_LOG").unwrap_or_else(|_| EnvFilter::new(default)))
        .with_writer(std::io::stderr)
        // Where standard error is closed, there is nobody to tell.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    raise_capabilities();
    let done = match command {
        Command::Run(run) => start(*run),
        Command::Helper => serve(&std::io::stdin().as_fd()).context("the socket to the agent"),
        Command::Replay(args) => play(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "netpol-agent: {error:#}");
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

fn play(args: Replay) -> Result<()> {
    let Replay { file, output, findings_only, summary } = args;
    let lines = LineArgs { output: Some(output), findings_only, summary };
    let input = File::open(&file).with_context(|| format!("cannot open {}", file.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(replay(BufReader::new(input), lines)).with_context(|| file.display().to_string())
}
