//! What has to be made before tests run: for few tests, perhaps nothing.

use std::{
    io::{self, Read as _},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use netpol_testkit::{
    cluster::{Cluster, Plugin},
    go::Go,
    kubernetes,
};

use crate::{image, stage::Stages, tool};

/// What the chosen tests need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prerequisites {
    api_server: bool,
    node: bool,
    image: bool,
}

impl Prerequisites {
    /// Of the tests that `cargo test` would run with these arguments, which are built already.
    ///
    /// # Errors
    /// It can't list them.
    pub(crate) fn of(cargo_test: &[String]) -> Result<Self> {
        let mut list = tool::cargo();
        list.arg("test").args(cargo_test);
        if !cargo_test.iter().any(|argument| argument == "--") {
            list.arg("--");
        }
        Ok(Self::of_listed(&both_outputs(list.arg("--list"))?))
    }

    /// Of a list with the files that tests are in, each before its tests.
    fn of_listed(list: &str) -> Self {
        let mut needs = Self::default();
        let mut file = "";
        for line in list.lines() {
            if let Some(running) = line.trim().strip_prefix("Running ") {
                file = running.split(' ').next().unwrap_or_default();
            } else if line.ends_with(": test") {
                needs.image |=
                    ["tests/cluster", "tests/deploy", "tests/node/"].iter().any(|at| file.starts_with(at));
                needs.api_server |= file.starts_with("tests/cluster");
                needs.node |= file.starts_with("tests/node");
            }
        }
        needs
    }

    /// Makes it. Without Go, nothing of Kubernetes is built, and the tests that need it are skipped.
    ///
    /// # Errors
    /// A part can't be built; or the image can't be made.
    pub(crate) fn make(self, stages: &Stages) -> Result<()> {
        match Go::find() {
            Err(error) if self.node || self.api_server => eprintln!("    {error:#}"),
            _ if self.node => stages.run("Kubernetes", || Cluster::prepare(Plugin::default()))?,
            _ if self.api_server => {
                stages.run("an API server", || kubernetes::apiserver().and(kubernetes::etcd()).map(drop))?;
            }
            _ => {}
        }
        if self.image {
            stages.run("an image", image::for_tests)?;
        }
        Ok(())
    }
}

/// What a command prints to both, in the order in which it does.
fn both_outputs(command: &mut Command) -> Result<String> {
    let (mut reader, writer) = io::pipe().context("a pipe")?;
    let copy = writer.try_clone().context("a second handle of a pipe")?;
    let mut child = command.stdout(writer).stderr(copy).spawn().context("starting cargo")?;
    // The command holds the pipe's other end, by which the pipe would have no end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut text = String::new();
    reader.read_to_string(&mut text).context("reading the list of tests")?;
    let status = child.wait().context("waiting for cargo")?;
    ensure!(status.success(), "cargo can't list the tests:\n{text}");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_of_tests() {
        let nothing = Prerequisites::default();
        for (file, test, expected) in [
            ("unittests src/lib.rs", "flow::tests::outcomes: test", nothing),
            ("tests/kernel/main.rs", "outcomes::tcp: test", nothing),
            ("tests/cluster/main.rs", "0 tests, 0 benchmarks", nothing),
            (
                "tests/cluster/main.rs",
                "rbac::one_kind: test",
                Prerequisites { api_server: true, image: true, ..nothing },
            ),
            ("tests/deploy/main.rs", "chart::lint: test", Prerequisites { image: true, ..nothing }),
            (
                "tests/node/main.rs",
                "story::on_ptp: test",
                Prerequisites { node: true, image: true, ..nothing },
            ),
            ("tests/node.rs", "a_daemon_that_fails: test", Prerequisites { node: true, ..nothing }),
        ] {
            let list = format!("     Running {file} (target/debug/deps/some-0123)\n{test}\n");
            assert_eq!(Prerequisites::of_listed(&list), expected, "{list}");
        }
    }
}
