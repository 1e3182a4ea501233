//! Clients of Hubble's API, over gRPC and real connections.

use std::{fs, path::Path, time::Duration};

use futures::TryStreamExt as _;
use netpol_agent::sink::hubble::proto::{
    flow::{Flow, FlowFilter, Verdict},
    observer::{
        GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest, GetNodesRequest, ServerStatusRequest,
        get_flows_response::ResponseTypes, observer_client::ObserverClient,
    },
    peer::{NotifyRequest, peer_client::PeerClient},
};
use netpol_testkit::netns::{Attempt, Lab, Pod, PodSpec, Probe, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tonic::{
    Code,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::agent::{Watch, eventually};

const ADDRESS: &str = "127.0.0.1:4244";

const DENY_ALL: &str = "
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny-all, namespace: shop},
 spec: {podSelector: {matchLabels: {app: db}}}}
";

const NODES: &str = "
{apiVersion: v1, kind: Node, metadata: {name: other.example}, status: {addresses: [{type: InternalIP, address: 192.0.2.7}]}}
";

/// Runs a client inside the node's namespace.
fn client<T: Send>(lab: &Lab, work: impl AsyncFnOnce() -> T + Send) -> T {
    lab.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work())
    })
    .unwrap()
}

async fn plain() -> Channel {
    Endpoint::from_shared(format!("http://{ADDRESS}")).unwrap().connect().await.unwrap()
}

fn flows(lab: &Lab, request: GetFlowsRequest) -> Vec<Flow> {
    let answers: Vec<GetFlowsResponse> = client(lab, async || {
        let stream = ObserverClient::new(plain().await).get_flows(request).await.unwrap().into_inner();
        stream.try_collect().await.unwrap()
    });
    let flow = |answer: GetFlowsResponse| match answer.response_types {
        Some(ResponseTypes::Flow(flow)) => flow,
        other => panic!("{other:?} is no flow"),
    };
    answers.into_iter().map(flow).collect()
}

/// Who to whom, and what policies have to do with it.
fn short(flow: &Flow) -> String {
    let [source, destination] = [&flow.source, &flow.destination].map(|end| {
        let end = end.as_ref().unwrap();
        format!("{}/{}", end.namespace, end.pod_name)
    });
    let by: Vec<_> = flow.ingress_denied_by.iter().map(|policy| format!(" by {}", policy.name)).collect();
    let kind = flow.event_type.unwrap().r#type;
    format!("{source} > {destination} {} {kind}{}", flow.verdict().as_str_name(), by.concat())
}

fn pods() -> (Lab, [Pod; 2]) {
    let lab = Lab::new().unwrap();
    let pods = ["web", "db"].map(|name| lab.add_pod(PodSpec::new("shop", name).label("app", name)).unwrap());
    (lab, pods)
}

