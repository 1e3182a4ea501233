//! CPU time for each connection.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use netpol_testkit::{agent::Agent, netns::Pod};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};
use socket2::SockRef;

use super::{
    subject::{Subject, admitting},
    table,
};

const PORT: u16 = 8080;

/// Of a request and of its answer.
const BYTES: usize = 128;

#[derive(Debug, Parser)]
pub(super) struct ConnectionsArgs {
    /// Pairs of measurements, agent off and on
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Connections in each measurement
    #[arg(long, default_value_t = 30_000)]
    connections: u32,
}

pub(super) fn run(args: &ConnectionsArgs) -> Result<()> {
    let ConnectionsArgs { pairs, connections } = *args;
    let subject = Subject::new(2, &admitting(PORT))?;
    let server = Closing::start(&subject.pods[1])?;
    let pairs = subject.pairs(pairs, |subject, agent| {
        let before = Busy::now(agent)?;
        exchange(&subject.pods[0], server.address, connections)?;
        Ok(Busy::now(agent)?.since(&before, connections))
    })?;
    let column =
        |value: fn(&Busy) -> f64| pairs.iter().map(|pair| pair.each_ref().map(value)).collect::<Vec<_>>();
    let title = "TCP connect-request-close between two pods, CPU of";
    table::print_pairs(&format!("{title} both ends and the agent"), "µs each", &column(|busy| busy.own));
    table::print_pairs(&format!("{title} the whole machine"), "µs each", &column(|busy| busy.machine));
    Ok(())
}

/// CPU time, in seconds; of each connection, in microseconds.
struct Busy {
    /// Of this process, which is both ends, and of the agent. What the kernel does for a packet between two veths it
    /// does in the context of who sends it.
    own: f64,
    /// Of all processors, interrupts and whatever else runs included.
    machine: f64,
}

impl Busy {
    fn now(agent: Option<&Agent>) -> Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).context("getrusage")?;
        let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        let agent = agent.map_or(Ok(0.0), of_process)?;
        Ok(Self {
            own: seconds(usage.user_time()) + seconds(usage.system_time()) + agent,
            machine: of_machine()?,
        })
    }

    fn since(&self, before: &Self, connections: u32) -> Self {
        let each = |now: f64, before: f64| (now - before) * 1e6 / f64::from(connections);
        Self { own: each(self.own, before.own), machine: each(self.machine, before.machine) }
    }
}

/// Clock ticks in a second, as /proc counts them: USER_HZ is 100 on every architecture.
const TICKS: f64 = 100.0;

/// CPU time of the agent so far, in seconds.
pub(super) fn of_process(agent: &Agent) -> Result<f64> {
    let path = format!("/proc/{}/stat", agent.id());
    let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // utime and stime are fields 14 and 15; field 2, the name in parentheses, may have blanks.
    let (_, fields) = stat.rsplit_once(')').with_context(|| format!("{path} reads {stat:?}"))?;
    let ticks =
        sum(fields.split_whitespace().skip(11).take(2)).with_context(|| format!("{path} reads {stat:?}"))?;
    Ok(ticks / TICKS)
}

fn of_machine() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq: the idle ones do not count.
    let fields =
        line.split_whitespace().skip(1).take(7).enumerate().filter(|(field, _)| ![3, 4].contains(field));
    let ticks =
        sum(fields.map(|(_, ticks)| ticks)).with_context(|| format!("/proc/stat begins with {line:?}"))?;
    Ok(ticks / TICKS)
}

fn sum<'a>(fields: impl Iterator<Item = &'a str>) -> Result<f64> {
    Ok(fields.map(str::parse::<f64>).sum::<Result<f64, _>>()?)
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
