//! Where the programs are attached, and that nothing of them stays.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader, include_bytes_aligned,
    programs::{LinkOrder, SchedClassifier, TcAttachType, tc::TcAttachOptions},
};
use netpol_testkit::netns::{Attempt, Lab, Namespace, Pod, PodSpec, Probe, Server};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::agent::{Feature, Watch, eventually, lacks};

/// Programs such as a CNI might have.
static TEST_PROGRAMS: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/test_programs"));

fn two_pods() -> (Lab, Pod, Pod) {
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    (lab, client, server)
}

/// Attaches another's program; it is there as long as the result.
fn peer(node: &Namespace, program: &str, interface: &str, side: TcAttachType, target: u32) -> Ebpf {
    node.run(|| {
        let mut peers =
            EbpfLoader::new().override_global("TARGET", &target, true).load(TEST_PROGRAMS).unwrap();
        let classifier: &mut SchedClassifier = peers.program_mut(program).unwrap().try_into().unwrap();
        classifier.load().unwrap();
        let order = TcAttachOptions::TcxOrder(LinkOrder::default());
        classifier.attach_with_options(interface, side, order).unwrap();
        peers
    })
    .unwrap()
}

/// Names of the programs on an interface, the first to run first.
fn chain(node: &Namespace, interface: &str, side: TcAttachType) -> Vec<String> {
    node.run(|| {
        let (_, programs) = SchedClassifier::query_tcx(interface, side).unwrap();
        programs.iter().map(|program| program.name_as_str().unwrap().to_owned()).collect()
    })
    .unwrap()
}

const BOTH: [TcAttachType; 2] = [TcAttachType::Ingress, TcAttachType::Egress];

/// The number of programs at both ends of the pods' interfaces.
fn attached(node: &Namespace, pods: &[&Pod]) -> usize {
    let both = |namespace, interface| BOTH.map(|side| chain(namespace, interface, side).len());
    pods.iter()
        .flat_map(|pod| [both(node, pod.host_ifname()), both(pod.as_ref(), Pod::IFNAME)].concat())
        .sum()
}

/// Another program was there before, another comes after: ours runs first either way.
#[test]
fn at_the_head_of_the_chain() {
    if lacks(Feature::Tcx) {
        return;
    }
    let (lab, client, server) = two_pods();
    let _before = peer(&lab, "pass", client.host_ifname(), TcAttachType::Ingress, 0);
    let _server = Server::tcp(&server, 80).unwrap();
    let watch = Watch::start(&lab);
    let _after = peer(&lab, "pass", client.host_ifname(), TcAttachType::Ingress, 0);
    assert_eq!(chain(&lab, client.host_ifname(), TcAttachType::Ingress), ["netpol_from_pod", "pass", "pass"]);
    assert_eq!(chain(&lab, server.host_ifname(), TcAttachType::Egress), [""; 0]);
    assert_eq!(chain(server.as_ref(), Pod::IFNAME, TcAttachType::Ingress), ["netpol_to_pod"]);
    assert_eq!(Probe::tcp(server.ip(), 80).run(&client).unwrap(), Attempt::Answered);
    watch.until(1).check(&["client > server:80 TCP4 established conforming"]);
}

/// A program behind ours drops: its drop is seen, and so is the packet.
#[test]
fn before_a_program_that_drops() {
    if lacks(Feature::Tcx) {
        return;
    }
    for (side, reason) in [(TcAttachType::Ingress, "TC_INGRESS"), (TcAttachType::Egress, "TC_EGRESS")] {
        let (lab, client, server) = two_pods();
        let interface =
            if side == TcAttachType::Ingress { client.host_ifname() } else { server.host_ifname() };
        let _dropper = peer(&lab, "shoot", interface, side, 0);
        let watch = Watch::start(&lab);
        Probe::tcp(server.ip(), 80).run(&client).unwrap();
        let told = watch.until(1);
        told.check(&["client > server:80 TCP4 dropped over_blocked"]);
        assert_eq!(told.flows[0]["observed"]["drop_reason"], reason);
        assert_eq!(told.flows[0]["observed"]["hook"], "tc");
    }
}

