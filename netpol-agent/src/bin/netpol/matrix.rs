//! `netpol matrix`: who may reach whom.

mod render;
mod workload;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use netpol_agent::{
    model::Protocol,
    policy::{self, Cell},
};
use serde::Serialize;

use crate::input::Source;

/// Show who may reach whom on one port, pods of one workload in one row.
#[derive(Debug, Args)]
pub(crate) struct Matrix {
    #[command(flatten)]
    source: Source,
    /// Only pods of this namespace.
    #[arg(long, short)]
    namespace: Option<String>,
    /// The destination's port (the pod's own, not its Service's).
    #[arg(long, short)]
    port: u16,
    /// TCP, UDP or SCTP.
    #[arg(long, default_value = "TCP")]
    protocol: Protocol,
    /// How to print it.
    #[arg(long, short, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Csv,
    Json,
    Mermaid,
    Dot,
}

/// What one workload may do to another.
#[derive(Debug, Serialize)]
struct Pair<'a> {
    from: &'a str,
    to: &'a str,
    allowed: bool,
    defined: bool,
}

/// All pairs, row by row.
#[derive(Debug, Serialize)]
struct Pairs<'a> {
    protocol: Protocol,
    port: u16,
    workloads: &'a [String],
    pairs: Vec<Pair<'a>>,
}

impl Matrix {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { source, namespace, port, protocol, output } = self;
        let state = source.load_and_report()?;
        let wanted = |pod: &&std::sync::Arc<_>| is_in(pod, namespace.as_deref());
        let pods: Vec<_> = state.snapshot().pods().filter(wanted).cloned().collect();
        let matrix = policy::Matrix::new(&state.engine, pods, protocol, port);
        if matrix.groups().is_empty() {
            match namespace {
                Some(namespace) => bail!("no running pod in namespace {namespace:?} of the manifests"),
                None => {
                    bail!("no running pod in the manifests: add Pod objects (kubectl get pods -A -o yaml)")
                }
            }
        }
        let workloads = workload::names(&matrix);
        let pairs = Pairs { protocol, port, workloads: &workloads, pairs: pairs(&matrix, &workloads) };
        match output {
            Output::Table => print!("{}", render::table(&pairs)),
            Output::Csv => print!("{}", render::csv(&pairs)),
            Output::Json => println!("{}", serde_json::to_string_pretty(&pairs)?),
            Output::Mermaid => print!("{}", render::mermaid(&pairs)),
            Output::Dot => print!("{}", render::dot(&pairs)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn is_in(pod: &netpol_agent::model::Pod, namespace: Option<&str>) -> bool {
    namespace.is_none_or(|namespace| **pod.namespace() == *namespace)
}

fn pairs<'a>(matrix: &policy::Matrix, workloads: &'a [String]) -> Vec<Pair<'a>> {
    let mut pairs = Vec::with_capacity(workloads.len() * workloads.len());
    for (i, from) in workloads.iter().enumerate() {
        for (j, to) in workloads.iter().enumerate() {
            let cell = matrix.cell(i, j).unwrap_or(Cell::Undefined);
            pairs.push(Pair { from, to, allowed: cell == Cell::Allowed, defined: cell != Cell::Undefined });
        }
    }
    pairs
}
