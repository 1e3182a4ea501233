//! The ends of a connection as people name them.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::Deserialize;
use thiserror::Error;

use super::distance;
use crate::{cluster::Snapshot, policy::ConnectionPeer};

/// An end of a connection as a person names it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointName {
    /// A pod, `namespace/name`.
    Pod(String),
    /// An address.
    Ip(IpAddr),
}

/// A name that stands for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct UnknownEndpoint(String);

impl FromStr for EndpointName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ip) = text.trim_matches(['[', ']']).parse() {
            return Ok(Self::Ip(ip));
        }
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self::Pod(text.to_owned()))
            }
            _ => Err("name a pod as NAMESPACE/NAME, or give an IP address".to_owned()),
        }
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(key) => f.write_str(key),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

impl EndpointName {
    /// Whom it means in a cluster.
    ///
    /// # Errors
    ///
    /// There is no such pod; the nearest name is in the error.
    pub fn find<'a>(&self, snapshot: &'a Snapshot) -> Result<ConnectionPeer<'a>, UnknownEndpoint> {
        match self {
            Self::Ip(ip) => Ok(ConnectionPeer::Ip(*ip)),
            Self::Pod(key) => {
                let pod = snapshot.pod(key).map(ConnectionPeer::Pod);
                pod.ok_or_else(|| UnknownEndpoint(unknown_pod(key, snapshot)))
            }
        }
    }
}

fn unknown_pod(key: &str, snapshot: &Snapshot) -> String {
    let nearest = snapshot.pods().map(|pod| (distance(key, &pod.key), &pod.key)).min();
    match nearest {
        Some((distance, nearest)) if distance <= 1 + key.len() / 3 => {
            format!("there is no pod {key:?}; did you mean {nearest}?")
        }
        Some(_) => format!("there is no pod {key:?}"),
        None => format!(
            "there is no pod {key:?}, and no other either (add Pod objects to the manifests, or use addresses)"
        ),
    }
}