/// What passed though it is denied is audited, and what was stopped is dropped; all else is there for those who ask.
#[test]
fn flows_and_status() {
    let (lab, [web, db]) = pods();
    lab.nft(
        "table inet filter {
            chain forward {
                type filter hook forward priority 0;
                tcp dport 81 drop
            }
        }",
    )
    .unwrap();
    let _servers = [Server::tcp(&db, 80).unwrap(), Server::tcp(&web, 80).unwrap()];
    let watch = Watch::with(&lab, &[DENY_ALL, NODES], &["--node", "node-1", "--hubble-addr", ADDRESS]);
    for (from, to, port, attempt) in [
        (&web, &db, 80, Attempt::Answered),
        (&web, &db, 81, Attempt::TimedOut),
        (&db, &web, 80, Attempt::Answered),
    ] {
        let probe = Probe::tcp(to.ip(), port).timeout(Duration::from_millis(300));
        assert_eq!(probe.run(from).unwrap(), attempt, "{port}");
    }
    watch.wait_for("netpol_connections_total", 3.0);
    let mut all: Vec<_> = flows(&lab, GetFlowsRequest::default()).iter().map(short).collect();
    all.sort();
    assert_eq!(
        all,
        [
            "shop/db > shop/web FORWARDED 4",
            "shop/web > shop/db AUDIT 5 by deny-all",
            "shop/web > shop/db DROPPED 5 by deny-all",
        ]
    );
    let audited = FlowFilter { verdict: vec![Verdict::Audit.into()], ..FlowFilter::default() };
    let request = GetFlowsRequest { number: 9, whitelist: vec![audited], ..GetFlowsRequest::default() };
    let [flow] = &*flows(&lab, request) else { panic!("not one flow") };
    assert_eq!(flow.node_name, "node-1");

    client(&lab, async || {
        let mut observer = ObserverClient::new(plain().await);
        let status = observer.server_status(ServerStatusRequest {}).await.unwrap().into_inner();
        assert_eq!((status.num_flows, status.max_flows, status.seen_flows), (3, 4095, 3));
        assert!(status.uptime_ns > 0 && status.version.starts_with("netpol "), "{status:?}");
        let nodes = observer.get_nodes(GetNodesRequest {}).await.unwrap().into_inner().nodes;
        assert_eq!(nodes.iter().map(|node| &*node.name).collect::<Vec<_>>(), ["node-1"]);
        let spaces = observer.get_namespaces(GetNamespacesRequest {}).await.unwrap().into_inner().namespaces;
        assert_eq!(spaces.iter().map(|space| &*space.namespace).collect::<Vec<_>>(), ["shop"]);

        let service = "hubble.server.Observer".to_owned();
        let health = HealthClient::new(plain().await).check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(health.into_inner().status().as_str_name(), "SERVING");

        let mut peers = PeerClient::new(plain().await).notify(NotifyRequest {}).await.unwrap().into_inner();
        let mut told = Vec::new();
        while !told.iter().any(|peer| peer == "other.example PEER_ADDED 192.0.2.7:4244 None") {
            let peer = peers.message().await.unwrap().unwrap();
            told.push(format!(
                "{} {} {} {:?}",
                peer.name,
                peer.r#type().as_str_name(),
                peer.address,
                peer.tls
            ));
        }
    });
    watch.stop();
}

