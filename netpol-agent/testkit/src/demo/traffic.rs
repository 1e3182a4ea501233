//! The connections that the demo's pods try to open, each once.

use anyhow::{Context as _, Result, ensure};

use super::DemoCluster;
use crate::netns::{Attempt, Probe};

/// One connection attempt from one pod to another.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    from: &'static str,
    to: &'static str,
    kind: Kind,
    /// What the source pod observes: the result of the packet filter, or of the destination.
    ends: Attempt,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Tcp(u16),
    TcpV6(u16),
    Udp(u16),
    OneWay(u16),
    Echo,
    EchoV6,
}

/// The attempts, in this order. The demo's test has the verdict and the outcome of each.
pub const TRAFFIC: [Exchange; 22] = {
    use Attempt::{Answered, Refused, Sent, TimedOut, Unreachable};
    use Kind::{Echo, EchoV6, OneWay, Tcp, TcpV6, Udp};
    [
        // Allowed, and it works.
        exchange("frontend", "dns", Udp(53), Answered),
        exchange("frontend", "backend", Tcp(8080), Answered),
        exchange("backend", "dns", Udp(53), Answered),
        exchange("backend", "database", Tcp(5432), Answered),
        exchange("backend", "database", TcpV6(5432), Answered),
        exchange("backend", "redis", Tcp(6379), Answered),
        exchange("database", "dns", Udp(53), Answered),
        exchange("debug", "dns", Tcp(53), Answered),
        exchange("dns", "debug", Echo, Answered),
        // A closed port is not a denial by policies.
        exchange("dns", "debug", Tcp(8081), Refused),
        // Denied, and it is blocked.
        exchange("frontend", "database", Tcp(5432), TimedOut),
        exchange("frontend", "redis", Tcp(6379), Refused),
        exchange("frontend", "debug", Udp(4444), TimedOut),
        exchange("database", "backend", Tcp(8080), TimedOut),
        exchange("debug", "backend", Tcp(8080), Unreachable),
        // Denied, and it works: not enforced.
        exchange("debug", "redis", Tcp(6379), Answered),
        exchange("debug", "database", Tcp(9187), Refused),
        exchange("debug", "backend", OneWay(514), Sent),
        exchange("database", "backend", TcpV6(8080), Answered),
        // Allowed, and it is blocked: over-blocked.
        exchange("backend", "dns", Tcp(53), Unreachable),
        // Policies do not apply.
        exchange("frontend", "backend", Echo, Answered),
        exchange("backend", "database", EchoV6, Answered),
    ]
};

const fn exchange(from: &'static str, to: &'static str, kind: Kind, ends: Attempt) -> Exchange {
    Exchange { from, to, kind, ends }
}

impl Exchange {
    /// Makes the attempt, and checks that it has the expected result.
    pub(super) fn run(&self, cluster: &DemoCluster) -> Result<()> {
        let Self { from, to, kind, ends } = *self;
        let (source, destination) = (cluster.pod(from)?, cluster.pod(to)?);
        let v4 = || destination.ipv4().with_context(|| format!("{to} has no IPv4 address"));
        let v6 = || destination.ipv6().with_context(|| format!("{to} has no IPv6 address"));
        let probe = match kind {
            Kind::Tcp(port) => Probe::tcp(v4()?, port),
            Kind::TcpV6(port) => Probe::tcp(v6()?, port),
            Kind::Udp(port) => Probe::udp(v4()?, port),
            Kind::OneWay(port) => Probe::one_way(v4()?, port),
            Kind::Echo => Probe::echo(v4()?),
            Kind::EchoV6 => Probe::echo(v6()?),
        };
        let ended = probe.run(source)?;
        ensure!(ended == ends, "{kind:?} from {from} to {to} ended as {ended:?}, and not as {ends:?}");
        Ok(())
    }
}
