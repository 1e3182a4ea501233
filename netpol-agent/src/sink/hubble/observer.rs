//! The gRPC service `Observer`: clients read flows, nodes, namespaces and the server's status.

use std::{collections::BTreeSet, pin::Pin, sync::Arc, time::Instant};

use futures::{Stream, stream};
use tonic::{Request, Response, Status, async_trait};

use super::{
    endpoint::CLUSTER,
    event::FlowOrigin,
    proto::observer::{
        GetAgentEventsRequest, GetAgentEventsResponse, GetDebugEventsRequest, GetDebugEventsResponse,
        GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest, GetNamespacesResponse, GetNodesRequest,
        GetNodesResponse, Namespace, Node, ServerStatusRequest, ServerStatusResponse, Tls,
        observer_server::Observer as Service,
    },
    proto::relay::NodeState,
    reader::Reader,
    ring::{Fill, Recording, Ring, RingEvent},
};

/// The server's version, as clients show it.
const VERSION: &str = concat!("netpol ", env!("CARGO_PKG_VERSION"));

/// The service. It reads the flows from a recording.
#[derive(Clone, Debug)]
pub struct Observer {
    ring: Arc<Ring>,
    origin: FlowOrigin,
    started: Instant,
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Observer {
    /// Creates the service of the node with this name.
    #[must_use]
    pub fn new(Recording(ring): Recording, node: String) -> Self {
        Self { ring, origin: FlowOrigin { node, run: fastrand::u64(..) }, started: Instant::now() }
    }

    fn uptime_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The number of events in the ring, the ring's capacity, and the number of flows since the start.
    fn fill(&self) -> [u64; 3] {
        let Fill { events, capacity, flows } = self.ring.fill();
        [u64::try_from(events).unwrap_or(u64::MAX), u64::try_from(capacity).unwrap_or(u64::MAX), flows]
    }
}

#[async_trait]
impl Service for Observer {
    type GetFlowsStream = Streamed<GetFlowsResponse>;
    type GetAgentEventsStream = Streamed<GetAgentEventsResponse>;
    type GetDebugEventsStream = Streamed<GetDebugEventsResponse>;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        let reader = Reader::open(Arc::clone(&self.ring), self.origin.clone(), request.into_inner()).await?;
        let responses = stream::try_unfold(reader, |mut reader| async move {
            Ok(reader.next().await?.map(|response| (response, reader)))
        });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn get_agent_events(
        &self,
        _: Request<GetAgentEventsRequest>,
    ) -> Result<Response<Self::GetAgentEventsStream>, Status> {
        Err(Status::unimplemented("this is netpol: it has no events of a Cilium agent"))
    }

    async fn get_debug_events(
        &self,
        _: Request<GetDebugEventsRequest>,
    ) -> Result<Response<Self::GetDebugEventsStream>, Status> {
        Err(Status::unimplemented("this is netpol: it has no debug events of Cilium's datapath"))
    }

    async fn get_nodes(&self, _: Request<GetNodesRequest>) -> Result<Response<GetNodesResponse>, Status> {
        let [num_flows, max_flows, seen_flows] = self.fill();
        let node = Node {
            name: self.origin.node.clone(),
            version: VERSION.to_owned(),
            // The client knows the address: it is connected to it.
            address: String::new(),
            state: NodeState::NodeConnected.into(),
            tls: None::<Tls>,
            uptime_ns: self.uptime_ns(),
            num_flows,
            max_flows,
            seen_flows,
        };
        Ok(Response::new(GetNodesResponse { nodes: vec![node] }))
    }

    async fn get_namespaces(
        &self,
        _: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        let (_, events) = self.ring.read(0, usize::MAX);
        let mut names = BTreeSet::new();
        for event in &events {
            if let RingEvent::Flow(_, flow) = &**event {
                let pods = [&flow.source, &flow.destination]
                    .map(|endpoint| endpoint.pod().map(|pod| pod.namespace()));
                names.extend(pods.into_iter().flatten());
            }
        }
        let namespace =
            |name: &Arc<str>| Namespace { cluster: CLUSTER.to_owned(), namespace: name.to_string() };
        Ok(Response::new(GetNamespacesResponse { namespaces: names.into_iter().map(namespace).collect() }))
    }

    async fn server_status(
        &self,
        _: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        let [num_flows, max_flows, seen_flows] = self.fill();
        Ok(Response::new(ServerStatusResponse {
            num_flows,
            max_flows,
            seen_flows,
            uptime_ns: self.uptime_ns(),
            version: VERSION.to_owned(),
            ..ServerStatusResponse::default()
        }))
    }
}
