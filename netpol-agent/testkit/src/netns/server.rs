//! Servers that listen in a pod: TCP, UDP and SCTP.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpStream},
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::sys::socket::{MsgFlags, SockaddrStorage, recvfrom, sendto};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Namespace, sctp};

/// A server on all addresses of a namespace, of both families. It stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    sockets: Vec<Arc<Socket>>,
    threads: Vec<JoinHandle<()>>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of connections or datagrams received so far.
    served: AtomicUsize,
    stopped: AtomicBool,
}

/// A server's work on one socket. It ends when the socket is shut down.
type Serve = fn(&Socket, u16, &State) -> io::Result<()>;

/// How often a listener that is not woken by a shutdown checks whether it should stop.
const LOOK: Duration = Duration::from_millis(100);

impl Server {
    /// Accepts TCP connections and sends all received data back.
    ///
    /// # Errors
    /// The port is in use.
    pub fn tcp(at: impl AsRef<Namespace>, port: u16) -> Result<Self> {
        Self::start(at.as_ref(), port, &[listener], |socket, _, state| accept(socket, state, echo))
    }

    /// Sends each UDP datagram back.
    ///
    /// # Errors
    /// The port is in use.
    pub fn udp(at: impl AsRef<Namespace>, port: u16) -> Result<Self> {
        Self::start(at.as_ref(), port, &[datagrams], |socket, _, state| receive(socket, state, true))
    }

    /// Receives UDP datagrams and never replies.
    ///
    /// # Errors
    /// The port is in use.
    pub fn udp_sink(at: impl AsRef<Namespace>, port: u16) -> Result<Self> {
        Self::start(at.as_ref(), port, &[datagrams], |socket, _, state| receive(socket, state, false))
    }

    /// Accepts SCTP associations, by the kernel or by crafted packets if the kernel has no SCTP. Other ports of the
    /// namespace reject associations.
    ///
    /// # Errors
    /// The port is in use.
    pub fn sctp(at: impl AsRef<Namespace>, port: u16) -> Result<Self> {
        if sctp::in_kernel() {
            let open = |port| {
                let listener = listen(port, sctp::PROTOCOL)?;
                // Linux's SCTP does not wake a thread that waits for a connection when the listener is shut down.
                listener.set_read_timeout(Some(LOOK))?;
                Ok(listener)
            };
            return Self::start(at.as_ref(), port, &[open], |socket, _, state| accept(socket, state, drop));
        }
        Self::start(
            at.as_ref(),
            port,
            &[|_| sctp::socket(Domain::IPV4), |_| sctp::socket(Domain::IPV6)],
            |socket, port, state| sctp::serve(socket, port, &state.served),
        )
    }

    /// The number of connections or datagrams received so far.
    pub fn served(&self) -> usize {
        self.state.served.load(Ordering::Relaxed)
    }

    fn start(
        at: &Namespace,
        port: u16,
        open: &[fn(u16) -> io::Result<Socket>],
        serve: Serve,
    ) -> Result<Self> {
        let mut server = Self { sockets: Vec::new(), threads: Vec::new(), state: Arc::default() };
        at.run(|| {
            for open in open {
                let socket = Arc::new(open(port).with_context(|| format!("listening on port {port}"))?);
                server.sockets.push(Arc::clone(&socket));
                let state = Arc::clone(&server.state);
                server.threads.push(thread::spawn(move || {
                    // This ends with an error when the socket is shut down.
                    let _ = serve(&socket, port, &state);
                }));
            }
            Ok(server)
        })?
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        for socket in &self.sockets {
            // On a socket without a peer this fails, but it wakes the waiting thread.
            let _ = socket.shutdown(Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn listener(port: u16) -> io::Result<Socket> {
    listen(port, Protocol::TCP)
}

fn listen(port: u16, protocol: Protocol) -> io::Result<Socket> {
    let socket = bind(port, Type::STREAM, protocol)?;
    socket.listen(1024)?;
    Ok(socket)
}

fn datagrams(port: u16) -> io::Result<Socket> {
    bind(port, Type::DGRAM, Protocol::UDP)
}

fn bind(port: u16, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, kind, Some(protocol))?;
    socket.set_only_v6(false)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::new(IpAddr::from(Ipv6Addr::UNSPECIFIED), port).into())?;
    Ok(socket)
}

fn accept(listener: &Socket, state: &State, handle: fn(Socket)) -> io::Result<()> {
    while !state.stopped.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((socket, _)) => {
                state.served.fetch_add(1, Ordering::Relaxed);
                thread::spawn(move || handle(socket));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn echo(socket: Socket) {
    let stream = TcpStream::from(socket);
    // A reset by the client is not an error.
    let _ = io::copy(&mut &stream, &mut &stream);
}

fn receive(socket: &Socket, state: &State, answer: bool) -> io::Result<()> {
    let mut buffer = [0; 2048];
    while let (length, Some(from)) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut buffer)? {
        state.served.fetch_add(1, Ordering::Relaxed);
        if answer {
            // This fails if the client is gone.
            let _ = sendto(socket.as_raw_fd(), &buffer[..length], &from, MsgFlags::empty());
        }
    }
    Ok(())
}
