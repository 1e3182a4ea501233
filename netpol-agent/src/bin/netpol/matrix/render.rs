//! The matrix in various forms.

use std::fmt::Write as _;

use netpol_agent::{
    declared::{PortAnswer, port_text},
    matrix::{WorkloadMatrix, WorkloadPair},
    model::Protocol,
};

use crate::style::{bad, good, unsure};

/// The widest table that a plain terminal shows.
const WIDTH: usize = 80;

/// A table: a row for each source, a numbered column for each destination, as many tables as 80 columns need.
pub(super) fn table(pairs: &WorkloadMatrix) -> String {
    let n = pairs.workloads.len();
    let digits = n.to_string().len();
    let longest = pairs.workloads.iter().map(|name| name.chars().count()).max().unwrap_or(0).clamp(4, 50);
    let columns = ((WIDTH - digits - 1 - longest) / (digits + 1)).max(1);
    let some = if pairs.port.is_none() { format!("   {} some ports", good("~")) } else { String::new() };
    let mut table = format!(
        "{}: from the rows to the columns\n{} allowed   {} denied   {} up to the implementation{some}\n",
        title(pairs),
        good("+"),
        bad("-"),
        unsure("?"),
    );
    for first in (0..n).step_by(columns) {
        let last = n.min(first + columns);
        let _ = write!(table, "\n{:digits$} {:longest$}", "", "from");
        for column in first..last {
            let _ = write!(table, " {:>digits$}", column + 1);
        }
        table.push('\n');
        for (row, name) in pairs.workloads.iter().enumerate() {
            let _ = write!(table, "{:>digits$} {:longest$}", row + 1, cut(name, longest));
            for pair in pairs.pairs.iter().skip(row * n + first).take(last - first) {
                // Padded before it is coloured: the colour has no width.
                let pad = " ".repeat(digits);
                let _ = match (pair.defined, pair.allowed) {
                    (false, _) => write!(table, "{pad}{}", unsure("?")),
                    (true, true) if is_partial(pair, pairs.protocol) => write!(table, "{pad}{}", good("~")),
                    (true, true) => write!(table, "{pad}{}", good("+")),
                    (true, false) => write!(table, "{pad}{}", bad("-")),
                };
            }
            table.push('\n');
        }
    }
    table
}

fn title(pairs: &WorkloadMatrix) -> String {
    match (pairs.protocol, pairs.port) {
        (Some(protocol), Some(port)) => format!("{protocol} {port}"),
        (Some(protocol), None) => format!("{protocol}, all ports"),
        (None, _) => "all ports".to_owned(),
    }
}

/// Whether not all ports are allowed, of a matrix of all ports.
fn is_partial(pair: &WorkloadPair, protocol: Option<Protocol>) -> bool {
    let Some(ports) = &pair.ports else { return false };
    let is_whole = |port: &PortAnswer| (port.first, port.last) == (1, u16::MAX);
    let wanted = if protocol.is_some() { 1 } else { 3 };
    ports.iter().filter(|port| is_whole(port)).count() < wanted
}

/// The end of a name says more than its start.
fn cut(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let kept: String = name.chars().skip(length + 2 - width).collect();
    format!("..{kept}")
}

/// One line a pair; of all ports, with the ports that are allowed.
pub(super) fn csv(pairs: &WorkloadMatrix) -> String {
    let (Some(protocol), Some(port)) = (pairs.protocol, pairs.port) else {
        let mut csv = String::from("from,to,ports\n");
        for WorkloadPair { from, to, ports, .. } in &pairs.pairs {
            let ports = quoted(&port_text(ports.as_deref().unwrap_or_default()));
            let _ = writeln!(csv, "{},{},{ports}", quoted(from), quoted(to));
        }
        return csv;
    };
    let mut csv = String::from("from,to,protocol,port,allowed,defined\n");
    for WorkloadPair { from, to, allowed, defined, ports: _ } in &pairs.pairs {
        let (from, to) = (quoted(from), quoted(to));
        let _ = writeln!(csv, "{from},{to},{protocol},{port},{allowed},{defined}");
    }
    csv
}

fn quoted(name: &str) -> String {
    if name.contains(',') { format!("\"{name}\"") } else { name.to_owned() }
}

/// A graph with an arrow for each pair that is allowed, dotted where it is up to the implementation.
pub(super) fn mermaid(pairs: &WorkloadMatrix) -> String {
    let mut graph = String::from("graph LR\n");
    for (i, name) in pairs.workloads.iter().enumerate() {
        let _ = writeln!(graph, "  w{i}[\"{name}\"]");
    }
    for (i, j, pair) in arrows(pairs) {
        let arrow = if pair.defined { "-->" } else { "-.->" };
        let _ = writeln!(graph, "  w{i} {arrow} w{j}");
    }
    graph
}

/// The same for Graphviz.
pub(super) fn dot(pairs: &WorkloadMatrix) -> String {
    let mut graph = String::from("digraph policies {\n  rankdir=LR;\n  node [shape=box];\n");
    for (i, name) in pairs.workloads.iter().enumerate() {
        let _ = writeln!(graph, "  w{i} [label=\"{name}\"];");
    }
    for (i, j, pair) in arrows(pairs) {
        let dotted = if pair.defined { "" } else { " [style=dotted]" };
        let _ = writeln!(graph, "  w{i} -> w{j}{dotted};");
    }
    graph.push_str("}\n");
    graph
}

/// The pairs that are not denied, but for those of a workload with itself.
fn arrows(pairs: &WorkloadMatrix) -> impl Iterator<Item = (usize, usize, &WorkloadPair)> {
    let n = pairs.workloads.len().max(1);
    let numbered = pairs.pairs.iter().enumerate().map(move |(at, pair)| (at / n, at % n, pair));
    numbered.filter(|(i, j, pair)| i != j && (pair.allowed || !pair.defined))
}
