//! `netpol list`: every connection that is permitted.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::{Result, bail};
use clap::Args;
use netpol_agent::{
    declared::port_text,
    list::{ConnectionList, ListOptions, PermittedConnection},
};

use crate::{
    input::Source,
    print::{PairFormat, print},
};

/// List all permitted connections with their ports, between workloads and with the outside.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    source: Source,
    /// Only connections of workloads in this namespace.
    #[arg(long, short)]
    namespace: Option<String>,
    /// Only connections of this workload or pod (NAMESPACE/NAME).
    #[arg(long, value_name = "WORKLOAD")]
    focus: Option<String>,
    /// Also connections with unknown pods: any other pod in a known namespace, and any pod in an unknown namespace.
    #[arg(long)]
    exposure: bool,
    /// The output format.
    #[arg(long, short, default_value = "table")]
    output: PairFormat,
}

impl List {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { source, namespace, focus, exposure, output } = self;
        let state = source.load_and_report()?;
        if let Some(focus) = &focus {
            let is_it = |pod: &netpol_agent::model::Pod| {
                let workload = pod.workload.as_ref();
                let name = workload.map(|workload| format!("{}/{}", pod.namespace(), workload.name));
                *pod.key == **focus || name.as_ref() == Some(focus)
            };
            if !state.snapshot().pods().any(|pod| is_it(pod)) {
                bail!("there is no workload or pod {focus:?}: name it as NAMESPACE/NAME");
            }
        }
        let list = ConnectionList::new(&state, &ListOptions { namespace, focus, exposure });
        print(&match output {
            PairFormat::Table => table(&list.connections),
            PairFormat::Csv => csv(&list.connections),
            PairFormat::Json => serde_json::to_string_pretty(&list)? + "\n",
            PairFormat::Mermaid => graph(&list.connections, Graph::Mermaid),
            PairFormat::Dot => graph(&list.connections, Graph::Dot),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

pub(crate) fn table(connections: &[PermittedConnection]) -> String {
    const WIDTH: usize = 80;
    let width = |names: &mut dyn Iterator<Item = &str>, most: usize| {
        names.map(|name| name.chars().count()).max().unwrap_or(0).clamp(4, most)
    };
    let from = width(&mut connections.iter().map(|connection| &*connection.from), 32);
    let to = width(&mut connections.iter().map(|connection| &*connection.to), 32);
    let mut table = format!("{:from$}  {:to$}  ports\n", "from", "to");
    for connection in connections {
        let ports = port_text(&connection.ports);
        let start = format!("{:from$}  {:to$}  ", connection.from, connection.to);
        let indent = from + to + 4;
        // A name that is longer than its column has the ports on a line of their own.
        if start.chars().count() > indent {
            let _ = writeln!(table, "{}\n{:indent$}{}", start.trim_end(), "", wrapped(&ports, indent, WIDTH));
        } else {
            let _ = writeln!(table, "{start}{}", wrapped(&ports, indent, WIDTH));
        }
    }
    table
}

/// Ports in lines that fit; they may be cut after a comma.
fn wrapped(ports: &str, indent: usize, width: usize) -> String {
    let mut lines = String::new();
    let mut column = indent;
    for piece in ports.split_inclusive([',', ' ']) {
        if column + piece.trim_end().len() > width && column > indent {
            lines.truncate(lines.trim_end().len());
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        }
        lines.push_str(piece);
        column += piece.len();
    }
    lines
}

fn csv(connections: &[PermittedConnection]) -> String {
    let mut csv = String::from("from,to,protocol,first,last,defined\n");
    let quoted = |name: &str| if name.contains(',') { format!("\"{name}\"") } else { name.to_owned() };
    for PermittedConnection { from, to, ports } in connections {
        for port in ports {
            let (from, to) = (quoted(from), quoted(to));
            let _ =
                writeln!(csv, "{from},{to},{},{},{},{}", port.protocol, port.first, port.last, port.defined);
        }
    }
    csv
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Graph {
    Mermaid,
    Dot,
}

fn graph(connections: &[PermittedConnection], form: Graph) -> String {
    let mut names: Vec<&str> =
        connections.iter().flat_map(|connection| [&*connection.from, &*connection.to]).collect();
    names.sort_unstable();
    names.dedup();
    let mut graph = String::from(match form {
        Graph::Mermaid => "graph LR\n",
        Graph::Dot => "digraph policies {\n  rankdir=LR;\n  node [shape=box];\n",
    });
    for (i, name) in names.iter().enumerate() {
        let _ = match form {
            Graph::Mermaid => writeln!(graph, "  w{i}[\"{name}\"]"),
            Graph::Dot => writeln!(graph, "  w{i} [label=\"{name}\"];"),
        };
    }
    for PermittedConnection { from, to, ports } in connections.iter().filter(|c| c.from != c.to) {
        let at = |name: &str| names.binary_search(&name).unwrap_or_default();
        let (from, to, ports) = (at(from), at(to), port_text(ports));
        let _ = match form {
            Graph::Mermaid => writeln!(graph, "  w{from} -->|\"{ports}\"| w{to}"),
            Graph::Dot => writeln!(graph, "  w{from} -> w{to} [label=\"{ports}\"];"),
        };
    }
    if form == Graph::Dot {
        graph.push_str("}\n");
    }
    graph
}
