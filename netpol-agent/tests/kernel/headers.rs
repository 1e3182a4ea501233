//! Headers out of the ordinary: options, extension headers, VLAN tags, fragments, cut packets.

use std::net::{IpAddr, SocketAddr};

use netpol_testkit::netns::{Lab, Pod, PodSpec, packet};

use crate::agent::Watch;

fn two_pods() -> (Lab, Pod, Pod) {
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client").dual_stack()).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server").dual_stack()).unwrap();
    (lab, client, server)
}

fn udp(from: IpAddr, to: IpAddr, port: u16, payload: &[u8]) -> Vec<u8> {
    packet::udp(SocketAddr::new(from, 40_000), SocketAddr::new(to, port), payload)
}

#[test]
fn options_and_extension_headers() {
    use packet::{DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP};
    let (lab, client, server) = two_pods();
    let watch = Watch::start(&lab);
    let (from4, to4) = (client.ips()[0], server.ips()[0]);
    let (from6, to6) = (client.ips()[1], server.ips()[1]);
    client.send(&packet::with_options(&udp(from4, to4, 1, b""), &[1; 40])).unwrap();
    for (port, kinds) in [
        (2, &[DESTINATION_OPTIONS][..]),
        (3, &[HOP_BY_HOP, DESTINATION_OPTIONS]),
        (4, &[FRAGMENT]),
        (5, &[DESTINATION_OPTIONS; 7]),
    ] {
        client.send(&packet::with_extensions(&udp(from6, to6, port, b""), kinds)).unwrap();
    }
    watch.wait_for("netpol_records_total", 10.0);
    client.send(&packet::with_extensions(&udp(from6, to6, 6, b""), &[DESTINATION_OPTIONS; 9])).unwrap();
    watch.wait_for("netpol_packets_skipped_total", 1.0);
    assert!(watch.metric("netpol_packets_skipped_total{cause=\"extension_headers\"}") >= 1.0);
    let told = watch.until(5);
    let mut ports: Vec<_> =
        told.flows.iter().map(|flow| flow["destination"]["port"].as_u64().unwrap()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [1, 2, 3, 4, 5]);
}

#[test]
fn vlan_tags() {
    let (lab, client, server) = two_pods();
    let watch = Watch::start(&lab);
    let (from, to) = (client.ip(), server.ip());
    for (port, tags) in [(1, &[][..]), (2, &[7]), (3, &[7, 8])] {
        client.send_tagged(tags, &udp(from, to, port, b"")).unwrap();
    }
    let told = watch.until(3);
    let mut ports: Vec<_> =
        told.flows.iter().map(|flow| flow["destination"]["port"].as_u64().unwrap()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [1, 2, 3]);
}

/// The first fragment has the ports and is recorded like a whole packet; the others are counted.
#[test]
fn fragments() {
    let (lab, client, server) = two_pods();
    for (from, to) in client.ips().into_iter().zip(server.ips()) {
        let watch = Watch::start(&lab);
        for fragment in packet::fragments(&udp(from, to, 9, &[0; 1000]), 400) {
            client.send(&fragment).unwrap();
        }
        // Two of them, at both veths.
        let skipped = "netpol_packets_skipped_total";
        watch.wait_for(skipped, 4.0);
        assert_eq!((watch.sum(skipped), watch.sum("netpol_records_lost_total")), (4.0, 0.0), "{to}");
        let told = watch.until(1);
        assert_eq!(told.flows[0]["destination"]["port"], 9);
    }
}

#[test]
fn truncated() {
    let (lab, client, server) = two_pods();
    let watch = Watch::start(&lab);
    let mut sent = 0;
    for (from, to, lengths) in [
        (client.ips()[0], server.ips()[0], [1, 19, 20, 23]),
        (client.ips()[1], server.ips()[1], [1, 39, 40, 43]),
    ] {
        for length in lengths {
            client.send(&udp(from, to, 9, b"")[..length]).unwrap();
            sent += 1;
        }
    }
    let truncated = "netpol_packets_skipped_total{cause=\"truncated\"}";
    crate::agent::eventually("cut packets are counted", || watch.metric(truncated) >= f64::from(sent));
    assert!(watch.stop().flows.is_empty());
}
