//! CPU time for each connection.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use socket2::SockRef;
use xtask::lab::Pod;

use super::{
    subject::{Subject, admitting},
    table,
};

const PORT: u16 = 8080;

/// Of a request and of its answer.
const BYTES: usize = 128;

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Pairs of measurements, agent off and on
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Connections in each measurement
    #[arg(long, default_value_t = 30_000)]
    connections: u32,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let Args { pairs, connections } = *args;
    let subject = Subject::new(2, &admitting(PORT))?;
    let server = Closing::start(&subject.pods[1])?;
    let pairs = subject.pairs(pairs, |subject| {
        let before = busy()?;
        exchange(&subject.pods[0], server.address, connections)?;
        Ok((busy()? - before) * 1e6 / f64::from(connections))
    })?;
    table::print_pairs(
        "TCP connect-request-close between two pods, CPU of the whole machine",
        "µs each",
        &pairs,
    );
    Ok(())
}

/// A server that answers one request of each connection, and closes it: so the client's ports are free again at once.
pub(super) struct Closing {
    pub(super) address: SocketAddr,
    listener: TcpListener,
}

impl Closing {
    pub(super) fn start(pod: &Pod) -> Result<Self> {
        let address = SocketAddr::new(pod.ip(), PORT);
        let listener = pod.run(|| {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
            let accepting = listener.try_clone()?;
            thread::spawn(move || {
                while let Ok((stream, _)) = accepting.accept() {
                    // A client that is gone has no need of an answer.
                    let _ = answer(stream);
                }
            });
            anyhow::Ok(listener)
        })?;
        Ok(Self { address, listener: listener? })
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        // Wakes the thread that accepts, and ends it.
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = [0; BYTES];
    stream.read_exact(&mut request)?;
    stream.write_all(&request)
}

/// So many connections, one after the other.
pub(super) fn exchange(from: &Pod, to: SocketAddr, connections: u32) -> Result<()> {
    from.run(|| {
        for _ in 0..connections {
            let mut stream = TcpStream::connect(to)?;
            stream.write_all(&[7; BYTES])?;
            stream.read_to_end(&mut Vec::with_capacity(BYTES))?;
        }
        anyhow::Ok(())
    })?
    .with_context(|| format!("connections to {to}"))
}

/// Seconds that the machine's processors have been busy, interrupts included.
fn busy() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq, steal: the idle ones and what others took do not count.
    let ticks = line.split_whitespace().skip(1).take(7).enumerate();
    let busy = ticks.filter(|(field, _)| ![3, 4].contains(field)).map(|(_, ticks)| ticks.parse::<f64>());
    let ticks: f64 =
        busy.sum::<Result<f64, _>>().with_context(|| format!("/proc/stat begins with {line:?}"))?;
    // USER_HZ is 100 on every architecture.
    Ok(ticks / 100.0)
}
