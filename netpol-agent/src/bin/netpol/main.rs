//! `netpol`: questions about declared network policies, of a cluster or of manifests.

mod check;
mod diff;
mod explain;
mod input;
mod lint;
mod list;
mod matrix;
mod print;
mod style;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What the declared network policies mean: who may reach whom, why, and what is wrong with them.
#[derive(Debug, Parser)]
#[command(name = "netpol", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Explain(explain::Explain),
    Check(check::Check),
    List(list::List),
    Diff(diff::Diff),
    Matrix(matrix::Matrix),
    Lint(lint::Lint),
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let done = match command {
        Command::Explain(explain) => explain.run(),
        Command::Check(check) => check.run(),
        Command::List(list) => list.run(),
        Command::Diff(diff) => diff.run(),
        Command::Matrix(matrix) => matrix.run(),
        Command::Lint(lint) => lint.run(),
    };
    match done {
        Ok(status) => status,
        // Whoever reads the output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            print::say(format_args!("netpol: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
