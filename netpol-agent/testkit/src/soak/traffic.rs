//! Makes the planned connections.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::Result;
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    plan::{Activity, Opener, Planned},
    tuple::{Transport, Tuple},
};
use crate::netns::{Namespace, Pod, Probe, Server, packet};

/// How long an opener waits: one retransmission of TCP's SYN goes out, after a second.
pub(super) const PATIENT: Duration = Duration::from_millis(2500);

/// How long an opener waits for the answer to a datagram.
const BRIEF: Duration = Duration::from_millis(700);

/// What a pod or a host listens with, on some of the ports that are connected to.
///
/// # Errors
/// A port is in use.
pub(super) fn listen(at: &Pod) -> Result<Vec<Server>> {
    Ok(vec![
        Server::tcp(at, 80)?,
        Server::tcp(at, 8080)?,
        Server::udp(at, 53)?,
        Server::udp_sink(at, 514)?,
        Server::udp_sink(at, super::plan::SHARED_PORT)?,
        Server::sctp(at, 3868)?,
    ])
}

/// Makes a connection, and waits for its end. What becomes of it is for the sniffers to see.
pub(super) fn run(plan: &Planned, node: &Namespace, pods: &[Pod]) -> Result<()> {
    let (to, own) = (plan.tuple.to, plan.tuple.from.port());
    let netns: &Namespace = match plan.opener {
        Opener::Node => node,
        Opener::Member(number) => &pods[number],
    };
    let probe = match plan.activity {
        Activity::Connect => Probe::tcp(to.ip(), to.port()).timeout(PATIENT),
        Activity::Tell => Probe::one_way(to.ip(), to.port()),
        Activity::Ask => Probe::udp(to.ip(), to.port()).timeout(BRIEF),
        Activity::Ping => Probe::echo(to.ip()).timeout(BRIEF),
        Activity::Linger => return netns.run(|| linger(plan.tuple))?.map_err(Into::into),
        Activity::Knock { copies } => return knock(plan, copies, pods),
    };
    probe.from_port(own).run(netns).map(drop)
}

fn knock(plan: &Planned, copies: u8, pods: &[Pod]) -> Result<()> {
    let Opener::Member(number) = plan.opener else { return Ok(()) };
    let Tuple { transport, from, to } = plan.tuple;
    let packet = match transport {
        Transport::Tcp => packet::tcp(from, to, packet::SYN, b""),
        Transport::Sctp => packet::sctp(from, to, 0, &init(from.port())),
        _ => packet::udp(from, to, b"knock"),
    };
    (0..copies).try_for_each(|_| pods[number].send(&packet))
}

/// An INIT chunk with this tag.
fn init(tag: u16) -> Vec<u8> {
    let tag = u32::from(tag).to_be_bytes();
    let rest = [[0, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]].concat();
    [&[1, 0, 0, 20][..], &tag, &rest].concat()
}

/// A connection with an exchange every half a second.
fn linger(tuple: Tuple) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(tuple.to), Type::STREAM, Some(Protocol::TCP))?;
    let any: SocketAddr = if tuple.to.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, tuple.from.port()).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, tuple.from.port()).into()
    };
    socket.set_reuse_address(true)?;
    socket.bind(&any.into())?;
    socket.connect_timeout(&tuple.to.into(), PATIENT)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(BRIEF))?;
    for _ in 0..6 {
        stream.write_all(b"ping")?;
        stream.read_exact(&mut [0; 4])?;
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}
