//! The start: what was there before, what changes later.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use xtask::lab::{Attempt, Lab, PodSpec, Probe, Server};

use crate::agent::{Watch, eventually};

/// A connection that was open before the agent is known as such: it is not judged.
#[test]
fn open_before() {
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let (port, ports) = mpsc::channel();
    std::thread::scope(|scope| {
        let accepted = scope.spawn(|| {
            server
                .run(|| {
                    let listener = TcpListener::bind((server.ip(), 0)).unwrap();
                    port.send(listener.local_addr().unwrap().port()).unwrap();
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut rest = Vec::new();
                    stream.read_to_end(&mut rest).unwrap();
                })
                .unwrap();
        });
        let address = (server.ip(), ports.recv().unwrap());
        let mut stream = client.run(|| TcpStream::connect(address).unwrap()).unwrap();
        let watch = Watch::start(&lab);
        stream.write_all(b"hello").unwrap();
        drop(stream);
        accepted.join().unwrap();
        let told = watch.until(1);
        assert_eq!(told.flows.len(), 1, "{:?}", told.connections());
        assert_eq!(told.flows[0]["outcome"], "undecidable");
        assert_eq!(told.flows[0]["expected"]["reason"], "pre_existing");
    });
}

/// Manifests are read anew when they change; one with an error changes nothing.
#[test]
fn manifests_change() {
    let lab = Lab::new().unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let watch = Watch::start(&lab);
    let generation = watch.metric("netpol_snapshot_generation");
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    lab.write_manifests(watch.manifests()).unwrap();
    eventually("the new pod is in force", || watch.metric("netpol_snapshot_generation") > generation);

    let generation = watch.metric("netpol_snapshot_generation");
    fs::write(watch.manifests().join("broken.yaml"), "kind: NetworkPolicy\nmetadata: [\n").unwrap();
    eventually("the error is counted", || watch.metric("netpol_manifest_errors") == 1.0);
    assert_eq!(watch.metric("netpol_snapshot_generation"), generation);

    let _server = Server::tcp(&server, 80).unwrap();
    assert_eq!(Probe::tcp(server.ip(), 80).run(&client).unwrap(), Attempt::Answered);
    let told = watch.until(1);
    assert_eq!(
        (told.flows[0]["source"]["name"].as_str(), told.flows[0]["source"]["namespace"].as_str()),
        (Some("client"), Some("shop"))
    );
}

#[test]
fn readiness() {
    let lab = Lab::new().unwrap();
    lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let watch = Watch::start(&lab);
    for path in ["/readyz", "/healthz"] {
        eventually(path, || watch.get(path).starts_with("HTTP/1.1 200"));
    }
    assert!(watch.get("/nothing").starts_with("HTTP/1.1 404"));
    watch.stop();
}
