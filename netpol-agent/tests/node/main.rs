//! The agent on a whole Kubernetes node, with each of its network plugins: containerd's pods, kubelet's probes,
//! kube-proxy's Services. As root, as the kernel's tests.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod cluster;
mod daemon;
mod hubble;
mod story;
