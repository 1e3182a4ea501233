//! Lookups in the kernel's connection tracking, for translated connections (netlink, `NETLINK_NETFILTER`,
//! `IPCTNL_MSG_CT_GET`; Linux 2.6.14, needs `CAP_NET_ADMIN` in the host's user namespace).

use std::{io, net::IpAddr};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    conntrack::{
        ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol as WireProtocol,
        Tuple as WireTuple,
    },
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use crate::model::{ConntrackEntry, Protocol, SocketAddress, Tuple};

/// Size of the receive buffer. An answer is some 300 bytes; the rest is for attributes that newer kernels add.
const ANSWER_BYTES: usize = 8192;

/// Looks up connections in the connection tracking of the network namespace in which it was opened.
pub struct Conntrack {
    socket: Socket,
    sequence: u32,
    answer: Vec<u8>,
}

impl Conntrack {
    /// Opens the socket, and looks up a connection that can't exist to check that the kernel answers.
    ///
    /// # Errors
    ///
    /// The kernel has no connection tracking over netlink, or the agent lacks `CAP_NET_ADMIN`.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // The kernel answers within the call that sends, so receiving never waits.
        socket.set_non_blocking(true)?;
        let mut conntrack = Self { socket, sequence: 0, answer: Vec::with_capacity(ANSWER_BYTES) };
        let nobody = SocketAddress { address: IpAddr::from([0, 0, 0, 0]), port: 1 };
        conntrack.find(&Tuple { protocol: Protocol::Tcp, source: nobody, destination: nobody })?;
        Ok(conntrack)
    }

    /// Finds the connection that packets with this tuple belong to, in either direction. `None` if it is not tracked, or
    /// no longer.
    ///
    /// # Errors
    ///
    /// The kernel refuses the request for another reason.
    pub fn find(&mut self, tuple: &Tuple) -> io::Result<Option<ConntrackEntry>> {
        let Some(request) = self.request(tuple) else { return Ok(None) };
        self.socket.send(&request, 0)?;
        loop {
            self.answer.clear();
            self.socket.recv(&mut self.answer, 0)?;
            let message = NetlinkMessage::<NetfilterMessage>::deserialize(&self.answer)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            if message.header.sequence_number != self.sequence {
                continue;
            }
            return match message.payload {
                NetlinkPayload::Error(error) => match error.to_io() {
                    error if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    error => Err(error),
                },
                NetlinkPayload::InnerMessage(NetfilterMessage {
                    inner: NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)),
                    ..
                }) => Ok(tracked(&attributes)),
                _ => Ok(None),
            };
        }
    }

    /// The request for a tuple; `None` for a protocol without ports.
    fn request(&mut self, tuple: &Tuple) -> Option<Vec<u8>> {
        let family = match tuple.source.address {
            IpAddr::V4(_) => NetfilterProtoFamily::IPv4,
            IpAddr::V6(_) => NetfilterProtoFamily::IPv6,
        };
        let protocol = match tuple.protocol {
            Protocol::Tcp => WireProtocol::Tcp,
            Protocol::Udp => WireProtocol::Udp,
            Protocol::Sctp => WireProtocol::Sctp,
            // They have no ports, and no Service translates them.
            Protocol::Icmp | Protocol::Icmpv6 | Protocol::Other(_) => return None,
        };
        let original = ConntrackAttribute::CtaTupleOrig(vec![
            WireTuple::Ip(vec![
                IPTuple::SourceAddress(tuple.source.address),
                IPTuple::DestinationAddress(tuple.destination.address),
            ]),
            WireTuple::Proto(vec![
                ProtoTuple::Protocol(protocol),
                ProtoTuple::SourcePort(tuple.source.port),
                ProtoTuple::DestinationPort(tuple.destination.port),
            ]),
        ]);
        let header = NetfilterHeader::new(family, 0, 0);
        let mut message =
            NetlinkMessage::from(NetfilterMessage::new(header, ConntrackMessage::Get(vec![original])));
        self.sequence = self.sequence.wrapping_add(1);
        message.header.flags = NLM_F_REQUEST;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        Some(bytes)
    }
}

/// The connection, if both of its tuples are complete.
fn tracked(attributes: &[ConntrackAttribute]) -> Option<ConntrackEntry> {
    let (mut original, mut reply) = (None, None);
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(parts) => original = complete(parts),
            ConntrackAttribute::CtaTupleReply(parts) => reply = complete(parts),
            _ => {}
        }
    }
    Some(ConntrackEntry { original: original?, reply: reply? })
}

fn complete(parts: &[WireTuple]) -> Option<Tuple> {
    let (mut source, mut destination, mut protocol) = (None, None, None);
    let (mut source_port, mut destination_port) = (None, None);
    for part in parts {
        match part {
            WireTuple::Ip(addresses) => {
                for address in addresses {
                    match address {
                        IPTuple::SourceAddress(address) => source = Some(address.to_canonical()),
                        IPTuple::DestinationAddress(address) => destination = Some(address.to_canonical()),
                        _ => {}
                    }
                }
            }
            WireTuple::Proto(ports) => {
                for port in ports {
                    match port {
                        ProtoTuple::Protocol(number) => {
                            protocol = Some(Protocol::from_number((*number).into()));
                        }
                        ProtoTuple::SourcePort(port) => source_port = Some(*port),
                        ProtoTuple::DestinationPort(port) => destination_port = Some(*port),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some(Tuple {
        protocol: protocol?,
        source: SocketAddress { address: source?, port: source_port? },
        destination: SocketAddress { address: destination?, port: destination_port? },
    })
}
