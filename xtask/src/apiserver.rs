//! `apiserver`: an API server to play with.

use anyhow::{Context as _, Result};
use netpol_testkit::apiserver::{ADMIN, AGENT, ApiServer};
use signal_hook::{consts::TERM_SIGNALS, iterator::Signals};

pub(crate) fn run() -> Result<()> {
    let mut signals = Signals::new(TERM_SIGNALS).context("listening to signals")?;
    let server = ApiServer::start()?;
    println!("{} is ready until this is interrupted:", server.url());
    println!("  KUBECONFIG={} (may do everything)", server.kubeconfig(ADMIN)?.display());
    println!(
        "  KUBECONFIG={} ({}: may do what roles give it)",
        server.kubeconfig(AGENT)?.display(),
        AGENT.name
    );
    signals.forever().next();
    Ok(())
}
