//! The demo: a small cluster with policies, a packet filter that enforces only some of them, real traffic, and the
//! agent, which reports which policies are enforced.

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

pub use cluster::DemoCluster;
pub use traffic::TRAFFIC;

/// How long to wait for the agent's verdicts. A drop is final once TCP's first retransmission would have arrived,
/// after 2 s.
const LAST_VERDICTS: Duration = Duration::from_millis(3500);

/// The form of the agent's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Text for people, printed at once, with an introduction.
    Compact,
    /// JSON for programs. It is only returned.
    Json,
}

/// Runs the agent at `binary` on the demo's traffic. Returns its stdout.
///
/// # Errors
/// The cluster can't be created, the agent fails, or an attempt does not have the expected result.
pub fn run(cluster: &DemoCluster, binary: &Path, output: Output) -> Result<String> {
    run_with(cluster, binary, &["--manifests".as_ref(), cluster.manifests().as_os_str()], output)
}

/// Like [`run`], with the agent's arguments for the source of the cluster's state.
///
/// # Errors
/// The same as for [`run`].
pub fn run_with(cluster: &DemoCluster, binary: &Path, source: &[&OsStr], output: Output) -> Result<String> {
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

fn introduction(cluster: &DemoCluster) -> Result<String> {
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
