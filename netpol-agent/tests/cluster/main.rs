//! The agent on a real API server. Pods are network namespaces, and a helper plays the kubelet's part. Each test has a
//! node and an API server of its own, so that all may run at once. As root, as the kernel's tests.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod agent;
mod api;
mod chart;
mod churn;
mod container;
mod crds;
mod demo;
mod events;
mod identity;
mod outage;
mod questions;
mod rbac;
mod services;
