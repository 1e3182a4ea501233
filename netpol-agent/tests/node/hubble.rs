//! Hubble's API, as people reach it on a cluster.

use std::process::{Child, Stdio};

use futures::TryStreamExt as _;
use netpol_agent::sink::hubble::proto::{
    flow::{Flow, FlowFilter, Verdict},
    observer::{
        GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes, observer_client::ObserverClient,
    },
};

use crate::cluster::{Cluster, eventually};

/// Through the API server to an agent that listens on its node alone. It ends with this.
struct Forwarded(Child);

impl Forwarded {
    fn to_hubble(cluster: &Cluster, pod: &str) -> Self {
        let child = cluster
            .real
            .command("kubectl")
            .args(["port-forward", "--namespace", "netpol", pod, "4245:4244"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The denied connections that passed are there as audited ones, with the policy's name.
pub(crate) fn audited(cluster: &Cluster) {
    let node = cluster.node().name();
    let what = format!("pods --field-selector spec.nodeName={node}");
    let pod = cluster.field("netpol", &what, "{.items[0].metadata.name}");
    let _forwarded = Forwarded::to_hubble(cluster, &pod);
    let mut flows = Vec::new();
    eventually("Hubble's API answers", || {
        flows = cluster.node().network().unwrap().run(ask).unwrap().unwrap_or_default();
        !flows.is_empty()
    });
    for flow in flows {
        assert_eq!(flow.node_name, node, "{flow:?}");
        let by = [&flow.egress_denied_by, &flow.ingress_denied_by]
            .map(|by| by.first().map(|policy| &*policy.name));
        assert_eq!(by, [Some("default-deny"); 2], "{flow:?}");
    }
}

fn ask() -> Result<Vec<Flow>, tonic::Status> {
    let filter = FlowFilter {
        source_pod: vec!["shop/client".to_owned()],
        destination_pod: vec!["shop/web".to_owned()],
        verdict: vec![Verdict::Audit.into()],
        ..FlowFilter::default()
    };
    let request = GetFlowsRequest { whitelist: vec![filter], ..GetFlowsRequest::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let failed = |error: tonic::transport::Error| tonic::Status::unavailable(error.to_string());
        let mut observer = ObserverClient::connect("http://127.0.0.1:4245").await.map_err(failed)?;
        let answers: Vec<GetFlowsResponse> =
            observer.get_flows(request).await?.into_inner().try_collect().await?;
        let flow = |answer: GetFlowsResponse| match answer.response_types {
            Some(ResponseTypes::Flow(flow)) => Some(flow),
            _ => None,
        };
        Ok(answers.into_iter().filter_map(flow).collect())
    })
}
