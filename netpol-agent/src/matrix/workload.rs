//! Names for groups of pods.

use std::{collections::HashMap, sync::Arc};

use crate::model::Pod;

/// A name for each group of pods: its workload's. Where pods of one workload are in several groups, since policies
/// tell them apart, each group's name says by its first pod which.
pub(crate) fn names(groups: &[Vec<Arc<Pod>>]) -> Vec<String> {
    let of_groups: Vec<Vec<String>> = groups.iter().map(|group| workloads(group)).collect();
    let mut groups_of: HashMap<&str, usize> = HashMap::new();
    for name in of_groups.iter().flatten() {
        *groups_of.entry(name).or_default() += 1;
    }
    let groups = groups.iter().zip(&of_groups);
    groups
        .map(|(pods, names)| {
            let split = names.iter().any(|name| groups_of.get(name.as_str()).is_some_and(|n| *n > 1));
            match (pods.first(), split) {
                (Some(pod), true) if pods.len() == 1 => pod.key.to_string(),
                (Some(pod), true) => format!("{}+{}", pod.key, pods.len() - 1),
                _ => names.join(","),
            }
        })
        .collect()
}

fn workloads(pods: &[Arc<Pod>]) -> Vec<String> {
    let mut names: Vec<String> = pods.iter().map(|pod| workload(pod)).collect();
    names.dedup();
    names
}

/// `namespace/name` of what made the pod, or its own.
pub(crate) fn workload(pod: &Pod) -> String {
    match &pod.workload {
        Some(workload) => format!("{}/{}", pod.namespace(), workload.name),
        None => pod.key.to_string(),
    }
}
