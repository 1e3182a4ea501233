//! What the TC programs cost for each packet, from the kernel's own statistics, against a program that does nothing:
//! each alone on the interface, in turn, in one run. Were both there at once, the first would bring into the caches
//! what the second then finds.
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
use netpol_agent::kernel::{Hooks, LoadOptions, Loaded, load};
use netpol_testkit::netns::{Lab, Pod, PodSpec, Server};
use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, socket},
};

static TEST_PROGRAMS: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/test_programs"));

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
    let mut bench = Bench { loaded: load(LoadOptions::default()).unwrap(), lab: &lab, interface: &client };
    println!("\n| traffic | netpol, ns/run | empty program, ns/run | ratio | goal |");
    println!("|---|---:|---:|---:|---:|");
    bench.row("TCP data", 1.5, || bulk(&client, &server));
    bench.row("TCP SYN", 4.0, || opening(&client, &server));
    bench.row("connect, request, close", 2.0, || mix(&client, &server));
}

/// Our programs, and where they are measured.
struct Bench<'a> {
    loaded: Loaded,
    lab: &'a Lab,
    interface: &'a Pod,
}

impl Bench<'_> {
    /// Measures both in turn, so that what else happens on the machine hits both alike.
    fn row(&mut self, name: &str, goal: f64, traffic: impl Fn()) {
        let round = |_| [self.ours(&traffic), self.floor(&traffic)];
        let mut rounds: Vec<[f64; 2]> = (0..ROUNDS).map(round).collect();
        rounds.sort_by(|a, b| (a[0] / a[1]).total_cmp(&(b[0] / b[1])));
        let [ours, floor] = rounds[ROUNDS / 2];
        println!("| {name} | {ours:.0} | {floor:.0} | {:.2}× | ≤ {goal}× |", ours / floor);
    }

    /// Nanoseconds for each run of our programs, alone on the interface.
    fn ours(&mut self, traffic: impl Fn()) -> f64 {
        let index = self.interface.host_ifindex();
        let programs = &mut self.loaded.programs;
        self.lab.run(|| programs.attach(index, &Hooks::at_host_end(index))).unwrap().unwrap();
        let cost = measure(&["netpol_from_pod", "netpol_to_pod"], traffic);
        self.loaded.programs.forget(index);
        self.loaded.records.drain(usize::MAX, |_| {});
        cost
    }

    /// The same of a program that does nothing.
    fn floor(&self, traffic: impl Fn()) -> f64 {
        let attach = || {
            [TcAttachType::Ingress, TcAttachType::Egress].map(|side| {
                let mut peers = Ebpf::load(TEST_PROGRAMS).unwrap();
                let pass: &mut SchedClassifier = peers.program_mut("pass").unwrap().try_into().unwrap();
                pass.load().unwrap();
                let options = TcAttachOptions::TcxOrder(LinkOrder::default());
                pass.attach_with_options(self.interface.host_ifname(), side, options).unwrap();
                peers
            })
        };
        let _attached = self.lab.run(attach).unwrap();
        measure(&["pass"], traffic)
    }
}

/// Nanoseconds for each run of these programs while traffic goes on.
fn measure(names: &[&str], traffic: impl Fn()) -> f64 {
    let before = totals(names);
    traffic();
    let after = totals(names);
    (after.0 - before.0).as_nanos() as f64 / (after.1 - before.1) as f64
}

/// Time and runs of these programs so far.
fn totals(names: &[&str]) -> (Duration, u64) {
    let programs = loaded_programs().filter_map(Result::ok);
    let programs = programs.filter(|program| program.name_as_str().is_some_and(|name| names.contains(&name)));
    programs.fold((Duration::ZERO, 0), |(time, runs), program| {
        (time + program.run_time(), runs + program.run_count())
    })
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