/// Programs that know nothing of it can ask what there is.
#[test]
fn reflection() {
    let (lab, _pods) = pods();
    let watch = Watch::with(&lab, &[], &["--hubble-addr", ADDRESS]);
    let services = client(&lab, async || {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let requests = futures::stream::iter([request]);
        let mut answers = ServerReflectionClient::new(plain().await)
            .server_reflection_info(requests)
            .await
            .unwrap()
            .into_inner();
        match answers.message().await.unwrap().unwrap().message_response.unwrap() {
            MessageResponse::ListServicesResponse(list) => {
                list.service.into_iter().map(|service| service.name).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    });
    for service in ["observer.Observer", "peer.Peer", "grpc.health.v1.Health"] {
        assert!(services.iter().any(|name| name == service), "{service} is not among {services:?}");
    }
    watch.stop();
}

/// A client that follows gets each flow as it is judged, and the agent's end ends it.
#[test]
fn following() {
    let (lab, [web, db]) = pods();
    let _server = Server::tcp(&db, 80).unwrap();
    let watch = Watch::with(&lab, &[], &["--hubble-addr", ADDRESS]);
    client(&lab, async || {
        let request = GetFlowsRequest { follow: true, ..GetFlowsRequest::default() };
        let mut stream = ObserverClient::new(plain().await).get_flows(request).await.unwrap().into_inner();
        for _ in 0..3 {
            assert_eq!(Probe::tcp(db.ip(), 80).run(&web).unwrap(), Attempt::Answered);
            let answer = stream.message().await.unwrap().unwrap();
            let Some(ResponseTypes::Flow(flow)) = answer.response_types else { panic!("no flow") };
            assert_eq!(short(&flow), "shop/web > shop/db FORWARDED 4");
        }
        let told = watch.stop();
        assert_eq!(told.flows.len(), 3);
        assert!(!matches!(stream.message().await, Ok(Some(_))));
    });
}

#[test]
fn requests_that_are_refused() {
    let (lab, _pods) = pods();
    let watch = Watch::with(&lab, &[], &["--hubble-addr", ADDRESS]);
    client(&lab, async || {
        let mut observer = ObserverClient::new(plain().await);
        let both = GetFlowsRequest { first: true, follow: true, ..GetFlowsRequest::default() };
        let error = observer.get_flows(both).await.err().unwrap();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        let bad = FlowFilter { source_ip: vec!["x".into()], ..FlowFilter::default() };
        let request = GetFlowsRequest { whitelist: vec![bad], ..GetFlowsRequest::default() };
        let error = observer.get_flows(request).await.err().unwrap();
        assert_eq!(error.message(), "whitelist[0].source_ip: \"x\" is no IP address and no CIDR");
        let error = observer
            .get_agent_events(netpol_agent::sink::hubble::proto::observer::GetAgentEventsRequest::default())
            .await
            .err()
            .unwrap();
        assert_eq!(error.code(), Code::Unimplemented, "{error}");
    });
    watch.stop();
}

/// An authority with the certificates of a server and of a client.
struct Certificates {
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        Self { authority: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// A certificate and its key, in PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.authority).unwrap().pem(), key.serialize_pem())
    }

    /// As a Secret's files.
    fn write(&self, folder: &Path, name: &str) {
        let (certificate, key) = self.issue(name);
        fs::write(folder.join("tls.crt"), certificate).unwrap();
        fs::write(folder.join("tls.key"), key).unwrap();
        fs::write(folder.join("ca.crt"), self.authority.pem()).unwrap();
    }

    /// Whether a client with a certificate of `of`, which trusts this authority, is let in to a server of this name.
    fn lets_in(&self, lab: &Lab, name: &str, of: Option<&Self>) -> bool {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.authority.pem()))
            .domain_name(name);
        if let Some(of) = of {
            let (certificate, key) = of.issue("client");
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        client(lab, async || {
            let endpoint = Endpoint::from_shared(format!("https://{ADDRESS}")).unwrap();
            let Ok(channel) = endpoint.tls_config(tls).unwrap().connect().await else { return false };
            ObserverClient::new(channel).server_status(ServerStatusRequest {}).await.is_ok()
        })
    }
}

/// Only those who show a certificate of the right authority are let in, and new certificates count from the next client.
#[test]
fn mutual_tls() {
    const NAME: &str = "node-1.default.hubble-grpc.cilium.io";
    const NEW: &str = "node-2.default.hubble-grpc.cilium.io";
    let (lab, _pods) = pods();
    let folder = TempDir::with_prefix("netpol-test-").unwrap();
    let [ours, theirs] = [Certificates::new(), Certificates::new()];
    ours.write(folder.path(), NAME);
    let file = |name| folder.path().join(name).display().to_string();
    let [certificate, key, authority] = ["tls.crt", "tls.key", "ca.crt"].map(file);
    let watch = Watch::with(
        &lab,
        &[],
        &[
            "--hubble-addr",
            ADDRESS,
            "--hubble-tls-cert",
            &certificate,
            "--hubble-tls-key",
            &key,
            "--hubble-tls-client-ca",
            &authority,
        ],
    );
    assert!(ours.lets_in(&lab, NAME, Some(&ours)));
    assert!(!ours.lets_in(&lab, NAME, Some(&theirs)), "another authority's client");
    assert!(!ours.lets_in(&lab, NAME, None), "a client without a certificate");
    assert!(!ours.lets_in(&lab, NEW, Some(&ours)), "a server of another name");
    assert!(!theirs.lets_in(&lab, NAME, Some(&ours)), "a server that the client does not trust");

    ours.write(folder.path(), NEW);
    eventually("the new certificate is used", || ours.lets_in(&lab, NEW, Some(&ours)));
    // What can't be used is passed over.
    fs::write(&key, "no key").unwrap();
    assert!(ours.lets_in(&lab, NEW, Some(&ours)));
    theirs.write(folder.path(), NAME);
    eventually("the new authority is used", || theirs.lets_in(&lab, NAME, Some(&theirs)));
    assert!(!theirs.lets_in(&lab, NAME, Some(&ours)), "the old authority's client");
    watch.stop();
}