/// A program behind ours takes packets past the rest of the chain and the host's stack.
#[test]
fn before_a_program_that_redirects() {
    if lacks(Feature::Tcx) {
        return;
    }
    let (lab, client, server) = two_pods();
    // The redirected frame is addressed to the gateway: the server must take it all the same.
    let link = lab.exec("ip", &["-o", "link", "show", "dev", client.host_ifname()], "").unwrap();
    let gateway = link.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).unwrap();
    server.as_ref().ip(&format!("link set {} address {gateway}\n", Pod::IFNAME)).unwrap();
    let _there = peer(&lab, "redirect", client.host_ifname(), TcAttachType::Ingress, server.host_ifindex());
    let watch = Watch::start(&lab);
    Probe::one_way(server.ip(), 9).run(&client).unwrap();
    let told = watch.until(1);
    let flow = &told.flows[0];
    assert_eq!(
        (flow["source"]["name"].as_str(), flow["destination"]["name"].as_str()),
        (Some("client"), Some("server"))
    );
}

/// After SIGTERM, and after SIGKILL, nothing is attached, and a connection that was open goes on.
#[test]
fn nothing_stays() {
    if lacks(Feature::Tcx) {
        return;
    }
    for killed in [false, true] {
        let (lab, client, server) = two_pods();
        let (port, ports) = mpsc::channel();
        std::thread::scope(|scope| {
            let echo = scope.spawn(|| {
                server
                    .run(|| {
                        let listener = TcpListener::bind((server.ip(), 0)).unwrap();
                        port.send(listener.local_addr().unwrap().port()).unwrap();
                        let (mut stream, _) = listener.accept().unwrap();
                        let mut byte = [0];
                        while stream.read(&mut byte).unwrap() == 1 {
                            stream.write_all(&byte).unwrap();
                        }
                    })
                    .unwrap();
            });
            let address = (server.ip(), ports.recv().unwrap());
            let watch = Watch::start(&lab);
            assert_eq!(attached(&lab, &[&client, &server]), 4);
            let mut stream = client.run(|| TcpStream::connect(address).unwrap()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            exchange(&mut stream);
            if killed {
                watch.kill();
            } else {
                watch.stop();
            }
            assert_eq!(attached(&lab, &[&client, &server]), 0, "killed: {killed}");
            exchange(&mut stream);
            drop(stream);
            echo.join().unwrap();
        });
    }
}

fn exchange(stream: &mut TcpStream) {
    stream.write_all(b"x").unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
}

/// The way of older kernels: a filter, which a killed agent leaves behind and the next one replaces.
#[test]
fn clsact() {
    let (lab, client, server) = two_pods();
    let _server = Server::tcp(&server, 80).unwrap();
    let filters =
        |pod: &Pod, side| lab.exec("tc", &["filter", "show", "dev", pod.host_ifname(), side], "").unwrap();
    let programs = || {
        [(&client, "ingress"), (&client, "egress"), (&server, "ingress"), (&server, "egress")]
            .map(|(pod, side)| filters(pod, side).lines().filter(|line| line.contains("netpol_")).count())
    };
    let arguments = ["--attach", "clsact"];
    Watch::with(&lab, &[], &arguments).kill();
    assert_eq!(programs(), [1; 4], "a filter outlives its process");
    let watch = Watch::with(&lab, &[], &arguments);
    assert_eq!(programs(), [1; 4], "the old filter is replaced");
    assert_eq!(Probe::tcp(server.ip(), 80).run(&client).unwrap(), Attempt::Answered);
    watch.until(1).check(&["client > server:80 TCP4 established conforming"]);
    assert_eq!(programs(), [0; 4]);
}

/// A CNI plugin may give the host's end its name just after it made it.
#[test]
fn renamed_meanwhile() {
    let lab = Lab::new().unwrap();
    let watch = Watch::start(&lab);
    let agent = Pid::from_raw(watch.id().cast_signed());
    kill(agent, Signal::SIGSTOP).unwrap();
    let pod = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    lab.ip(&format!(
        "link set {0} down\nlink set {0} name renamed\nlink set renamed up\n",
        pod.host_ifname()
    ))
    .unwrap();
    kill(agent, Signal::SIGCONT).unwrap();
    eventually("the renamed interface is attached", || watch.metric("netpol_veths_attached") == 1.0);
}

/// The kernel refuses for a while: 63 programs are the most that an interface takes.
#[test]
fn refused_for_a_while() {
    if lacks(Feature::Tcx) {
        return;
    }
    let (lab, client, _server) = two_pods();
    let mut others: Vec<Ebpf> =
        (0..63).map(|_| peer(&lab, "pass", client.host_ifname(), TcAttachType::Ingress, 0)).collect();
    let watch = Watch::start(&lab);
    assert_eq!(watch.metric("netpol_veths_attached"), 1.0);
    assert_eq!(watch.metric("netpol_veth_attach_errors_total"), 1.0);
    others.pop();
    eventually("the programs are attached after all", || watch.metric("netpol_veths_attached") == 2.0);
}
