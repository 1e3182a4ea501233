//! What the TC programs cost for each packet, from the kernel's own statistics, against a program that does nothing
//! and sits behind ours on the same interface: both see the same packets in the same run.
//!
//! Prints a table; `cargo xtask bench programs` runs it. As root.

#![expect(clippy::unwrap_used, reason = "a benchmark that can't run has nothing better to do than to stop")]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use aya::{
    Ebpf, include_bytes_aligned,
    programs::{LinkOrder, SchedClassifier, TcAttachType, loaded_programs, tc::TcAttachOptions},
    sys::{Stats, enable_stats},
};
use netpol_agent::kernel::{LoadOptions, Loaded, load};
use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, socket},
};
use xtask::lab::{Lab, Pod, PodSpec, Server};

static PEERS: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/peers"));

/// Rounds of each kind of traffic; the median is shown.
const ROUNDS: usize = 7;

fn main() {
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("bench", "client")).unwrap();
    let server = lab.add_pod(PodSpec::new("bench", "server")).unwrap();
    // What goes to this port is sent, seen, and goes no further.
    lab.nft("table inet bench {\n chain forward {\n type filter hook forward priority 0\n tcp dport 9 drop\n }\n }\n")
        .unwrap();
    let _server = Server::tcp(&server, 80).unwrap();
    let _statistics = enable_stats(Stats::RunTime).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let mut loaded = load(LoadOptions::default()).unwrap();
    let interface = client.host_ifname();
    let _floor = lab
        .run(|| {
            loaded.programs.attach(client.host_ifindex(), interface).unwrap();
            [TcAttachType::Ingress, TcAttachType::Egress].map(|side| floor(interface, side))
        })
        .unwrap();

    println!("\n| traffic | netpol, ns/run | empty program, ns/run | ratio | goal |");
    println!("|---|---:|---:|---:|---:|");
    let data = |loaded: &mut Loaded| measure(loaded, || bulk(&client, &server));
    row("TCP data", 1.5, &mut loaded, data);
    row("TCP SYN", 4.0, &mut loaded, |loaded| measure(loaded, || opening(&client, &server)));
    row("connect, request, close", 2.0, &mut loaded, |loaded| measure(loaded, || mix(&client, &server)));
}

/// Attaches a program that does nothing, behind ours.
fn floor(interface: &str, side: TcAttachType) -> Ebpf {
    let mut peers = Ebpf::load(PEERS).unwrap();
    let pass: &mut SchedClassifier = peers.program_mut("pass").unwrap().try_into().unwrap();
    pass.load().unwrap();
    pass.attach_with_options(interface, side, TcAttachOptions::TcxOrder(LinkOrder::default())).unwrap();
    peers
}

fn row(name: &str, goal: f64, loaded: &mut Loaded, mut round: impl FnMut(&mut Loaded) -> [f64; 2]) {
    let mut rounds: Vec<[f64; 2]> = (0..ROUNDS).map(|_| round(loaded)).collect();
    rounds.sort_by(|a, b| (a[0] / a[1]).total_cmp(&(b[0] / b[1])));
    let [ours, floor] = rounds[ROUNDS / 2];
    println!("| {name} | {ours:.0} | {floor:.0} | {:.2}× | ≤ {goal}× |", ours / floor);
}

/// Nanoseconds for each run of our programs and of the empty ones, while `traffic` goes on.
fn measure(loaded: &mut Loaded, traffic: impl FnOnce()) -> [f64; 2] {
    let before = totals();
    traffic();
    let after = totals();
    loaded.records.drain(usize::MAX, |_| {});
    [0, 1].map(|kind| {
        let (time, runs) = (after[kind].0 - before[kind].0, after[kind].1 - before[kind].1);
        time.as_nanos() as f64 / runs as f64
    })
}

/// Time and runs so far: of our TC programs, and of the empty ones.
fn totals() -> [(Duration, u64); 2] {
    let mut totals = [(Duration::ZERO, 0); 2];
    for program in loaded_programs().filter_map(Result::ok) {
        let kind = match program.name_as_str() {
            Some("netpol_from_pod" | "netpol_to_pod") => 0,
            Some("pass") => 1,
            _ => continue,
        };
        totals[kind].0 += program.run_time();
        totals[kind].1 += program.run_count();
    }
    totals
}

/// One connection, as many bytes as go through in a while.
fn bulk(client: &Pod, server: &Pod) {
    let (port, ports) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            server
                .run(|| {
                    let listener = TcpListener::bind((server.ip(), 0)).unwrap();
                    port.send(listener.local_addr().unwrap().port()).unwrap();
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut buffer = vec![0; 1 << 16];
                    while stream.read(&mut buffer).unwrap() > 0 {}
                })
                .unwrap();
        });
        let address = (server.ip(), ports.recv().unwrap());
        client
            .run(|| {
                let mut stream = TcpStream::connect(address).unwrap();
                let (start, buffer) = (Instant::now(), vec![0; 1 << 16]);
                while start.elapsed() < Duration::from_millis(500) {
                    stream.write_all(&buffer).unwrap();
                }
            })
            .unwrap();
    });
}

/// Opening packets alone: each connection is given up as soon as its SYN is sent.
fn opening(client: &Pod, server: &Pod) {
    let to = SockaddrStorage::from(SocketAddr::new(server.ip(), 9));
    client
        .run(|| {
            for _ in 0..10_000 {
                let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
                let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
                assert_eq!(connect(socket.as_raw_fd(), &to), Err(Errno::EINPROGRESS));
            }
        })
        .unwrap();
}

/// Whole connections, one after the other.
fn mix(client: &Pod, server: &Pod) {
    client
        .run(|| {
            for _ in 0..2_000 {
                let mut stream = TcpStream::connect((server.ip(), 80)).unwrap();
                stream.write_all(b"ping").unwrap();
                let mut answer = [0; 4];
                stream.read_exact(&mut answer).unwrap();
            }
        })
        .unwrap();
}
