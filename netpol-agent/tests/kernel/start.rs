//! The start: what was there before, what changes later.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::Stdio,
    time::Duration,
};

use netpol_testkit::netns::{Attempt, Lab, PodSpec, Probe, Server, packet};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::agent::{METRICS, Watch, binary, eventually, try_metric};

/// A connection that was open before the agent: its end tells nothing of it.
#[test]
fn open_before() {
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let _server = Server::tcp(&server, 80).unwrap();
    let stream = client.run(|| TcpStream::connect((server.ip(), 80)).unwrap()).unwrap();
    let watch = Watch::start(&lab);
    drop(stream);
    assert_eq!(Probe::tcp(server.ip(), 80).run(&client).unwrap(), Attempt::Answered);
    watch.until(1).check(&["client > server:80 TCP4 established conforming"]);
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

/// Whoever reads the lines has stopped: the agent ends all the same.
#[test]
fn nobody_takes_the_lines() {
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let folder = TempDir::with_prefix("netpol-test-").unwrap();
    lab.write_manifests(folder.path()).unwrap();
    let mut command = lab.command(binary());
    let manifests = folder.path().display().to_string();
    command.args(["run", "--manifests", &manifests, "--output", "json", "--metrics-addr", METRICS]);
    let mut agent = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    eventually("the agent sees", || try_metric(&lab, "netpol_veths_attached") == Some(2.0));
    // More than a pipe holds.
    for port in 1..=500 {
        let [from, to] =
            [(&client, 40_000), (&server, port)].map(|(pod, port)| SocketAddr::new(pod.ip(), port));
        client.send(&packet::udp(from, to, b"")).unwrap();
    }
    eventually("all are counted", || try_metric(&lab, "netpol_flow_table_entries") >= Some(400.0));
    std::thread::sleep(Duration::from_secs(3));
    kill(Pid::from_raw(agent.id().cast_signed()), Signal::SIGTERM).unwrap();
    eventually("the agent ends", || agent.try_wait().unwrap().is_some());
}
