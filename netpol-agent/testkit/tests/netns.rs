//! The lab carries real traffic, keeps to itself, and leaves nothing behind.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use std::{
    env, fs,
    net::{IpAddr, SocketAddr},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use netpol_testkit::netns::{Attempt, Lab, Namespace, Pod, PodSpec, Probe, Server, Stack, packet};
use netpol_testkit::wait::eventually;

/// A lab with a client and a server, both of them dual-stack.
fn two_pods() -> (Lab, Pod, Pod) {
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client").dual_stack()).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server").dual_stack()).unwrap();
    (lab, client, server)
}

#[test]
fn traffic_of_every_protocol_and_family() {
    let (_lab, client, server) = two_pods();
    let tcp = Server::tcp(&server, 8080).unwrap();
    let udp = Server::udp(&server, 53).unwrap();
    let sink = Server::udp_sink(&server, 514).unwrap();
    let sctp = Server::sctp(&server, 36412).unwrap();
    for ip in server.ips() {
        for (probe, attempt) in [
            (Probe::tcp(ip, 8080), Attempt::Answered),
            (Probe::tcp(ip, 8081), Attempt::Refused),
            (Probe::tcp(ip, 8080).from_port(40_000), Attempt::Answered),
            (Probe::udp(ip, 53), Attempt::Answered),
            (Probe::udp(ip, 54), Attempt::Refused),
            (Probe::udp(ip, 514).timeout(Duration::from_millis(50)), Attempt::TimedOut),
            (Probe::one_way(ip, 514), Attempt::Sent),
            (Probe::sctp(ip, 36412), Attempt::Answered),
            (Probe::sctp(ip, 36413), Attempt::Refused),
            (Probe::echo(ip), Attempt::Answered),
        ] {
            assert_eq!(probe.run(&client).unwrap(), attempt, "{probe:?}");
        }
    }
    assert_eq!((tcp.served(), udp.served(), sctp.served()), (4, 2, 2));
    eventually("one-way datagrams arrive", || sink.served() == 4);
}

#[test]
fn node_and_outside_reach_pods() {
    let lab = Lab::new().unwrap();
    let v4 = lab.add_pod(PodSpec::new("shop", "v4")).unwrap();
    let v6 = lab.add_pod(PodSpec::new("shop", "v6").stack(Stack::V6)).unwrap();
    let world = lab.add_pod(PodSpec::outside("world").dual_stack()).unwrap();
    let metadata = PodSpec::outside("metadata").address([169, 254, 169, 254]);
    let metadata = lab.add_pod(metadata).unwrap();
    assert_eq!(lab.pods().len(), 2);
    for (from, to) in [(lab.as_ref(), &v4), (lab.as_ref(), &v6), (world.as_ref(), &v4), (world.as_ref(), &v6)]
    {
        assert_eq!(Probe::echo(to.ip()).run(from).unwrap(), Attempt::Answered);
    }
    assert_eq!(Probe::echo(metadata.ip()).run(&v4).unwrap(), Attempt::Answered);
}

#[test]
fn labs_keep_to_themselves() {
    let (one, two) = (two_pods(), two_pods());
    one.0
        .nft(
            "table inet lab {
                chain forward {
                    type filter hook forward priority 0;
                    tcp dport 8080 drop
                    tcp dport 8081 reject with tcp reset
                    tcp dport 8082 reject with icmpx admin-prohibited
                }
            }",
        )
        .unwrap();
    let rows = [
        (8080, Attempt::TimedOut, Attempt::Answered),
        (8081, Attempt::Refused, Attempt::Answered),
        (8082, Attempt::Unreachable, Attempt::Answered),
    ];
    for (port, filtered, open) in rows {
        for ((_, client, server), attempt) in [(&one, filtered), (&two, open)] {
            let _listening = Server::tcp(server, port).unwrap();
            for ip in server.ips() {
                assert_eq!(Probe::tcp(ip, port).run(client).unwrap(), attempt, "{ip} {port}");
            }
        }
    }
    let addresses = |(_, client, server): &(Lab, Pod, Pod)| [client.ips(), server.ips()].concat();
    let shared: Vec<_> = addresses(&one).into_iter().filter(|ip| addresses(&two).contains(ip)).collect();
    assert_eq!(shared, Vec::<IpAddr>::new());
}

#[test]
fn crafted_packets_arrive() {
    let (lab, client, server) = two_pods();
    let sink = Server::udp_sink(&server, 514).unwrap();
    let victim = lab.add_pod(PodSpec::new("shop", "victim").dual_stack()).unwrap();
    for ((from, to), spoofed) in client.ips().into_iter().zip(server.ips()).zip(victim.ips()) {
        let before = sink.served();
        let (from, to) = (SocketAddr::new(from, 1000), SocketAddr::new(to, 514));
        let spoofed = SocketAddr::new(spoofed, 9);
        let datagram = packet::udp(from, to, &[7; 100]);
        // Whoever sends by hand resolves no neighbours: the server's is known from here on.
        assert_eq!(Probe::echo(to.ip()).run(&client).unwrap(), Attempt::Answered);
        client.send(&datagram).unwrap();
        client.send(&packet::udp(spoofed, to, b"spoofed")).unwrap();
        lab.send_to(&server, &[], &packet::udp(from, to, b"past the filter")).unwrap();
        for fragment in packet::fragments(&datagram, 64) {
            client.send(&fragment).unwrap();
        }
        if to.is_ipv4() {
            client.send(&packet::with_options(&datagram, &[1; 8])).unwrap();
        } else {
            let kinds = [packet::HOP_BY_HOP, packet::DESTINATION_OPTIONS, packet::FRAGMENT];
            client.send(&packet::with_extensions(&datagram, &kinds)).unwrap();
        }
        eventually("all five arrive", || sink.served() == before + 5);
        client.send(&datagram[..24]).unwrap();
        client.send_tagged(&[7], &datagram).unwrap();
        client.send(&packet::tcp(from, to, packet::SYN, &[])).unwrap();
        client.send(&packet::echo(from.ip(), to.ip(), 1, 1)).unwrap();
        client.send(&packet::sctp(from, to, 0, &[1, 0, 0, 4])).unwrap();
        assert_eq!(sink.served(), before + 5);
    }
}

