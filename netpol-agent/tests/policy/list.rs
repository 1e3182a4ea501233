//! The list of connections against single questions.

use std::collections::HashMap;

use netpol_agent::{
    cluster::manifests::Manifests,
    declared::DeclaredState,
    list::{ConnectionList, ListOptions},
    model::Protocol,
    policy::{ConnectionPeer, Query},
};

use crate::random::{Random, cluster};

const CLUSTERS: u64 = 400;
const QUERIES: usize = 250;

#[test]
fn the_list_agrees_with_single_questions() {
    let mut permitted = 0;
    for seed in 0..CLUSTERS {
        let mut random = Random::new(seed);
        let mut manifests = Manifests::default();
        manifests.objects = cluster(&mut random);
        let state = DeclaredState::new(manifests);
        let list = ConnectionList::new(&state, &ListOptions::default());
        let names: HashMap<_, _> =
            list.pods.iter().flat_map(|(name, pods)| pods.iter().map(move |pod| (pod, name))).collect();
        let ports: HashMap<_, _> =
            list.connections.iter().map(|found| ((&found.from, &found.to), &found.ports)).collect();
        let mut pods: Vec<_> = state.snapshot().pods().filter(|pod| pod.is_member()).collect();
        pods.sort_by(|a, b| a.key.cmp(&b.key));
        for _ in 0..QUERIES {
            if pods.len() < 2 {
                continue;
            }
            let (from, to) = (*random.pick(&pods), *random.pick(&pods));
            let protocol = *random.pick(&[Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
            let port = *random.pick(&[1, 52, 53, 54, 79, 80, 81, 443, 8079, 8080, 8081, 9000, 65535]);
            if from.key == to.key {
                continue;
            }
            let verdict = state.engine.evaluate(&Query {
                source: ConnectionPeer::Pod(from),
                destination: ConnectionPeer::Pod(to),
                protocol,
                port,
                via_service: None,
            });
            let listed = ports.get(&(names[&from.key], names[&to.key])).is_some_and(|ports| {
                let is_it = |found: &&netpol_agent::declared::PortAnswer| {
                    found.protocol == protocol && (found.first..=found.last).contains(&port)
                };
                ports.iter().any(|found| is_it(&found))
            });
            permitted += usize::from(listed);
            assert_eq!(
                listed,
                verdict.allowed(),
                "seed {seed}: {} -> {} {protocol} {port}",
                from.key,
                to.key
            );
        }
    }
    assert!(permitted > 1000, "{permitted}");
}
