//! `netpol matrix`: who may reach whom.

mod render;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use netpol_agent::{matrix::WorkloadMatrix, model::Protocol};

use crate::{
    input::Source,
    print::{PairFormat, print},
};

/// Show which workloads may connect to which, on one port or on any.
#[derive(Debug, Args)]
pub(crate) struct Matrix {
    #[command(flatten)]
    source: Source,
    /// Only pods in this namespace.
    #[arg(long, short)]
    namespace: Option<String>,
    /// The destination port of the pod, not of its Service. Default: all ports.
    #[arg(long, short)]
    port: Option<u16>,
    /// TCP, UDP or SCTP [default: TCP; without a port all of them]
    #[arg(long)]
    protocol: Option<Protocol>,
    /// The output format.
    #[arg(long, short, default_value = "table")]
    output: PairFormat,
}

impl Matrix {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { source, namespace, port, protocol, output } = self;
        let state = source.load_and_report()?;
        let here = namespace.as_deref();
        let matrix = match port {
            Some(port) => WorkloadMatrix::new(&state, here, protocol.unwrap_or(Protocol::Tcp), port),
            None => WorkloadMatrix::of_all_ports(&state, here, protocol),
        };
        if matrix.workloads.is_empty() {
            match namespace {
                Some(namespace) => bail!("no running pod in namespace {namespace:?} of the manifests"),
                None => {
                    bail!("no running pod in the manifests: add Pod objects (kubectl get pods -A -o yaml)")
                }
            }
        }
        print(&match output {
            PairFormat::Table => render::table(&matrix),
            PairFormat::Csv => render::csv(&matrix),
            PairFormat::Json => serde_json::to_string_pretty(&matrix)? + "\n",
            PairFormat::Mermaid => render::mermaid(&matrix),
            PairFormat::Dot => render::dot(&matrix),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
