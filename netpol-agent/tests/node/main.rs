//! The agent on a whole Kubernetes cluster of two nodes, with plugins that enforce nothing: containerd's pods, kubelet's
//! probes, kube-proxy's Services. As root, as the kernel's tests.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod cluster;
mod daemon;
mod hubble;
mod story;
