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

/// Show who may reach whom, on one port or on any, pods of one workload in one row.
#[derive(Debug, Args)]
pub(crate) struct Matrix {
    #[command(flatten)]
    source: Source,
    /// Only pods of this namespace.
    #[arg(long, short)]
    namespace: Option<String>,
    /// The destination's port (the pod's own, not its Service's); all ports where it is left out.
    #[arg(long, short)]
    port: Option<u16>,
    /// TCP, UDP or SCTP [default: TCP, and without a port all of them]
    #[arg(long)]
    protocol: Option<Protocol>,
    /// How to print it.
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
