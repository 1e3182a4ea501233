//! Bits per second through one connection.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use netpol_testkit::netns::{Attempt, Pod, Probe};

use super::{
    subject::{Subject, admitting},
    table,
};

const PORT: u16 = 5201;

#[derive(Debug, Parser)]
pub(super) struct ThroughputArgs {
    /// Pairs of measurements, agent off and on
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Seconds for each measurement
    #[arg(long, default_value_t = 4)]
    seconds: u32,
}

pub(super) fn run(args: &ThroughputArgs) -> Result<()> {
    let ThroughputArgs { pairs, seconds } = *args;
    let subject = Subject::new(2, &admitting(PORT))?;
    let _server = Server::start(&subject.pods[0], &subject.pods[1])?;
    let pairs = subject.pairs(pairs, |subject, _| measure(&subject.pods[0], &subject.pods[1], seconds))?;
    table::print_pairs("iperf3 between two pods, one TCP connection", "Gbit/s", &pairs);
    Ok(())
}

struct Server(Child);

impl Server {
    fn start(client: &Pod, pod: &Pod) -> Result<Self> {
        let server =
            Self(iperf(pod).arg("--server").stdout(Stdio::null()).spawn().context("starting iperf3")?);
        for _ in 0..50 {
            if Probe::tcp(pod.ip(), PORT).run(client)? == Attempt::Answered {
                return Ok(server);
            }
            thread::sleep(Duration::from_millis(100));
        }
        bail!("iperf3 does not listen after 5 s")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn iperf(pod: &Pod) -> Command {
    let mut iperf = pod.command("iperf3");
    iperf.args(["--port", &PORT.to_string()]).stdin(Stdio::null());
    iperf
}

fn measure(from: &Pod, to: &Pod, seconds: u32) -> Result<f64> {
    let (to, seconds) = (to.ip().to_string(), seconds.to_string());
    let output = iperf(from)
        .args(["--client", &to, "--time", &seconds, "--omit", "1", "--json"])
        .output()
        .context("starting iperf3")?;
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("reading iperf3's report")?;
    let bits = report.pointer("/end/sum_received/bits_per_second").and_then(serde_json::Value::as_f64);
    match bits {
        Some(bits) => Ok(bits / 1e9),
        None => bail!("iperf3 measured nothing: {}", report.get("error").unwrap_or(&report)),
    }
}