#[test]
fn programs_run_inside() {
    let (lab, client, _) = two_pods();
    for (netns, ifname) in [(lab.as_ref(), client.host_ifname()), (client.as_ref(), "eth0")] {
        let output = netns.command("ip").args(["-o", "link"]).output().unwrap();
        let links = String::from_utf8(output.stdout).unwrap();
        assert!(links.contains(&format!(": {ifname}@")), "{links}");
    }
    let complaint = lab.nft("add rule inet no_such_table forward drop").unwrap_err().to_string();
    assert!(complaint.contains("No such file or directory"), "{complaint}");
}

#[test]
fn pods_come_and_go() {
    let lab = Lab::new().unwrap();
    thread::scope(|scope| {
        for worker in 0..4 {
            let lab = &lab;
            scope.spawn(move || {
                for round in 0..5 {
                    let pod = lab.add_pod(PodSpec::new("churn", &format!("{worker}-{round}"))).unwrap();
                    assert_eq!(Probe::echo(pod.ip()).run(lab).unwrap(), Attempt::Answered);
                    lab.delete_pod(&pod).unwrap();
                }
            });
        }
    });
    let links = lab.exec("ip", &["-o", "link"], "").unwrap();
    assert_eq!(links.lines().count(), 1, "{links}");
}

#[test]
fn manifests_name_what_is_there() {
    let (lab, client, server) = two_pods();
    lab.label_namespace("shop", "team", "a");
    let web = PodSpec::new("web", "front").label("app", "front: \"end\"").port("http", 8080, "TCP");
    let web = lab.add_pod(web).unwrap();
    lab.delete_pod(&server).unwrap();
    let folder = env::temp_dir().join(format!("netpol-lab-{}", client.uid()));
    fs::create_dir(&folder).unwrap();
    lab.write_manifests(&folder).unwrap();
    let text = fs::read_to_string(folder.join("lab.yaml")).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    for line in [
        "    team: \"a\"".replace("team", "\"team\""),
        format!("  - ip: \"{}\"", client.ips()[1]),
        format!("  podIP: \"{}\"", web.ip()),
        "    \"app\": \"front: \\\"end\\\"\"".to_owned(),
        "      containerPort: 8080".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(!text.contains(&server.ip().to_string()), "{text}");
    assert_eq!(text.matches("kind: Pod\n").count(), 2);
}

/// Ties the far end of a veth pair into `witness`: it goes when the namespace of the near end does.
fn tie(netns: &Namespace, witness: &str, name: &str) {
    netns.ip(&format!("link add {name} type veth peer name {name} netns {witness}\n")).unwrap();
}

fn ties(witness: &Namespace) -> usize {
    witness.exec("ip", &["-o", "link", "show", "type", "veth"], "").unwrap().lines().count()
}

#[test]
fn a_dropped_lab_is_gone() {
    let witness = Namespace::new().unwrap();
    let (lab, client, server) = two_pods();
    let path = witness.path().display().to_string();
    for (netns, name) in [(lab.as_ref(), "node"), (client.as_ref(), "client"), (server.as_ref(), "server")] {
        tie(netns, &path, name);
    }
    let listening = Server::tcp(&server, 8080).unwrap();
    assert_eq!(Probe::tcp(server.ip(), 8080).run(&client).unwrap(), Attempt::Answered);
    assert_eq!(ties(&witness), 3);
    drop((listening, client, server, lab));
    eventually("all namespaces are gone", || ties(&witness) == 0);
}

/// Not a test: what the next one starts and kills.
#[test]
fn holder() {
    let Ok(witness) = env::var("NETPOL_LAB_WITNESS") else { return };
    let (lab, client, server) = two_pods();
    let _listening = Server::tcp(&server, 8080).unwrap();
    tie(&lab, &witness, "node");
    tie(&client, &witness, "client");
    let mut inside = lab.command("sleep").arg("1000").spawn().unwrap();
    tie(&server, &witness, "ready");
    inside.wait().unwrap();
}

#[test]
fn a_killed_lab_is_gone() {
    let links = || {
        let output = Command::new("ip").args(["-o", "link"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().count()
    };
    let before = links();
    let witness = Namespace::new().unwrap();
    let mut holder: Child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "holder"])
        .env("NETPOL_LAB_WITNESS", witness.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the lab stands", || ties(&witness) == 3);
    holder.kill().unwrap();
    holder.wait().unwrap();
    eventually("all namespaces are gone", || ties(&witness) == 0);
    assert_eq!(links(), before, "the machine's own namespace has other links than before");
}
