//! The main job, end to end: a small cluster, policies, a packet filter that enforces a part of them, real traffic, and
//! the agent that tells which is which.

mod cluster;
mod traffic;

use std::{
    ffi::OsStr,
    fmt::Write as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::Result;

use crate::agent::{Agent, Printing};

pub use cluster::Cluster;
pub use traffic::TRAFFIC;

/// The agent takes a drop for final once TCP's first retransmission would have got through, which is after 2 s.
const LAST_VERDICTS: Duration = Duration::from_millis(3500);

/// What the agent prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For people: shown as it comes, with an introduction.
    Compact,
    /// For programs: kept.
    Json,
}

/// Runs the agent at `binary` on the demo's traffic; returns what it printed to stdout.
///
/// # Errors
/// The cluster can't be made, the agent fails, or the packet filter does not do what the demo relies on.
pub fn run(cluster: &Cluster, binary: &Path, output: Output) -> Result<String> {
    run_with(cluster, binary, &["--manifests".as_ref(), cluster.manifests().as_os_str()], output)
}

/// Like [`run`], with the arguments that tell the agent where the cluster's state comes from.
///
/// # Errors
/// As there.
pub fn run_with(cluster: &Cluster, binary: &Path, source: &[&OsStr], output: Output) -> Result<String> {
    let (format, printing) = match output {
        Output::Compact => ("compact", Printing::Shown),
        Output::Json => ("json", Printing::Kept),
    };
    let say = |text: &str| {
        if output == Output::Compact {
            println!("{text}");
        }
    };
    say(&introduction(cluster)?);
    let fixed: [&OsStr; 4] = ["run".as_ref(), "--output".as_ref(), format.as_ref(), "--summary".as_ref()];
    let agent = Agent::start(cluster.lab(), binary, fixed.iter().chain(source), printing)?;
    say("\nLive, as the agent sees it:\n");
    for exchange in &TRAFFIC {
        exchange.run(cluster)?;
    }
    thread::sleep(LAST_VERDICTS);
    say("\nWhat it comes to:");
    agent.stop()
}

/// The folder with the policies and the packet filter's rules.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo")
}

fn introduction(cluster: &Cluster) -> Result<String> {
    let mut text =
        String::from("One node, six pods in three namespaces, each pod a network namespace of its own:\n\n");
    for pod in cluster.lab().pods() {
        let name = format!("{}/{}", pod.namespace(), pod.name());
        let ips: Vec<_> = pod.ips().iter().map(ToString::to_string).collect();
        writeln!(text, "  {name:<18} {}", ips.join(", "))?;
    }
    text.push_str(
        "
The policies (netpol-agent/testkit/demo/policies) say: frontend → backend → database and redis,
everybody may look names up, and nothing else goes in or out of the shop.

The packet filter (netpol-agent/testkit/demo/enforcer.nft) stands for the CNI. It enforces most
of that, by drop and by reject, and makes three mistakes that real ones have made:
  - against pods outside the shop it guards the backend's web port, and nothing else
  - it filters IPv4 alone
  - it blocks DNS over TCP, which the policies allow",
    );
    Ok(text)
}
